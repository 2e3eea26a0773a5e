#include "tests/unit/check.h"

#include <stdlib.h>

#include "services/data-store/dsv.h"

static const struct dsv_format csv = {.delimiter = ',', .quote = '"'};

/* The whole of `in`, in pieces of `piece` bytes; "!why" on failure. */
static const char *
run(const struct dsv_format *f, unsigned columns, struct span in, size_t piece, struct dsv *d)
{
	static char text[4096];
	struct buf out;
	int rc = 0;

	buf_init(&out, sizeof text - 1);
	dsv_init(d, f, columns);
	for (size_t at = 0; rc == 0 && (at < in.n || at == 0);) {
		size_t n = in.n - at < piece ? in.n - at : piece;

		rc = dsv_feed(d, span_of(in.p + at, n), at + n == in.n, &out);
		at += n ? n : 1;
	}
	if (rc == -1)
		snprintf(text, sizeof text, "!%s", d->why);
	else
		snprintf(text, sizeof text, "%s", buf_cstr(&out));
	buf_fini(&out);
	dsv_fini(d);
	return text;
}

/* The same in one piece, byte by byte, and in threes. */
static void
same(const struct dsv_format *f, unsigned columns, const char *in, const char *want, int line)
{
	static const size_t pieces[] = {100000, 1, 3};
	struct dsv d;

	for (size_t i = 0; i < 3; i++) {
		const char *got = run(f, columns, span_str(in), pieces[i], &d);

		if (!check_at(strcmp(got, want) == 0, "the records", __FILE__, line))
			printf("# got %s\n", got);
	}
}
#define SAME(f, columns, in, want) same((f), (columns), (in), (want), __LINE__)

static void
test_records(void)
{
	struct dsv_format f = csv;

	SAME(&csv, 2, "a,b\nc,d\n", "a,b\nc,d\n");
	SAME(&csv, 2, "a,b\r\nc,d", "a,b\nc,d\n");
	SAME(&csv, 2,
	    "\xef\xbb\xbf"
	    "a,b\n",
	    "a,b\n");
	SAME(&csv, 2, "\xef\xbb", "!line 1: 1 fields where 2 are expected");
	SAME(&csv, 2, "", "");
	SAME(&csv, 2, "\n\na,b\n\n", "a,b\n");
	SAME(&csv, 1, "a\n\nb\n", "a\n\nb\n");
	SAME(&csv, 2, "\"x\ny\",\"a\"\"b\"\n", "\"x\ny\",\"a\"\"b\"\n");
	SAME(&csv, 2, "\"x\r\n,\",b\r\n", "\"x\r\n,\",b\n");
	SAME(&csv, 2, "a,b\n\"x\n,c\n", "!line 2: a quote is opened and never closed");
	f.header = true;
	SAME(&f, 2, "\nname,age\na,b\n", "a,b\n");
	SAME(&f, 1, "\nname\n\nb\n", "\nb\n");
}

static void
test_field_counts(void)
{
	struct dsv_format f = csv;

	SAME(&csv, 3, "1,2,3\n1,2\n", "!line 2: 2 fields where 3 are expected");
	SAME(&csv, 1, "1,2\n", "!line 1: 2 fields where 1 are expected");
	SAME(&csv, 2, "\"1,2\",3\n", "\"1,2\",3\n");
	f.pad = true;
	SAME(&f, 4, "1,2\n1,2,3,4\n", "1,2,,\n1,2,3,4\n");
	SAME(&f, 2, "1,2,3\n", "!line 1: 3 fields where 2 are expected");
	memcpy(f.null, "NA", 3);
	SAME(&f, 3, "1\n", "1,NA,NA\n");
}

static void
test_comments(void)
{
	struct dsv_format f = {.delimiter = '\t', .comment = "#", .pad = true};

	SAME(&f, 2, "# it's \"odd\n#b\na\tb\n#\nc\n", "a\tb\nc\t\n");
	f.quote = '"';
	SAME(&f, 2, "# one \" alone\na\tb\n", "a\tb\n");
	SAME(&f, 2, "\"#a\"\tb\n", "\"#a\"\tb\n");
	memcpy(f.comment, "//", 3);
	SAME(&f, 2, "//x\n/\ty\n/", "/\ty\n/\t\n");
}

/* What would end a COPY, or could not be told from data, must not pass as it is. */
static void
test_traps(void)
{
	struct dsv_format f = {.delimiter = ';'};
	struct dsv d;
	const char *got;
	char *big = malloc(DSV_RECORD + 2);

	SAME(&csv, 1, "a\n\\.\nb\n", "a\n\"\\.\"\nb\n");
	SAME(&f, 1, "\\.\n", "\x01\\.\x01\n");
	SAME(&f, 2, "a;b\nc;\"\n", "a;b\nc;\"\n");
	SAME(&f, 2, "a;b\nc;\x01\n", "!line 2: byte 0x01 cannot be loaded");
	memset(big, 'x', DSV_RECORD + 2);
	got = run(&csv, 1, span_of(big, DSV_RECORD + 2), 65536, &d);
	CHECK_STR(got, "!line 1: a row is longer than 1048576 bytes");
	got = run(&csv, 2, span_of("a,\0b\n", 5), 1, &d);
	CHECK(got[0] != '!' && d.rows == 1);
	free(big);
}

static void
test_counts(void)
{
	struct dsv_format f = csv;
	struct dsv d;

	f.comment[0] = '#';
	f.header = true;
	(void)run(&f, 2, span_str("#x\n#y\na,b\n1,2\n\n3,\"4\n4\"\n#z\n5,6\n"), 5, &d);
	CHECK(d.rows == 3 && d.longest == 8 && d.line == 9);
	dsv_init(&d, &f, 2);
	struct buf out;
	buf_init(&out, 1000);
	CHECK(dsv_feed(&d, span_str("#x\n#y\na,b\n1,2\n\n3,\"4\n4\"\n#z\n5,6\n"), true, &out) == 0);
	CHECK(dsv_line_of(&d, 1) == 4);
	CHECK(dsv_line_of(&d, 2) == 6 && dsv_line_of(&d, 3) == 7);
	CHECK(dsv_line_of(&d, 4) == 9);
	buf_fini(&out);
	dsv_fini(&d);
}

static const char *
header(const struct dsv_format *f, const char *head, bool whole)
{
	static char text[600];
	char why[300];
	struct buf b;
	int n;

	buf_init(&b, 500);
	n = dsv_header(f, span_str(head), whole, &b, why, sizeof why);
	snprintf(text, sizeof text, "%s", n == -1 ? why : "");
	for (size_t i = 0; n != -1 && i < b.n; i++)
		snprintf(text + strlen(text), 2, "%c", b.p[i] ? b.p[i] : '|');
	buf_fini(&b);
	return text;
}

static void
test_header(void)
{
	struct dsv_format f = csv;

	f.comment[0] = '#';
	CHECK_STR(header(&f, "#c\n\na, b ,c\r\n1,2,3\n", false), "a|b|c|");
	CHECK_STR(header(&f,
		      "\xef\xbb\xbf"
		      "a\n",
		      false),
	    "a|");
	CHECK_STR(header(&f, "\"a,\"\"b\",\" c \",\n", false), "a,\"b|c||");
	CHECK_STR(header(&f, "a,b", true), "a|b|");
	CHECK_STR(header(&f, "a,b", false), "the header does not end within 3 bytes");
	CHECK_STR(header(&f, "#only\n\n", true),
	    "no header found: the first line should hold the names of the columns");
	CHECK_STR(header(&f, "\"\"\n", true), "|");
}

static void
test_options(void)
{
	struct dsv_format f = {.delimiter = ';', .null = "NA", .encoding = DSV_WIN1252};
	struct buf b;

	buf_init(&b, 500);
	dsv_put_options(&f, &b);
	CHECK_STR(buf_cstr(&b),
	    "(FORMAT csv, DELIMITER E'\\x3b', QUOTE E'\\x01', NULL E'\\x4e\\x41', "
	    "ENCODING 'WIN1252')");
	buf_fini(&b);
}

int
main(void)
{
	test_records();
	test_field_counts();
	test_comments();
	test_traps();
	test_counts();
	test_header();
	test_options();
	return check_done();
}

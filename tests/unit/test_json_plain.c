/* The quick reader of JSON beside the thorough one. */
#include "tests/unit/check.h"

#include "proto/json_impl.h"
#include "proto/limits.h"
#include "proto/mp.h"

static struct buf quick, judge;

static bool
same(struct span text)
{
	buf_reset(&quick);
	buf_reset(&judge);
	buf_puts(&quick, "kept");
	buf_puts(&judge, "kept");
	return json_plain(text, &quick) == 0 && json_thorough(text, &judge, NULL) == 0 &&
	       span_eq(buf_span(&quick), buf_span(&judge));
}

static bool
left(const char *text)
{
	buf_reset(&quick);
	buf_puts(&quick, "kept");
	return json_plain(span_str(text), &quick) == -1 && !quick.failed &&
	       span_is(buf_span(&quick), "kept");
}

static void
test_taken(void)
{
	static const char *const good[] = {"null", " true\n", "false", "0", "-0", "-1", "127",
	    "128", "-32", "-33", "999999999999999999", "-999999999999999999", "0.5", "-1.25e-7",
	    "1E+3", "0e0", "1e-400", "\"\"", "\"a\x7f\"", "\"\xc3\xbc \xf0\x9f\x9a\x95\"", "[]",
	    "{}", "[ ]", "{ }", "[1 , 2\t,\r\n[3]]", "{\"a\":1,\"b\":{\"a\":[]},\"\":null}",
	    "{\"spec\":[{\"volume\":50},{\"volume\":60.5}],\"ab\":1,\"a\":2}"};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		if (!same(span_str(good[i])))
			printf("# %s\n", good[i]);
		CHECK(same(span_str(good[i])));
	}
}

static void
test_left(void)
{
	static const char *const odd[] = {"", " ", "nul", "truex", "nan", "01", "-", "+1", "1.",
	    ".5", "1e", "1e+", "1e400", "1000000000000000000", "18446744073709551615", "\"",
	    "\"\\n\"", "\"\\u0041\"", "\"\n\"", "\"\xff\"", "\"\xed\xa0\x80\"", "[", "[1", "[1,",
	    "[1,]", "[,]", "[1 2]", "]", "{", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
	    "{\"a\":1,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1,\"a\":2}", "1 2", "{}}", "'a'",
	    "\xef\xbb\xbf{}"};

	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		if (!left(odd[i]))
			printf("# %s\n", odd[i]);
		CHECK(left(odd[i]));
	}
	buf_reset(&quick);
	CHECK(json_plain(span_of("1\0", 2), &quick) == -1);
	CHECK(json_plain(span_of(NULL, 0), &quick) == -1);
}

/* n times `item`, with commas, between `open` and `shut`; a number in it is the place. */
static struct span
list(struct buf *b, const char *open, const char *item, size_t n, const char *shut)
{
	buf_reset(b);
	buf_puts(b, open);
	for (size_t i = 0; i < n; i++) {
		if (i > 0)
			buf_putc(b, ',');
		if (item[0] == '#') {
			buf_printf(b, "\"k%zu\":%zu", i, i);
		} else {
			buf_puts(b, item);
		}
	}
	buf_puts(b, shut);
	return buf_span(b);
}

static void
test_heads(void)
{
	static const size_t sizes[] = {15, 16, 17, 65535, 65536};
	struct buf text;

	buf_init(&text, 1 << 24);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		CHECK(same(list(&text, "[1,[", "[1,2]", sizes[i], "],\"end\"]")));
		CHECK(same(list(&text, "{\"a\":[", "\"x\"", sizes[i], "],\"b\":2}")));
	}
	CHECK(same(list(&text, "[{", "#", JSON_PLAIN_KEYS, "},3]")));
	buf_puts(&quick, "x");
	list(&text, "{", "#", JSON_PLAIN_KEYS + 1, "}");
	CHECK(left(buf_cstr(&text)));
	CHECK(same(list(&text, "", "[", 1, "1]")));
	buf_fini(&text);
}

static void
test_nest(void)
{
	char text[2 * LIMIT_NEST + 3] = "";

	memset(text, '[', LIMIT_NEST);
	memset(text + LIMIT_NEST, ']', LIMIT_NEST);
	CHECK(same(span_of(text, 2 * LIMIT_NEST)));
	memset(text, '[', LIMIT_NEST + 1);
	memset(text + LIMIT_NEST + 1, ']', LIMIT_NEST + 1);
	text[2 * LIMIT_NEST + 2] = '\0';
	CHECK(left(text));
}

/* What has just room is taken; for what has not, and is wrong besides, the fault is named. */
static void
test_room(void)
{
	struct json_error err;
	struct buf small;

	buf_init(&small, 20);
	CHECK(json_plain(span_str("[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8]"), &small) == 0);
	CHECK(small.n == 20);
	buf_fini(&small);
	buf_init(&small, 19);
	CHECK(json_plain(span_str("[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8]"), &small) == -1);
	CHECK(!small.failed && small.n == 0);
	buf_fini(&small);
	buf_init(&small, 4);
	CHECK(json_to_mp(span_str("[1.5,1.5,"), &small, &err) == -1);
	CHECK(!small.failed && strstr(err.text, "too big") == NULL);
	CHECK(json_to_mp(span_str("[1.5,1.5]"), &small, &err) == -1);
	CHECK(small.failed && strstr(err.text, "too big") != NULL);
	buf_fini(&small);
}

int
main(void)
{
	buf_init(&quick, 1 << 24);
	buf_init(&judge, 1 << 24);
	test_taken();
	test_left();
	test_heads();
	test_nest();
	test_room();
	buf_fini(&quick);
	buf_fini(&judge);
	return check_done();
}

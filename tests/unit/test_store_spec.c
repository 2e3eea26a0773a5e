#include "tests/unit/check.h"

#include "proto/doc.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "services/data-store/spec.h"

/* Reads JSON into s; the number of faults, the first one in `first`, the pointers of all in `all`,
 * a space behind each. */
static char first[256], all[2048];

static void
put_all(const struct faults *f)
{
	struct mp_r r;

	all[0] = '\0';
	mp_r_init(&r, buf_span(&f->items));
	for (unsigned i = 0; i < f->kept; i++) {
		size_t n = strlen(all);
		struct span pointer;

		(void)mp_map(&r);
		(void)mp_str(&r, 99);
		pointer = mp_str(&r, 256);
		(void)mp_str(&r, 99);
		(void)mp_str(&r, 999);
		snprintf(all + n, sizeof all - n, "%.*s ", (int)pointer.n, (const char *)pointer.p);
	}
}

static unsigned
parse(struct spec *s, const char *json)
{
	struct faults f;
	struct buf mp;
	struct doc d;
	unsigned n;

	buf_init(&mp, 65536);
	CHECK(json_to_mp(span_str(json), &mp, NULL) == 0 && doc_parse(&d, buf_span(&mp)) == 0);
	faults_init(&f);
	spec_parse(s, &d.root, &f);
	n = f.n;
	snprintf(first, sizeof first, "%s", f.first);
	put_all(&f);
	faults_fini(&f);
	doc_fini(&d);
	buf_fini(&mp);
	return n;
}

#define HEAD \
	"{\"organisation\":\"unicode\",\"dataset\":\"data\",\"source\":{\"url\":\"http://h/d/\","

static void
test_whole(void)
{
	struct spec s;

	CHECK(
	    parse(&s, HEAD
		"\"pattern\":\"Unicode*.txt\",\"format\":{\"delimiter\":\";\",\"columns\":["
		"{\"name\":\"code\"},{\"name\":\"klass\",\"type\":\"integer\"}],\"comment\":\"#\","
		"\"short_rows\":\"pad\",\"null\":\"-\",\"encoding\":\"latin-1\"},"
		"\"files\":\"last\"},\"table\":\"L1\"}") == 0);
	CHECK_STR(s.schema, "unicode.data");
	CHECK_STR(s.table, "L1");
	CHECK_STR(s.url, "http://h/d/");
	CHECK_STR(s.pattern, "Unicode*.txt");
	CHECK(s.last && s.format.pad && !s.format.header && s.format.quote == 0);
	CHECK(s.format.delimiter == ';' && s.format.encoding == DSV_LATIN1);
	CHECK(s.columns.n == 2 && s.columns.v[0].type == COLUMN_TEXT &&
	      s.columns.v[1].type == COLUMN_BIGINT);
	spec_fini(&s);
}

static void
test_defaults(void)
{
	struct spec s, t;

	CHECK(parse(&s, HEAD "\"format\":\"csv\"}}") == 0);
	CHECK(s.format.delimiter == ',' && s.format.quote == '"' && s.format.header && !s.last);
	CHECK_STR(s.table, "L0");
	CHECK_STR(s.pattern, "");
	spec_fini(&s);
	CHECK(parse(&t, HEAD "\"format\":{\"type\":\"csv\"}}}") == 0);
	CHECK(memcmp(s.digest, t.digest, sizeof s.digest) == 0);
	spec_fini(&t);
	CHECK(parse(&t, HEAD "\"format\":{\"type\":\"csv\",\"null\":\"x\"}}}") == 0);
	CHECK(memcmp(s.digest, t.digest, sizeof s.digest) != 0);
	spec_fini(&t);
	CHECK(parse(&t, HEAD "\"format\":\"tsv\"}}") == 0);
	CHECK(t.format.delimiter == '\t' && t.format.quote == 0 && t.format.header);
	spec_fini(&t);
	CHECK(parse(&t, HEAD "\"format\":{\"type\":\"csv\",\"quote\":null}}}") == 0 &&
	      t.format.quote == 0);
	spec_fini(&t);
}

static void
refused(const char *json, const char *want, int line)
{
	struct spec s;

	check_at(parse(&s, json) > 0 && strcmp(first, want) == 0, want, __FILE__, line);
	if (strcmp(first, want) != 0)
		printf("# got %s\n", first);
	spec_fini(&s);
}
#define REFUSED(json, want) refused((json), (want), __LINE__)

static void
test_refused(void)
{
	REFUSED("[]", "/spec: expected an object with organisation, dataset and source");
	REFUSED("{\"organisation\":\"Ons\"}", "/spec/organisation: expected a name: a lower-case "
					      "letter, then lower-case letters, digits and "
					      "underscores, at most 63");
	REFUSED("{\"organisation\":\"o\",\"dataset\":\"a\\\".b\"}",
	    "/spec/dataset: expected a name: a lower-case letter, then lower-case letters, digits "
	    "and "
	    "underscores, at most 63");
	REFUSED("{\"organisation\":\"aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd\",\"dataset\":"
		"\"aaaaaaaaaabbbbbbbbbbcccc\"}",
	    "/spec/dataset: organisation and dataset together are longer than 62 bytes");
	REFUSED("{\"organisation\":\"o\",\"dataset\":\"d\"}",
	    "/spec/source: expected an object with url and format");
	REFUSED("{\"organisation\":\"o\",\"dataset\":\"d\",\"source\":{\"url\":\"file:///etc/"
		"passwd\",\"format\":\"csv\"}}",
	    "/spec/source/url: expected an absolute http or https address, at most 2048 bytes");
	REFUSED(HEAD "\"format\":{\"type\":\"delimited\"}}}",
	    "/spec/source/format/delimiter: expected, as the type is delimited");
	REFUSED(HEAD "\"format\":{\"type\":\"xls\"}}}",
	    "/spec/source/format/type: expected one of csv, tsv, delimited");
	REFUSED(HEAD "\"format\":{\"delimiter\":\";\"}}}",
	    "/spec/source/format/columns: expected, as the files have no header to name them");
	REFUSED(HEAD "\"format\":{\"type\":\"csv\",\"columns\":[{\"name\":\"id\"}]}}}",
	    "/spec/source/format/columns/0: \"id\" is a reserved column name: rename that column "
	    "in the data file");
	REFUSED(HEAD
	    "\"format\":{\"type\":\"csv\",\"columns\":[{\"name\":\"a\"},{\"name\":\"a\"}]}}}",
	    "/spec/source/format/columns/1: column \"a\" is there twice");
	REFUSED(HEAD "\"format\":{\"type\":\"csv\",\"columns\":[{\"name\":\"a\",\"type\":\"text); "
		     "drop\"}]}}}",
	    "/spec/source/format/columns/0: \"text); drop\" is no type: expected text, bigint, "
	    "numeric, double, "
	    "boolean, date, time, timestamp, timestamptz or uuid");
	REFUSED(HEAD "\"format\":{\"type\":\"csv\",\"quote\":\",\"}}}",
	    "/spec/source/format/quote: the delimiter cannot be the quote");
	REFUSED(HEAD "\"format\":{\"type\":\"csv\",\"null\":\"a,b\"}}}",
	    "/spec/source/format/null: cannot hold the delimiter or the quote");
	REFUSED(HEAD "\"format\":{\"type\":\"csv\",\"delimiter\":\"\\n\"}}}",
	    "/spec/source/format/delimiter: expected one character, ASCII, no line end");
	REFUSED(HEAD "\"format\":\"csv\",\"pattern\":\"a/b\"}}",
	    "/spec/source/pattern: expected a pattern of file names, as *.csv, without slash");
	REFUSED("{\"organisation\":\"o\",\"dataset\":\"d\",\"table\":\"L0;\"}",
	    "/spec/table: expected a letter, then letters, digits and underscores, at most 40");
}

/* Exactly these faults: no untrue one follows from another, and none hides another. */
static void
faulty(const char *json, const char *pointers, int line)
{
	struct spec s;

	parse(&s, json);
	check_at(strcmp(all, pointers) == 0, pointers, __FILE__, line);
	if (strcmp(all, pointers) != 0)
		printf("# got %s\n", all);
	spec_fini(&s);
}
#define FAULTY(json, pointers) faulty((json), (pointers), __LINE__)
#define FORMAT "/spec/source/format"

static void
test_unknown(void)
{
	REFUSED(HEAD "\"format\":\"csv\",\"patern\":\"*\"}}",
	    "/spec/source/patern: is not a field of an Ingest");
	FAULTY("{\"organisation\":\"o\",\"dataset\":\"d\",\"sourec\":{},\"extra\":1}",
	    "/spec/sourec /spec/extra /spec/source ");
	FAULTY(HEAD "\"format\":{\"type\":\"csv\",\"coment\":\"#\",\"foo\":1,\"columns\":"
		    "[{\"name\":\"a\",\"typ\":\"text\"}]}}}",
	    FORMAT "/coment " FORMAT "/foo " FORMAT "/columns/0/typ ");
}

static void
test_all_faults(void)
{
	const char *want =
	    "/spec/source/format: expected csv, tsv, or an object with type delimited";

	REFUSED(HEAD "\"format\":\"xls\"}}", want);
	REFUSED(HEAD "\"format\":\"delimited\"}}", want);
	REFUSED(HEAD "\"files\":\"all\"}}", want);
	REFUSED(HEAD "\"format\":{\"type\":\"csv\",\"columns\":[{\"name\":\"a\"},\"b\"]}}}",
	    "/spec/source/format/columns/1: expected {name, type?}");
	FAULTY(HEAD "\"format\":{\"delimiter\":\";;\",\"columns\":[{\"name\":\"a\"}]}}}",
	    FORMAT "/delimiter ");
	FAULTY(HEAD "\"format\":{\"delimiter\":\";\",\"columns\":\"a,b\"}}}", FORMAT "/columns ");
	FAULTY(HEAD "\"format\":{\"delimiter\":\";\",\"header\":\"yes\"}}}", FORMAT "/header ");
	FAULTY(HEAD "\"format\":{\"type\":\"csv\",\"delimiter\":\";;\",\"quote\":\",\"}}}",
	    FORMAT "/delimiter ");
	FAULTY(HEAD "\"format\":{\"type\":7,\"delimiter\":\"\",\"columns\":[3],\"encoding\":1}}}",
	    FORMAT "/type " FORMAT "/delimiter " FORMAT "/encoding " FORMAT "/columns/0 ");
	FAULTY(HEAD "\"format\":{}}}", FORMAT "/delimiter " FORMAT "/columns ");
}

static void
test_columns(void)
{
	struct columns c = {0}, back = {0};
	struct buf b;
	char why[300];

	CHECK(columns_add(&c, span_str("a"), (struct span){NULL, 0}, why, sizeof why) == 0);
	CHECK(columns_add(&c, span_str("b"), span_str("double precision"), why, sizeof why) == 0);
	CHECK(columns_add(&c, span_str("2b"), span_str("text"), why, sizeof why) == -1);
	CHECK(columns_add(&c, span_str(""), span_str("text"), why, sizeof why) == -1);
	CHECK(columns_add(&c, span_str("xmin"), span_str("text"), why, sizeof why) == -1);
	CHECK(c.n == 2);
	buf_init(&b, 1000);
	columns_put_json(&c, &b);
	CHECK_STR(buf_cstr(&b),
	    "[{\"name\":\"a\",\"type\":\"text\"},{\"name\":\"b\",\"type\":\"double\"}]");
	buf_reset(&b);
	columns_put_ddl(&c, &b);
	CHECK_STR(buf_cstr(&b), "\"a\" text, \"b\" double precision");
	buf_reset(&b);
	columns_put_names(&c, &b);
	CHECK_STR(buf_cstr(&b), "\"a\",\"b\"");
	CHECK(columns_read(&back, span_str("a text\nb double")) == 0 && columns_eq(&c, &back));
	columns_fini(&back);
	CHECK(columns_read(&back, span_str("a text\nb bigint")) == 0 && !columns_eq(&c, &back));
	columns_fini(&back);
	CHECK(columns_read(&back, span_str("a")) == -1);
	columns_fini(&back);
	columns_fini(&c);
	buf_fini(&b);
}

int
main(void)
{
	test_whole();
	test_defaults();
	test_refused();
	test_unknown();
	test_all_faults();
	test_columns();
	return check_done();
}

/* What rows are let in, what is said of those that are not, and that they travel untouched. */
#include <math.h>
#include "proto/json.h"
#include "proto/mp.h"
#include "services/data-gateway/rows.h"
#include "tests/unit/check.h"

#define UUID "01890a5d-ac96-774b-bcce-b302099a8057"

static struct buf body;

static struct span
mp(const char *json)
{
	struct json_error e;

	buf_init(&body, 1 << 20);
	if (json_to_mp(span_str(json), &body, &e) != 0)
		printf("# %s: %s\n", json, e.text);
	return buf_span(&body);
}

/* "pointer: detail; pointer: detail" of a reading; "" when it is right. */
static const char *
faults_of(enum rows_form form, const char *json)
{
	static char out[2000];
	struct buf text;
	struct mp_r r;
	struct faults f;
	struct rows rows;
	bool ok;

	faults_init(&f);
	ok = rows_read(&rows, form, mp(json), (struct span){NULL, 0}, &f);
	buf_init(&text, sizeof out - 1);
	mp_r_init(&r, buf_span(&f.items));
	for (unsigned i = 0; i < f.kept; i++) {
		struct span p, d;

		(void)mp_map(&r);
		(void)mp_str(&r, 100);
		p = mp_str(&r, 1000);
		(void)mp_str(&r, 100);
		d = mp_str(&r, 1000);
		buf_printf(&text, "%s%.*s: %.*s", i ? "; " : "", (int)p.n, (const char *)p.p,
		    (int)d.n, (const char *)d.p);
	}
	CHECK(ok == (f.n == 0));
	snprintf(out, sizeof out, "%s", buf_cstr(&text));
	buf_fini(&text);
	buf_fini(&body);
	faults_fini(&f);
	return out;
}

/* The body of rows.in as JSON. */
static const char *
in_of(enum rows_form form, const char *json)
{
	static char out[2000];
	struct buf in, text;
	struct faults f;
	struct rows r;

	faults_init(&f);
	buf_init(&in, 4096);
	buf_init(&text, sizeof out - 1);
	CHECK(rows_read(&r, form, mp(json), (struct span){NULL, 0}, &f));
	rows_put_in(&r, &in);
	CHECK(json_from_mp(buf_span(&in), &text, 0) == 0);
	snprintf(out, sizeof out, "%s", buf_cstr(&text));
	buf_fini(&in);
	buf_fini(&text);
	buf_fini(&body);
	faults_fini(&f);
	return out;
}

static void
right_ones(void)
{
	CHECK_STR(faults_of(ROWS_ONE, "{\"uuid\":\"" UUID "\",\"row\":{\"data\":{\"a\":1}}}"), "");
	CHECK_STR(faults_of(ROWS_ONE,
		      "{\"row\":{\"index\":null,\"data\":{\"a\":null}},\"uuid\":\"" UUID "\"}"),
	    "");
	CHECK_STR(faults_of(ROWS_BATCH,
		      "{\"uuid\":\"" UUID
		      "\",\"rows\":[{\"index\":0,\"data\":{\"aB9\":[1,{\"x y\":2}]}}]}"),
	    "");
	/* an index is free to be as large as an int64 */
	CHECK_STR(
	    faults_of(ROWS_ONE, "{\"uuid\":\"" UUID
				"\",\"row\":{\"index\":9223372036854775807,\"data\":{\"a\":1}}}"),
	    "");
}

static void
wrong_ones(void)
{
	CHECK_STR(faults_of(ROWS_ONE, "[]"), ": expected an object with uuid and row");
	CHECK_STR(
	    faults_of(ROWS_ONE, "{}"), "/uuid: is missing: the uuid of the trigger that the rows "
				       "belong to; /row: is missing: an object with `data`");
	CHECK_STR(faults_of(ROWS_BATCH, "{\"uuid\":\"x\",\"rows\":[]}"),
	    "/uuid: expected a uuid in its 36-character text form; /rows: expected at least one "
	    "row");
	CHECK_STR(faults_of(ROWS_BATCH, "{\"uuid\":7,\"rows\":{}}"),
	    "/uuid: expected a uuid in its 36-character text form; /rows: expected an array of "
	    "rows, found an object");
	CHECK_STR(faults_of(ROWS_BATCH,
		      "{\"uuid\":\"" UUID "\",\"row\":1,\"rows\":[{\"data\":{\"a\":1}}]}"),
	    "/row: unknown key; expected uuid and rows");
	CHECK_STR(faults_of(ROWS_ONE,
		      "{\"uuid\":\"" UUID "\",\"row\":{\"idx\":1,\"index\":-1,\"data\":{}}}"),
	    "/row/idx: unknown key; a row has `data` and may have `index`; /row/index: expected an "
	    "integer of at least 0; "
	    "/row/data: expected at least one key");
	CHECK_STR(
	    faults_of(ROWS_ONE, "{\"uuid\":\"" UUID "\",\"row\":{\"index\":1.0,\"data\":[1]}}"),
	    "/row/index: expected an integer of at least 0, found a number with a fraction; "
	    "/row/data: expected an object, found an array");
	CHECK_STR(
	    faults_of(ROWS_ONE, "{\"uuid\":\"" UUID
				"\",\"row\":{\"index\":9223372036854775808,\"data\":{\"a\":1}}}"),
	    "/row/index: expected an integer of at least 0");
	CHECK_STR(faults_of(ROWS_ONE, "{\"uuid\":\"" UUID "\",\"row\":{\"index\":1}}"),
	    "/row/data: is missing: an object with at least one key");
}

static void
pointers(void)
{
	char json[4096];
	size_t n = (size_t)snprintf(json, sizeof json, "{\"uuid\":\"" UUID "\",\"rows\":[");

	for (int i = 0; i < 18; i++)
		n += (size_t)snprintf(json + n, sizeof json - n, "%s",
		    i == 17 ? "{\"data\":{\"ok\":1,\"Bad-Key\":1,\"a/b~\":2}},"
			    : "{\"data\":{\"a\":1}},");
	(void)snprintf(json + n, sizeof json - n, "{\"data\":{\"b\":1}},5]}");
	CHECK_STR(faults_of(ROWS_BATCH, json),
	    "/rows/17/data/Bad-Key: expected a camelCase key: a lower-case letter, then letters "
	    "and digits; "
	    "/rows/17/data/a~1b~0: expected a camelCase key: a lower-case letter, then letters and "
	    "digits; "
	    "/rows/19: expected an object with `data`, found an integer");
	CHECK_STR(faults_of(ROWS_LINES,
		      "{\"uuid\":\"" UUID "\",\"lines\":[{\"data\":{\"\":1}}],\"chunk\":0,\"last\":"
					  "true,\"first\":70,\"of\":\"" UUID "\"}"),
	    "/lines/70/data/: expected a camelCase key: a lower-case letter, then letters and "
	    "digits");
}

/* What JSON cannot carry, from a native client. */
static void
native(void)
{
	struct faults f;
	struct rows r;

	for (int i = 0; i < 4; i++) {
		faults_init(&f);
		buf_init(&body, 4096);
		mp_put_map(&body, 2);
		mp_put_cstr(&body, "uuid");
		mp_put_cstr(&body, UUID);
		mp_put_cstr(&body, "row");
		mp_put_map(&body, 1);
		mp_put_cstr(&body, "data");
		mp_put_map(&body, 2);
		mp_put_cstr(&body, "a");
		if (i == 0)
			mp_put_double(&body, (double)NAN);
		else if (i == 1)
			buf_put(&body, "\x91\xd4\x01z", 4); /* [ext] */
		else if (i == 2)
			buf_put(&body, "\x81\x01\x02", 3); /* {1: 2} */
		else
			mp_put_u64(&body, 1);
		mp_put_cstr(&body, i == 3 ? "a" : "b");
		mp_put_u64(&body, 2);
		CHECK(!rows_read(&r, ROWS_ONE, buf_span(&body), (struct span){NULL, 0}, &f));
		CHECK(f.n == 1);
		CHECK_STR(f.first, i == 3 ? "/row/data/a: this key is there twice"
					  : "/row/data/a: has no JSON form: NaN, an infinity, or a "
					    "msgpack extension");
		buf_fini(&body);
		faults_fini(&f);
	}
}

static void
hostile(void)
{
	static const char *const bad[] = {
	    "", "\xc1", "\xdd\xff\xff\xff\xff", "\x82\xa4uuid", "\x80\x80", "\xdf\xff\xff\xff\xff"};
	struct faults f;
	struct rows r;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		faults_init(&f);
		CHECK(!rows_read(
		    &r, ROWS_IN, span_of(bad[i], strlen(bad[i])), (struct span){NULL, 0}, &f));
		CHECK(f.n == 1);
		CHECK(!rows_peek(&r, span_of(bad[i], strlen(bad[i]))));
		faults_fini(&f);
	}
}

static void
too_many(void)
{
	struct faults f;
	struct rows r;

	for (unsigned n = ROWS_MAX; n <= ROWS_MAX + 1; n++) {
		faults_init(&f);
		buf_init(&body, 16 << 20);
		mp_put_map(&body, 2);
		mp_put_cstr(&body, "uuid");
		mp_put_cstr(&body, UUID);
		mp_put_cstr(&body, "rows");
		mp_put_array(&body, n);
		for (unsigned i = 0; i < n; i++) {
			mp_put_map(&body, 1);
			mp_put_cstr(&body, "data");
			mp_put_map(&body, 1);
			mp_put_cstr(&body, "a");
			mp_put_u64(&body, i);
		}
		CHECK(rows_read(&r, ROWS_BATCH, buf_span(&body), (struct span){NULL, 0}, &f) ==
		      (n == ROWS_MAX));
		CHECK_STR(f.first,
		    n == ROWS_MAX ? "" : "/rows: at most 100000 rows at once, found 100001");
		buf_fini(&body);
		faults_fini(&f);
	}
}

static void
untouched(void)
{
	CHECK_STR(in_of(ROWS_ONE,
		      "{\"row\":{\"data\":{\"z\":1.0,\"a\":9007199254740993,\"m\":null,\"b\":\"1\"}"
		      ",\"index\":3},\"uuid\":\"01890A5D-AC96-774B-BCCE-B302099A8057\"}"),
	    "{\"uuid\":\"" UUID "\",\"rows\":[{\"data\":{\"z\":1.0,\"a\":9007199254740993,\"m\":"
				"null,\"b\":\"1\"},\"index\":3}]}");
	CHECK_STR(
	    in_of(ROWS_BATCH, "{\"uuid\":\"" UUID "\",\"rows\":[{\"data\":{\"a\":{\"y\":1,\"x\":["
						  "true]}}},{\"index\":null,\"data\":{\"a\":1}}]}"),
	    "{\"uuid\":\"" UUID "\",\"rows\":[{\"data\":{\"a\":{\"y\":1,\"x\":[true]}}},{\"index\":"
				"null,\"data\":{\"a\":1}}]}");
	CHECK_STR(
	    in_of(ROWS_LINES,
		"{\"uuid\":\"" UUID
		"\",\"lines\":[{\"data\":{\"a\":1}}],\"chunk\":2,\"last\":false,\"of\":\"" UUID
		"\"}"),
	    "{\"uuid\":\"" UUID "\",\"of\":\"" UUID
	    "\",\"part\":2,\"last\":false,\"rows\":[{\"data\":{\"a\":1}}]}");
}

static void
unwrapping(void)
{
	struct span b, beside;
	struct faults f;
	struct rows r;

	b = mp("{\"body\":{\"rows\":[{\"data\":{\"a\":1}}]},\"uuid\":\"" UUID "\"}");
	CHECK(rows_unwrap(&b, &beside) == ROWS_BATCH);
	faults_init(&f);
	CHECK(rows_read(&r, ROWS_BATCH, b, beside, &f));
	CHECK_STR(r.uuid_text, UUID);
	buf_fini(&body);

	b = mp("{\"uuid\":\"" UUID "\",\"body\":{\"uuid\":\"00000000-0000-0000-0000-000000000000\","
				   "\"rows\":[{\"data\":{\"a\":1}}]}}");
	(void)rows_unwrap(&b, &beside);
	CHECK(!rows_read(&r, ROWS_BATCH, b, beside, &f));
	CHECK_STR(f.first, "/uuid: is not the uuid that the query gives");
	faults_fini(&f);
	buf_fini(&body);

	b = mp(
	    "{\"uuid\":\"" UUID "\",\"lines\":[],\"chunk\":1,\"last\":true,\"of\":\"" UUID "\"}");
	CHECK(rows_unwrap(&b, &beside) == ROWS_LINES);
	faults_init(&f);
	CHECK(!rows_read(&r, ROWS_LINES, b, beside, &f));
	CHECK_STR(f.first, "/lines: expected at least one row");
	faults_fini(&f);
	buf_fini(&body);
}

static void
peek_and_walk(void)
{
	static const char json[] =
	    "{\"rows\":[{\"index\":7,\"data\":{\"a\":1}},{\"data\":{\"b\":2},\"index\":null}],"
	    "\"uuid\":\"" UUID "\",\"future\":1,\"of\":\"01890a5d-ac96-774b-bcce-b302099a8058\","
			       "\"part\":4,\"last\":true}";
	struct rows_walk w;
	struct rows_row row;
	struct faults f;
	struct rows r;

	CHECK(rows_peek(&r, mp(json)));
	CHECK(r.n == 2 && r.is_part && r.part == 4 && r.last && r.of[15] == 0x58);
	faults_init(&f);
	/* a key of a later version is no fault in what travels */
	CHECK(rows_read(&r, ROWS_IN, buf_span(&body), (struct span){NULL, 0}, &f));
	CHECK(r.n == 2 && r.is_part && r.part == 4 && r.of[15] == 0x58);
	rows_walk_init(&w, &r);
	CHECK(rows_walk_next(&w, &row) && row.has_index && row.index == 7 && row.data.n == 4);
	CHECK(rows_walk_next(&w, &row) && !row.has_index && row.data.p[2] == 'b');
	CHECK(!rows_walk_next(&w, &row));
	buf_fini(&body);
	CHECK(!rows_peek(&r, mp("{\"rows\":[]}")));
	faults_fini(&f);
	buf_fini(&body);
}

int
main(void)
{
	right_ones();
	wrong_ones();
	pointers();
	native();
	hostile();
	too_many();
	untouched();
	unwrapping();
	peek_and_walk();
	return check_done();
}

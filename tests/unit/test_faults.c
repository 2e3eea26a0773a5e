#include "tests/unit/check.h"

#include "base/str.h"
#include "proto/doc.h"
#include "proto/env.h"
#include "proto/faults.h"
#include "proto/json.h"
#include "proto/mp.h"

/* The detail as JSON text. */
static const char *
as_json(const struct faults *f, struct buf *mp, struct buf *text)
{
	buf_reset(mp);
	buf_reset(text);
	faults_put(f, mp);
	return json_from_mp(buf_span(mp), text, 0) == 0 ? buf_cstr(text) : "not msgpack";
}

static void
test_put(void)
{
	struct buf mp, text;
	struct faults f;

	buf_init(&mp, 1 << 16);
	buf_init(&text, 1 << 16);
	faults_init(&f);
	faults_add(&f, "/spec", "expected %s", "an object");
	CHECK_STR(f.first, "/spec: expected an object");
	CHECK_STR(as_json(&f, &mp, &text),
	    "{\"detail\":\"/spec: expected an object\",\"errors\":[{\"pointer\":\"/spec\","
	    "\"detail\":\"expected an object\"}]}");
	faults_add(&f, "", "expected less");
	CHECK(f.n == 2 && f.kept == 2);
	CHECK(
	    strstr(as_json(&f, &mp, &text), "\"/spec: expected an object (and 1 more)\"") != NULL);
	CHECK(strstr(buf_cstr(&text), "{\"pointer\":\"\",\"detail\":\"expected less\"}") != NULL);
	faults_fini(&f);
	faults_init(&f);
	faults_add(&f, "", "expected an object");
	CHECK_STR(f.first, "the body: expected an object");
	faults_fini(&f);
	buf_fini(&mp);
	buf_fini(&text);
}

/* However much is wrong, the answer still fits the header of an ERR and is UTF-8. */
static void
test_bounds(void)
{
	char pointer[600], long_text[600];
	struct buf mp, frame;
	struct faults f;
	struct env e;
	struct doc d;

	for (size_t i = 0; i < sizeof pointer; i++)
		pointer[i] = long_text[i] = "\xe2\x82\xac"[i % 3];
	pointer[sizeof pointer - 1] = long_text[sizeof long_text - 1] = 0;
	buf_init(&mp, 1 << 16);
	buf_init(&frame, 1 << 16);
	faults_init(&f);
	for (int i = 0; i < 30; i++)
		faults_add(&f, i % 2 ? "/short" : pointer, "%s", i % 3 ? "short \xff" : long_text);
	CHECK(f.n == 30 && f.kept <= 20 && f.kept >= 10);
	CHECK(str_is_utf8(span_str(f.first)));
	faults_put(&f, &mp);
	CHECK(doc_parse(&d, buf_span(&mp)) == 0);
	CHECK(doc_get(&d.root, "errors")->via.array.size == f.kept);
	doc_fini(&d);
	env_init(&e, ENV_ERR, span_str(""), NULL);
	env_set_s(&e, ENV_M_CODE, span_str("INVALID"));
	env_set_s(&e, ENV_M_RETRY, span_str("never"));
	env_set_s(&e, ENV_M_DETAIL, buf_span(&mp));
	env_set_s(&e, ENV_M_ROOT, span_of(long_text, 16));
	CHECK(env_encode(&e, &frame) == ERR_OK);
	faults_fini(&f);
	faults_fini(&f);
	faults_init(&f);
	for (int i = 0; i < 30; i++)
		faults_add(&f, "/a", "expected %d", i);
	CHECK(f.n == 30 && f.kept == 20);
	faults_fini(&f);
	buf_fini(&mp);
	buf_fini(&frame);
}

static void
test_push(void)
{
	char p[16] = "", tiny[3] = "a";

	faults_push(p, sizeof p, span_str("a/b~c"));
	CHECK_STR(p, "/a~1b~0c");
	faults_push(p, sizeof p, span_str(""));
	CHECK_STR(p, "/a~1b~0c/");
	/* cut before what does not fit whole: 6 places left, of which the NUL takes one */
	faults_push(p, sizeof p, span_str("xyzw/"));
	CHECK_STR(p, "/a~1b~0c//xyzw");
	p[9] = 0;
	faults_push(p, sizeof p,
	    span_str("12\xe2\x82\xac"
		     "3"));
	CHECK_STR(p, "/a~1b~0c//12\xe2\x82\xac");
	faults_push(tiny, sizeof tiny, span_str("b"));
	CHECK_STR(tiny, "a/");
	faults_push(tiny, sizeof tiny, span_str("b"));
	CHECK_STR(tiny, "a/");
	faults_push(p, sizeof p, span_str("q"));
	CHECK_STR(p, "/a~1b~0c//12\xe2\x82\xac");
}

int
main(void)
{
	test_put();
	test_bounds();
	test_push();
	return check_done();
}

#include "tests/unit/check.h"

#include <stdlib.h>

#include "proto/doc.h"
#include "proto/limits.h"

#define B(lit) span_of("" lit "", sizeof(lit) - 1)

/* `levels` arrays, one in the other, round `inside`; 0 when doc_parse takes them. */
static int
parse_nested(unsigned levels, uint8_t inside, uint8_t lead, unsigned per_level)
{
	uint8_t p[4096];
	struct doc d;
	size_t n = 0;
	int rc;

	for (unsigned i = 0; i < levels; i++) {
		p[n++] = lead;
		if (per_level == 2)
			p[n++] = 0x01;
	}
	if (inside)
		p[n++] = inside;
	rc = doc_parse(&d, span_of(p, n));
	doc_fini(&d);
	doc_fini(&d);
	return rc;
}

/* The limit of the protocol, which is also where msgpack-c's parser stack ends. */
static void
test_nest(void)
{
	CHECK(parse_nested(LIMIT_NEST, 0x01, 0x91, 1) == 0);
	CHECK(parse_nested(LIMIT_NEST + 1, 0x01, 0x91, 1) == -1);
	CHECK(parse_nested(LIMIT_NEST - 1, 0x90, 0x91, 1) == 0);
	CHECK(parse_nested(LIMIT_NEST, 0x90, 0x91, 1) == -1);
	CHECK(parse_nested(LIMIT_NEST, 0x01, 0x81, 2) == 0);
	CHECK(parse_nested(LIMIT_NEST + 1, 0x01, 0x81, 2) == -1);
	CHECK(parse_nested(LIMIT_NEST - 1, 0x80, 0x81, 2) == 0);
	CHECK(parse_nested(100, 0x01, 0x91, 1) == -1);
	CHECK(parse_nested(2000, 0x01, 0x91, 1) == -1);
}

static void
test_refusals(void)
{
	struct doc d;

	CHECK(doc_parse(&d, B("\xdd\xff\xff\xff\xff")) == -1);
	CHECK(d.zone == NULL && d.root.type == MSGPACK_OBJECT_NIL);
	doc_fini(&d);
	CHECK(doc_parse(&d, B("\x01\x02")) == -1);
	CHECK(doc_parse(&d, B("\xc1")) == -1);
	CHECK(doc_parse(&d, B("\x92\x01")) == -1);
	CHECK(doc_parse(&d, B("\xa1\xff")) == -1);
	CHECK(doc_parse(&d, (struct span){NULL, 0}) == 0);
	CHECK(d.root.type == MSGPACK_OBJECT_NIL);
	CHECK(doc_get(&d.root, "x") == NULL);
	doc_fini(&d);
	CHECK(doc_parse(&d, B("\xc0")) == 0);
	CHECK(d.root.type == MSGPACK_OBJECT_NIL);
	doc_fini(&d);
}

static void
test_fields(void)
{
	struct span in = B("\x8a\xa1s\xa3str\xa1i\xd0\xff\xa1u\xcf\xff\xff\xff\xff\xff\xff\xff\xff"
			   "\xa1t\xc3\xa1"
			   "f\xcb\x3f\xf8\0\0\0\0\0\0\xa1"
			   "b\xc4\x01x\xa1"
			   "a\x90\xa1m\x80\x05\xa1k"
			   "\xa1s\xa4last");
	const msgpack_object *o;
	struct doc d;

	CHECK(doc_parse(&d, in) == 0);
	o = &d.root;
	CHECK(span_is(doc_str(o, "s"), "last"));
	CHECK(
	    doc_str(o, "i").p == NULL && doc_str(o, "none").p == NULL && doc_str(o, "b").p == NULL);
	CHECK(doc_i64(o, "i", 5) == -1);
	CHECK(doc_i64(o, "u", 5) == 5 && doc_i64(o, "s", 5) == 5 && doc_i64(o, "none", 5) == 5);
	CHECK(doc_bool(o, "t", false) && doc_bool(o, "none", true) && !doc_bool(o, "i", false));
	CHECK(doc_get(o, "none") == NULL && doc_get(doc_get(o, "a"), "x") == NULL &&
	      doc_get(NULL, "x") == NULL);
	CHECK_STR(doc_type_name(o), "object");
	CHECK_STR(doc_type_name(doc_get(o, "s")), "string");
	CHECK_STR(doc_type_name(doc_get(o, "i")), "integer");
	CHECK_STR(doc_type_name(doc_get(o, "u")), "integer");
	CHECK_STR(doc_type_name(doc_get(o, "t")), "boolean");
	CHECK_STR(doc_type_name(doc_get(o, "f")), "number");
	CHECK_STR(doc_type_name(doc_get(o, "b")), "bytes");
	CHECK_STR(doc_type_name(doc_get(o, "a")), "array");
	CHECK_STR(doc_type_name(doc_get(o, "none")), "absent");
	doc_fini(&d);
}

/* As many objects as the limit allows, and one more. */
static void
test_elements(void)
{
	size_t n = LIMIT_BODY_ELEMENTS - 1;
	uint8_t *p = calloc(n + 6, 1);
	struct doc d;

	p[0] = 0xdd;
	for (int i = 0; i < 4; i++)
		p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	CHECK(doc_parse(&d, span_of(p, n + 5)) == 0);
	CHECK(d.root.via.array.size == n);
	doc_fini(&d);
	n++;
	for (int i = 0; i < 4; i++)
		p[1 + i] = (uint8_t)(n >> (24 - 8 * i));
	CHECK(doc_parse(&d, span_of(p, n + 5)) == -1);
	free(p);
}

int
main(void)
{
	test_nest();
	test_refusals();
	test_fields();
	test_elements();
	return check_done();
}

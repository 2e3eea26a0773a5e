#include <stdlib.h>

#include "proto/env.h"
#include "proto/mp.h"
#include "proto/pack.h"
#include "tests/unit/check.h"

static void
test_one_stays_itself(void)
{
	struct pack p;

	pack_init(&p);
	CHECK(pack_count(&p) == 0);
	pack_add(&p, span_str("frame"));
	CHECK(pack_count(&p) == 1);
	CHECK(span_is(pack_frame(&p), "frame"));
	pack_reset(&p);
	CHECK(pack_count(&p) == 0);
	pack_add(&p, span_of("", 0));
	CHECK(pack_frame(&p).n == 0);
	pack_fini(&p);
}

static void
test_many_make_a_pack(void)
{
	struct pack p;
	struct mp_r r;
	struct env e;

	pack_init(&p);
	for (unsigned i = 0; i < 70000; i++) { /* the array's count takes five bytes then */
		if (!pack_has_room(&p, 5))
			break;
		pack_add(&p, i == 69999 ? span_str("final") : span_str("frame"));
	}
	CHECK(pack_count(&p) == 70000);
	CHECK(env_decode(&e, pack_frame(&p), true, NULL) == ERR_OK);
	CHECK(e.verb == ENV_PACK && e.topic.n == 0);
	mp_r_init(&r, e.body);
	CHECK(mp_array(&r) == 70000);
	CHECK(span_is(mp_bin(&r, 5), "frame"));
	for (unsigned i = 1; i < 69999; i++)
		(void)mp_bin(&r, 5);
	CHECK(span_is(mp_bin(&r, 5), "final"));
	CHECK(mp_done(&r));
	pack_fini(&p);
}

static void
test_the_limit(void)
{
	uint8_t *bytes = calloc(1, LIMIT_PACK);
	struct pack p;
	unsigned n = 0;

	pack_init(&p);
	CHECK(!pack_takes(LIMIT_PACK));
	CHECK(pack_takes(1000));
	while (pack_has_room(&p, 1000)) {
		pack_add(&p, span_of(bytes, 1000));
		n++;
	}
	CHECK(n > 1000);
	CHECK(pack_frame(&p).n <= LIMIT_PACK);
	CHECK(pack_frame(&p).n > LIMIT_PACK - 2000);
	pack_fini(&p);
	free(bytes);
}

/* Made inside, it is what it would be made outside. */
static void
test_encode(void)
{
	static const uint8_t body[300];
	struct env e, got;
	struct pack p;
	struct buf out;
	struct mp_r r;

	pack_init(&p);
	buf_init(&out, LIMIT_PACK);
	env_init(&e, ENV_REP, span_str(""), (const uint8_t *)"0123456789abcdef");
	e.body = span_of(body, sizeof body);
	CHECK(env_encode(&e, &out) == ERR_OK);
	CHECK(pack_encode(&p, &e) == ERR_OK && pack_count(&p) == 1);
	CHECK(span_eq(pack_frame(&p), buf_span(&out)));
	env_set_s(&e, ENV_M_CODE, span_str("\xff"));
	CHECK(pack_encode(&p, &e) == ERR_BAD_ENVELOPE && pack_count(&p) == 1);
	pack_add(&p, buf_span(&out));
	e.has = 0;
	CHECK(pack_encode(&p, &e) == ERR_OK && pack_count(&p) == 3);
	CHECK(env_decode(&got, pack_frame(&p), true, NULL) == ERR_OK && got.verb == ENV_PACK);
	mp_r_init(&r, got.body);
	CHECK(mp_array(&r) == 3);
	for (int i = 0; i < 3; i++)
		CHECK(span_eq(mp_bin(&r, LIMIT_FRAME), buf_span(&out)));
	CHECK(mp_done(&r));
	pack_reset(&p);
	env_set_s(&e, ENV_M_CODE, span_str("\xff"));
	CHECK(pack_encode(&p, &e) == ERR_BAD_ENVELOPE && pack_count(&p) == 0);
	pack_add(&p, span_str("frame"));
	CHECK(span_is(pack_frame(&p), "frame"));
	buf_fini(&out);
	pack_fini(&p);
}

int
main(void)
{
	test_encode();
	test_one_stays_itself();
	test_many_make_a_pack();
	test_the_limit();
	return check_done();
}

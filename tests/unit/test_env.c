#include "tests/unit/check.h"

#include <stdlib.h>

#include "proto/env.h"
#include "proto/mp.h"

static const uint8_t id[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
static const uint8_t zeros[16];

static const char kinds[ENV_M_COUNT] = {
#define X(id, name, kind, max) [ENV_M_##id] = #kind[0],
    ENV_METAS(X)
#undef X
};

static struct buf out;

/* PUB a.b with a body of n bytes of bin. */
static enum err
encode_sized(enum env_verb verb, const uint8_t *p, size_t n)
{
	struct env e;

	env_init(&e, verb, span_str("a.b"), id);
	e.body = span_of(p, n);
	buf_reset(&out);
	return env_encode(&e, &out);
}

static void
test_frame_limits(void)
{
	uint8_t *p = calloc(LIMIT_FRAME_RX + 1, 1);
	size_t head;
	struct env e;

	CHECK(encode_sized(ENV_PUB, p, 0) == ERR_OK);
	head = out.n;
	CHECK(encode_sized(ENV_PUB, p, LIMIT_FRAME - head) == ERR_OK && out.n == LIMIT_FRAME);
	CHECK(encode_sized(ENV_PUB, p, LIMIT_FRAME - head + 1) == ERR_TOO_BIG && out.n == 0 &&
	      !out.failed);
	CHECK(encode_sized(ENV_MSG, p, LIMIT_FRAME_RX - head) == ERR_OK && out.n == LIMIT_FRAME_RX);
	CHECK(encode_sized(ENV_MSG, p, LIMIT_FRAME_RX - head + 1) == ERR_TOO_BIG);
	/* a receiver takes the slack from anyone, and the id is there to answer even what it
	 * refuses */
	CHECK(encode_sized(ENV_PUB, p, LIMIT_FRAME - head) == ERR_OK);
	memcpy(p, out.p, head);
	CHECK(env_decode(&e, span_of(p, LIMIT_FRAME_RX), false, NULL) == ERR_OK);
	CHECK(e.body.n == LIMIT_FRAME_RX - head);
	CHECK(env_decode(&e, span_of(p, LIMIT_FRAME_RX + 1), false, NULL) == ERR_TOO_BIG);
	CHECK(memcmp(e.id, id, 16) == 0);
	free(p);
}

static void
test_append(void)
{
	struct buf small;
	struct env e;

	env_init(&e, ENV_PING, span_str(""), NULL);
	CHECK(memcmp(e.id, zeros, 16) == 0);
	buf_reset(&out);
	buf_puts(&out, "before");
	CHECK(env_encode(&e, &out) == ERR_OK && memcmp(out.p, "before", 6) == 0);
	CHECK(env_decode(&e, span_of(out.p + 6, out.n - 6), true, NULL) == ERR_OK &&
	      e.verb == ENV_PING);
	env_set_s(&e, ENV_M_GROUP, span_of(out.p, 65));
	buf_reset(&out);
	buf_puts(&out, "before");
	CHECK(env_encode(&e, &out) == ERR_TOO_BIG && out.n == 6);
	buf_init(&small, 20);
	env_init(&e, ENV_PING, span_str(""), id);
	CHECK(env_encode(&e, &small) == ERR_TOO_BIG);
	buf_fini(&small);
}

static enum err
encode_meta(enum env_meta k, struct span s)
{
	struct env e;

	env_init(&e, ENV_REP, span_str(""), id);
	env_set_s(&e, k, s);
	buf_reset(&out);
	return env_encode(&e, &out);
}

/* What a reader would refuse is not written. */
static void
test_encode_refuses(void)
{
	uint8_t big[9000] = {0xc5, 0x20, 0x00}, deep[64];
	struct env e;

	CHECK(encode_meta(ENV_M_REASON, span_str("fine")) == ERR_OK);
	CHECK(encode_meta(ENV_M_REASON, span_of(big + 3, LIMIT_REASON)) == ERR_OK);
	CHECK(encode_meta(ENV_M_REASON, span_of(big + 3, LIMIT_REASON + 1)) == ERR_TOO_BIG);
	CHECK(encode_meta(ENV_M_REASON, span_str("bad \xff")) == ERR_BAD_ENVELOPE);
	CHECK(encode_meta(ENV_M_DIG, span_of(big, 31)) == ERR_BAD_ENVELOPE);
	CHECK(encode_meta(ENV_M_DIG, span_of(big, 33)) == ERR_TOO_BIG);
	CHECK(encode_meta(ENV_M_ROOT, span_of(big, 15)) == ERR_BAD_ENVELOPE);
	CHECK(encode_meta(ENV_M_EPOCH, span_of(big, 8)) == ERR_BAD_ENVELOPE);
	CHECK(encode_meta(ENV_M_DETAIL, span_of(big, 8195)) == ERR_TOO_BIG);
	CHECK(encode_meta(ENV_M_DETAIL, span_str("\xa1")) == ERR_BAD_ENVELOPE);
	CHECK(encode_meta(ENV_M_DETAIL, span_str("")) == ERR_BAD_ENVELOPE);
	CHECK(encode_meta(ENV_M_DETAIL, span_str("\x01\x01")) == ERR_BAD_ENVELOPE);
	memset(deep, 0x91, sizeof deep);
	deep[30] = 1;
	CHECK(encode_meta(ENV_M_DETAIL, span_of(deep, 31)) == ERR_OK);
	deep[30] = 0x91;
	deep[31] = 1;
	CHECK(encode_meta(ENV_M_DETAIL, span_of(deep, 32)) == ERR_BAD_ENVELOPE);
	env_init(&e, ENV_REQ, span_str("a"), id);
	env_set_u(&e, ENV_M_TTL, LIMIT_TTL_MS + 1);
	CHECK(env_encode(&e, &out) == ERR_BAD_ENVELOPE);
	env_set_u(&e, ENV_M_TTL, LIMIT_TTL_MS);
	CHECK(env_encode(&e, &out) == ERR_OK);
	env_init(&e, ENV_REP, span_str(""), id);
	for (unsigned k = 0, n = 0; n <= LIMIT_META_KEYS; k++) {
		if (k == ENV_M_DIG || k == ENV_M_ROOT || k == ENV_M_EPOCH)
			continue;
		/* numbers read as 1, all else as one small value */
		if (kinds[k] == 'U' || kinds[k] == 'T') {
			env_set_u(&e, (enum env_meta)k, 1);
		} else {
			env_set_s(&e, (enum env_meta)k, span_str("\x01"));
		}
		buf_reset(&out);
		if (++n == LIMIT_META_KEYS)
			CHECK(env_encode(&e, &out) == ERR_OK);
	}
	CHECK(env_encode(&e, &out) == ERR_TOO_BIG && out.n == 0);
}

static void
test_accessors(void)
{
	struct env e;

	env_init(&e, ENV_PUB, span_str("a"), id);
	CHECK(!env_has(&e, ENV_M_KEY) && env_s(&e, ENV_M_KEY).p == NULL &&
	      env_u(&e, ENV_M_TTL, 7) == 7);
	env_set_s(&e, ENV_M_KEY, (struct span){NULL, 0});
	CHECK(!env_has(&e, ENV_M_KEY));
	env_set_s(&e, ENV_M_KEY, span_of("", 0));
	CHECK(env_has(&e, ENV_M_KEY) && env_s(&e, ENV_M_KEY).n == 0);
	env_set_u(&e, ENV_M_TTL, 9);
	CHECK(env_u(&e, ENV_M_TTL, 7) == 9);
	CHECK_STR(env_verb_name(ENV_EXTEND), "EXTEND");
	CHECK_STR(env_verb_name(ENV_NONE), "NONE");
	CHECK_STR(env_verb_name((enum env_verb)200), "NONE");
	CHECK_STR(env_verb_name(ENV_VERB_COUNT), "NONE");
}

/* [topic, id, meta, body], with a nil for no body. */
static void
test_item(void)
{
	const struct span want = span_of("\x94\xa3"
					 "a."
					 "b\xc4\x10\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c"
					 "\x0d\x0e\x0f\x10\x81\xa3key\xa1k\x07",
	    31);
	struct buf small;
	struct env e;

	env_init(&e, ENV_PUB, span_str("a.b"), id);
	env_set_s(&e, ENV_M_KEY, span_str("k"));
	e.body = span_str("\x07");
	buf_reset(&out);
	CHECK(env_put_item(&e, &out) == ERR_OK && span_eq(buf_span(&out), want));
	e.body = (struct span){NULL, 0};
	buf_reset(&out);
	CHECK(env_put_item(&e, &out) == ERR_OK && out.n == want.n && out.p[out.n - 1] == 0xc0);
	env_set_s(&e, ENV_M_DIG, span_str("short"));
	CHECK(env_put_item(&e, &out) == ERR_BAD_ENVELOPE && out.n == want.n);
	buf_init(&small, 10);
	e.has = 0;
	CHECK(env_put_item(&e, &small) == ERR_TOO_BIG && small.n == 0);
	buf_fini(&small);
}

/* The header alone at its limit: filled by a raw value. */
static void
test_header_limit(void)
{
	uint8_t fill[LIMIT_HEADER] = {0xc5};
	struct env e;
	size_t n;

	env_init(&e, ENV_REP, span_str(""), id);
	env_set_s(&e, ENV_M_DETAIL, span_str("\x01"));
	buf_reset(&out);
	CHECK(env_encode(&e, &out) == ERR_OK);
	n = LIMIT_HEADER - (out.n - 1);
	fill[1] = (uint8_t)((n - 3) >> 8);
	fill[2] = (uint8_t)(n - 3);
	env_set_s(&e, ENV_M_DETAIL, span_of(fill, n));
	buf_reset(&out);
	CHECK(env_encode(&e, &out) == ERR_OK && out.n == LIMIT_HEADER);
	CHECK(env_decode(&e, buf_span(&out), true, NULL) == ERR_OK);
	fill[1] = (uint8_t)((n - 2) >> 8);
	fill[2] = (uint8_t)(n - 2);
	env_set_s(&e, ENV_M_DETAIL, span_of(fill, n + 1));
	buf_reset(&out);
	CHECK(env_encode(&e, &out) == ERR_TOO_BIG && out.n == 0);
}

/* The broker's way: the body is not looked at. */
static void
test_unscanned(void)
{
	const char *why = NULL;
	struct env e;

	encode_sized(ENV_PUB, (const uint8_t *)"\xc1\xff", 2);
	CHECK(env_decode(&e, buf_span(&out), false, &why) == ERR_OK && e.body.n == 2);
	CHECK_STR(why, "");
	CHECK(env_decode(&e, buf_span(&out), true, &why) == ERR_BAD_ENVELOPE);
	CHECK_STR(why, "body: expected one msgpack object or nothing");
	encode_sized(ENV_MSG, (const uint8_t *)"\xc1\xff", 2);
	CHECK(env_decode(&e, buf_span(&out), false, NULL) == ERR_OK && e.body.n == 2);
	CHECK(env_decode(&e, buf_span(&out), true, &why) == ERR_BAD_ENVELOPE);
	encode_sized(ENV_PUB, NULL, 0);
	CHECK(env_decode(&e, buf_span(&out), false, NULL) == ERR_OK && e.body.p == NULL);
	out.p[1] = 2;
	CHECK(env_decode(&e, buf_span(&out), false, &why) == ERR_BAD_ENVELOPE);
	CHECK_STR(why, "version: expected 1");
	CHECK(memcmp(e.id, id, 16) == 0);
	encode_sized(ENV_PUB, NULL, 0);
	out.p[3] = 'Q';
	CHECK(env_decode(&e, buf_span(&out), false, &why) == ERR_BAD_ENVELOPE);
	CHECK_STR(why, "verb: not one of this version");
}

static void
test_err(void)
{
	char text[4000];
	struct env e;

	buf_reset(&out);
	CHECK(env_encode_err(&out, id, ERR_BUSY, "try again") == ERR_OK);
	CHECK(env_decode(&e, buf_span(&out), true, NULL) == ERR_OK && e.verb == ENV_ERR);
	CHECK(memcmp(e.id, id, 16) == 0 && env_err_code(&e) == ERR_BUSY &&
	      span_is(env_err_text(&e), "try again"));
	CHECK(span_is(env_s(&e, ENV_M_RETRY), "later") && span_is(env_s(&e, ENV_M_CODE), "BUSY"));
	buf_reset(&out);
	CHECK(env_encode_err(&out, id, ERR_NOT_FOUND, NULL) == ERR_OK);
	CHECK(env_decode(&e, buf_span(&out), true, NULL) == ERR_OK && !env_has(&e, ENV_M_DETAIL));
	CHECK(env_err_text(&e).p == NULL);
	/* long text is cut at a character, text that is no UTF-8 before its first bad byte */
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = "\xe2\x82\xac"[i % 3];
	text[sizeof text - 1] = 0;
	buf_reset(&out);
	CHECK(env_encode_err(&out, id, ERR_INTERNAL, text) == ERR_OK);
	CHECK(env_decode(&e, buf_span(&out), true, NULL) == ERR_OK && env_err_text(&e).n == 2046);
	buf_reset(&out);
	CHECK(env_encode_err(&out, id, ERR_INTERNAL, "so far\xff so good") == ERR_OK);
	CHECK(env_decode(&e, buf_span(&out), true, NULL) == ERR_OK &&
	      span_is(env_err_text(&e), "so far"));
	env_init(&e, ENV_ERR, span_str(""), id);
	CHECK(env_err_code(&e) == ERR_INTERNAL && env_err_text(&e).p == NULL);
	env_set_s(&e, ENV_M_CODE, span_str("OK"));
	CHECK(env_err_code(&e) == ERR_INTERNAL);
	env_set_s(&e, ENV_M_CODE, span_str("NEWER_CODE"));
	CHECK(env_err_code(&e) == ERR_INTERNAL);
	env_set_s(&e, ENV_M_DETAIL, span_str("\xa4text"));
	CHECK(span_is(env_err_text(&e), "text"));
	env_set_s(&e, ENV_M_DETAIL,
	    span_str("\x83\x01\x02\xa5other\x03\xa6"
		     "detail\xa1x"));
	CHECK(span_is(env_err_text(&e), "x"));
	env_set_s(&e, ENV_M_DETAIL,
	    span_str("\x81\xa6"
		     "detail\x07"));
	CHECK(env_err_text(&e).p == NULL);
	env_set_s(&e, ENV_M_DETAIL, span_str("\xc0"));
	CHECK(env_err_text(&e).p == NULL);
}

static bool
same(const struct env *a, const struct env *b)
{
	if (a->verb != b->verb || !span_eq(a->topic, b->topic) || memcmp(a->id, b->id, 16) != 0 ||
	    a->has != b->has || !span_eq(a->body, b->body))
		return false;
	for (unsigned k = 0; k < ENV_M_COUNT; k++) {
		if (!env_has(a, k))
			continue;
		if (kinds[k] == 'U' || kinds[k] == 'T' ? a->m[k].u != b->m[k].u
						       : !span_eq(a->m[k].s, b->m[k].s))
			return false;
	}
	return true;
}

/* A frame whose version takes two bytes is read the long way round: it must come to the same. */
static bool
reads_alike(const uint8_t *p, size_t n)
{
	static uint8_t wide[1024];
	struct env a, b;
	enum err ea, eb;

	memcpy(wide, p, 1);
	wide[1] = 0xcc;
	memcpy(wide + 2, p + 1, n - 1);
	ea = env_decode(&a, span_of(p, n), false, NULL);
	eb = env_decode(&b, span_of(wide, n + 1), false, NULL);
	return ea == eb && (ea == ERR_OK ? same(&a, &b) : memcmp(a.id, b.id, 16) == 0);
}

static size_t
a_frame(uint8_t *to)
{
	static const uint8_t root[16] = {7};
	struct env e;

	env_init(&e, ENV_MSG, span_str("rows.in.x"), id);
	env_set_s(&e, ENV_M_KEY, span_str("k-1"));
	env_set_s(&e, ENV_M_ROOT, span_of(root, 16));
	env_set_s(&e, ENV_M_AS, span_str("\xa2me"));
	env_set_u(&e, ENV_M_TTL, 5000);
	env_set_u(&e, ENV_M_AGAIN, 1);
	env_set_s(&e, ENV_M_GROUP, span_str("a-group"));
	env_set_u(&e, ENV_M_SEQ, UINT64_C(1) << 40);
	env_set_u(&e, ENV_M_TRY, 1);
	env_set_s(&e, ENV_M_CODE, span_str("BUSY"));
	e.body = span_of("\x95\x01", 2);
	buf_reset(&out);
	CHECK(env_encode(&e, &out) == ERR_OK);
	memcpy(to, out.p, out.n);
	return out.n;
}

/* Half a header at most: a delivery carries it in a header of its own. */
static void
test_as_limit(void)
{
	uint8_t as[LIMIT_AS + 1] = {0xda, (LIMIT_AS - 3) >> 8, (LIMIT_AS - 3) & 0xff};
	uint8_t frame[LIMIT_HEADER];
	struct env e, got;
	size_t at;

	memset(as + 3, 'a', sizeof as - 3);
	env_init(&e, ENV_PUB, span_str("a.b"), id);
	env_set_s(&e, ENV_M_AS, span_of(as, LIMIT_AS));
	buf_reset(&out);
	CHECK(env_encode(&e, &out) == ERR_OK);
	CHECK(env_decode(&got, buf_span(&out), false, NULL) == ERR_OK);
	CHECK(env_s(&got, ENV_M_AS).n == LIMIT_AS);
	/* The same text, one byte longer. */
	at = out.n - LIMIT_AS;
	memcpy(frame, out.p, out.n);
	frame[at + 2]++;
	frame[out.n] = 'a';
	CHECK(env_decode(&got, span_of(frame, out.n + 1), false, NULL) == ERR_BAD_ENVELOPE);
	env_set_s(&e, ENV_M_AS, span_of(as, LIMIT_AS + 1));
	buf_reset(&out);
	CHECK(env_encode(&e, &out) == ERR_TOO_BIG);
}

static void
test_both_ways_of_reading(void)
{
	static const uint8_t bytes[] = {0, 1, 0x20, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0xa0, 0xa1, 0xbf,
	    0xc0, 0xc1, 0xc2, 0xc3, 0xc4, 0xc5, 0xc7, 0xca, 0xcc, 0xcd, 0xcf, 0xd0, 0xd3, 0xd4,
	    0xd9, 0xda, 0xdc, 0xde, 0xe0, 0xff, 'k', 't'};
	uint8_t frame[512];
	size_t n = a_frame(frame), bad = 0;

	for (size_t i = 0; i < n; i++) {
		uint8_t was = frame[i];

		for (size_t k = 0; i != 1 && k < sizeof bytes; k++) {
			frame[i] = bytes[k];
			bad += reads_alike(frame, n) ? 0 : 1;
		}
		frame[i] = was;
		bad += i == 0 || reads_alike(frame, i) ? 0 : 1;
	}
	CHECK(bad == 0 && reads_alike(frame, n));
}

int
main(void)
{
	buf_init(&out, LIMIT_MAXMSG);
	test_frame_limits();
	test_append();
	test_encode_refuses();
	test_accessors();
	test_item();
	test_header_limit();
	test_unscanned();
	test_err();
	test_as_limit();
	test_both_ways_of_reading();
	buf_fini(&out);
	return check_done();
}

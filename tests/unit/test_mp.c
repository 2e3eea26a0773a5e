#include "tests/unit/check.h"

#include <math.h>
#include <stdlib.h>

#include "proto/limits.h"
#include "proto/mp.h"

#define B(lit) span_of("" lit "", sizeof(lit) - 1)

static size_t
scan(struct span s)
{
	return mp_scan(s, 32, 1000);
}

/* Every lead byte with nothing, and with plenty of zeros, behind it. */
static void
test_leads(void)
{
	static const uint8_t whole[32] = {1, 0, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9, 2, 3, 5,
	    9, 3, 4, 6, 10, 18, 2, 3, 5, 3, 5, 3, 5};
	uint8_t p[64] = {0};
	unsigned bad = 0;

	for (unsigned c = 0; c < 256; c++) {
		size_t want = 1;

		if (c >= 0x80 && c <= 0x8f) {
			want = 1 + (c & 15) * 2;
		} else if (c >= 0x90 && c <= 0x9f) {
			want = 1 + (c & 15);
		} else if (c >= 0xa0 && c <= 0xbf) {
			want = 1 + (c & 31);
		} else if (c >= 0xc0 && c <= 0xdf) {
			want = whole[c - 0xc0];
		}
		p[0] = (uint8_t)c;
		bad += scan(span_of(p, sizeof p)) != want;
		for (size_t n = 0; n < want; n++) {
			uint8_t *cut = malloc(n ? n : 1);

			memcpy(cut, p, n);
			bad += scan(span_of(cut, n)) != 0;
			free(cut);
		}
	}
	CHECK(bad == 0);
}

static void
test_scan_limits(void)
{
	uint8_t deep[200];

	CHECK(scan((struct span){NULL, 0}) == 0);
	CHECK(mp_scan(B("\x01"), 0, 0) == 0);
	CHECK(mp_scan(B("\x01"), 0, 1) == 1);
	CHECK(mp_scan(B("\x90"), 0, 1) == 0);
	CHECK(mp_scan(B("\x90"), 1, 1) == 1);
	CHECK(mp_scan(B("\x92\x01\x02"), 1, 3) == 3);
	CHECK(mp_scan(B("\x92\x01\x02"), 1, 2) == 0);
	CHECK(mp_scan(B("\x81\x01\x02"), 1, 3) == 3);
	CHECK(mp_scan(B("\x81\x01\x02"), 1, 2) == 0);
	/* one budget for all depths: 1 + 2 + 2 + 2 objects */
	CHECK(mp_scan(B("\x92\x92\x01\x02\x92\x03\x04"), 2, 7) == 7);
	CHECK(mp_scan(B("\x92\x92\x01\x02\x92\x03\x04"), 2, 6) == 0);
	CHECK(mp_scan(B("\x92\x92\x01\x02\x92\x03\x04"), 1, 7) == 0);
	memset(deep, 0x91, sizeof deep);
	deep[31] = 0x90;
	CHECK(mp_scan(span_of(deep, sizeof deep), 32, 1000) == 32);
	CHECK(mp_scan(span_of(deep, sizeof deep), 31, 1000) == 0);
	deep[31] = 0x91;
	deep[32] = 0x01;
	CHECK(mp_scan(span_of(deep, sizeof deep), 32, 1000) == 33);
	deep[32] = 0x80;
	CHECK(mp_scan(span_of(deep, sizeof deep), 32, 1000) == 0);
	/* asking for more than the scanner holds gets what it holds */
	memset(deep, 0x91, sizeof deep);
	deep[64] = 0x01;
	CHECK(mp_scan(span_of(deep, sizeof deep), 1000, 1000) == 65);
	deep[64] = 0x91;
	deep[65] = 0x01;
	CHECK(mp_scan(span_of(deep, sizeof deep), 1000, 1000) == 0);
}

static void
test_scan_hostile(void)
{
	CHECK(scan(B("\xdd\xff\xff\xff\xff")) == 0);
	CHECK(scan(B("\xdf\xff\xff\xff\xff")) == 0);
	CHECK(mp_scan(B("\xdf\xff\xff\xff\xff"), 32, UINT32_MAX) == 0);
	CHECK(mp_scan(B("\xdf\x80\x00\x00\x00"), 32, UINT32_MAX) == 0);
	CHECK(scan(B("\xdb\xff\xff\xff\xff")) == 0);
	CHECK(scan(B("\xc9\xff\xff\xff\xff")) == 0);
	CHECK(scan(B("\xc1")) == 0);
	CHECK(scan(B("\x91\xc1")) == 0);
	CHECK(scan(B("\xa2\xc3\x28")) == 0);
	CHECK(scan(B("\x91\xa1\xff")) == 0);
	CHECK(scan(B("\x81\xa1\xff\x01")) == 0);
	CHECK(scan(B("\xc4\x02\xc3\x28")) == 4);
	/* only the first object counts */
	CHECK(scan(B("\x01\xc1")) == 1);
}

static uint64_t
u64_of(struct span s, uint64_t max, bool *ok)
{
	struct mp_r r;
	uint64_t v;

	mp_r_init(&r, s);
	v = mp_u64(&r, max);
	*ok = mp_done(&r);
	return v;
}

static int64_t
i64_of(struct span s, bool *ok)
{
	struct mp_r r;
	int64_t v;

	mp_r_init(&r, s);
	v = mp_i64(&r);
	*ok = mp_done(&r);
	return v;
}

static void
test_integers(void)
{
	bool ok;

	CHECK(u64_of(B("\x7f"), 127, &ok) == 127 && ok);
	CHECK(u64_of(B("\x7f"), 126, &ok) == 0 && !ok);
	CHECK(
	    u64_of(B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX, &ok) == UINT64_MAX && ok);
	CHECK(u64_of(B("\xd0\x7f"), 200, &ok) == 127 && ok);
	CHECK(
	    u64_of(B("\xd3\x7f\xff\xff\xff\xff\xff\xff\xff"), UINT64_MAX, &ok) == INT64_MAX && ok);
	CHECK(u64_of(B("\xd0\x80"), UINT64_MAX, &ok) == 0 && !ok);
	CHECK(u64_of(B("\xff"), UINT64_MAX, &ok) == 0 && !ok);
	CHECK(u64_of(B("\xc0"), UINT64_MAX, &ok) == 0 && !ok);
	CHECK(u64_of(B("\xcb\x3f\xf0\0\0\0\0\0\0"), UINT64_MAX, &ok) == 0 && !ok);
	CHECK(i64_of(B("\xe0"), &ok) == -32 && ok);
	CHECK(i64_of(B("\xff"), &ok) == -1 && ok);
	CHECK(i64_of(B("\xd0\x80"), &ok) == -128 && ok);
	CHECK(i64_of(B("\xd1\x80\x00"), &ok) == -32768 && ok);
	CHECK(i64_of(B("\xd2\x80\x00\x00\x00"), &ok) == INT32_MIN && ok);
	CHECK(i64_of(B("\xd3\x80\0\0\0\0\0\0\0"), &ok) == INT64_MIN && ok);
	CHECK(i64_of(B("\xce\xff\xff\xff\xff"), &ok) == UINT32_MAX && ok);
	CHECK(i64_of(B("\xcf\x7f\xff\xff\xff\xff\xff\xff\xff"), &ok) == INT64_MAX && ok);
	CHECK(i64_of(B("\xcf\x80\0\0\0\0\0\0\0"), &ok) == 0 && !ok);
}

static double
double_of(struct span s, bool *ok)
{
	struct mp_r r;
	double v;

	mp_r_init(&r, s);
	v = mp_double(&r);
	*ok = mp_done(&r);
	return v;
}

static void
test_doubles(void)
{
	bool ok;

	CHECK(double_of(B("\xcb\x3f\xf8\0\0\0\0\0\0"), &ok) == 1.5 && ok);
	CHECK(double_of(B("\xca\x3f\xc0\0\0"), &ok) == 1.5 && ok);
	CHECK(isnan(double_of(B("\xcb\x7f\xf8\0\0\0\0\0\0"), &ok)) && ok);
	CHECK(double_of(B("\x07"), &ok) == 7 && ok);
	CHECK(double_of(B("\xff"), &ok) == -1 && ok);
	CHECK(double_of(B("\xd3\x80\0\0\0\0\0\0\0"), &ok) == -0x1p63 && ok);
	CHECK(double_of(B("\xcf\x00\x20\0\0\0\0\0\0"), &ok) == 0x1p53 && ok);
	CHECK(double_of(B("\xcf\x00\x20\0\0\0\0\0\x01"), &ok) == 0 && !ok);
	CHECK(double_of(B("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), &ok) == 0 && !ok);
	CHECK(double_of(B("\xcf\xff\xff\xff\xff\xff\xff\xf8\x00"), &ok) == 0x1.fffffffffffffp63 &&
	      ok);
	CHECK(double_of(B("\xa1"
			  "1"),
		  &ok) == 0 &&
	      !ok);
}

static void
test_sticky(void)
{
	struct mp_r r;

	mp_r_init(&r, B("\x93\xa3"
			"abc\xc3\x07"));
	CHECK(mp_peek(&r) == MP_ARRAY && mp_array(&r) == 3);
	CHECK(span_is(mp_str(&r, 3), "abc"));
	CHECK(mp_bool(&r));
	CHECK(!mp_done(&r));
	CHECK(mp_u64(&r, 10) == 7);
	CHECK(mp_done(&r));
	CHECK(mp_peek(&r) == MP_NONE);
	mp_r_init(&r, B("\xa3"
			"abc\xc3"));
	CHECK(mp_str(&r, 2).p == NULL && r.bad);
	CHECK(!mp_bool(&r));
	CHECK(mp_u64(&r, 10) == 0 && mp_i64(&r) == 0 && mp_array(&r) == 0 && mp_map(&r) == 0);
	CHECK(mp_raw(&r).p == NULL && mp_bin(&r, 9).p == NULL && mp_peek(&r) == MP_NONE);
	CHECK(!mp_done(&r));
	mp_r_init(&r, B("\xc2\xc0\x82"));
	CHECK(!mp_bool(&r) && !r.bad);
	mp_nil(&r);
	CHECK(!r.bad && mp_map(&r) == 2);
	mp_nil(&r);
	CHECK(r.bad);
	mp_r_init(&r, (struct span){NULL, 0});
	CHECK(mp_done(&r) && mp_peek(&r) == MP_NONE);
	mp_nil(&r);
	CHECK(r.bad);
	mp_r_init(&r, B("\xc4\x00\xa0"));
	CHECK(mp_bin(&r, 0).p != NULL && mp_str(&r, 0).p != NULL && mp_done(&r));
}

static void
test_raw(void)
{
	struct span s = B("\x92\x81\xa1"
			  "a\x91\x01\xc4\x01"
			  "b\x05");
	struct mp_r r;

	mp_r_init(&r, s);
	CHECK(mp_raw(&r).n == 9 && mp_u64(&r, 9) == 5 && mp_done(&r));
	/* it walks no further than the bytes there are, whatever the counts say */
	mp_r_init(&r, B("\xdd\xff\xff\xff\xff\x01"));
	CHECK(mp_raw(&r).p == NULL && r.bad);
	mp_r_init(&r, B("\x91"));
	CHECK(mp_raw(&r).p == NULL && r.bad);
}

static void
test_writer(void)
{
	const struct span want =
	    B("\x9c\xc0\xc3\xc2\x7f\xcc\x80\xff\xd1\xff\x7f\xcb\x3f\xf8\0\0\0\0\0\0\xa1"
	      "s\xc4\x01\x00"
	      "\x81\x01\x02\x90");
	struct buf b;

	buf_init(&b, 100);
	mp_put_array(&b, 12);
	mp_put_nil(&b);
	mp_put_bool(&b, true);
	mp_put_bool(&b, false);
	mp_put_u64(&b, 127);
	mp_put_u64(&b, 128);
	mp_put_i64(&b, -1);
	mp_put_i64(&b, -129);
	mp_put_double(&b, 1.5);
	mp_put_cstr(&b, "s");
	mp_put_bin(&b, span_of("\0", 1));
	mp_put_map(&b, 1);
	mp_put_u64(&b, 1);
	mp_put_i64(&b, 2);
	mp_put_array(&b, 0);
	CHECK(span_eq(buf_span(&b), want));
	CHECK(scan(buf_span(&b)) == b.n);
	buf_reset(&b);
	mp_put_str(&b, (struct span){NULL, 0});
	mp_put_bin(&b, (struct span){NULL, 0});
	CHECK(span_eq(buf_span(&b), B("\xa0\xc4\x00")));
	buf_fini(&b);
	buf_init(&b, 3);
	mp_put_cstr(&b, "four");
	CHECK(b.failed);
	mp_put_nil(&b);
	CHECK(b.failed);
	buf_fini(&b);
	buf_init(&b, SIZE_MAX);
	mp_put_map(&b, (size_t)UINT32_MAX + 1);
	CHECK(b.failed && b.n == 0);
	buf_fini(&b);
}

static void
test_object(void)
{
	const struct span in = B("\x82\xa1"
				 "b\x93\x01\xff\xca\x3f\xc0\0\0\xa1"
				 "a\xd5\x05xy");
	msgpack_object_kv kv[2] = {0};
	msgpack_object list[3] = {0}, map = {.type = MSGPACK_OBJECT_MAP};
	struct buf b;

	list[0] = (msgpack_object){.type = MSGPACK_OBJECT_POSITIVE_INTEGER, .via.u64 = 1};
	list[1] = (msgpack_object){.type = MSGPACK_OBJECT_NEGATIVE_INTEGER, .via.i64 = -1};
	list[2] = (msgpack_object){.type = MSGPACK_OBJECT_FLOAT32, .via.f64 = 1.5};
	kv[0].key = (msgpack_object){.type = MSGPACK_OBJECT_STR, .via.str = {1, "b"}};
	kv[0].val = (msgpack_object){.type = MSGPACK_OBJECT_ARRAY, .via.array = {3, list}};
	kv[1].key = (msgpack_object){.type = MSGPACK_OBJECT_STR, .via.str = {1, "a"}};
	kv[1].val = (msgpack_object){.type = MSGPACK_OBJECT_EXT, .via.ext = {5, 2, "xy"}};
	map.via.map.size = 2;
	map.via.map.ptr = kv;
	buf_init(&b, 100);
	mp_put_object(&b, &map);
	CHECK(!b.failed && span_eq(buf_span(&b), in));
	buf_fini(&b);
	buf_init(&b, 4);
	mp_put_object(&b, &map);
	CHECK(b.failed);
	buf_fini(&b);
}

int
main(void)
{
	test_leads();
	test_scan_limits();
	test_scan_hostile();
	test_integers();
	test_doubles();
	test_sticky();
	test_raw();
	test_writer();
	test_object();
	return check_done();
}

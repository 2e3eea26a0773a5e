/* The writing half of proto/mp.h.  Numbers and lengths take the shortest form there is. */
#include "proto/mp.h"

#include <string.h>

enum { HEAD_MAX = 9 };

static uint8_t *
room(struct buf *b, size_t n)
{
	if (!b->failed && n <= b->max && b->n <= b->max - n && n <= b->cap && b->n <= b->cap - n)
		return b->p + b->n;
	return buf_room(b, n);
}

/* `lead` and the low `width` bytes of v. */
static size_t
head(uint8_t *to, uint8_t lead, uint64_t v, unsigned width)
{
	to[0] = lead;
	for (unsigned i = 0; i < width; i++)
		to[1 + i] = (uint8_t)(v >> (8 * (width - 1 - i)));
	return 1 + width;
}

/* A head, and the bytes it announces. */
static void
put(struct buf *b, const uint8_t *h, size_t nh, struct span s)
{
	uint8_t *to = s.n <= SIZE_MAX - nh ? room(b, nh + s.n) : NULL;

	if (to == NULL) {
		b->failed = true;
		return;
	}
	memcpy(to, h, nh);
	if (s.n > 0)
		memcpy(to + nh, s.p, s.n);
	b->n += nh + s.n;
}

static void
put_head(struct buf *b, const uint8_t *h, size_t n)
{
	put(b, h, n, (struct span){NULL, 0});
}

static void
put_byte(struct buf *b, uint8_t c)
{
	put_head(b, &c, 1);
}

void
mp_put_nil(struct buf *b)
{
	put_byte(b, 0xc0);
}

void
mp_put_bool(struct buf *b, bool v)
{
	put_byte(b, v ? 0xc3 : 0xc2);
}

void
mp_put_u64(struct buf *b, uint64_t v)
{
	uint8_t h[HEAD_MAX];
	size_t n;

	if (v <= 0x7f) {
		put_byte(b, (uint8_t)v);
		return;
	}
	n = v <= UINT8_MAX    ? head(h, 0xcc, v, 1)
	    : v <= UINT16_MAX ? head(h, 0xcd, v, 2)
	    : v <= UINT32_MAX ? head(h, 0xce, v, 4)
			      : head(h, 0xcf, v, 8);
	put_head(b, h, n);
}

void
mp_put_i64(struct buf *b, int64_t v)
{
	uint8_t h[HEAD_MAX];
	uint64_t bits = (uint64_t)v;
	size_t n;

	if (v >= 0) {
		mp_put_u64(b, bits);
		return;
	}
	if (v >= -32) {
		put_byte(b, (uint8_t)bits);
		return;
	}
	n = v >= INT8_MIN    ? head(h, 0xd0, bits, 1)
	    : v >= INT16_MIN ? head(h, 0xd1, bits, 2)
	    : v >= INT32_MIN ? head(h, 0xd2, bits, 4)
			     : head(h, 0xd3, bits, 8);
	put_head(b, h, n);
}

void
mp_put_double(struct buf *b, double v)
{
	uint8_t h[HEAD_MAX];
	uint64_t bits;

	memcpy(&bits, &v, sizeof bits);
	put_head(b, h, head(h, 0xcb, bits, 8));
}

/* msgpack has no lengths and counts over 32 bits. */
static bool
fits(struct buf *b, size_t n)
{
	if (n > UINT32_MAX)
		b->failed = true;
	return !b->failed;
}

void
mp_put_str(struct buf *b, struct span s)
{
	uint8_t h[HEAD_MAX];
	size_t n;

	if (!fits(b, s.n))
		return;
	n = s.n <= 31           ? head(h, (uint8_t)(0xa0 | s.n), 0, 0)
	    : s.n <= UINT8_MAX  ? head(h, 0xd9, s.n, 1)
	    : s.n <= UINT16_MAX ? head(h, 0xda, s.n, 2)
				: head(h, 0xdb, s.n, 4);
	put(b, h, n, s);
}

void
mp_put_cstr(struct buf *b, const char *s)
{
	mp_put_str(b, span_str(s));
}

void
mp_put_bin(struct buf *b, struct span s)
{
	uint8_t h[HEAD_MAX];
	size_t n;

	if (!fits(b, s.n))
		return;
	n = s.n <= UINT8_MAX    ? head(h, 0xc4, s.n, 1)
	    : s.n <= UINT16_MAX ? head(h, 0xc5, s.n, 2)
				: head(h, 0xc6, s.n, 4);
	put(b, h, n, s);
}

/* `fix`: the lead byte of up to 15; `lead`: that of 16 bits, and the one of 32 behind it. */
static void
put_count(struct buf *b, size_t n, uint8_t fix, uint8_t lead)
{
	uint8_t h[HEAD_MAX];

	if (!fits(b, n))
		return;
	put_head(b, h,
	    n <= 15           ? head(h, (uint8_t)(fix | n), 0, 0)
	    : n <= UINT16_MAX ? head(h, lead, n, 2)
			      : head(h, (uint8_t)(lead + 1), n, 4));
}

void
mp_put_array(struct buf *b, size_t n)
{
	put_count(b, n, 0x90, 0xdc);
}

void
mp_put_map(struct buf *b, size_t n)
{
	put_count(b, n, 0x80, 0xde);
}

static int
sink(void *data, const char *p, size_t n)
{
	struct buf *b = data;

	buf_put(b, p, n);
	return b->failed ? -1 : 0;
}

void
mp_put_object(struct buf *b, const msgpack_object *o)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, b, sink);
	if (msgpack_pack_object(&pk, *o) != 0)
		b->failed = true;
}

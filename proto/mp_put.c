/* The writing half of proto/mp.h: msgpack-c's packer over a struct buf. */
#include "proto/mp.h"

static int
sink(void *data, const char *p, size_t n)
{
	struct buf *b = data;

	buf_put(b, p, n);
	return b->failed ? -1 : 0;
}

static msgpack_packer
packer(struct buf *b)
{
	msgpack_packer pk;

	msgpack_packer_init(&pk, b, sink);
	return pk;
}

void
mp_put_nil(struct buf *b)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_nil(&pk);
}

void
mp_put_bool(struct buf *b, bool v)
{
	msgpack_packer pk = packer(b);

	if (v) {
		msgpack_pack_true(&pk);
	} else {
		msgpack_pack_false(&pk);
	}
}

void
mp_put_u64(struct buf *b, uint64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_uint64(&pk, v);
}

void
mp_put_i64(struct buf *b, int64_t v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_int64(&pk, v);
}

void
mp_put_double(struct buf *b, double v)
{
	msgpack_packer pk = packer(b);

	msgpack_pack_double(&pk, v);
}

/* msgpack has no lengths and counts over 32 bits; the packer would cut them silently. */
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
	msgpack_packer pk = packer(b);

	if (!fits(b, s.n))
		return;
	msgpack_pack_str(&pk, s.n);
	buf_put(b, s.p, s.n);
}

void
mp_put_cstr(struct buf *b, const char *s)
{
	mp_put_str(b, span_str(s));
}

void
mp_put_bin(struct buf *b, struct span s)
{
	msgpack_packer pk = packer(b);

	if (!fits(b, s.n))
		return;
	msgpack_pack_bin(&pk, s.n);
	buf_put(b, s.p, s.n);
}

void
mp_put_array(struct buf *b, size_t n)
{
	msgpack_packer pk = packer(b);

	if (fits(b, n))
		msgpack_pack_array(&pk, n);
}

void
mp_put_map(struct buf *b, size_t n)
{
	msgpack_packer pk = packer(b);

	if (fits(b, n))
		msgpack_pack_map(&pk, n);
}

void
mp_put_object(struct buf *b, const msgpack_object *o)
{
	msgpack_packer pk = packer(b);

	if (msgpack_pack_object(&pk, *o) != 0)
		b->failed = true;
}

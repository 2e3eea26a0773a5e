/* What mp_scan takes, msgpack-c takes, to the same length; and the reader walks it to its end. */
#include <msgpack.h>
#include <stdlib.h>

#include "base/die.h"
#include "proto/doc.h"
#include "proto/limits.h"
#include "proto/mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
walk(struct mp_r *r)
{
	unsigned n;

	switch (mp_peek(r)) {
	case MP_NIL: mp_nil(r); break;
	case MP_BOOL: (void)mp_bool(r); break;
	case MP_INT: {
		struct mp_r u = *r, d = *r;

		(void)mp_double(&d);
		(void)mp_u64(&u, UINT64_MAX);
		if (u.bad)
			INVARIANT(mp_i64(r) < 0);
		else
			*r = u;
		break;
	}
	case MP_FLOAT: (void)mp_double(r); break;
	case MP_STR: (void)mp_str(r, SIZE_MAX); break;
	case MP_BIN: (void)mp_bin(r, SIZE_MAX); break;
	case MP_ARRAY:
		for (n = mp_array(r); n > 0; n--)
			walk(r);
		break;
	case MP_MAP:
		for (n = mp_map(r); n > 0; n--) {
			walk(r);
			walk(r);
		}
		break;
	case MP_EXT: (void)mp_raw(r); break;
	case MP_NONE: INVARIANT(false); break;
	}
	INVARIANT(!r->bad);
}

/* The reader on bytes nobody scanned must only stay inside them. */
static void
poke(const uint8_t *data, size_t size)
{
	struct mp_r r;

	mp_r_init(&r, span_of(data, size));
	for (int i = 0; i < 64 && !r.bad; i++) {
		switch (mp_peek(&r)) {
		case MP_ARRAY: (void)mp_array(&r); break;
		case MP_MAP: (void)mp_map(&r); break;
		case MP_STR: (void)mp_str(&r, 100); break;
		default: (void)mp_raw(&r); break;
		}
	}
	mp_r_init(&r, span_of(data, size));
	(void)mp_raw(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t n = mp_scan(span_of(data, size), LIMIT_NEST, 100000), off = 0;
	msgpack_unpacked u;
	struct mp_r r;
	struct doc d;

	poke(data, size);
	INVARIANT(n <= size);
	if (n == 0)
		return 0;
	msgpack_unpacked_init(&u);
	INVARIANT(msgpack_unpack_next(&u, (const char *)data, n, &off) == MSGPACK_UNPACK_SUCCESS);
	INVARIANT(off == n);
	msgpack_unpacked_destroy(&u);
	mp_r_init(&r, span_of(data, n));
	INVARIANT(mp_raw(&r).n == n && mp_done(&r));
	mp_r_init(&r, span_of(data, n));
	walk(&r);
	INVARIANT(mp_done(&r));
	INVARIANT(doc_parse(&d, span_of(data, n)) == 0);
	doc_fini(&d);
	/* one byte less is never whole */
	INVARIANT(mp_scan(span_of(data, n - 1), LIMIT_NEST, 100000) == 0);
	return 0;
}

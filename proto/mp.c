#include "proto/mp.h"

#include <string.h>

#include "base/str.h"

enum { NEST_MAX = 64 };

/* One object's first bytes.  For a container the children follow; for all else `payload` bytes do.
 */
struct head {
	enum mp_type type;
	uint8_t lead;
	size_t size;      /* of the lead byte and the number behind it */
	uint64_t v;       /* that number, or what the lead byte itself holds */
	uint64_t payload; /* str, bin and ext only */
	uint64_t kids;    /* objects inside: a map has two a pair */
};

/* The leads from 0xc0 to 0xdf: what they are and how many bytes of number follow. */
static const struct {
	enum mp_type type;
	uint8_t width;
} leads[32] = {
    {MP_NIL, 0}, {MP_NONE, 0}, {MP_BOOL, 0}, {MP_BOOL, 0},           /* c0 */
    {MP_BIN, 1}, {MP_BIN, 2}, {MP_BIN, 4},                           /* c4 */
    {MP_EXT, 1}, {MP_EXT, 2}, {MP_EXT, 4},                           /* c7 */
    {MP_FLOAT, 4}, {MP_FLOAT, 8},                                    /* ca */
    {MP_INT, 1}, {MP_INT, 2}, {MP_INT, 4}, {MP_INT, 8},              /* cc unsigned */
    {MP_INT, 1}, {MP_INT, 2}, {MP_INT, 4}, {MP_INT, 8},              /* d0 signed */
    {MP_EXT, 0}, {MP_EXT, 0}, {MP_EXT, 0}, {MP_EXT, 0}, {MP_EXT, 0}, /* d4 fixed */
    {MP_STR, 1}, {MP_STR, 2}, {MP_STR, 4},                           /* d9 */
    {MP_ARRAY, 2}, {MP_ARRAY, 4},                                    /* dc */
    {MP_MAP, 2}, {MP_MAP, 4},                                        /* de */
};

static enum mp_type
lead_type(uint8_t c)
{
	if (c <= 0x7f || c >= 0xe0)
		return MP_INT;
	if (c <= 0x8f)
		return MP_MAP;
	if (c <= 0x9f)
		return MP_ARRAY;
	if (c <= 0xbf)
		return MP_STR;
	return leads[c - 0xc0].type;
}

/* What the number behind the lead counts. */
static void
head_counts(struct head *h)
{
	switch (h->type) {
	case MP_STR:
	case MP_BIN: h->payload = h->v; break;
	case MP_EXT:
		/* d4..d8 hold 1, 2, 4, 8, 16 bytes; a byte of type comes first */
		h->payload = 1 + (h->lead >= 0xd4 ? UINT64_C(1) << (h->lead - 0xd4) : h->v);
		break;
	case MP_ARRAY: h->kids = h->v; break;
	case MP_MAP: h->kids = h->v * 2; break;
	case MP_NONE:
	case MP_NIL:
	case MP_BOOL:
	case MP_INT:
	case MP_FLOAT: break;
	}
}

static bool
head_read(struct head *h, const uint8_t *p, size_t n)
{
	uint8_t c;

	if (n == 0)
		return false;
	c = *p;
	*h = (struct head){.type = lead_type(c), .lead = c, .size = 1};
	if (h->type == MP_NONE)
		return false;
	if (c >= 0xc0 && c <= 0xdf) {
		h->size += leads[c - 0xc0].width;
		if (h->size > n)
			return false;
		for (size_t i = 1; i < h->size; i++)
			h->v = h->v << 8 | p[i];
	} else if (c <= 0x7f || c >= 0xe0) {
		h->v = c;
	} else {
		h->v = c & (h->type == MP_STR ? 0x1fu : 0x0fu);
	}
	head_counts(h);
	return h->payload <= n - h->size;
}

size_t
mp_scan(struct span s, unsigned nest, unsigned elements)
{
	uint64_t left[NEST_MAX]; /* objects still to come in each open container */
	unsigned depth = 0;
	size_t at = 0;

	if (nest > NEST_MAX)
		nest = NEST_MAX;
	if (elements == 0)
		return 0;
	elements--;
	for (;;) {
		struct head h;

		if (!head_read(&h, s.p + at, s.n - at) || h.kids > elements)
			return 0;
		if ((h.type == MP_ARRAY || h.type == MP_MAP) && depth == nest)
			return 0;
		at += h.size;
		if (h.type == MP_STR && !str_is_utf8(span_of(s.p + at, h.payload)))
			return 0;
		at += h.payload;
		elements -= (unsigned)h.kids;
		if (h.kids > 0) {
			left[depth++] = h.kids;
			continue;
		}
		while (depth > 0 && --left[depth - 1] == 0)
			depth--;
		if (depth == 0)
			return at;
	}
}

void
mp_r_init(struct mp_r *r, struct span s)
{
	r->p = s.p;
	r->end = s.p ? s.p + s.n : NULL;
	r->bad = false;
}

/* The next head when it is a `want`; the reader then stands behind it and any payload. */
static bool
take(struct mp_r *r, struct head *h, enum mp_type want)
{
	if (r->bad || !head_read(h, r->p, (size_t)(r->end - r->p)) || h->type != want) {
		r->bad = true;
		return false;
	}
	r->p += h->size + h->payload;
	return true;
}

enum mp_type
mp_peek(struct mp_r *r)
{
	return r->bad || r->p == r->end ? MP_NONE : lead_type(*r->p);
}

void
mp_nil(struct mp_r *r)
{
	struct head h;

	take(r, &h, MP_NIL);
}

bool
mp_bool(struct mp_r *r)
{
	struct head h;

	return take(r, &h, MP_BOOL) && h.lead == 0xc3;
}

/* An integer of any encoding: its 64 bits, and whether they are to be read as negative. */
static bool
take_int(struct mp_r *r, uint64_t *bits, bool *minus)
{
	struct head h;

	if (!take(r, &h, MP_INT))
		return false;
	*bits = h.v;
	*minus = false;
	if (h.lead >= 0xe0) {
		*bits = h.v | ~UINT64_C(0xff);
		*minus = true;
	} else if (h.lead >= 0xd0 && h.lead <= 0xd3) {
		unsigned width = 8u << (h.lead - 0xd0);

		*minus = h.v >> (width - 1) & 1;
		if (*minus && width < 64)
			*bits = h.v | ~UINT64_C(0) << width;
	}
	return true;
}

uint64_t
mp_u64(struct mp_r *r, uint64_t max)
{
	uint64_t bits;
	bool minus;

	if (!take_int(r, &bits, &minus))
		return 0;
	if (minus || bits > max) {
		r->bad = true;
		return 0;
	}
	return bits;
}

int64_t
mp_i64(struct mp_r *r)
{
	uint64_t bits;
	bool minus;

	if (!take_int(r, &bits, &minus))
		return 0;
	if (!minus && bits > INT64_MAX) {
		r->bad = true;
		return 0;
	}
	return (int64_t)bits;
}

/* 0 and *out, or -1 when no double holds the integer exactly. */
static int
int_to_double(uint64_t bits, bool minus, double *out)
{
	uint64_t size = minus ? 0 - bits : bits;
	double d = (double)size;

	/* 2^64 itself is what the largest values round to, and no uint64 can hold it again */
	if (d >= 0x1p64 || (uint64_t)d != size)
		return -1;
	*out = minus ? -d : d;
	return 0;
}

double
mp_double(struct mp_r *r)
{
	struct head h;
	uint64_t bits;
	bool minus;
	double d = 0;

	if (mp_peek(r) == MP_INT) {
		if (take_int(r, &bits, &minus) && int_to_double(bits, minus, &d) != 0)
			r->bad = true;
		return d;
	}
	if (!take(r, &h, MP_FLOAT))
		return 0;
	if (h.lead == 0xca) {
		uint32_t w = (uint32_t)h.v;
		float f;

		memcpy(&f, &w, sizeof f);
		return (double)f;
	}
	memcpy(&d, &h.v, sizeof d);
	return d;
}

static struct span
take_bytes(struct mp_r *r, enum mp_type want, size_t max)
{
	struct head h;

	if (!take(r, &h, want))
		return (struct span){NULL, 0};
	if (h.payload > max) {
		r->bad = true;
		return (struct span){NULL, 0};
	}
	return span_of(r->p - h.payload, h.payload);
}

struct span
mp_str(struct mp_r *r, size_t max)
{
	return take_bytes(r, MP_STR, max);
}

struct span
mp_bin(struct mp_r *r, size_t max)
{
	return take_bytes(r, MP_BIN, max);
}

unsigned
mp_array(struct mp_r *r)
{
	struct head h;

	return take(r, &h, MP_ARRAY) ? (unsigned)h.v : 0;
}

unsigned
mp_map(struct mp_r *r)
{
	struct head h;

	return take(r, &h, MP_MAP) ? (unsigned)h.v : 0;
}

struct span
mp_raw(struct mp_r *r)
{
	const uint8_t *from = r->p;
	uint64_t todo = 1;

	while (todo > 0 && !r->bad) {
		struct head h;

		if (!head_read(&h, r->p, (size_t)(r->end - r->p))) {
			r->bad = true;
			break;
		}
		r->p += h.size + h.payload;
		todo += h.kids - 1;
	}
	return r->bad ? (struct span){NULL, 0} : span_of(from, (size_t)(r->p - from));
}

bool
mp_done(const struct mp_r *r)
{
	return !r->bad && r->p == r->end;
}

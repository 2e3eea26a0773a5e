#include "broker/parcel.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

enum { SMALL = 512 };

struct parcels {
	atomic_size_t bytes;
	atomic_uint refs; /* the owner, parts of it, messages under way */
	struct parcels *whole;
};

struct parcel {
	struct parcels *of;
	size_t n;
	uint8_t frame[];
};

struct parcels *
parcels_new(struct parcels *whole)
{
	struct parcels *p = xcalloc(1, sizeof(*p));

	atomic_init(&p->refs, 1);
	p->whole = whole;
	if (whole != NULL)
		atomic_fetch_add_explicit(&whole->refs, 1, memory_order_relaxed);
	return p;
}

void
parcels_drop(struct parcels *p)
{
	while (p != NULL && atomic_fetch_sub(&p->refs, 1) == 1) {
		struct parcels *whole = p->whole;

		free(p);
		p = whole;
	}
}

size_t
parcels_bytes(const struct parcels *p)
{
	return p != NULL ? atomic_load_explicit(&p->bytes, memory_order_relaxed) : 0;
}

static void
landed(void *data, void *hint)
{
	struct parcel *c = hint;
	struct parcels *of = c->of;

	(void)data;
	for (struct parcels *p = of; p != NULL; p = p->whole)
		atomic_fetch_sub_explicit(&p->bytes, c->n, memory_order_relaxed);
	free(c);
	parcels_drop(of);
}

static void
copy(uint8_t *to, struct span head, struct span body)
{
	if (head.n > 0)
		memcpy(to, head.p, head.n);
	if (body.n > 0)
		memcpy(to + head.n, body.p, body.n);
}

int
parcel_make(struct parcels *of, zmq_msg_t *m, struct span head, struct span body)
{
	size_t n = head.n + body.n;
	struct parcel *c;

	if (n < SMALL) {
		if (zmq_msg_init_size(m, n) != 0)
			return -1;
		copy(zmq_msg_data(m), head, body);
		return 0;
	}
	c = malloc(sizeof(*c) + n);
	if (c == NULL)
		return -1;
	c->of = of;
	c->n = n;
	copy(c->frame, head, body);
	if (zmq_msg_init_data(m, c->frame, n, landed, c) != 0) {
		free(c);
		return -1;
	}
	atomic_fetch_add_explicit(&of->refs, 1, memory_order_relaxed);
	for (struct parcels *p = of; p != NULL; p = p->whole)
		atomic_fetch_add_explicit(&p->bytes, n, memory_order_relaxed);
	return 0;
}

#include "base/timer.h"

#include <stdlib.h>

#include "base/die.h"

/* v[0] is the earliest; the children of place p (1-based) are 2p and 2p + 1. */

static void
put_at(struct timer_heap *h, size_t pos, struct timer *t)
{
	h->v[pos - 1] = t;
	t->pos = pos;
}

static void
sift_up(struct timer_heap *h, struct timer *t)
{
	size_t pos = t->pos;

	while (pos > 1 && h->v[pos / 2 - 1]->at_ms > t->at_ms) {
		put_at(h, pos, h->v[pos / 2 - 1]);
		pos /= 2;
	}
	put_at(h, pos, t);
}

static void
sift_down(struct timer_heap *h, struct timer *t)
{
	size_t pos = t->pos;

	for (;;) {
		size_t kid = pos * 2;

		if (kid > h->n)
			break;
		if (kid < h->n && h->v[kid]->at_ms < h->v[kid - 1]->at_ms)
			kid++;
		if (h->v[kid - 1]->at_ms >= t->at_ms)
			break;
		put_at(h, pos, h->v[kid - 1]);
		pos = kid;
	}
	put_at(h, pos, t);
}

void
timer_heap_fini(struct timer_heap *h)
{
	for (size_t i = 0; i < h->n; i++)
		h->v[i]->pos = 0;
	free(h->v);
	*h = (struct timer_heap){0};
}

void
timer_set(struct timer_heap *h, struct timer *t, int64_t at_ms)
{
	t->at_ms = at_ms;
	if (t->pos == 0) {
		if (h->n == h->cap) {
			h->cap = h->cap ? h->cap * 2 : 16;
			h->v = xrealloc(h->v, h->cap * sizeof(void *));
		}
		put_at(h, ++h->n, t);
	}
	INVARIANT(t->pos <= h->n && h->v[t->pos - 1] == t);
	sift_up(h, t);
	sift_down(h, t);
}

void
timer_clear(struct timer_heap *h, struct timer *t)
{
	struct timer *last;

	if (t->pos == 0)
		return;
	INVARIANT(t->pos <= h->n && h->v[t->pos - 1] == t);
	last = h->v[--h->n];
	if (last != t) {
		put_at(h, t->pos, last);
		sift_up(h, last);
		sift_down(h, last);
	}
	t->pos = 0;
}

struct timer *
timer_pop(struct timer_heap *h, int64_t now_ms)
{
	struct timer *t = h->n > 0 ? h->v[0] : NULL;

	if (t == NULL || t->at_ms > now_ms)
		return NULL;
	timer_clear(h, t);
	return t;
}

int64_t
timer_next(const struct timer_heap *h)
{
	return h->n > 0 ? h->v[0]->at_ms : INT64_MAX;
}

#ifndef BASE_TIMER_H
#define BASE_TIMER_H
/* Deadlines in a binary heap of intrusive nodes: no clock, no I/O.  The owner asks for what is due. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct timer {
	int64_t at_ms;
	size_t pos; /* 1-based place in the heap; 0 = not set */
	void (*fn)(struct timer *); /* called by whoever runs the heap; may be NULL for a core's own use */
};

struct timer_heap {
	struct timer **v;
	size_t n, cap;
};

void timer_heap_fini(struct timer_heap *h); /* nodes are the caller's */
void timer_set(struct timer_heap *h, struct timer *t, int64_t at_ms); /* adds or moves */
void timer_clear(struct timer_heap *h, struct timer *t); /* harmless when not set */
/* The earliest node if it is due at `now_ms`, taken out of the heap; else NULL. */
struct timer *timer_pop(struct timer_heap *h, int64_t now_ms);
/* When the earliest is due; INT64_MAX when empty. */
int64_t timer_next(const struct timer_heap *h);

static inline bool
timer_is_set(const struct timer *t)
{
	return t->pos != 0;
}

#endif

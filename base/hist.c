#include "base/hist.h"

/* Values below 2 * HIST_STEPS have a bucket each; above, the top seven bits choose it. */
static unsigned
bucket_of(uint64_t v)
{
	unsigned shift, b;

	if (v < 2 * HIST_STEPS)
		return (unsigned)v;
	shift = 57u - (unsigned)__builtin_clzll(v);
	b = (shift + 1) * HIST_STEPS + (unsigned)(v >> shift) - HIST_STEPS;
	return b < HIST_BUCKETS ? b : HIST_BUCKETS - 1;
}

/* The largest value of bucket b. */
static uint64_t
top_of(unsigned b)
{
	unsigned shift;

	if (b < 2 * HIST_STEPS)
		return b;
	shift = b / HIST_STEPS - 1;
	return (((uint64_t)(b % HIST_STEPS + HIST_STEPS) + 1) << shift) - 1;
}

void
hist_add(struct hist *h, uint64_t value, uint64_t times)
{
	h->bucket[bucket_of(value)] += times;
	h->n += times;
	if (times > 0 && value > h->max)
		h->max = value;
}

void
hist_merge(struct hist *into, const struct hist *from)
{
	for (unsigned b = 0; b < HIST_BUCKETS; b++)
		into->bucket[b] += from->bucket[b];
	into->n += from->n;
	if (from->max > into->max)
		into->max = from->max;
}

uint64_t
hist_at(const struct hist *h, unsigned permille)
{
	uint64_t seen = 0, want = (h->n * permille + 999) / 1000;

	for (unsigned b = 0; h->n > 0 && b < HIST_BUCKETS; b++) {
		seen += h->bucket[b];
		if (seen >= want && seen > 0)
			return top_of(b) < h->max ? top_of(b) : h->max;
	}
	return h->max;
}

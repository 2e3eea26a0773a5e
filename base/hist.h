#ifndef BASE_HIST_H
#define BASE_HIST_H
/* How long things took: a histogram with 64 steps to every doubling, so a percentile read from it
 * is at most 1.6 % above the truth.  Fixed size, no allocation; add two to get their sum.  Pure. */
#include <stdint.h>

#define HIST_STEPS 64
#define HIST_BUCKETS (HIST_STEPS * 32)

struct hist {
	uint64_t n, max;
	uint64_t bucket[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t value, uint64_t times);
void hist_merge(struct hist *into, const struct hist *from);
/* The value that `permille` in a thousand do not exceed; 0 when empty. */
uint64_t hist_at(const struct hist *h, unsigned permille);

#endif

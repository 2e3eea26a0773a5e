#ifndef GATEWAY_BISECT_H
#define GATEWAY_BISECT_H
/* Finding the few bad ones in a batch that is refused as a whole: try a range, halve what is
 * refused, in order, until a refused range is one item.  Pure.
 *
 *	bisect_init(&b, n);
 *	while (bisect_next(&b, &lo, &hi))	try items [lo, hi), then
 *		bisect_done(&b) or bisect_refused(&b)  */
#include <stdbool.h>
#include <stddef.h>

struct bisect {
	struct {
		size_t lo, hi;
	} todo[66]; /* halving never leaves more than one range for each bit of a size_t */
	unsigned n;
};

void bisect_init(struct bisect *b, size_t n);
/* The range to try now; false at the end. */
bool bisect_next(const struct bisect *b, size_t *lo, size_t *hi);
void bisect_done(struct bisect *b);
/* Halves the range; false when it was one item, which is then the bad one and done with. */
bool bisect_refused(struct bisect *b);

#endif

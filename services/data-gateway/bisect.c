#include "services/data-gateway/bisect.h"

void
bisect_init(struct bisect *b, size_t n)
{
	b->n = n > 0;
	b->todo[0].lo = 0;
	b->todo[0].hi = n;
}

bool
bisect_next(const struct bisect *b, size_t *lo, size_t *hi)
{
	if (b->n == 0)
		return false;
	*lo = b->todo[b->n - 1].lo;
	*hi = b->todo[b->n - 1].hi;
	return true;
}

void
bisect_done(struct bisect *b)
{
	b->n -= b->n > 0;
}

bool
bisect_refused(struct bisect *b)
{
	size_t lo, hi, middle;

	if (!bisect_next(b, &lo, &hi))
		return false;
	if (hi - lo <= 1) {
		b->n--;
		return false;
	}
	middle = lo + (hi - lo) / 2;
	b->todo[b->n - 1].lo = middle;
	b->todo[b->n].lo = lo;
	b->todo[b->n].hi = middle;
	b->n++;
	return true;
}

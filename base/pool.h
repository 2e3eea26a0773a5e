#ifndef BASE_POOL_H
#define BASE_POOL_H
/* Objects of one size that come and go all the time: those given back are kept for the next, up to
 * `most`.  Zero it and it is empty.  One thread. */
#include <stdlib.h>
#include <string.h>
#include "base/die.h"

/* A sanitizer is to see who uses what was given back. */
#if defined(__SANITIZE_ADDRESS__)
#define POOL_KEEPS 0
#else
#define POOL_KEEPS 1
#endif

struct pool {
	void *first; /* each begins with the address of the next */
	unsigned n, most;
};

/* At least a pointer large; not zeroed. */
static inline void *
pool_get(struct pool *p, size_t size)
{
	void *x = p->first;

	if (x == NULL)
		return xcalloc(1, size);
	memcpy(&p->first, x, sizeof p->first);
	p->n--;
	return x;
}

static inline void
pool_put(struct pool *p, void *x)
{
	if (!POOL_KEEPS || p->n >= p->most) {
		free(x);
		return;
	}
	memcpy(x, &p->first, sizeof p->first);
	p->first = x;
	p->n++;
}

static inline void
pool_fini(struct pool *p)
{
	while (p->first != NULL) {
		void *x = p->first;

		memcpy(&p->first, x, sizeof p->first);
		free(x);
	}
	p->n = 0;
}

#endif

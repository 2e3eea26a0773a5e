#include "base/span.h"

#include "base/die.h"

char *
span_dup(struct span s)
{
	char *p = xcalloc(s.n + 1, 1);

	if (s.n > 0)
		memcpy(p, s.p, s.n);
	return p;
}

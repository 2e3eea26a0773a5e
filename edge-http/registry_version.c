/* Order of versions, for registry.h. */
#include "edge-http/registry.h"

#include "base/str.h"
#include "edge-http/text.h"

static int
text_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	if (d != 0)
		return d;
	return a.n < b.n ? -1 : a.n > b.n;
}

/* One identifier: numbers by value and below text (semver 2.0.0, 11). */
static int
part_cmp(struct span a, struct span b)
{
	uint64_t x = 0, y = 0;
	bool na = str_u64(a, UINT64_MAX, &x) == 0, nb = str_u64(b, UINT64_MAX, &y) == 0;

	if (na && nb)
		return x < y ? -1 : x > y;
	if (na != nb)
		return na ? -1 : 1;
	return text_cmp(a, b);
}

static int
list_cmp(struct span a, struct span b)
{
	while (a.n > 0 || b.n > 0) {
		int d;

		if (a.n == 0 || b.n == 0)
			return a.n == 0 ? -1 : 1;
		d = part_cmp(text_cut(&a, '.'), text_cut(&b, '.'));
		if (d != 0)
			return d;
	}
	return 0;
}

int
registry_version_cmp(struct span a, struct span b)
{
	bool va = a.n > 0 && a.p[0] >= '0' && a.p[0] <= '9';
	bool vb = b.n > 0 && b.p[0] >= '0' && b.p[0] <= '9';
	struct span core_a, core_b;
	int d;

	if (va != vb)
		return va ? 1 : -1;
	if (!va)
		return text_cmp(a, b);
	a = text_cut(&a, '+'); /* what follows is about the build */
	b = text_cut(&b, '+');
	core_a = text_cut(&a, '-');
	core_b = text_cut(&b, '-');
	d = list_cmp(core_a, core_b);
	if (d != 0)
		return d;
	if (a.n == 0 || b.n == 0) /* 1.0.0-rc1 comes before 1.0.0 */
		return (a.n == 0) - (b.n == 0);
	return list_cmp(a, b);
}

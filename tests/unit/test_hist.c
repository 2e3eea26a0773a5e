#include "base/hist.h"

#include <stdbool.h>

#include "tests/unit/check.h"

static void
test_empty(void)
{
	static struct hist h;

	CHECK(hist_at(&h, 500) == 0 && hist_at(&h, 1000) == 0);
}

static void
test_percentiles_are_within_two_percent(void)
{
	static struct hist h;
	bool near = true;

	for (uint64_t v = 1; v <= 1000000; v++)
		hist_add(&h, v, 1);
	for (unsigned p = 1; p <= 1000; p++) {
		uint64_t want = UINT64_C(1000) * p, got = hist_at(&h, p);

		near = near && got >= want && got <= want + want / 50;
	}
	CHECK(near);
	CHECK(h.n == 1000000 && hist_at(&h, 1000) == 1000000);
}

static void
test_every_value_has_its_place(void)
{
	bool ordered = true;
	uint64_t last = 0;

	for (unsigned bit = 0; bit < 36; bit++) {
		for (int off = -1; off <= 1; off++) {
			struct hist h = {0};
			uint64_t v = (UINT64_C(1) << bit) + (uint64_t)(int64_t)off;

			hist_add(&h, v, 1);
			hist_add(&h, v * 2 + 1, 1);
			ordered =
			    ordered && hist_at(&h, 500) >= v && hist_at(&h, 500) <= v + v / 50;
			ordered = ordered && v >= last;
			last = off < 0 ? v : last;
		}
	}
	CHECK(ordered);
}

static void
test_the_very_large_is_capped_not_lost(void)
{
	static struct hist h;

	hist_add(&h, UINT64_MAX, 3);
	CHECK(h.n == 3 && h.max == UINT64_MAX && hist_at(&h, 500) > 0);
}

static void
test_merge_is_the_sum(void)
{
	static struct hist a, b, both;

	for (uint64_t v = 0; v < 1000; v++) {
		hist_add(&a, v, 1);
		hist_add(&b, v * 7, 2);
		hist_add(&both, v, 1);
		hist_add(&both, v * 7, 2);
	}
	hist_merge(&a, &b);
	CHECK(memcmp(&a, &both, sizeof a) == 0);
}

int
main(void)
{
	test_empty();
	test_percentiles_are_within_two_percent();
	test_every_value_has_its_place();
	test_the_very_large_is_capped_not_lost();
	test_merge_is_the_sum();
	return check_done();
}

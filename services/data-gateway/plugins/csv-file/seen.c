#include "services/data-gateway/plugins/csv-file/seen.h"

#include <stdlib.h>
#include <string.h>

#include "base/die.h"

/* All 16 bytes count: the first half of a version 7 is a clock, the second of a version 8 is a
 * digest. */
static uint64_t
mark_of(const uint8_t receipt[16])
{
	uint64_t a, b;

	memcpy(&a, receipt, 8);
	memcpy(&b, receipt + 8, 8);
	a = (a ^ (b * UINT64_C(0x9e3779b97f4a7c15))) * UINT64_C(0xbf58476d1ce4e5b9);
	a ^= a >> 31;
	return a != 0 ? a : 1;
}

static uint64_t *
slot_of(const struct seen *s, uint64_t mark)
{
	size_t i = mark & (s->cap - 1);

	while (s->slots[i] != 0 && s->slots[i] != mark)
		i = (i + 1) & (s->cap - 1);
	return &s->slots[i];
}

static void
grow(struct seen *s)
{
	struct seen wide = {.cap = s->cap > 0 ? s->cap * 2 : 64};

	wide.slots = xcalloc(wide.cap, sizeof *wide.slots);
	for (size_t i = 0; i < s->cap; i++) {
		if (s->slots[i] != 0)
			*slot_of(&wide, s->slots[i]) = s->slots[i];
	}
	wide.n = s->n;
	free(s->slots);
	*s = wide;
}

void
seen_fini(struct seen *s)
{
	free(s->slots);
	*s = (struct seen){.n = 0};
}

void
seen_add(struct seen *s, const uint8_t receipt[16])
{
	uint64_t mark = mark_of(receipt), *slot;

	if (s->n * 2 >= s->cap)
		grow(s);
	slot = slot_of(s, mark);
	s->n += *slot == 0;
	*slot = mark;
}

bool
seen_maybe(const struct seen *s, const uint8_t receipt[16])
{
	return s->cap > 0 && *slot_of(s, mark_of(receipt)) != 0;
}

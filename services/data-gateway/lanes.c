#include "services/data-gateway/lanes.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"
#include "proto/limits.h"

struct lane {
	UT_hash_handle hh;
	struct list items;
	uint64_t pass; /* lanes_take: one of it stayed behind in this pass */
	unsigned keylen;
	char key[LIMIT_KEY];
};

struct lanes {
	struct lane *by_key;
	struct list waiting;
	size_t n;
	uint64_t pass;
};

struct lanes *
lanes_new(void)
{
	struct lanes *l = xcalloc(1, sizeof *l);

	list_init(&l->waiting);
	return l;
}

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct lane *
find(struct lanes *l, struct span key) /* NOLINT(readability-function-size) */
{
	struct lane *lane;

	HASH_FIND(hh, l->by_key, key.p, (unsigned)key.n, lane);
	return lane;
}

static void
put_in(struct lanes *l, struct lane *lane) /* NOLINT(readability-function-size) */
{
	HASH_ADD_KEYPTR(hh, l->by_key, lane->key, lane->keylen, lane);
}

static void
take_out(struct lanes *l, struct lane *lane) /* NOLINT(readability-function-size) */
{
	HASH_DEL(l->by_key, lane); /* NOLINT(clang-analyzer-core.NullDereference) */
}

static void
drop_lane(struct lanes *l, struct lane *lane)
{
	take_out(l, lane);
	free(lane);
}

void
lanes_free(struct lanes *l)
{
	if (l == NULL)
		return;
	while (l->by_key != NULL)
		drop_lane(l, l->by_key);
	free(l);
}

static struct lane *
lane_of(struct lanes *l, struct span key)
{
	struct lane *lane = find(l, key);

	if (lane != NULL)
		return lane;
	lane = xcalloc(1, sizeof *lane);
	list_init(&lane->items);
	lane->keylen = (unsigned)key.n;
	memcpy(lane->key, key.p, key.n);
	put_in(l, lane);
	return lane;
}

static void
drop_if_idle(struct lanes *l, struct lane *lane)
{
	if (list_empty(&lane->items))
		drop_lane(l, lane);
}

void
lanes_add(struct lanes *l, struct lane_item *it, struct span key)
{
	list_init(&it->all);
	list_init(&it->kin);
	it->lane = NULL;
	it->waits = true;
	if (key.p != NULL && key.n <= LIMIT_KEY) {
		it->lane = lane_of(l, key);
		list_push_back(&it->lane->items, &it->kin);
	}
	list_push_back(&l->waiting, &it->all);
	l->n++;
}

static void
leave_queue(struct lanes *l, struct lane_item *it)
{
	if (!it->waits)
		return;
	it->waits = false;
	list_remove(&it->all);
	l->n--;
}

size_t
lanes_take(struct lanes *l, struct lane_item **out, size_t max, size_t max_bytes)
{
	struct lane_item *it;
	size_t n = 0, bytes = 0;

	l->pass++;
	LIST_EACH (it, &l->waiting, struct lane_item, all) {
		if (n == max)
			break;
		if (it->lane != NULL && it->lane->pass == l->pass)
			continue;
		if (!it->ready) {
			if (it->lane != NULL)
				it->lane->pass = l->pass;
			continue;
		}
		if (n > 0 && bytes + it->bytes > max_bytes)
			break;
		leave_queue(l, it);
		bytes += it->bytes;
		out[n++] = it;
	}
	return n;
}

void
lanes_done(struct lanes *l, struct lane_item *it)
{
	struct lane *lane = it->lane;

	leave_queue(l, it);
	if (lane == NULL)
		return;
	it->lane = NULL;
	list_remove(&it->kin);
	drop_if_idle(l, lane);
}

struct lane_item *
lanes_again(struct lanes *l, struct lane_item *it)
{
	struct lane *lane = it->lane;
	struct lane_item *later;

	leave_queue(l, it);
	if (lane == NULL)
		return NULL;
	LIST_EACH (later, &lane->items, struct lane_item, kin) {
		if (later == it || !later->waits || later->seq < it->seq)
			continue;
		leave_queue(l, later);
		list_remove(&later->kin);
		later->lane = NULL;
		return later;
	}
	lanes_done(l, it);
	return NULL;
}

size_t
lanes_waiting(const struct lanes *l)
{
	return l->n;
}

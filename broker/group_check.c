/* The invariants of a group, walked in full. */
#include "broker/group_impl.h"

#include "base/die.h"

static void
check_worker(const struct group_worker *w)
{
	const struct entry *e;
	size_t n = 0, bytes = 0;

	LIST_EACH (e, &w->flight, struct entry, place) {
		INVARIANT(e->state == ENTRY_FLIGHT && e->holder == w);
		n++;
		bytes += e->bytes;
	}
	INVARIANT(n == w->n && bytes == w->bytes);
	LIST_EACH (e, &w->stalled, struct entry, place)
		INVARIANT(e->state == ENTRY_STALLED && e->holder == w && e->key != NULL &&
			  e->key->holder == w);
}

static bool
room(const struct group_worker *w)
{
	return !w->closing && w->n < w->credit && (w->n == 0 || w->bytes < w->max_bytes);
}

static void
check_workers(const struct group *g)
{
	const struct group_worker *w;
	unsigned n = 0, closing = 0;

	LIST_EACH (w, &g->open, struct group_worker, place) {
		INVARIANT(room(w));
		check_worker(w);
		n++;
	}
	LIST_EACH (w, &g->full, struct group_worker, place) {
		INVARIANT(!room(w) && !w->closing);
		check_worker(w);
		n++;
	}
	LIST_EACH (w, &g->closing, struct group_worker, place) {
		INVARIANT(w->closing);
		check_worker(w);
		closing++;
	}
	INVARIANT(n == g->workers && closing == g->nclosing);
}

static void
check_key(const struct order_key *k)
{
	const struct entry *e;
	unsigned n = 0, in_flight = 0;
	bool before = true;

	LIST_EACH (e, &k->entries, struct entry, kin) {
		n++;
		in_flight += e->state == ENTRY_FLIGHT ? 1 : 0;
		if (e == k->next) {
			before = false;
			INVARIANT(e->state != ENTRY_FLIGHT && e->state != ENTRY_WAIT);
			continue;
		}
		if (before) {
			INVARIANT(e->state == ENTRY_FLIGHT || e->state == ENTRY_DYING);
		} else {
			INVARIANT(e->state == ENTRY_WAIT || e->state == ENTRY_DELAY ||
				  e->state == ENTRY_DYING);
		}
		INVARIANT(e->state != ENTRY_FLIGHT || e->holder == k->holder);
	}
	INVARIANT(n == k->n && n > 0 && in_flight == k->in_flight && (k->next == NULL) == before);
	INVARIANT((k->holder != NULL) == (in_flight > 0));
}

static void
check_entry(const struct group *g, const struct entry *e)
{
	switch (e->state) {
	case ENTRY_WAIT:
		INVARIANT(e->key != NULL && e->key->next != e && !timer_is_set(&e->timer));
		break;
	case ENTRY_READY: INVARIANT(timer_is_set(&e->timer) == list_empty(&e->place)); break;
	case ENTRY_STALLED: INVARIANT(!list_empty(&e->place) && e->key->next == e); break;
	case ENTRY_FLIGHT: INVARIANT(timer_is_set(&e->timer) == list_empty(&e->due)); break;
	case ENTRY_DELAY: INVARIANT(timer_is_set(&e->timer) && list_empty(&e->place)); break;
	case ENTRY_DYING: INVARIANT(!list_empty(&e->place) && !timer_is_set(&e->timer)); break;
	case ENTRY_STATES: INVARIANT(false);
	}
	INVARIANT(g->live || e->seq < g->read);
}

void
group_check(const struct group *g)
{
	const struct entry *e;
	const struct order_key *k;
	size_t count[ENTRY_STATES] = {0}, ahead = 0, ready = 0;
	uint64_t last = 0;

	LIST_EACH (e, &g->all, struct entry, all) {
		INVARIANT(e->seq > last);
		last = e->seq;
		check_entry(g, e);
		INVARIANT(e->state < ENTRY_STATES);
		count[e->state]++;
		ready += e->state == ENTRY_READY ? e->bytes : 0;
		ahead += e->state != ENTRY_FLIGHT && e->state != ENTRY_DYING ? e->bytes : 0;
	}
	for (int i = 0; i < ENTRY_STATES; i++)
		INVARIANT(count[i] == g->count[i]);
	INVARIANT(ahead == g->ahead_bytes && ready == g->ready_bytes);
	INVARIANT(g->urgent.n <= count[ENTRY_READY] && g->delay.n == count[ENTRY_DELAY]);
	for (k = g->keys; k != NULL; k = k->hh.next)
		check_key(k);
	check_workers(g);
	INVARIANT((int64_t)g->received == (int64_t)(g->acked + g->dead + g->dropped) + g->owed);
}

/* Order keys: whose turn it is within one key. */
#include "broker/group_impl.h"

#include <stdlib.h>

#include "base/die.h"

#define KIN(n) LIST_ITEM((n), struct entry, kin)

static struct entry *
kin_after(const struct entry *e)
{
	return e->kin.next == &e->key->entries ? NULL : KIN(e->kin.next);
}

/* May the entry whose turn it is go now?  Then it is made ready. */
static void
promote(struct group *g, struct order_key *k)
{
	struct entry *e = k->next;

	if (e != NULL && (e->state == ENTRY_WAIT || (e->state == ENTRY_STALLED && !k->in_flight)))
		group_work_ready(g, e, false);
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
group_order_add(struct group *g, struct entry *e, struct span key)
{
	struct order_key *k;

	HASH_FIND(hh, g->keys, key.p, (unsigned)key.n, k);
	if (k == NULL) {
		k = xcalloc(1, sizeof(*k) + key.n);
		memcpy(k->bytes, key.p, key.n);
		list_init(&k->entries);
		HASH_ADD(hh, g->keys, bytes, (unsigned)key.n, k);
	}
	e->key = k;
	k->n++;
	list_push_back(&k->entries, &e->kin);
	if (k->next == NULL) {
		k->next = e;
		promote(g, k);
	}
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
group_order_del(struct group *g, struct entry *e)
{
	struct order_key *k = e->key;

	if (k == NULL)
		return;
	if (k->next == e)
		k->next = kin_after(e);
	list_remove(&e->kin);
	e->key = NULL;
	if (--k->n == 0) {
		HASH_DEL(g->keys, k);
		free(k);
		return;
	}
	promote(g, k);
}

void
group_order_sent(struct group *g, struct entry *e)
{
	struct order_key *k = e->key;

	if (k == NULL)
		return;
	INVARIANT(k->next == e && (k->in_flight == 0 || k->holder == e->holder));
	k->holder = e->holder;
	k->in_flight++;
	k->next = kin_after(e);
	promote(g, k);
}

void
group_order_landed(struct group *g, struct entry *e)
{
	struct order_key *k = e->key;

	if (k == NULL)
		return;
	INVARIANT(k->in_flight > 0);
	if (--k->in_flight == 0) {
		k->holder = NULL;
		promote(g, k);
	}
}

void
group_order_back(struct group *g, struct entry *e)
{
	struct order_key *k = e->key;

	if (k == NULL)
		return;
	/* e is delayed or dying already, so nobody is promoted while the others land. */
	if (k->next != NULL && (k->next->state == ENTRY_READY || k->next->state == ENTRY_STALLED) &&
	    k->next->seq > e->seq)
		group_work_lift(g, k->next);
	if (k->next == NULL || k->next->seq > e->seq)
		k->next = e;
	for (struct list *n = e->kin.next; n != &k->entries; n = n->next) {
		if (KIN(n)->state == ENTRY_FLIGHT)
			group_work_lift(g, KIN(n));
	}
}

struct entry *
group_order_first_late(struct entry *e, int64_t now)
{
	if (e->key == NULL)
		return e;
	for (struct list *n = e->key->entries.next; KIN(n) != e; n = n->next) {
		if (KIN(n)->state == ENTRY_FLIGHT && KIN(n)->deadline <= now)
			return KIN(n);
	}
	return e;
}

bool
group_order_is_turn(const struct entry *e)
{
	return e->key == NULL || e->key->next == e;
}

#include "broker/group.h"

#include <stdlib.h>

#include "base/die.h"
#include "broker/group_impl.h"

struct group *
group_new(const struct group_ops *ops, const struct group_conf *conf, uint64_t next)
{
	struct group *g = xcalloc(1, sizeof(*g));

	g->ops = *ops;
	g->conf = *conf;
	list_init(&g->all);
	list_init(&g->ready);
	list_init(&g->dying);
	list_init(&g->due);
	list_init(&g->open);
	list_init(&g->full);
	list_init(&g->closing);
	g->read = g->high = g->known_high = next;
	g->counted = next - 1;
	g->random = conf->seed;
	return g;
}

static void
free_workers(struct list *l)
{
	struct group_worker *w;

	LIST_EACH (w, l, struct group_worker, place)
		free(w);
}

void
group_free(struct group *g)
{
	struct entry *e;

	if (g == NULL)
		return;
	LIST_EACH (e, &g->all, struct entry, all)
		group_work_forget(g, e);
	free_workers(&g->open);
	free_workers(&g->full);
	free_workers(&g->closing);
	timer_heap_fini(&g->late);
	timer_heap_fini(&g->delay);
	timer_heap_fini(&g->urgent);
	free(g->known);
	free(g);
}

void
group_let_go(struct group *g)
{
	size_t n = 0, left = g->nknown - g->iknown, at;
	struct known *kept;

	for (struct list *p = g->all.prev; p != &g->all; p = p->prev, n++) {
		struct entry *e = LIST_ITEM(p, struct entry, all);

		if (e->fails > 0 || e->handed[0] != 0 || e->state == ENTRY_DYING)
			break;
	}
	if (n == 0)
		return;
	kept = xcalloc(n + left, sizeof(*kept));
	if (left > 0)
		memcpy(kept + n, g->known + g->iknown, left * sizeof(*kept));
	at = n;
	for (size_t i = 0; i < n; i++) {
		struct entry *e = LIST_ITEM(g->all.prev, struct entry, all);

		g->read = e->seq;
		if (e->seq < g->high)
			kept[--at] = (struct known){.seq = e->seq, .delivered = e->delivered};
		group_work_forget(g, e);
	}
	free(g->known);
	g->known = kept;
	g->iknown = at;
	g->nknown = n + left;
	g->known_high = g->high;
	g->live = false;
}

void
group_configure(struct group *g, const struct group_conf *conf)
{
	g->conf = *conf;
	if (g->conf.paused)
		group_let_go(g);
}

/* ---- records ---- */

void
group_commit(struct group *g, uint64_t n)
{
	g->owed += (int64_t)n;
	g->received += n;
}

static size_t
ahead(const struct group *g)
{
	return g->count[ENTRY_WAIT] + g->count[ENTRY_READY] + g->count[ENTRY_STALLED] +
	       g->count[ENTRY_DELAY];
}

static bool
may_read_ahead(const struct group *g)
{
	return ahead(g) < GROUP_AHEAD_RECORDS && g->ahead_bytes < GROUP_AHEAD_BYTES;
}

bool
group_wants(const struct group *g)
{
	return !g->conf.paused && g->workers > 0 && may_read_ahead(g) &&
	       g->count[ENTRY_READY] < GROUP_READY_RECORDS && g->ready_bytes < GROUP_READY_BYTES;
}

/* What was owed below seq and was not offered is not kept any more. */
static void
skip_known(struct group *g, uint64_t seq)
{
	for (; g->iknown < g->nknown && g->known[g->iknown].seq < seq; g->iknown++) {
		g->owed--;
		g->dropped++;
		g->dirty = true;
	}
}

struct entry *
/* NOLINTNEXTLINE(readability-function-size): uthash */
group_find(const struct group *g, uint64_t seq)
{
	struct entry *e;

	HASH_FIND(hh, g->entries, &seq, sizeof(seq), e);
	return e;
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
load(struct group *g, const struct group_rec *r, const struct known *k)
{
	struct entry *e = xcalloc(1, sizeof(*e));

	list_init(&e->place);
	list_init(&e->due);
	list_init(&e->kin);
	e->seq = r->seq;
	e->at_ms = r->at_ms;
	e->exp_ms = r->exp_ms;
	e->bytes = r->bytes;
	e->frame = r->frame;
	e->fails = k ? k->fails : 0;
	e->delivered = k && k->delivered;
	e->state = ENTRY_WAIT;
	g->count[ENTRY_WAIT]++;
	g->ahead_bytes += e->bytes;
	list_push_back(&g->all, &e->all);
	HASH_ADD(hh, g->entries, seq, sizeof(e->seq), e);
	if (r->key.p != NULL) {
		group_order_add(g, e, r->key);
	} else {
		group_work_ready(g, e, true);
	}
}

bool
group_offer(struct group *g, const struct group_rec *r)
{
	const struct known *k = NULL;
	bool done;

	skip_known(g, r->seq);
	if (g->iknown < g->nknown && g->known[g->iknown].seq == r->seq)
		k = &g->known[g->iknown];
	done = (k == NULL && r->seq < g->known_high) || group_find(g, r->seq) != NULL;
	if (!done && r->dead) {
		g->owed--;
		g->dead++;
		g->dirty = true;
		g->high = r->seq >= g->high ? r->seq + 1 : g->high;
		done = true;
	}
	if (!done &&
	    (!group_wants(g) || (r->scarce && g->count[ENTRY_READY] + g->count[ENTRY_WAIT] > 0))) {
		g->live = false;
		g->read = r->seq;
		return false;
	}
	if (done) {
		g->ops.drop(g->ops.arg, r->frame);
	} else {
		load(g, r, k);
	}
	g->iknown += k ? 1 : 0;
	g->read = r->seq + 1;
	return true;
}

bool
group_is_live(const struct group *g)
{
	return g->live;
}

uint64_t
group_read(const struct group *g)
{
	return g->read;
}

void
group_seen(struct group *g, uint64_t seq, bool live)
{
	skip_known(g, seq);
	if (g->read < seq)
		g->read = seq;
	g->live = live;
}

void
group_drop(struct group *g, uint64_t seq)
{
	struct entry *e = group_find(g, seq);

	if (e != NULL) {
		if (e->state == ENTRY_FLIGHT || e->state == ENTRY_DYING)
			return; /* we still have it, and it may still be done */
		g->dropped++;
		group_note(g, GROUP_DROPPED, e, 0, (struct span){NULL, 0});
		group_work_lift(g, e);
		group_work_done(g, e);
	} else if (!g->live && seq >= g->read && seq >= g->known_high) {
		g->owed--;
		g->dropped++;
		g->dirty = true;
	}
}

bool
group_owes(const struct group *g, uint64_t seq)
{
	size_t lo = g->iknown, hi = g->nknown;

	if (group_find(g, seq) != NULL)
		return true;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (g->known[mid].seq == seq)
			return true;
		if (g->known[mid].seq < seq) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	return !g->live && seq >= g->read && seq >= g->known_high;
}

/* ---- time ---- */

static void
expire(struct group *g, int64_t now)
{
	for (;;) {
		struct entry *e = LIST_FIRST(&g->due, struct entry, due);
		int64_t late = timer_next(&g->late);

		if (e == NULL || late < e->deadline)
			e = g->late.n > 0 ? entry_of_timer(g->late.v[0]) : NULL;
		if (e == NULL || e->deadline > now)
			return;
		e = group_order_first_late(e, now);
		group_note(g, GROUP_LATE, e, e->holder->session, span_str("ACK_TIMEOUT"));
		group_fail(g, e, -1, GROUP_DEATH_ACK_TIMEOUT, (struct span){NULL, 0}, now);
	}
}

static void
redeliver(struct group *g, int64_t now)
{
	struct timer *t;

	while ((t = timer_pop(&g->delay, now)) != NULL) {
		struct entry *e = entry_of_timer(t);

		group_work_lift(g, e);
		if (group_order_is_turn(e))
			group_work_ready(g, e, false);
	}
}

void
group_run(struct group *g, int64_t now, int64_t real)
{
	expire(g, now);
	redeliver(g, now);
	group_work_pump(g, now, real);
}

int64_t
group_next(const struct group *g)
{
	const struct entry *e = LIST_FIRST(&g->due, struct entry, due);
	int64_t at = e ? e->deadline : INT64_MAX;

	if (timer_next(&g->late) < at)
		at = timer_next(&g->late);
	return timer_next(&g->delay) < at ? timer_next(&g->delay) : at;
}

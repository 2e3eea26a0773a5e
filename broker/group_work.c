/* Places of entries, workers, and handing over. */
#include "broker/group_impl.h"

#include <stdlib.h>

#include "base/die.h"

enum { CANDIDATES = 8 };

/* Is e loaded and not in a worker's hands or beyond them? */
static bool
is_ahead(enum entry_state s)
{
	return s == ENTRY_WAIT || s == ENTRY_READY || s == ENTRY_STALLED || s == ENTRY_DELAY;
}

static void
set_state(struct group *g, struct entry *e, enum entry_state s)
{
	g->ahead_bytes += is_ahead(s) ? e->bytes : 0;
	g->ahead_bytes -= is_ahead(e->state) ? e->bytes : 0;
	g->ready_bytes += s == ENTRY_READY ? e->bytes : 0;
	g->ready_bytes -= e->state == ENTRY_READY ? e->bytes : 0;
	g->count[e->state]--;
	g->count[s]++;
	e->state = s;
}

static void
disarm(struct group *g, struct entry *e)
{
	list_remove(&e->due);
	timer_clear(&g->late, &e->timer);
}

static void
arm(struct group *g, struct entry *e, int64_t deadline)
{
	e->deadline = deadline;
	if (list_empty(&g->due) ||
	    LIST_ITEM(g->due.prev, struct entry, due)->deadline <= deadline) {
		list_push_back(&g->due, &e->due);
	} else {
		timer_set(&g->late, &e->timer, deadline);
	}
}

void
group_work_extend(struct group *g, struct entry *e, int64_t deadline)
{
	disarm(g, e);
	e->deadline = deadline;
	timer_set(&g->late, &e->timer, deadline);
}

static bool
has_room(const struct group_worker *w)
{
	return !w->closing && w->n < w->credit && (w->n == 0 || w->bytes < w->max_bytes);
}

static bool
fits(const struct group_worker *w, const struct entry *e)
{
	return has_room(w) &&
	       (w->n == 0 || (e->bytes <= w->max_bytes && w->bytes <= w->max_bytes - e->bytes));
}

void
group_work_refile(struct group *g, struct group_worker *w)
{
	list_remove(&w->place);
	list_push_back(w->closing ? &g->closing : has_room(w) ? &g->open : &g->full, &w->place);
}

/* One at a time: each hand-over lets the next one go, and each landing. */
void
group_work_unstall(struct group *g, struct group_worker *w)
{
	struct entry *e = LIST_FIRST(&w->stalled, struct entry, place);

	if (e != NULL && has_room(w))
		group_work_ready(g, e, false);
}

static void
land(struct group *g, struct entry *e)
{
	struct group_worker *w = e->holder;
	bool had = has_room(w);

	disarm(g, e);
	e->holder = NULL;
	set_state(g, e, ENTRY_WAIT);
	w->n--;
	w->bytes -= e->bytes;
	if (!had)
		group_work_refile(g, w);
	/* First its key: the next one of it may be free to go anywhere, and is then no reason for
	 * the others that are stalled here to go on waiting. */
	group_order_landed(g, e);
	group_work_unstall(g, w);
}

void
group_work_lift(struct group *g, struct entry *e)
{
	bool was_ready;

	list_remove(&e->place);
	switch (e->state) {
	case ENTRY_FLIGHT: land(g, e); return;
	case ENTRY_READY: timer_clear(&g->urgent, &e->timer); break;
	case ENTRY_DELAY: timer_clear(&g->delay, &e->timer); break;
	case ENTRY_STALLED: e->holder = NULL; break;
	case ENTRY_WAIT:
	case ENTRY_DYING:
	case ENTRY_STATES: break;
	}
	was_ready = e->state == ENTRY_READY;
	set_state(g, e, ENTRY_WAIT);
	/* It will not be handed over now: the room it was let go for is another's. */
	if (was_ready && e->key != NULL && e->key->holder != NULL)
		group_work_unstall(g, e->key->holder);
}

void
group_work_ready(struct group *g, struct entry *e, bool in_turn)
{
	list_remove(&e->place);
	e->holder = NULL;
	set_state(g, e, ENTRY_READY);
	if (in_turn) {
		list_push_back(&g->ready, &e->place);
	} else {
		timer_set(&g->urgent, &e->timer, (int64_t)e->seq);
	}
}

void
group_work_delay(struct group *g, struct entry *e, int64_t at_ms)
{
	set_state(g, e, ENTRY_DELAY);
	timer_set(&g->delay, &e->timer, at_ms);
}

static struct group_item
item_of(const struct group *g, const struct entry *e)
{
	return (struct group_item){.seq = e->seq,
	    .frame = e->frame,
	    .bytes = e->bytes,
	    .try_no = e->fails + 1,
	    .again = e->delivered || e->seq <= g->suspect};
}

void
group_note(struct group *g, enum group_event what, const struct entry *e, uint64_t session,
    struct span reason)
{
	struct group_item it;

	if (g->ops.note == NULL)
		return;
	it = item_of(g, e);
	g->ops.note(g->ops.arg, what, &it, session, reason);
}

void
group_work_die(struct group *g, struct entry *e, enum group_death why, struct span reason)
{
	static const char *const names[] = {
#define X(id) #id,
	    GROUP_DEATHS(X)
#undef X
	};
	struct group_item it = item_of(g, e);

	it.try_no = e->fails;
	set_state(g, e, ENTRY_DYING);
	list_push_back(&g->dying, &e->place);
	g->ops.dead(g->ops.arg, &it, why, reason.p != NULL ? reason : span_str(names[why]));
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
group_work_forget(struct group *g, struct entry *e)
{
	list_remove(&e->all);
	HASH_DEL(g->entries, e);
	group_work_lift(g, e);
	group_order_del(g, e);
	g->count[ENTRY_WAIT]--;
	g->ahead_bytes -= e->bytes;
	g->ops.drop(g->ops.arg, e->frame);
	free(e);
}

void
group_work_done(struct group *g, struct entry *e)
{
	g->dirty = true;
	g->owed--;
	if (e->seq >= g->high)
		g->high = e->seq + 1;
	group_work_forget(g, e);
}

/* The least loaded of the first few that can take it; ties go round. */
static struct group_worker *
choose(struct group *g, const struct entry *e)
{
	struct group_worker *w, *best = NULL, *last = NULL;
	unsigned seen = 0;

	LIST_EACH (w, &g->open, struct group_worker, place) {
		if (!fits(w, e))
			continue;
		if (e->fails > 0 && w->session == e->handed[0]) {
			last = w; /* it failed there: to another, if there is one */
			continue;
		}
		if (best == NULL || w->n < best->n)
			best = w;
		if (best->n == 0 || ++seen == CANDIDATES)
			break;
	}
	return best ? best : last;
}

static void
note_handed(struct entry *e, uint64_t session)
{
	if (e->handed[0] == session)
		return;
	memmove(e->handed + 1, e->handed, sizeof(e->handed) - sizeof(e->handed[0]));
	e->handed[0] = session;
}

static void
hand_over(struct group *g, struct entry *e, struct group_worker *w, int64_t now)
{
	struct group_item it = item_of(g, e);

	list_remove(&e->place);
	timer_clear(&g->urgent, &e->timer);
	set_state(g, e, ENTRY_FLIGHT);
	e->holder = w;
	list_push_back(&w->flight, &e->place);
	w->n++;
	w->bytes += e->bytes;
	note_handed(e, w->session);
	arm(g, e, now + g->conf.ack_ms);
	/* To the back of the open ones, so that equals take turns. */
	group_work_refile(g, w);
	group_order_sent(g, e);
	group_work_unstall(g, w);
	e->delivered = true;
	if (e->seq >= g->high)
		g->high = e->seq + 1;
	g->dirty = true;
	g->delivered++;
	g->redelivered += it.again ? 1 : 0;
	g->ops.deliver(g->ops.arg, w->user, &it);
}

static struct entry *
ready_head(const struct group *g)
{
	struct entry *a = LIST_FIRST(&g->ready, struct entry, place);
	struct entry *b = g->urgent.n > 0 ? entry_of_timer(g->urgent.v[0]) : NULL;

	if (a == NULL || b == NULL)
		return a ? a : b;
	return a->seq < b->seq ? a : b;
}

/* By seq: what came first goes first.  New ones come in turn, old ones come back to the front. */
static void
stall(struct group *g, struct entry *e, struct group_worker *w)
{
	struct list *before = w->stalled.prev;

	list_remove(&e->place);
	timer_clear(&g->urgent, &e->timer);
	set_state(g, e, ENTRY_STALLED);
	e->holder = w;
	if (!list_empty(&w->stalled) && LIST_FIRST(&w->stalled, struct entry, place)->seq > e->seq)
		before = &w->stalled;
	while (before != &w->stalled && LIST_ITEM(before, struct entry, place)->seq > e->seq)
		before = before->prev;
	list_push_front(before, &e->place);
}

void
group_work_pump(struct group *g, int64_t now, int64_t real)
{
	struct entry *e;

	if (g->conf.paused)
		return;
	while (!list_empty(&g->open) && (e = ready_head(g)) != NULL) {
		struct group_worker *w = e->key ? e->key->holder : NULL;

		if (e->exp_ms != 0 && e->exp_ms <= real) {
			group_note(g, GROUP_EXPIRED, e, 0, (struct span){NULL, 0});
			group_work_lift(g, e);
			group_work_die(g, e, GROUP_DEATH_EXPIRED, (struct span){NULL, 0});
		} else if (e->fails >= g->conf.tries) {
			/* The broker ended before its dead letter was written, or `tries` is lower
			 * now. */
			group_work_lift(g, e);
			group_work_die(g, e, GROUP_DEATH_TRIES, (struct span){NULL, 0});
		} else if (w != NULL && !fits(w, e)) {
			stall(g, e, w);
		} else if (w != NULL || (w = choose(g, e)) != NULL) {
			hand_over(g, e, w, now);
		} else {
			break;
		}
	}
}

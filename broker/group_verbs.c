/* Workers of a group, and what they say. */
#include "broker/group_impl.h"

#include <stdlib.h>

#include "base/die.h"

#define UNTRIED_MS 100
#define BACKOFF_FIRST_MS 250
#define BACKOFF_FACTOR 3
#define BACKOFF_MOST_MS 300000

static struct group_worker *
worker_in(const struct list *l, uint64_t session)
{
	struct group_worker *w;

	LIST_EACH (w, l, struct group_worker, place)
		if (w->session == session)
			return w;
	return NULL;
}

struct group_worker *
group_worker(const struct group *g, uint64_t session)
{
	struct group_worker *w = worker_in(&g->open, session);

	w = w ? w : worker_in(&g->full, session);
	return w ? w : worker_in(&g->closing, session);
}

uint32_t
group_worker_holds(const struct group_worker *w)
{
	return w->n;
}

struct group_worker *
group_join(struct group *g, uint64_t session, uint32_t credit, size_t bytes, void *user)
{
	struct group_worker *w = group_worker(g, session);

	if (w == NULL) {
		w = xcalloc(1, sizeof(*w));
		list_init(&w->place);
		list_init(&w->flight);
		list_init(&w->stalled);
		w->session = session;
		g->workers++;
	} else if (w->closing) {
		g->nclosing--;
		g->workers++;
	}
	w->closing = false;
	w->credit = credit;
	w->max_bytes = bytes;
	w->user = user;
	group_work_refile(g, w);
	group_work_unstall(g, w);
	return w;
}

void
group_close(struct group *g, struct group_worker *w)
{
	if (w->closing)
		return;
	w->closing = true;
	g->workers--;
	g->nclosing++;
	group_work_refile(g, w);
	if (g->workers == 0)
		group_let_go(g);
}

static uint64_t
next_random(struct group *g)
{
	uint64_t z = g->random += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

/* Threefold each time, a quarter more or less, so that what failed together does not come back
 * together. */
static int64_t
backoff(struct group *g, uint32_t fails)
{
	int64_t ms = g->conf.backoff_ms > 0 ? g->conf.backoff_ms : BACKOFF_FIRST_MS;
	int64_t most = g->conf.backoff_max_ms > 0 ? g->conf.backoff_max_ms : BACKOFF_MOST_MS;

	for (uint32_t i = 1; i < fails && ms < most; i++)
		ms *= BACKOFF_FACTOR;
	if (ms > most)
		ms = most;
	return ms - ms / 4 + (int64_t)(next_random(g) % (uint64_t)(ms / 2 + 1));
}

/* A try that counts has failed. */
void
group_fail(struct group *g, struct entry *e, int64_t delay, enum group_death why,
    struct span reason, int64_t now)
{
	g->dirty = true;
	group_work_lift(g, e);
	e->fails++;
	if (e->fails >= g->conf.tries) {
		group_work_die(g, e, why, reason);
	} else {
		group_work_delay(g, e, now + (delay >= 0 ? delay : backoff(g, e->fails)));
	}
	group_order_back(g, e);
}

void
group_leave(struct group *g, struct group_worker *w, int64_t now)
{
	struct entry *e;

	if (w->closing) {
		g->nclosing--;
	} else {
		g->workers--;
	}
	w->closing = true;
	group_work_refile(g, w);
	while ((e = LIST_FIRST(&w->flight, struct entry, place)) != NULL) {
		group_note(g, GROUP_LOST, e, w->session, span_str("WORKER_LOST"));
		group_fail(g, e, -1, GROUP_DEATH_WORKER_LOST, (struct span){NULL, 0}, now);
	}
	INVARIANT(w->n == 0 && list_empty(&w->stalled));
	list_remove(&w->place);
	free(w);
	if (g->workers == 0)
		group_let_go(g);
}

static bool
was_handed(const struct entry *e, uint64_t session)
{
	for (int i = 0; i < ENTRY_HANDED; i++) {
		if (e->handed[i] == session)
			return true;
	}
	return false;
}

static bool
stale(struct group *g)
{
	g->stale++;
	return false;
}

bool
group_ack(struct group *g, uint64_t session, uint64_t seq)
{
	struct entry *e = group_find(g, seq);

	if (e == NULL || e->state == ENTRY_DYING || !was_handed(e, session))
		return stale(g);
	g->acked++;
	group_note(g, GROUP_ACKED, e, session, (struct span){NULL, 0});
	group_work_done(g, e);
	return true;
}

/* The entry, when this session holds it with this try. */
static struct entry *
held(const struct group *g, uint64_t session, uint64_t seq, uint64_t try_no)
{
	struct entry *e = group_find(g, seq);

	if (e == NULL || e->state != ENTRY_FLIGHT || e->holder->session != session ||
	    e->fails + UINT64_C(1) != try_no)
		return NULL;
	return e;
}

bool
group_nak(struct group *g, uint64_t session, const struct group_verdict *v, int64_t now)
{
	struct entry *e = held(g, session, v->seq, v->try_no);

	if (e == NULL)
		return stale(g);
	group_note(g, GROUP_NAKED, e, session, v->reason);
	if (v->untried) {
		group_work_lift(g, e);
		group_work_delay(g, e, now + (v->ms >= 0 ? v->ms : UNTRIED_MS));
		group_order_back(g, e);
	} else {
		group_fail(g, e, v->ms, GROUP_DEATH_NAK, v->reason, now);
	}
	return true;
}

bool
group_reject(struct group *g, uint64_t session, const struct group_verdict *v)
{
	struct entry *e = held(g, session, v->seq, v->try_no);

	if (e == NULL)
		return stale(g);
	g->dirty = true;
	group_note(g, GROUP_REJECTED, e, session, v->reason);
	group_work_lift(g, e);
	e->fails++;
	group_work_die(g, e, GROUP_DEATH_REJECTED, v->reason);
	return true;
}

bool
group_extend(struct group *g, uint64_t session, const struct group_verdict *v, int64_t now)
{
	struct entry *e = held(g, session, v->seq, v->try_no);

	if (e == NULL)
		return stale(g);
	group_note(g, GROUP_EXTENDED, e, session, (struct span){NULL, 0});
	group_work_extend(g, e, now + v->ms);
	return true;
}

void
group_dead_done(struct group *g, uint64_t seq)
{
	struct entry *e = group_find(g, seq);

	if (e == NULL || e->state != ENTRY_DYING)
		return;
	g->dead++;
	group_note(g, GROUP_DEAD, e, 0, (struct span){NULL, 0});
	group_work_done(g, e);
}

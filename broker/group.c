#include "broker/group.h"

#include <stdlib.h>

#include "base/die.h"
#include "broker/group_impl.h"

#define BACKOFF_FIRST_MS 250
#define BACKOFF_FACTOR 3
#define BACKOFF_MOST_MS 300000

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

/* Let go of what is only read ahead, from the newest down to the first that has a history. */
static void
let_go(struct group *g)
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
		let_go(g);
}

/* ---- records ---- */

void
group_commit(struct group *g, uint64_t n)
{
	g->owed += (int64_t)n;
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

static struct entry *
/* NOLINTNEXTLINE(readability-function-size): uthash */
find(const struct group *g, uint64_t seq)
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
	done = (k == NULL && r->seq < g->known_high) || find(g, r->seq) != NULL;
	if (!done && !group_wants(g)) {
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

static void
drop_known(struct group *g, uint64_t seq)
{
	for (size_t i = g->iknown; i < g->nknown && g->known[i].seq <= seq; i++) {
		if (g->known[i].seq != seq)
			continue;
		memmove(g->known + i, g->known + i + 1, (g->nknown - i - 1) * sizeof(*g->known));
		g->nknown--;
		g->owed--;
		g->dropped++;
		g->dirty = true;
		return;
	}
}

void
group_drop(struct group *g, uint64_t seq)
{
	struct entry *e = find(g, seq);

	if (e != NULL) {
		if (e->state == ENTRY_FLIGHT || e->state == ENTRY_DYING)
			return; /* we still have it, and it may still be done */
		g->dropped++;
		group_work_lift(g, e);
		group_work_done(g, e);
	} else if (seq < g->known_high) {
		drop_known(g, seq);
	} else if (!g->live && seq >= g->read) {
		g->owed--;
		g->dropped++;
		g->dirty = true;
	}
}

/* ---- workers ---- */

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
		let_go(g);
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
	int64_t ms = BACKOFF_FIRST_MS;

	for (uint32_t i = 1; i < fails && ms < BACKOFF_MOST_MS; i++)
		ms *= BACKOFF_FACTOR;
	if (ms > BACKOFF_MOST_MS)
		ms = BACKOFF_MOST_MS;
	return ms - ms / 4 + (int64_t)(next_random(g) % (uint64_t)(ms / 2));
}

/* A try that counts has failed. */
static void
fail(struct group *g, struct entry *e, int64_t delay, struct span reason, int64_t now)
{
	g->dirty = true;
	group_work_lift(g, e);
	e->fails++;
	if (e->fails >= g->conf.tries) {
		group_work_die(g, e, reason);
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
	while ((e = LIST_FIRST(&w->flight, struct entry, place)) != NULL)
		fail(g, e, -1, span_str("WORKER_LOST"), now);
	INVARIANT(w->n == 0 && list_empty(&w->stalled));
	list_remove(&w->place);
	free(w);
	if (g->workers == 0)
		let_go(g);
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
	struct entry *e = find(g, seq);

	if (e == NULL || e->state == ENTRY_DYING || !was_handed(e, session))
		return stale(g);
	g->acked++;
	group_work_done(g, e);
	return true;
}

/* The entry, when this session holds it with this try. */
static struct entry *
held(const struct group *g, uint64_t session, uint64_t seq, uint64_t try_no)
{
	struct entry *e = find(g, seq);

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
	fail(g, e, v->ms, v->reason.p ? v->reason : span_str("NAK"), now);
	return true;
}

bool
group_reject(struct group *g, uint64_t session, const struct group_verdict *v)
{
	struct entry *e = held(g, session, v->seq, v->try_no);

	if (e == NULL)
		return stale(g);
	g->dirty = true;
	group_work_lift(g, e);
	e->fails++;
	group_work_die(g, e, v->reason.p ? v->reason : span_str("REJECTED"));
	return true;
}

bool
group_extend(struct group *g, uint64_t session, const struct group_verdict *v, int64_t now)
{
	struct entry *e = held(g, session, v->seq, v->try_no);

	if (e == NULL)
		return stale(g);
	group_work_extend(g, e, now + v->ms);
	return true;
}

void
group_dead_done(struct group *g, uint64_t seq)
{
	struct entry *e = find(g, seq);

	if (e == NULL || e->state != ENTRY_DYING)
		return;
	g->dead++;
	group_work_done(g, e);
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
		fail(g, e, -1, span_str("ACK_TIMEOUT"), now);
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

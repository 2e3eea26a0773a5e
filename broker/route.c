#include "broker/route.h"

#include <stdlib.h>

#include "base/die.h"
#include "broker/route_impl.h"
#include "proto/limits.h"
#include "proto/topic.h"

enum {
	BOUNCES = 8, /* times one request is tried again */
	SPARE = 4096 /* flights kept for the next, 1.5 MiB */
};

void
route_peer_init(struct route_peer *p, uint64_t session)
{
	*p = (struct route_peer){.session = session};
	list_init(&p->asked);
	list_init(&p->members);
}

struct route *
route_new(struct match *m, const struct route_ops *ops, uint64_t salt, size_t max_bytes,
    size_t max_peer_bytes)
{
	struct route *r = xcalloc(1, sizeof(*r));

	r->match = m;
	r->ops = *ops;
	r->salt = salt;
	r->max_bytes = max_bytes;
	r->max_peer_bytes = max_peer_bytes;
	r->free_slot = ROUTE_NO_SLOT;
	r->spare.most = SPARE;
	list_init(&r->homeless);
	return r;
}

/* ---- requests ---- */

enum err
route_request(struct route *r, const struct route_req *q, int64_t now)
{
	size_t bytes = q->frame.n + sizeof(struct flight);
	struct route_pool *p;
	struct route_member *m;
	struct flight *f;

	if (route_flight_by_client(r, q->client, q->id) != NULL)
		return ERR_OK;
	p = route_pool_for(r, q->topic);
	if (p == NULL && now >= r->patient_until)
		return ERR_NO_WORKERS;
	if (r->bytes + bytes > r->max_bytes || q->client->bytes + bytes > r->max_peer_bytes)
		return ERR_BUSY;
	m = p != NULL && list_empty(&p->waiting) ? route_pool_choose(p, bytes) : NULL;
	f = route_flight_new(r, q, now);
	if ((m == NULL || f->again) && !route_flight_keep(f, q->frame)) {
		route_flight_free(r, f);
		return ERR_BUSY;
	}
	r->count.requests++;
	if (m != NULL) {
		route_flight_send(r, f, m, q->frame, now);
	} else if (p == NULL) {
		route_flight_park(r, f);
	} else {
		route_flight_wait(r, f, p, false);
	}
	return ERR_OK;
}

/* One that waited is gone: it may have been too big for the room there was. */
static void
close_ranks(struct route *r, struct route_pool *p, int64_t now)
{
	if (p == NULL)
		return;
	route_flight_pump(r, p, now);
	route_pool_release(r, p);
}

static void
give_up(struct route *r, struct flight *f, int64_t now)
{
	struct route_pool *p = f->pool;
	uint8_t id[16];

	if (f->state == FLIGHT_WAITS) {
		route_flight_free(r, f);
		close_ranks(r, p, now);
		return;
	}
	route_flight_id(r, f, id);
	route_flight_ghost(r, f);
	r->ops.cancel(r->ops.arg, f->member->peer, id);
}

bool
route_cancel(struct route *r, struct route_peer *client, const uint8_t id[16], int64_t now)
{
	struct flight *f = route_flight_by_client(r, client, id);

	if (f == NULL)
		return false;
	give_up(r, f, now);
	return true;
}

bool
route_more(
    struct route *r, struct route_peer *client, const uint8_t id[16], uint64_t n, int64_t now)
{
	struct flight *f = route_flight_by_client(r, client, id);
	uint8_t own[16];

	if (f == NULL || f->state != FLIGHT_SENT)
		return false;
	f->window = n < UINT32_MAX - f->window ? f->window + n : UINT32_MAX;
	if (f->started)
		route_flight_arm(r, f, now + f->ttl);
	route_flight_id(r, f, own);
	r->ops.more(r->ops.arg, f->member->peer, own, n);
	return true;
}

/* To another worker; it may have been run, or surely was not.  False: it cannot be. */
static bool
try_again(struct route *r, struct flight *f, bool may_have_run, int64_t now)
{
	struct route_member *from = f->member;
	struct route_pool *p;

	if (f->client == NULL || f->copy == NULL || f->started || f->deadline <= now ||
	    f->bounces == BOUNCES)
		return false;
	p = route_pool_for(r, span_of(f->copy + f->topic_at, f->ntopic));
	if (p == NULL ? !(may_have_run && r->patient)
		      : from->pool == p && p->members == 1 && !from->closing)
		return false;
	route_flight_lift(r, f);
	f->resent |= may_have_run;
	f->bounces++;
	r->count.again++;
	route_flight_rename(
	    r, f); /* the first worker's answer, if it still comes, is not of this try */
	if (p == NULL) {
		route_flight_park(r, f);
		return true;
	}
	route_flight_wait(r, f, p, true);
	route_flight_pump(r, p, now);
	return true;
}

static void
on_part(struct route *r, struct flight *f, int64_t now)
{
	f->started = true;
	free(f->copy);
	f->copy = NULL;
	if (f->window > 0)
		f->window--;
	/* With its window used up the worker waits for the client, which is alive. */
	route_flight_arm(r, f, now + (f->window > 0 ? f->ttl : LIMIT_TTL_MS));
}

/* Out of its pool for good, once it holds nothing. */
static void
retire(struct route *r, struct route_member *m)
{
	struct route_pool *p = m->pool;

	if (!m->closing || m->n > 0)
		return;
	list_remove(&m->place);
	list_remove(&m->by_peer);
	free(m);
	route_pool_release(r, p);
}

enum route_verdict
route_answer(struct route *r, struct route_peer *worker, const struct route_say *say, int64_t now,
    struct route_to *to)
{
	struct flight *f = route_flight_by_id(r, say->id);
	struct route_member *m;
	bool ghost;

	if (f == NULL || f->member == NULL || f->member->peer != worker) {
		r->count.stale++;
		return ROUTE_STALE;
	}
	ghost = f->state == FLIGHT_GHOST;
	to->client = f->client;
	memcpy(to->id, f->key.id, 16);
	if (say->more) {
		if (!ghost)
			on_part(r, f, now);
		return ghost ? ROUTE_DISCARD : ROUTE_PASS;
	}
	m = f->member;
	if ((say->code == ERR_DRAINING || say->code == ERR_NO_WORKERS) &&
	    try_again(r, f, false, now)) {
		route_flight_pump(r, m->pool, now);
		retire(r, m);
		return ROUTE_DISCARD;
	}
	r->count.answered += ghost ? 0 : 1;
	route_flight_free(r, f);
	route_flight_pump(r, m->pool, now);
	retire(r, m);
	return ghost ? ROUTE_DISCARD : ROUTE_PASS;
}

/* ---- workers ---- */

/* Nobody is left who could take what waits in p: elsewhere, or back. */
static void
disperse(struct route *r, struct route_pool *p, int64_t now)
{
	struct flight *f;

	while (p->members == 0 && (f = LIST_FIRST(&p->waiting, struct flight, place)) != NULL) {
		struct route_pool *other =
		    route_pool_for(r, span_of(f->copy + f->topic_at, f->ntopic));

		if (other == NULL && f->resent && r->patient) {
			route_flight_lift(r, f);
			route_flight_park(r, f);
			continue;
		}
		if (other == NULL) {
			route_flight_fail(r, f, f->resent ? ERR_WORKER_LOST : ERR_NO_WORKERS,
			    "no worker is left");
			continue;
		}
		route_flight_lift(r, f);
		route_flight_wait(r, f, other, false);
		route_flight_pump(r, other, now);
	}
}

/* What waited for a pool like this one, in the order in which it came. */
static void
take_home(struct route *r, struct route_pool *p, int64_t now)
{
	struct span pattern = span_of(p->pattern, p->npattern);
	struct flight *f;

	LIST_EACH (f, &r->homeless, struct flight, place) {
		if (!topic_match(pattern, span_of(f->copy + f->topic_at, f->ntopic)))
			continue;
		route_flight_lift(r, f);
		route_flight_arm(r, f, f->deadline);
		route_flight_wait(r, f, p, false);
	}
	route_flight_pump(r, p, now);
}

void
route_join(struct route *r, struct route_peer *peer, struct span pattern, uint32_t credit,
    size_t bytes, int64_t now)
{
	struct route_member *m = route_pool_member(peer, pattern);
	bool opens = m == NULL || m->closing;

	if (m == NULL) {
		m = xcalloc(1, sizeof(*m));
		m->peer = peer;
		m->pool = route_pool_of(r, pattern);
		list_init(&m->place);
		list_init(&m->flights);
		list_push_back(&peer->members, &m->by_peer);
	}
	m->credit = credit;
	m->max_bytes = bytes;
	if (opens) {
		route_pool_open(r, m);
	} else {
		route_pool_refile(m);
	}
	take_home(r, m->pool, now);
}

void
route_be_patient(struct route *r, int64_t until)
{
	r->patient = true;
	r->patient_until = until;
}

bool
route_close(struct route *r, struct route_peer *peer, struct span pattern, int64_t now)
{
	struct route_member *m = route_pool_member(peer, pattern);

	if (m == NULL || m->closing)
		return false;
	route_pool_shut(r, m);
	disperse(r, m->pool, now);
	retire(r, m);
	return true;
}

static void
member_gone(struct route *r, struct route_member *m, int64_t now)
{
	struct route_pool *p = m->pool;
	struct flight *f;

	if (!m->closing)
		route_pool_shut(r, m);
	while ((f = LIST_FIRST(&m->flights, struct flight, place)) != NULL) {
		if (f->state == FLIGHT_SENT && f->again && try_again(r, f, true, now))
			continue;
		if (f->state == FLIGHT_SENT)
			route_flight_fail(r, f, ERR_WORKER_LOST, "the worker was lost");
		route_flight_free(r, f);
	}
	disperse(r, p, now);
	retire(r, m);
}

void
route_peer_gone(struct route *r, struct route_peer *peer, int64_t now)
{
	struct route_member *m;
	struct flight *f;

	LIST_EACH (m, &peer->members, struct route_member, by_peer)
		if (!m->closing)
			route_pool_shut(r, m);
	while ((f = LIST_FIRST(&peer->asked, struct flight, by_peer)) != NULL)
		give_up(r, f, now);
	LIST_EACH (m, &peer->members, struct route_member, by_peer)
		member_gone(r, m, now);
}

/* ---- time and numbers ---- */

void
route_run(struct route *r, int64_t now)
{
	struct timer *t;

	while ((t = timer_pop(&r->deadlines, now)) != NULL) {
		struct flight *f = LIST_ITEM(t, struct flight, timer);

		if (f->state == FLIGHT_SENT) {
			route_flight_fail(r, f, ERR_TIMEOUT, "no answer before the deadline");
		} else if (f->pool == NULL && !f->resent) {
			route_flight_fail(r, f, ERR_NO_WORKERS, "no worker serves this topic");
		} else {
			struct route_pool *p = f->pool;

			route_flight_fail(r, f, f->resent ? ERR_WORKER_LOST : ERR_BUSY,
			    "no worker had room before the deadline");
			close_ranks(r, p, now);
		}
	}
}

int64_t
route_next(const struct route *r)
{
	return timer_next(&r->deadlines);
}

void
route_stats(const struct route *r, struct route_stats *s)
{
	*s = r->count;
	s->ghosts = r->nghosts;
	s->under_way = r->under_way;
	s->waiting = r->waiting;
	s->bytes = r->bytes;
	s->pools = HASH_COUNT(r->pools);
}

static void
free_members(struct list *l)
{
	struct route_member *m;

	LIST_EACH (m, l, struct route_member, place) {
		list_remove(&m->by_peer);
		free(m);
	}
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
route_free(struct route *r)
{
	struct route_pool *p, *tmp;

	if (r == NULL)
		return;
	for (uint32_t i = 0; i < r->nslots; i++) {
		if (r->slots[i].f != NULL)
			route_flight_free(r, r->slots[i].f);
	}
	HASH_ITER (hh, r->pools, p, tmp) {
		match_del(r->match, &p->match);
		free_members(&p->open);
		free_members(&p->full);
		free_members(&p->closing);
		HASH_DEL(r->pools, p); /* NOLINT(clang-analyzer-*): uthash */
		free(p);
	}
	timer_heap_fini(&r->deadlines);
	pool_fini(&r->spare);
	free(r->slots);
	free(r);
}

void
route_check(const struct route *r)
{
	const struct route_pool *p;
	size_t under_way = 0, waiting = 0, bytes = 0, ghosts = 0;

	for (uint32_t i = 0; i < r->nslots; i++) {
		const struct flight *f = r->slots[i].f;

		if (f == NULL)
			continue;
		INVARIANT((f->client == NULL) == (f->state == FLIGHT_GHOST));
		INVARIANT((f->member == NULL) == (f->state == FLIGHT_WAITS));
		INVARIANT(timer_is_set(&f->timer) == (f->client != NULL));
		INVARIANT(f->state != FLIGHT_WAITS || f->copy != NULL);
		ghosts += f->state == FLIGHT_GHOST ? 1 : 0;
		waiting += f->state == FLIGHT_WAITS ? 1 : 0;
		under_way += f->client ? 1 : 0;
		bytes += f->client ? f->bytes : 0;
	}
	INVARIANT(under_way == r->under_way && waiting == r->waiting && bytes == r->bytes &&
		  ghosts == r->nghosts);
	INVARIANT(HASH_COUNT(r->asked) == under_way && bytes <= r->max_bytes);
	for (p = r->pools; p != NULL; p = p->hh.next) {
		INVARIANT((p->match.at != NULL) == (p->members > 0));
		INVARIANT(p->members > 0 || list_empty(&p->waiting));
	}
}

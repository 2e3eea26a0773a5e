/* Pools of workers. */
#include "broker/route_impl.h"

#include <stdlib.h>

#include "base/die.h"

enum {
	CANDIDATES = 8,
	SERVING = 65536 /* in the hands of one peer, of all patterns, ghosts included */
};

struct route_pool *
/* NOLINTNEXTLINE(readability-function-size): uthash */
route_pool_of(struct route *r, struct span pattern)
{
	struct route_pool *p;

	HASH_FIND(hh, r->pools, pattern.p, (unsigned)pattern.n, p);
	if (p != NULL)
		return p;
	p = xcalloc(1, sizeof(*p) + pattern.n);
	p->match.kind = MATCH_POOL;
	p->npattern = (unsigned)pattern.n;
	memcpy(p->pattern, pattern.p, pattern.n);
	list_init(&p->open);
	list_init(&p->full);
	list_init(&p->closing);
	list_init(&p->waiting);
	HASH_ADD(hh, r->pools, pattern, p->npattern, p);
	return p;
}

static bool
first_pool(void *arg, struct match_entry *e)
{
	struct route_pool **found = arg;

	if (e->kind != MATCH_POOL)
		return true;
	*found = LIST_ITEM(e, struct route_pool, match);
	return false;
}

struct route_pool *
route_pool_for(struct route *r, struct span topic)
{
	struct route_pool *p = NULL;

	match_each(r->match, topic, first_pool, &p);
	return p;
}

static bool
has_room(const struct route_member *m)
{
	return !m->closing && m->n < m->credit && (m->n == 0 || m->bytes < m->max_bytes);
}

bool
route_pool_fits(const struct route_member *m, size_t bytes)
{
	return has_room(m) && m->peer->serving < SERVING &&
	       (m->n == 0 || (bytes <= m->max_bytes && m->bytes <= m->max_bytes - bytes));
}

/* The least loaded of the first few that can take it; ties go round, since who gets one goes to the
 * back. */
struct route_member *
route_pool_choose(struct route_pool *p, size_t bytes)
{
	struct route_member *m, *best = NULL;
	unsigned seen = 0;

	LIST_EACH (m, &p->open, struct route_member, place) {
		if (!route_pool_fits(m, bytes))
			continue;
		if (best == NULL || m->n < best->n)
			best = m;
		if (best->n == 0 || ++seen == CANDIDATES)
			break;
	}
	return best;
}

void
route_pool_refile(struct route_member *m)
{
	struct route_pool *p = m->pool;

	list_remove(&m->place);
	list_push_back(m->closing ? &p->closing : has_room(m) ? &p->open : &p->full, &m->place);
}

struct route_member *
route_pool_member(const struct route_peer *p, struct span pattern)
{
	struct route_member *m;

	LIST_EACH (m, &p->members, struct route_member, by_peer)
		if (span_eq(span_of(m->pool->pattern, m->pool->npattern), pattern))
			return m;
	return NULL;
}

void
route_pool_open(struct route *r, struct route_member *m)
{
	struct route_pool *p = m->pool;

	m->closing = false;
	if (p->members++ == 0)
		match_add(r->match, span_of(p->pattern, p->npattern), &p->match);
	route_pool_refile(m);
}

void
route_pool_shut(struct route *r, struct route_member *m)
{
	struct route_pool *p = m->pool;

	m->closing = true;
	if (--p->members == 0)
		match_del(r->match, &p->match);
	route_pool_refile(m);
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
route_pool_release(struct route *r, struct route_pool *p)
{
	if (p->members > 0 || !list_empty(&p->closing) || !list_empty(&p->waiting))
		return;
	HASH_DEL(r->pools, p);
	free(p);
}

#include "broker/registry.h"

#include <stdlib.h>

#include "base/die.h"
#include "proto/digest.h"

void
registry_init(struct registry *r)
{
	*r = (struct registry){0};
	list_init(&r->ages);
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
desc_drop(struct registry *r, struct desc *d)
{
	if (d == NULL || --d->refs > 0)
		return;
	HASH_DEL(r->descs, d);
	free(d);
}

static struct desc *
/* NOLINTNEXTLINE(readability-function-size): uthash */
desc_of(struct registry *r, struct span body)
{
	uint8_t digest[DIGEST_BYTES];
	struct desc *d;

	if (body.p == NULL)
		return NULL;
	digest_parts(digest, &body, 1);
	HASH_FIND(hh, r->descs, digest, sizeof(digest), d);
	if (d == NULL) {
		uint8_t *bytes;

		d = xcalloc(1, sizeof(*d) + body.n);
		bytes = (uint8_t *)(d + 1);
		memcpy(bytes, body.p, body.n);
		memcpy(d->digest, digest, sizeof(digest));
		d->body = span_of(bytes, body.n);
		HASH_ADD(hh, r->descs, digest, sizeof(d->digest), d);
	}
	d->refs++;
	return d;
}

void
registry_fini(struct registry *r)
{
	INVARIANT(r->npeers == 0);
	*r = (struct registry){0};
}

struct peer *
/* NOLINTNEXTLINE(readability-function-size): uthash */
registry_find(const struct registry *r, struct span rid)
{
	struct peer *p;

	HASH_FIND(hh, r->by_rid, rid.p, (unsigned)rid.n, p);
	return p;
}

struct peer *
/* NOLINTNEXTLINE(readability-function-size): uthash */
registry_by_session(const struct registry *r, uint64_t session)
{
	struct peer *p;

	HASH_FIND(hh_no, r->by_session, &session, sizeof(session), p);
	return p;
}

struct peer *
/* NOLINTNEXTLINE(readability-function-size): uthash */
registry_add(struct registry *r, struct span rid, int64_t now)
{
	struct peer *p;

	if (r->npeers >= REGISTRY_PEERS || rid.n == 0 || rid.n > REGISTRY_RID)
		return NULL;
	p = xcalloc(1, sizeof(*p));
	p->nrid = (unsigned)rid.n;
	memcpy(p->rid, rid.p, rid.n);
	p->session = ++r->last_session;
	p->since_ms = p->last_ms = now;
	route_peer_init(&p->route, p->session);
	pack_init(&p->pack);
	list_init(&p->subs);
	list_init(&p->unsent);
	list_init(&p->queue);
	list_init(&p->held);
	list_init(&p->queued);
	list_init(&p->dying);
	list_push_back(&r->ages, &p->by_age);
	HASH_ADD(hh, r->by_rid, rid, p->nrid, p);
	HASH_ADD(hh_no, r->by_session, session, sizeof(p->session), p);
	r->npeers++;
	return p;
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
registry_remove(struct registry *r, struct peer *p)
{
	INVARIANT(list_empty(&p->subs) && list_empty(&p->queue));
	HASH_DELETE(hh, r->by_rid, p);
	HASH_DELETE(hh_no, r->by_session, p);
	list_remove(&p->by_age);
	list_remove(&p->unsent);
	list_remove(&p->queued);
	list_remove(&p->dying);
	pack_fini(&p->pack);
	r->npeers--;
	free(p);
}

void
registry_heard(struct registry *r, struct peer *p, int64_t now)
{
	p->probed = false;
	if (p->last_ms == now)
		return;
	p->last_ms = now;
	list_remove(&p->by_age);
	list_push_back(&r->ages, &p->by_age);
}

struct sub *
registry_sub(const struct peer *p, enum sub_kind kind, struct span pattern)
{
	struct sub *s;

	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (s->kind == kind && span_eq(s->pattern, pattern))
			return s;
	return NULL;
}

struct sub *
registry_sub_add(struct peer *p, enum sub_kind kind, struct span pattern)
{
	struct sub *s;
	uint8_t *bytes;

	if (p->nsubs >= REGISTRY_SUBS)
		return NULL;
	s = xcalloc(1, sizeof(*s) + pattern.n);
	bytes = (uint8_t *)(s + 1);
	memcpy(bytes, pattern.p, pattern.n);
	s->pattern = span_of(bytes, pattern.n);
	s->peer = p;
	s->kind = kind;
	s->match.kind = MATCH_TAIL;
	list_init(&s->behind);
	list_push_back(&p->subs, &s->by_peer);
	p->nsubs++;
	return s;
}

void
registry_sub_remove(struct registry *r, struct sub *s)
{
	INVARIANT(s->match.at == NULL);
	list_remove(&s->by_peer);
	list_remove(&s->behind);
	s->peer->nsubs--;
	desc_drop(r, s->desc);
	free(s->last);
	free(s);
}

void
registry_describe(struct registry *r, struct sub *s, struct span body)
{
	struct desc *d = desc_of(r, body);

	desc_drop(r, s->desc);
	s->desc = d;
}

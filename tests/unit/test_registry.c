/* Peers, their subscriptions and descriptions. */
#include "broker/registry.h"
#include "tests/unit/check.h"

static void
peers(void)
{
	struct registry r;
	struct peer *a, *b, *first;

	registry_init(&r);
	CHECK(registry_find(&r, span_str("a")) == NULL);
	a = registry_add(&r, span_str("a"), 10);
	b = registry_add(&r, span_of("\0\1", 2), 20);
	CHECK(a && b && a->session == 1 && b->session == 2 && r.npeers == 2);
	CHECK(registry_find(&r, span_str("a")) == a && registry_find(&r, span_of("\0\1", 2)) == b);
	CHECK(registry_by_session(&r, 2) == b && registry_by_session(&r, 3) == NULL);
	CHECK(registry_add(&r, span_of("", 0), 1) == NULL);
	registry_heard(&r, a, 30);
	first = LIST_FIRST(&r.ages, struct peer, by_age);
	CHECK(first == b && a->last_ms == 30);
	registry_remove(&r, a);
	CHECK(registry_find(&r, span_str("a")) == NULL && registry_by_session(&r, 1) == NULL);
	a = registry_add(&r, span_str("a"), 40);
	CHECK(a->session == 3); /* never the same again */
	registry_remove(&r, a);
	registry_remove(&r, b);
	registry_fini(&r);
}

static void
limits(void)
{
	struct registry r;
	struct peer *p, *tmp;
	unsigned n = 0;

	registry_init(&r);
	for (uint32_t i = 0; i < REGISTRY_PEERS + 5; i++)
		n += registry_add(&r, span_of(&i, sizeof i), 1) != NULL;
	CHECK(n == REGISTRY_PEERS);
	p = r.by_rid;
	n = 0;
	for (uint32_t i = 0; i < REGISTRY_SUBS + 5; i++)
		n += registry_sub_add(p, SUB_SERVE, span_str("a.b")) != NULL;
	CHECK(n == REGISTRY_SUBS && p->nsubs == n);
	while (!list_empty(&p->subs))
		registry_sub_remove(&r, LIST_FIRST(&p->subs, struct sub, by_peer));
	CHECK(p->nsubs == 0);
	HASH_ITER (hh, r.by_rid, p, tmp)
		registry_remove(&r, p);
	registry_fini(&r);
}

static void
descriptions(void)
{
	struct registry r;
	struct peer *p;
	struct sub *s, *t;

	registry_init(&r);
	p = registry_add(&r, span_str("p"), 1);
	s = registry_sub_add(p, SUB_SERVE, span_str("a.*"));
	t = registry_sub_add(p, SUB_TAIL, span_str("a.*"));
	CHECK(registry_sub(p, SUB_TAIL, span_str("a.*")) == t &&
	      registry_sub(p, SUB_TAIL, span_str("a.b")) == NULL);
	registry_describe(&r, s, span_str("one"));
	registry_describe(&r, t, span_str("one"));
	CHECK(s->desc == t->desc && s->desc->refs == 2 && span_is(s->desc->body, "one"));
	registry_describe(&r, t, span_str("two"));
	CHECK(s->desc != t->desc && s->desc->refs == 1 && HASH_COUNT(r.descs) == 2);
	registry_describe(&r, t, (struct span){NULL, 0});
	CHECK(t->desc == NULL && HASH_COUNT(r.descs) == 1);
	registry_sub_remove(&r, s);
	registry_sub_remove(&r, t);
	CHECK(r.descs == NULL);
	registry_remove(&r, p);
	registry_fini(&r);
}

int
main(void)
{
	peers();
	limits();
	descriptions();
	return check_done();
}

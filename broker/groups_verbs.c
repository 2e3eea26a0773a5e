/* UNSUB, ACK, NAK, REJECT, EXTEND: what workers of a group say. */
#include "broker/groups_impl.h"

#include "proto/mp.h"

static void
after_leave(struct owed_group *g)
{
	struct group_stats st;

	group_stats(g->core, g->b->head, &st);
	if (st.workers == 0 && g->idle_since_ms == 0)
		g->idle_since_ms = broker_now(g->b);
	if (!g->sealed && group_is_idle(g->core))
		groups_save_soon(g); /* a crash from here on leaves no doubt who saw what */
	groups_busy(g);
	broker_changed(g->b, true, true);
}

void
groups_unsub(struct broker *b, struct sub *s)
{
	struct owed_group *g = s->group;
	struct group_worker *w = group_worker(g->core, s->peer->session);

	if (w == NULL || group_worker_holds(w) == 0) {
		groups_leave(b, s);
		return;
	}
	s->closing = true;
	group_close(g->core, w);
	after_leave(g);
}

void
groups_leave(struct broker *b, struct sub *s)
{
	struct owed_group *g = s->group;
	struct group_worker *w = group_worker(g->core, s->peer->session);

	if (w != NULL)
		group_leave(g->core, w, broker_now(b));
	g->subs--;
	after_leave(g);
	registry_sub_remove(&b->reg, s);
}

void
groups_end(struct broker *b, struct owed_group *g)
{
	for (struct peer *p = b->reg.by_rid; p != NULL; p = p->hh.next) {
		struct sub *s = groups_sub_of(p, g);

		if (s != NULL)
			registry_sub_remove(&b->reg, s);
	}
	groups_remove(g);
}

/* ---- ACK and the others ---- */

static struct owed_group *
named(struct broker *b, const struct env *e)
{
	struct owed_group *g = groups_find(b, env_s(e, ENV_M_GROUP));

	if (g != NULL && g->core != NULL)
		return g;
	b->drops[DROP_STALE]++;
	return NULL;
}

enum { ACK_MOST = 65536 }; /* seqs in one ACK: as many as there can be credit for */

void
groups_ack(struct broker *b, struct peer *p, const struct env *e)
{
	struct span raw = env_s(e, ENV_M_SEQS);
	struct owed_group *g = named(b, e);
	struct mp_r r;
	unsigned n;

	if (g == NULL)
		return;
	/* More than a header holds come as the body. */
	if (raw.p == NULL && mp_scan(e->body, 2, ACK_MOST + 1) == e->body.n)
		raw = e->body;
	mp_r_init(&r, raw);
	n = mp_array(&r);
	b->work += n / 16;
	for (unsigned i = 0; i < n && !r.bad; i++) {
		uint64_t seq = mp_u64(&r, INT64_MAX);

		if (!r.bad && !group_ack(g->core, p->session, seq))
			b->drops[DROP_STALE]++;
	}
	if (r.bad)
		b->drops[DROP_BAD_ENVELOPE]++;
	groups_busy(g);
}

void
groups_verdict(struct broker *b, struct peer *p, const struct env *e)
{
	struct owed_group *g = named(b, e);
	struct group_verdict v = {.seq = env_u(e, ENV_M_SEQ, 0),
	    .try_no = env_u(e, ENV_M_TRY, 0),
	    .ms = env_has(e, ENV_M_DELAY) ? (int64_t)env_u(e, ENV_M_DELAY, 0) : -1,
	    .reason = env_s(e, ENV_M_REASON),
	    .untried = env_u(e, ENV_M_AGAIN, 0) != 0};
	bool took;

	if (g == NULL)
		return;
	if (e->verb == ENV_NAK) {
		took = group_nak(g->core, p->session, &v, broker_now(b));
	} else if (e->verb == ENV_REJECT) {
		took = group_reject(g->core, p->session, &v);
	} else {
		v.ms = (int64_t)env_u(e, ENV_M_MS, (uint64_t)g->set.ack_ms);
		took = group_extend(g->core, p->session, &v, broker_now(b));
	}
	if (!took)
		b->drops[DROP_STALE]++;
	groups_busy(g);
}

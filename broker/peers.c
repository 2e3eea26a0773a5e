#include "broker/peers.h"

#include "base/log.h"
#include "broker/auth.h"
#include "broker/out.h"
#include "broker/pace.h"
#include "broker/tails.h"

enum { PROBE_MS = 1500 };

struct peer *
peers_from(struct broker *b, struct span rid, zmq_msg_t *m)
{
	struct peer *p = registry_find(&b->reg, rid);

	if (p != NULL && b->auth != NULL && !auth_is_same(b, p, m)) {
		/* The routing id went to somebody else. */
		if (p->lost == NULL)
			p->lost = "replaced";
		peers_bury(b, p);
		p = NULL;
	}
	if (p != NULL)
		return p;
	if (b->auth != NULL && !auth_admits(b, m))
		return NULL;
	p = registry_add(&b->reg, rid, broker_now(b));
	if (p == NULL) {
		b->drops[DROP_PEERS]++;
	} else if (b->auth != NULL) {
		auth_meet(b, p, m);
	}
	return p;
}

void
peers_bury(struct broker *b, struct peer *p)
{
	static struct log_limit lim;
	struct sub *s;

	if (log_allow(&lim, broker_now(b), 20)) {
		log_info("peer_lost", LOG_U("session", p->session), LOG_S("reason", p->lost),
		    LOG_U("subs", p->nsubs), LOG_I("silent_ms", broker_now(b) - p->last_ms),
		    LOG_U("suppressed", lim.last));
	}
	if (p->nsubs > 0)
		broker_changed(b, true, false);
	pace_end(b, p);
	route_peer_gone(b->route, &p->route, broker_now(b));
	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (s->kind == SUB_GROUP && !b->ending) {
			groups_leave(b, s);
		} else if (s->kind == SUB_TAIL) {
			tails_end(b, s);
		} else {
			registry_sub_remove(&b->reg, s);
		}
	out_discard(b, p);
	auth_forget(p);
	registry_remove(&b->reg, p);
}

void
peers_lost(struct broker *b, struct peer *p, const char *why)
{
	if (p->lost != NULL)
		return;
	p->lost = why;
	list_push_back(&b->dying, &p->dying);
	broker_soon(b);
}

/* A PONG nobody asked for: the socket knows at once when there is no one to take it. */
static void
probe(struct broker *b, struct peer *p)
{
	struct env e;

	p->probed = true;
	if (!p->pinged)
		return;
	env_init(&e, ENV_PONG, span_str(""), p->ping_id);
	env_set_s(&e, ENV_M_EPOCH, span_of(b->epoch, 16));
	env_set_u(&e, ENV_M_SESSION, p->session);
	out_env(b, p, &e);
}

/* Who never PINGs and has nothing with us but a question is not lost, only quiet. */
static bool
is_kept(const struct peer *p)
{
	return p->nsubs == 0 && (p->puts > 0 || !list_empty(&p->route.asked));
}

void
peers_tick(struct broker *b, int64_t now)
{
	struct peer *p;

	LIST_EACH (p, &b->reg.ages, struct peer, by_age) {
		if (now - p->last_ms < PROBE_MS)
			return;
		if (now - p->last_ms >= PEER_LOST_MS && !is_kept(p)) {
			peers_lost(b, p, "silent");
		} else if (!p->probed) {
			probe(b, p);
		}
	}
}

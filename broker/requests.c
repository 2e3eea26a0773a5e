#include "broker/requests.h"

#include <sodium.h>

#include "broker/auth.h"
#include "broker/ctl.h"
#include "broker/hops.h"
#include "broker/out.h"
#include "proto/mp.h"
#include "proto/topic.h"

static struct peer *
peer_of(struct route_peer *rp)
{
	return LIST_ITEM(rp, struct peer, route);
}

/* As msgpack. */
static struct span
name_raw(const char *name, uint8_t out[ACL_NAME + 2])
{
	struct span s = span_str(name);

	out[0] = 0xd9;
	out[1] = (uint8_t)s.n;
	memcpy(out + 2, s.p, s.n);
	return span_of(out, s.n + 2);
}

static void
on_send(void *arg, struct route_peer *worker, const struct route_send *s)
{
	struct broker *b = arg;
	const struct env *inner = b->reading;
	uint8_t from[ACL_NAME + 2];
	struct env e, again;

	if (inner == NULL || s->frame.p != b->reading_frame.p) {
		/* It waited, and what was read from it is gone.  The frame was good when it came.
		 */
		(void)env_decode(&again, s->frame, false, NULL);
		inner = &again;
	}
	env_init(&e, ENV_MSG, s->topic, s->id);
	env_set_u(&e, ENV_M_LEFT, (uint64_t)s->left);
	env_set_s(&e, ENV_M_FROM, name_raw(auth_name(peer_of(s->client)), from));
	env_set_s(&e, ENV_M_AS, env_s(inner, ENV_M_AS));
	if (s->again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = s->frame;
	hops_id(b, TRACE_DELIVERED, inner->id, env_s(inner, ENV_M_ROOT), worker->session,
	    (struct span){NULL, 0});
	out_env(b, peer_of(worker), &e);
}

static void
on_more(void *arg, struct route_peer *worker, const uint8_t id[16], uint64_t n)
{
	struct env e;

	env_init(&e, ENV_MORE, span_str(""), id);
	env_set_u(&e, ENV_M_N, n);
	out_env(arg, peer_of(worker), &e);
}

static void
on_cancel(void *arg, struct route_peer *worker, const uint8_t id[16])
{
	struct env e;

	env_init(&e, ENV_CANCEL, span_str(""), id);
	out_env(arg, peer_of(worker), &e);
}

static void
on_fail(void *arg, struct route_peer *client, const uint8_t id[16], enum err code, const char *why)
{
	hops_id(arg, TRACE_FAILED, id, (struct span){NULL, 0}, 0, span_str(err_name(code)));
	out_err(arg, peer_of(client), id, code, why);
}

void
requests_open(struct broker *b)
{
	struct route_ops ops = {on_send, on_more, on_cancel, on_fail, b};
	uint64_t salt;

	randombytes_buf(&salt, sizeof(salt));
	b->route = route_new(b->match, &ops, salt, b->conf.max_bytes / 2, b->conf.peer_bytes);
}

void
requests_req(struct broker *b, struct peer *p, const struct env *e, struct span frame)
{
	struct route_req q = {.client = &p->route,
	    .topic = e->topic,
	    .frame = frame,
	    .ttl = (int64_t)env_u(e, ENV_M_TTL, DEFAULT_TTL_MS),
	    .again = env_u(e, ENV_M_AGAIN, 0) != 0,
	    .window = (uint32_t)env_u(e, ENV_M_WINDOW, 8)};
	const char *why = auth_refuses(b, p, ACL_REQUEST, e->topic);
	enum err code;

	if (why == NULL)
		why = auth_refuses_as(b, p, e);
	if (why != NULL) {
		out_err(b, p, e->id, ERR_DENIED, why);
		return;
	}
	if (topic_is_sys(e->topic) && !ctl_is_served(e->topic)) {
		ctl_request(b, p, e);
		return;
	}
	if (b->draining || (b->shut && !topic_is_sys(e->topic))) {
		out_err(b, p, e->id, ERR_DRAINING, "the broker takes nothing more");
		return;
	}
	if (frame.n > LIMIT_FRAME) {
		out_err(b, p, e->id, ERR_TOO_BIG, "frame: over 16 MiB");
		return;
	}
	memcpy(q.id, e->id, 16);
	hops_id(b, TRACE_REQUESTED, e->id,
	    env_has(e, ENV_M_ROOT) ? env_s(e, ENV_M_ROOT) : span_of(e->id, 16), p->session,
	    e->topic);
	b->reading = e;
	b->reading_frame = frame;
	code = route_request(b->route, &q, broker_now(b));
	b->reading = NULL;
	if (code != ERR_OK) {
		hops_id(
		    b, TRACE_FAILED, e->id, (struct span){NULL, 0}, 0, span_str(err_name(code)));
	}
	if (code == ERR_NO_WORKERS) {
		out_err(b, p, e->id, code, "no worker serves this topic");
	} else if (code != ERR_OK) {
		out_err(b, p, e->id, code, "too many bytes of requests are under way");
	}
}

/* Where the id is in the header: the fourth element. */
static size_t
id_at(const uint8_t *frame, size_t n)
{
	struct mp_r r;

	mp_r_init(&r, span_of(frame, n));
	mp_array(&r);
	mp_raw(&r);
	mp_raw(&r);
	mp_raw(&r);
	return (size_t)(mp_bin(&r, 16).p - frame);
}

void
requests_answer(struct broker *b, struct peer *p, const struct env *e, uint8_t *frame, size_t n)
{
	bool more = e->verb == ENV_REP && env_u(e, ENV_M_MORE, 0) != 0;
	enum err code = e->verb == ENV_ERR ? env_err_code(e) : ERR_OK;
	struct route_to to;

	switch (route_answer(
	    b->route, &p->route, &(struct route_say){e->id, more, code}, broker_now(b), &to)) {
	case ROUTE_STALE: b->drops[DROP_STALE_ANSWER]++; return;
	case ROUTE_DISCARD: b->drops[DROP_LATE_ANSWER]++; return;
	case ROUTE_PASS: break;
	}
	if (!more) {
		hops_id(b, code == ERR_OK ? TRACE_ANSWERED : TRACE_FAILED, to.id,
		    (struct span){NULL, 0}, p->session,
		    code == ERR_OK ? (struct span){NULL, 0} : span_str(err_name(code)));
	}
	/* The same frame under the client's id: every other byte is the worker's. */
	memcpy(frame + id_at(frame, n), to.id, 16);
	out_frame(b, peer_of(to.client), span_of(frame, n));
}

void
requests_cancel(struct broker *b, struct peer *p, const uint8_t id[16])
{
	if (!route_cancel(b->route, &p->route, id, broker_now(b))) {
		b->drops[DROP_STALE]++;
		return;
	}
	hops_id(b, TRACE_CANCELLED, id, (struct span){NULL, 0}, p->session, (struct span){NULL, 0});
}

static void
on_timer(struct timer *t)
{
	struct broker *b = LIST_ITEM(t, struct broker, route_timer);

	route_run(b->route, broker_now(b));
	broker_soon(b);
}

void
requests_turn(struct broker *b)
{
	int64_t next = route_next(b->route);

	b->route_timer.fn = on_timer;
	if (next == INT64_MAX || (timer_is_set(&b->route_timer) && b->route_timer.at_ms <= next))
		return; /* one that comes too early finds nothing to do */
	loop_timer(b->loop, &b->route_timer, next);
}

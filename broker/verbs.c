/* What a peer says: one frame, read and acted on. */
#include "base/log.h"
#include "broker/broker.h"
#include "broker/auth.h"
#include "broker/batch.h"
#include "broker/ctl.h"
#include "broker/out.h"
#include "broker/pub.h"
#include "broker/requests.h"
#include "broker/tails.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { DESC_ELEMENTS = 65536 };

static const char *const features[] = {"pack", "batch", "groups", "parts"};

/* ---- PING ---- */

static void
put_limits(struct buf *out)
{
	static const struct {
		const char *name;
		uint64_t n;
	} rows[] = {{"frame", LIMIT_FRAME}, {"header", LIMIT_HEADER}, {"topic", LIMIT_TOPIC},
	    {"batch", LIMIT_BATCH}, {"pack", LIMIT_PACK}, {"part", LIMIT_PART},
	    {"ttl", LIMIT_TTL_MS}};

	mp_put_map(out, 1);
	mp_put_cstr(out, "limits");
	mp_put_map(out, sizeof(rows) / sizeof(*rows));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		mp_put_cstr(out, rows[i].name);
		mp_put_u64(out, rows[i].n);
	}
}

static bool
says_pack(struct span raw)
{
	struct mp_r r;
	bool found = false;

	if (raw.p == NULL)
		return false;
	mp_r_init(&r, raw);
	for (unsigned n = mp_array(&r); n > 0 && !r.bad; n--)
		found |= span_is(mp_str(&r, 64), "pack");
	return found && !r.bad;
}

static void
on_ping(struct broker *b, struct peer *p, const struct env *e)
{
	struct buf names, limits;
	struct env pong;

	memcpy(p->ping_id, e->id, 16);
	p->pinged = true;
	p->packs = p->packs || says_pack(env_s(e, ENV_M_FEATURES));
	buf_init(&names, 256);
	mp_put_array(&names, sizeof(features) / sizeof(*features));
	for (size_t i = 0; i < sizeof(features) / sizeof(*features); i++)
		mp_put_cstr(&names, features[i]);
	buf_init(&limits, 512);
	put_limits(&limits);
	env_init(&pong, ENV_PONG, span_str(""), e->id);
	env_set_s(&pong, ENV_M_EPOCH, span_of(b->epoch, 16));
	env_set_u(&pong, ENV_M_SESSION, p->session);
	env_set_s(&pong, ENV_M_FEATURES, buf_span(&names));
	pong.body = buf_span(&limits);
	out_env(b, p, &pong);
	buf_fini(&names);
	buf_fini(&limits);
}

/* ---- SUB, UNSUB, BYE ---- */

static const char *
refuse_sub(const struct env *e, enum err *code)
{
	bool serve = env_u(e, ENV_M_SERVE, 0) != 0;
	struct mp_r r;

	*code = ERR_INVALID;
	if (serve && env_has(e, ENV_M_GROUP))
		return "serve takes no group";
	if (e->body.n > 0 && mp_scan(e->body, LIMIT_NEST, DESC_ELEMENTS) != e->body.n)
		return "body: expected a description, a map";
	mp_r_init(&r, e->body);
	if (e->body.n > 0 && mp_peek(&r) != MP_MAP && mp_peek(&r) != MP_NIL)
		return "body: expected a description, a map";
	*code = ERR_TOO_BIG;
	if (e->body.n > LIMIT_DESC)
		return "body: a description is at most 256 KiB";
	*code = ERR_DENIED;
	if (serve && topic_is_sys(e->topic) && !ctl_is_served(e->topic)) {
		return "topic: of sys only sys.ping.<name>, sys.info.<name> and sys.stats.<name> "
		       "may be served";
	}
	return NULL;
}

static void
sub_serve(struct broker *b, struct peer *p, const struct env *e)
{
	struct sub *s = registry_sub(p, SUB_SERVE, e->topic);
	uint64_t bytes = env_u(e, ENV_M_BYTES, DEFAULT_CREDIT_BYTES);
	struct env ok;

	if (s == NULL && (s = registry_sub_add(p, SUB_SERVE, e->topic)) == NULL) {
		out_err(b, p, e->id, ERR_QUOTA, "too many subscriptions");
		return;
	}
	s->closing = false;
	memcpy(s->id, e->id, 16);
	registry_describe(&b->reg, s, e->body);
	env_init(&ok, ENV_OK, span_str(""), e->id);
	env_set_u(&ok, ENV_M_NEXT, b->head + 1);
	out_env(b, p, &ok);
	if (bytes > b->conf.peer_bytes / 2)
		bytes = b->conf.peer_bytes / 2;
	route_join(b->route, &p->route, e->topic, (uint32_t)env_u(e, ENV_M_CREDIT, DEFAULT_CREDIT),
	    bytes, broker_now(b));
	broker_changed(b, true, false);
}

static void
on_sub(struct broker *b, struct peer *p, struct env *e)
{
	enum err code;
	const char *why = refuse_sub(e, &code);
	struct mp_r r;

	if (why == NULL && (why = auth_refuses_sub(b, p, e)) != NULL)
		code = ERR_DENIED;
	if (why != NULL) {
		out_err(b, p, e->id, code, why);
		return;
	}
	if (b->draining) {
		out_err(b, p, e->id, ERR_DRAINING, "the broker is ending");
		return;
	}
	mp_r_init(&r, e->body);
	if (e->body.n > 0 && mp_peek(&r) == MP_NIL)
		e->body = (struct span){NULL, 0};
	p->packs = p->packs || env_u(e, ENV_M_MANY, 0) != 0;
	if (env_u(e, ENV_M_SERVE, 0) != 0) {
		sub_serve(b, p, e);
	} else if (env_has(e, ENV_M_GROUP)) {
		groups_sub(b, p, e);
	} else {
		tails_sub(b, p, e);
	}
}

/* It gets no more.  What it has in hand it may finish. */
static void
end_sub(struct broker *b, struct sub *s)
{
	switch (s->kind) {
	case SUB_SERVE:
		route_close(b->route, &s->peer->route, s->pattern, broker_now(b));
		registry_sub_remove(&b->reg, s);
		broker_changed(b, true, false);
		break;
	case SUB_GROUP: groups_unsub(b, s); break;
	case SUB_TAIL: tails_end(b, s); break;
	}
}

static bool
is_meant(const struct sub *s, const struct env *e)
{
	if (env_has(e, ENV_M_GROUP))
		return s->kind == SUB_GROUP && span_is(env_s(e, ENV_M_GROUP), s->group->name);
	if (env_u(e, ENV_M_SERVE, 0) != 0)
		return s->kind == SUB_SERVE && span_eq(s->pattern, e->topic);
	return s->kind != SUB_GROUP && span_eq(s->pattern, e->topic);
}

static void
on_unsub(struct broker *b, struct peer *p, const struct env *e)
{
	struct sub *s;

	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (!s->closing && is_meant(s, e))
			end_sub(b, s);
	out_ok(b, p, e->id);
}

static void
on_bye(struct broker *b, struct peer *p, const struct env *e)
{
	struct sub *s;

	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (!s->closing)
			end_sub(b, s);
	out_ok(b, p, e->id);
}

/* ---- the switch ---- */

static void
on_more(struct broker *b, struct peer *p, const struct env *e)
{
	uint64_t n = env_u(e, ENV_M_N, 1);

	if (!route_more(b->route, &p->route, e->id, n, broker_now(b)) &&
	    !tails_more(b, p, e->id, n))
		b->drops[DROP_STALE]++;
}

static void
on_pack(struct broker *b, struct peer *p, uint8_t *frame, size_t n, const struct env *e)
{
	struct mp_r r;

	if (mp_scan(e->body, 2, LIMIT_PACK) != e->body.n) {
		b->drops[DROP_BAD_ENVELOPE]++;
		out_err(b, p, e->id, ERR_BAD_ENVELOPE, "body: expected an array of frames as bin");
		return;
	}
	mp_r_init(&r, e->body);
	for (unsigned left = mp_array(&r); left > 0; left--) {
		struct span inner = mp_bin(&r, LIMIT_FRAME_RX);

		if (r.bad)
			break;
		if (p->lost != NULL) {
			b->drops[DROP_PEER_GONE] += left;
			break;
		}
		verbs_handle(b, p, frame + (inner.p - frame), inner.n, true);
	}
	(void)n;
	if (r.bad) {
		b->drops[DROP_BAD_ENVELOPE]++;
		out_err(b, p, e->id, ERR_BAD_ENVELOPE, "body: expected an array of frames as bin");
	}
}

static void
act(struct broker *b, struct peer *p, struct env *e, uint8_t *frame, size_t n)
{
	switch (e->verb) {
	case ENV_PUB: pub_on_pub(b, p, e, span_of(frame, n)); break;
	case ENV_BATCH: batch_on_batch(b, p, e); break;
	case ENV_REQ: requests_req(b, p, e, span_of(frame, n)); break;
	case ENV_REP:
	case ENV_ERR: requests_answer(b, p, e, frame, n); break;
	case ENV_CANCEL: requests_cancel(b, p, e->id); break;
	case ENV_MORE: on_more(b, p, e); break;
	case ENV_SUB: on_sub(b, p, e); break;
	case ENV_UNSUB: on_unsub(b, p, e); break;
	case ENV_BYE: on_bye(b, p, e); break;
	case ENV_ACK: groups_ack(b, p, e); break;
	case ENV_NAK:
	case ENV_REJECT:
	case ENV_EXTEND: groups_verdict(b, p, e); break;
	case ENV_PING: on_ping(b, p, e); break;
	case ENV_MSG:
	case ENV_OK:
	case ENV_PONG:
	case ENV_PACK:
	case ENV_NONE:
	case ENV_VERB_COUNT:
		b->drops[DROP_UNEXPECTED]++;
		out_err(b, p, e->id, ERR_BAD_ENVELOPE, "verb: not one a peer sends");
	}
}

static void
bad_frame(struct broker *b, struct peer *p, const struct env *e, enum err code, const char *why)
{
	static const uint8_t none[16];
	static struct log_limit lim;

	b->drops[code == ERR_TOO_BIG     ? DROP_TOO_BIG
		 : code == ERR_BAD_TOPIC ? DROP_BAD_TOPIC
					 : DROP_BAD_ENVELOPE]++;
	if (log_allow(&lim, broker_now(b), 2)) {
		log_warn("bad_frame", LOG_U("session", p->session), LOG_S("code", err_name(code)),
		    LOG_S("why", why), LOG_U("suppressed", lim.last));
	}
	if (memcmp(e->id, none, 16) != 0)
		out_err(b, p, e->id, code, why);
}

void
verbs_handle(struct broker *b, struct peer *p, uint8_t *frame, size_t n, bool inside)
{
	const char *why = NULL;
	struct env e;
	enum err code = env_decode(&e, span_of(frame, n), false, &why);

	b->work += 1 + n / 4096;
	/* An envelope whose body no reader could read is refused at the door. */
	if (code == ERR_OK && e.verb == ENV_PUB && e.body.n > 0 &&
	    mp_scan(e.body, LIMIT_NEST, LIMIT_BODY_ELEMENTS) != e.body.n) {
		code = ERR_BAD_ENVELOPE;
		why = "body: expected one msgpack object or nothing";
	}
	if (code != ERR_OK) {
		bad_frame(b, p, &e, code, why);
		return;
	}
	b->verbs[e.verb]++;
	if (e.verb != ENV_PACK) {
		act(b, p, &e, frame, n);
		broker_verb_done(b);
	} else if (!inside) {
		on_pack(b, p, frame, n, &e);
	} else {
		bad_frame(b, p, &e, ERR_BAD_ENVELOPE, "a PACK inside a PACK");
	}
}

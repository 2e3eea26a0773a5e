#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "clients/c/taxi_priv.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "proto/topic.h"

static char *
dup_or_null(struct span s)
{
	return s.p ? span_dup(s) : NULL;
}

/* Runs one of the user's callbacks, unless there is none. */
static void
run(struct taxi_sub *s, taxi_msg_fn *fn, struct taxi_msg *m)
{
	struct taxi *t = s->t;

	if (fn == NULL)
		return;
	priv_enter(t);
	fn(s->o.arg, m);
	priv_leave(t);
}

static void
on_msg(void *arg, struct worker_msg *w)
{
	struct taxi_sub *s = arg;
	struct span from = env_s(&w->head, ENV_M_FROM);
	struct taxi_msg *m = xcalloc(1, sizeof *m);

	m->sub = s;
	m->w = w;
	w->user = m;
	m->topic = span_dup(w->env.topic);
	m->key = dup_or_null(env_s(&w->env, ENV_M_KEY));
	m->group = dup_or_null(env_s(&w->head, ENV_M_GROUP));
	if (from.p && mp_scan(from, 1, 1) == from.n) {
		struct mp_r r;

		mp_r_init(&r, from);
		m->from = dup_or_null(mp_str(&r, LIMIT_HEADER));
	}
	s->in_hand++;
	list_push_back(&s->t->hand, &m->node);
	run(s, s->o.msg, m);
}

static void
on_cancel(void *arg, struct worker_msg *w)
{
	struct taxi_sub *s = arg;

	run(s, s->o.cancel, w->user);
}

static void
on_more(void *arg, struct worker_msg *w)
{
	struct taxi_sub *s = arg;

	run(s, s->o.more, w->user);
}

static void
tell(struct taxi_sub *s, bool live, const struct taxi_answer *why)
{
	struct taxi *t = s->t;

	s->settled = true;
	if (t->blocking)
		loop_stop(t->loop);
	if (s->o.state == NULL)
		return;
	priv_enter(t);
	s->o.state(s->o.arg, live, why);
	priv_leave(t);
}

static void
on_refused(void *arg, const struct env *e)
{
	struct taxi_sub *s = arg;
	struct taxi_answer a = priv_answer(e);

	s->refused = taxi_answer_code(&a);
	tell(s, false, &a);
	priv_answer_fini(&a);
}

void
priv_states(void *arg)
{
	struct taxi *t = arg;
	struct taxi_sub *s;

	LIST_EACH (s, &t->subs, struct taxi_sub, node) {
		if (s->gone || s->ws == NULL || worker_sub_is_live(s->ws) == s->told_live)
			continue;
		s->told_live = !s->told_live;
		s->refused = TAXI_OK;
		tell(s, s->told_live, NULL);
	}
}

static bool
are_right(const struct taxi_sub_options *o)
{
	bool ok = o->pattern && topic_is_pattern(span_str(o->pattern)) && o->msg;

	if (!ok) {
		log_error("bad_option", LOG_S("option", o->msg ? "pattern" : "msg"),
		    LOG_S("value", o->pattern), LOG_S("expected", "a topic pattern; a callback"));
	}
	return ok;
}

struct taxi_sub *
taxi_subscribe(struct taxi *t, const struct taxi_sub_options *o)
{
	struct worker_sub_spec spec = {.pattern = o->pattern,
	    .group = o->group,
	    .serve = o->serve,
	    .cancels = o->cancels,
	    .from = o->from,
	    .from_seq = (int64_t)o->from_seq,
	    .from_time_ms = o->from_time,
	    .ack_ms = o->ack_ms,
	    .tries = o->tries,
	    .credit = o->credit,
	    .credit_bytes = o->credit_bytes,
	    .msg = on_msg,
	    .cancel = on_cancel,
	    .more = on_more,
	    .refused = on_refused};
	struct taxi_sub *s;
	struct buf desc;

	if (!are_right(o))
		return NULL;
	buf_init(&desc, LIMIT_DESC);
	if (!priv_body(&desc, o->describe, NULL, 0, &spec.desc)) {
		log_error("bad_option", LOG_S("option", "describe"), LOG_S("value", o->describe),
		    LOG_S("expected", "a JSON object of at most 256 KiB"));
		buf_fini(&desc);
		return NULL;
	}
	s = xcalloc(1, sizeof *s);
	s->t = t;
	s->o.msg = o->msg;
	s->o.cancel = o->cancel;
	s->o.more = o->more;
	s->o.state = o->state;
	s->o.arg = o->arg;
	list_push_back(&t->subs, &s->node);
	spec.arg = s;
	s->ws = worker_sub(t->worker, &spec);
	buf_fini(&desc);
	return s;
}

/* What is in hand still names it. */
void
priv_sub_free(struct taxi_sub *s)
{
	if (!s->gone || s->in_hand > 0)
		return;
	list_remove(&s->node);
	free(s);
}

void
taxi_unsubscribe(struct taxi_sub *s)
{
	if (s == NULL || s->gone)
		return;
	s->gone = true;
	worker_unsub(s->ws);
	s->ws = NULL;
	priv_sub_free(s);
}

bool
taxi_sub_is_live(const struct taxi_sub *s)
{
	return s->ws && worker_sub_is_live(s->ws);
}

enum taxi_code
taxi_sub_wait(struct taxi_sub *s, int64_t timeout_ms)
{
	struct taxi *t = s->t;

	if (t->depth > 0 || t->blocking)
		return TAXI_INVALID;
	s->refused = TAXI_OK;
	s->settled = taxi_sub_is_live(s);
	(void)priv_block(t, &s->settled, timeout_ms);
	return taxi_sub_is_live(s) ? TAXI_OK : s->refused ? s->refused : TAXI_TIMEOUT;
}

/* ---- Deliveries ---- */
void
priv_msg_free(struct taxi_msg *m)
{
	struct taxi_sub *s = m->sub;

	list_remove(&m->node);
	free(m->topic);
	free(m->key);
	free(m->group);
	free(m->from);
	free(m);
	s->in_hand--;
	priv_sub_free(s);
}

const char *
taxi_msg_topic(const struct taxi_msg *m)
{
	return m->topic;
}

const uint8_t *
taxi_msg_id(const struct taxi_msg *m)
{
	return m->w->env.id;
}

const void *
taxi_msg_body(const struct taxi_msg *m, size_t *n)
{
	if (n)
		*n = m->w->env.body.n;
	return m->w->env.body.p;
}

const char *
taxi_msg_key(const struct taxi_msg *m)
{
	return m->key;
}

const char *
taxi_msg_group(const struct taxi_msg *m)
{
	return m->group;
}

const char *
taxi_msg_from(const struct taxi_msg *m)
{
	return m->from ? m->from : "";
}

uint64_t
taxi_msg_seq(const struct taxi_msg *m)
{
	return env_u(&m->w->head, ENV_M_SEQ, 0);
}

uint64_t
taxi_msg_try(const struct taxi_msg *m)
{
	return env_u(&m->w->head, ENV_M_TRY, 0);
}

int64_t
taxi_msg_left(const struct taxi_msg *m)
{
	int64_t left = m->w->deadline_ms - loop_now(m->sub->t->loop);

	if (m->w->deadline_ms == 0)
		return INT64_MAX;
	return left > 0 ? left : 0;
}

bool
taxi_msg_is_request(const struct taxi_msg *m)
{
	return env_has(&m->w->head, ENV_M_LEFT);
}

bool
taxi_msg_is_again(const struct taxi_msg *m)
{
	return env_u(&m->w->head, ENV_M_AGAIN, 0) != 0;
}

bool
taxi_msg_is_retained(const struct taxi_msg *m)
{
	return env_u(&m->w->head, ENV_M_RETAIN, 0) != 0;
}

bool
taxi_msg_is_void(const struct taxi_msg *m)
{
	return worker_msg_is_void(m->w);
}

void
taxi_ack(struct taxi_msg *m)
{
	worker_ack(m->w);
	priv_msg_free(m);
}

void
taxi_nak(struct taxi_msg *m, int64_t delay_ms, const char *reason)
{
	worker_nak(m->w, delay_ms, reason);
	priv_msg_free(m);
}

void
taxi_reject(struct taxi_msg *m, const char *reason)
{
	worker_reject(m->w, reason);
	priv_msg_free(m);
}

void
taxi_extend(struct taxi_msg *m, int64_t ms)
{
	worker_extend(m->w, ms);
}

void
taxi_reply(struct taxi_msg *m, const void *body, size_t n, int status)
{
	struct env e;

	env_init(&e, ENV_REP, span_str(""), NULL);
	if (status > 0)
		env_set_u(&e, ENV_M_STATUS, (uint64_t)status);
	if (body)
		e.body = span_of(body, n);
	worker_reply(m->w, &e);
	priv_msg_free(m);
}

void
taxi_reply_json(struct taxi_msg *m, const char *json, int status)
{
	struct span body;
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	if (priv_body(&b, json, NULL, 0, &body)) {
		taxi_reply(m, body.p, body.n, status);
	} else {
		taxi_fail(m, TAXI_INTERNAL, "the worker's answer is no JSON");
	}
	buf_fini(&b);
}

void
taxi_part(struct taxi_msg *m, const void *body, size_t n)
{
	struct env e;

	env_init(&e, ENV_REP, span_str(""), NULL);
	e.body = span_of(body, n);
	worker_part(m->w, &e);
}

unsigned
taxi_room(const struct taxi_msg *m)
{
	return worker_room(m->w);
}

void
taxi_fail(struct taxi_msg *m, enum taxi_code code, const char *text)
{
	worker_fail(m->w, (enum err)code, text);
	priv_msg_free(m);
}

void
taxi_fail_detail(struct taxi_msg *m, enum taxi_code code, const void *detail, size_t n)
{
	worker_fail_detail(m->w, (enum err)code, span_of(detail, n));
	priv_msg_free(m);
}

size_t
taxi_in_hand(const struct taxi *t)
{
	return worker_in_hand(t->worker);
}

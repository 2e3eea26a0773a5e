#include "proto/worker.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/worker_priv.h"

/* Finished by its holder: gone, or only its held parts are left to be sent. */
static void
finish(struct delivery *d)
{
	d->w->in_hand--;
	if (list_empty(&d->held)) {
		worker_delivery_free(d);
		return;
	}
	d->draining = true;
	list_remove(&d->node);
	list_push_back(&d->w->draining, &d->node);
}

bool
worker_msg_is_void(const struct worker_msg *m)
{
	const struct delivery *d = delivery_peek(m);

	return !link_is_up(d->w->link) || d->generation != link_generation(d->w->link);
}

/* What the header forbids, but must not take the process down or leave the broker waiting. */
static void
misused(struct delivery *d, const char *how)
{
	static const char *const kind[] = {"event", "request", "ephemeral"};

	if (log_allow(&d->w->misused_lines, loop_now(d->w->loop), 5)) {
		log_error("worker_misused", LOG_S("call", how), LOG_S("kind", kind[d->kind]),
		    LOG_B("topic", d->m.env.topic));
	}
}

/* An answer to a request goes behind the parts that are held. */
static void
answer(struct delivery *d, struct span frame)
{
	struct worker_frame *f;

	if (list_empty(&d->held)) {
		worker_out_send(d->w, frame);
		return;
	}
	f = worker_frame_new(frame);
	if (f) {
		list_push_back(&d->held, &f->node);
		return;
	}
	worker_delivery_unhold(d);
	worker_out_err(d->w, d->id, ERR_INTERNAL, "no memory for the answer");
}

/* The outcome that fits a kind, whatever the holder called it. */
static void
settle(struct delivery *d, int64_t delay_ms, const char *reason)
{
	struct worker_sub *s = d->m.sub;

	if (worker_msg_is_void(&d->m)) {
		s->count.dropped++;
	} else if (d->kind == DELIVERY_REQUEST) {
		s->count.failed++;
		worker_delivery_unhold(d);
		worker_out_err(d->w, d->id, ERR_INTERNAL, reason);
	} else if (d->kind == DELIVERY_TAIL) {
		s->count.dropped++;
		worker_out_credit(s);
	} else {
		if (delay_ms == INT64_MIN) {
			s->count.rejected++;
		} else {
			s->count.naked++;
		}
		worker_out_nak(d->w, &d->m.head, delay_ms, reason);
		if (delay_ms != INT64_MIN)
			worker_keys_given_back(d);
	}
	finish(d);
}

void
worker_delivery_untried(struct delivery *d, const char *reason)
{
	d->m.sub->count.naked++;
	worker_out_untried(d->w, &d->m.head, reason);
	worker_keys_given_back(d);
	finish(d);
}

void
worker_ack(struct worker_msg *m)
{
	struct delivery *d = delivery_of(m);

	if (d->kind == DELIVERY_REQUEST) {
		struct env rep;

		misused(d, "ack");
		env_init(&rep, ENV_REP, span_str(""), NULL);
		worker_reply(m, &rep);
		return;
	}
	if (worker_msg_is_void(m)) {
		m->sub->count.dropped++;
	} else {
		m->sub->count.acked++;
		if (d->kind == DELIVERY_EVENT) {
			worker_out_ack(m->sub, env_u(&m->head, ENV_M_SEQ, 0));
		} else {
			worker_out_credit(m->sub);
		}
	}
	finish(d);
}

void
worker_nak(struct worker_msg *m, int64_t delay_ms, const char *reason)
{
	struct delivery *d = delivery_of(m);

	if (d->kind == DELIVERY_REQUEST)
		misused(d, "nak");
	settle(d, delay_ms < 0 ? -1 : delay_ms, reason);
}

void
worker_reject(struct worker_msg *m, const char *reason)
{
	struct delivery *d = delivery_of(m);

	if (d->kind == DELIVERY_REQUEST)
		misused(d, "reject");
	settle(d, INT64_MIN, reason);
}

void
worker_extend(struct worker_msg *m, int64_t ms)
{
	struct delivery *d = delivery_of(m);
	struct env e;

	if (d->kind != DELIVERY_EVENT || worker_msg_is_void(m))
		return;
	env_init(&e, ENV_EXTEND, span_str(""), m->head.id);
	env_set_s(&e, ENV_M_GROUP, env_s(&m->head, ENV_M_GROUP));
	env_set_u(&e, ENV_M_SEQ, env_u(&m->head, ENV_M_SEQ, 0));
	env_set_u(&e, ENV_M_TRY, env_u(&m->head, ENV_M_TRY, 0));
	if (ms <= 0)
		ms = m->sub->ack_ms;
	env_set_u(&e, ENV_M_MS, (uint64_t)ms);
	m->deadline_ms = loop_now(d->w->loop) + ms;
	worker_out_env(d->w, &e);
}

void
worker_drop(struct worker_msg *m)
{
	struct delivery *d = delivery_of(m);

	if (d->kind == DELIVERY_TAIL) {
		settle(d, -1, NULL);
		return;
	}
	/* Said to nobody: an event comes again when its time is up. */
	m->sub->count.dropped++;
	if (d->kind == DELIVERY_REQUEST && !worker_msg_is_void(m)) {
		misused(d, "drop");
		worker_delivery_unhold(d);
		worker_out_err(d->w, d->id, ERR_INTERNAL, "the worker dropped the request");
	}
	finish(d);
}

void
worker_reply(struct worker_msg *m, struct env *rep)
{
	struct delivery *d = delivery_of(m);
	struct worker *w = d->w;
	enum err err;

	if (d->kind != DELIVERY_REQUEST) {
		misused(d, "reply");
		worker_ack(m);
		return;
	}
	if (worker_msg_is_void(m)) {
		m->sub->count.dropped++;
		worker_delivery_unhold(d);
		finish(d);
		return;
	}
	rep->verb = ENV_REP;
	rep->topic = span_str("");
	memcpy(rep->id, d->id, 16);
	if (d->parts > 0)
		env_set_u(rep, ENV_M_PART, d->parts);
	buf_reset(&w->scratch);
	err = env_encode(rep, &w->scratch);
	if (err != ERR_OK) {
		worker_fail(m, err, "the answer is too big for one frame");
		return;
	}
	m->sub->count.replied++;
	answer(d, buf_span(&w->scratch));
	finish(d);
}

unsigned
worker_room(const struct worker_msg *m)
{
	const struct delivery *d = delivery_peek(m);

	if (!list_empty(&d->held))
		return 0;
	return d->room < 1024 ? (unsigned)d->room : 1024;
}

static void
hold(struct delivery *d, struct span frame)
{
	struct worker_frame *f = NULL;

	if (d->held_bytes + frame.n <= LIMIT_FRAME)
		f = worker_frame_new(frame);
	if (f == NULL) {
		/* The holder finishes as it would; whatever it says then is void. */
		worker_delivery_unhold(d);
		d->generation = 0;
		worker_out_err(d->w, d->id, ERR_TOO_BIG, "the answer outran what its reader takes");
		return;
	}
	f->is_part = true;
	d->held_bytes += f->n;
	list_push_back(&d->held, &f->node);
}

void
worker_part(struct worker_msg *m, struct env *rep)
{
	struct delivery *d = delivery_of(m);
	struct worker *w = d->w;

	if (d->kind != DELIVERY_REQUEST) {
		misused(d, "part");
		return;
	}
	if (worker_msg_is_void(m))
		return;
	rep->verb = ENV_REP;
	rep->topic = span_str("");
	memcpy(rep->id, d->id, 16);
	env_set_u(rep, ENV_M_MORE, 1);
	env_set_u(rep, ENV_M_PART, d->parts++);
	buf_reset(&w->scratch);
	if (env_encode(rep, &w->scratch) != ERR_OK || w->scratch.n > LIMIT_PART + LIMIT_HEADER) {
		worker_delivery_unhold(d);
		d->generation = 0;
		worker_out_err(w, d->id, ERR_TOO_BIG, "a part of the answer is over its limit");
		return;
	}
	if (d->room == 0 || !list_empty(&d->held)) {
		hold(d, buf_span(&w->scratch));
		return;
	}
	d->room--;
	worker_out_send(w, buf_span(&w->scratch));
}

void
worker_fail(struct worker_msg *m, enum err code, const char *text)
{
	struct delivery *d = delivery_of(m);

	if (d->kind != DELIVERY_REQUEST) {
		misused(d, "fail");
		settle(d, INT64_MIN, text);
		return;
	}
	if (worker_msg_is_void(m)) {
		m->sub->count.dropped++;
	} else {
		m->sub->count.failed++;
		worker_delivery_unhold(d);
		worker_out_err(d->w, d->id, code, text);
	}
	finish(d);
}

void
worker_fail_detail(struct worker_msg *m, enum err code, struct span detail)
{
	struct delivery *d = delivery_of(m);
	struct worker *w = d->w;
	struct env e;

	if (d->kind != DELIVERY_REQUEST || worker_msg_is_void(m)) {
		worker_fail(m, code, err_title(code));
		return;
	}
	env_init(&e, ENV_ERR, span_str(""), d->id);
	env_set_s(&e, ENV_M_CODE, span_str(err_name(code)));
	env_set_s(&e, ENV_M_RETRY, span_str(err_retry_name(code)));
	env_set_s(&e, ENV_M_DETAIL, detail);
	buf_reset(&w->scratch);
	if (env_encode(&e, &w->scratch) != ERR_OK) {
		worker_fail(m, code, err_title(code));
		return;
	}
	m->sub->count.failed++;
	worker_delivery_unhold(d);
	worker_out_send(w, buf_span(&w->scratch));
	finish(d);
}

void
worker_inherit(const struct worker_msg *m, struct env *e)
{
	if (env_has(&m->env, ENV_M_ROOT)) {
		env_set_s(e, ENV_M_ROOT, env_s(&m->env, ENV_M_ROOT));
	} else {
		env_set_s(e, ENV_M_ROOT, span_of(m->env.id, 16));
	}
	env_set_s(e, ENV_M_TRACE, env_s(&m->env, ENV_M_TRACE));
	env_set_s(e, ENV_M_AS, env_s(&m->head, ENV_M_AS));
}

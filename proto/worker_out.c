#include "proto/worker_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/mp.h"

#define OUT_MAX (64u * 1024 * 1024) /* bytes that may wait for the link */
#define ACK_SEQS 200                /* in one ACK: a header has 256 elements */

struct worker_frame *
worker_frame_new(struct span bytes)
{
	struct worker_frame *f = malloc(sizeof *f + bytes.n);

	if (f == NULL)
		return NULL;
	f->is_part = false;
	f->n = bytes.n;
	memcpy(f->bytes, bytes.p, bytes.n);
	list_init(&f->node);
	return f;
}

static void
lose(struct worker *w, size_t n)
{
	w->stats.dropped++;
	log_error("worker_out_full", LOG_U("bytes", n), LOG_U("waiting", w->out_bytes));
}

bool
worker_out_send(struct worker *w, struct span frame)
{
	struct worker_frame *f;

	if (list_empty(&w->out) && link_send(w->link, frame) == 0)
		return true;
	f = w->out_bytes + frame.n <= OUT_MAX ? worker_frame_new(frame) : NULL;
	if (f == NULL) {
		lose(w, frame.n);
		return false;
	}
	w->out_bytes += f->n;
	list_push_back(&w->out, &f->node);
	return true;
}

bool
worker_out_env(struct worker *w, const struct env *e)
{
	buf_reset(&w->scratch);
	INVARIANT(env_encode(e, &w->scratch) == ERR_OK);
	return worker_out_send(w, buf_span(&w->scratch));
}

void
worker_out_err(struct worker *w, const uint8_t id[16], enum err code, const char *text)
{
	buf_reset(&w->scratch);
	if (env_encode_err(&w->scratch, id, code, text) != ERR_OK) {
		buf_reset(&w->scratch);
		INVARIANT(env_encode_err(&w->scratch, id, code, NULL) == ERR_OK);
	}
	worker_out_send(w, buf_span(&w->scratch));
}

/* At most `max` bytes of a C string, as a span. */
static struct span
cut(const char *s, size_t max)
{
	return span_of(s, s ? strnlen(s, max) : 0);
}

static void
verdict(struct env *e, enum env_verb verb, const struct env *head, const char *reason)
{
	env_init(e, verb, span_str(""), head->id);
	env_set_s(e, ENV_M_GROUP, env_s(head, ENV_M_GROUP));
	env_set_u(e, ENV_M_SEQ, env_u(head, ENV_M_SEQ, 0));
	env_set_u(e, ENV_M_TRY, env_u(head, ENV_M_TRY, 0));
	env_set_s(e, ENV_M_REASON, cut(reason, LIMIT_REASON));
}

void
worker_out_nak(struct worker *w, const struct env *head, int64_t delay_ms, const char *reason)
{
	struct env e;

	verdict(&e, delay_ms == INT64_MIN ? ENV_REJECT : ENV_NAK, head, reason);
	if (delay_ms >= 0)
		env_set_u(&e, ENV_M_DELAY, (uint64_t)(delay_ms < 86400000 ? delay_ms : 86400000));
	worker_out_env(w, &e);
}

void
worker_out_untried(struct worker *w, const struct env *head, const char *reason)
{
	struct env e;

	verdict(&e, ENV_NAK, head, reason);
	env_set_u(&e, ENV_M_AGAIN, 1);
	worker_out_env(w, &e);
}

static void
on_turn_end(void *arg)
{
	worker_out_flush(arg);
}

static void
flush_later(struct worker *w)
{
	if (w->flush_later)
		return;
	w->flush_later = true;
	loop_later(w->loop, on_turn_end, w);
}

void
worker_out_ack(struct worker_sub *s, uint64_t seq)
{
	if (s->nacks == s->acks_cap) {
		s->acks_cap = s->acks_cap ? s->acks_cap * 2 : 64;
		s->acks = xrealloc(s->acks, s->acks_cap * sizeof *s->acks);
	}
	s->acks[s->nacks++] = seq;
	flush_later(s->w);
}

void
worker_out_credit(struct worker_sub *s)
{
	s->given_back++;
	flush_later(s->w);
}

static void
send_acks(struct worker_sub *s, const uint64_t *seqs, size_t n)
{
	static const uint8_t none[16];
	struct buf list;
	struct env e;

	buf_init(&list, LIMIT_HEADER);
	mp_put_array(&list, n);
	for (size_t i = 0; i < n; i++)
		mp_put_u64(&list, seqs[i]);
	env_init(&e, ENV_ACK, span_str(""), none);
	env_set_s(&e, ENV_M_GROUP, span_str(s->group));
	env_set_s(&e, ENV_M_SEQS, buf_span(&list));
	worker_out_env(s->w, &e);
	buf_fini(&list);
}

static void
flush_sub(struct worker_sub *s)
{
	struct env e;

	for (size_t i = 0; i < s->nacks; i += ACK_SEQS)
		send_acks(s, s->acks + i, s->nacks - i < ACK_SEQS ? s->nacks - i : ACK_SEQS);
	s->nacks = 0;
	if (s->given_back == 0)
		return;
	env_init(&e, ENV_MORE, span_str(""), s->sub_id);
	env_set_u(&e, ENV_M_N, s->given_back);
	s->given_back = 0;
	worker_out_env(s->w, &e);
}

void
worker_out_flush(struct worker *w)
{
	struct worker_sub *s;
	struct list *n;

	w->flush_later = false;
	if (!link_is_up(w->link))
		return;
	while ((n = list_pop(&w->out)) != NULL) {
		struct worker_frame *f = LIST_ITEM(n, struct worker_frame, node);

		if (link_send(w->link, span_of(f->bytes, f->n)) != 0) {
			list_push_front(&w->out, n);
			return;
		}
		w->out_bytes -= f->n;
		free(f);
	}
	LIST_EACH (s, &w->subs, struct worker_sub, node) {
		flush_sub(s);
		worker_sub_release(s);
	}
}

void
worker_out_void(struct worker *w)
{
	struct worker_sub *s;
	struct list *n;

	while ((n = list_pop(&w->out)) != NULL)
		free(LIST_ITEM(n, struct worker_frame, node));
	w->out_bytes = 0;
	LIST_EACH (s, &w->subs, struct worker_sub, node) {
		s->nacks = 0;
		s->given_back = 0;
		worker_sub_release(s);
	}
}

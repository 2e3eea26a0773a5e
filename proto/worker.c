#include "proto/worker.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/worker_priv.h"

#define DEFAULT_WINDOW 8
#define SPARE 256 /* deliveries kept for the next, 0.5 MiB */

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct delivery *
find_request(struct worker *w, const uint8_t id[16]) /* NOLINT(readability-function-size) */
{
	struct delivery *d;

	HASH_FIND(hh, w->requests, id, 16, d);
	return d;
}

static void
add_request(struct worker *w, struct delivery *d) /* NOLINT(readability-function-size) */
{
	HASH_ADD(hh, w->requests, id, 16, d);
}

static void
del_request(struct worker *w, struct delivery *d) /* NOLINT(readability-function-size) */
{
	HASH_DEL(w->requests, d);
}

void
worker_delivery_unhold(struct delivery *d)
{
	struct worker_frame *f;

	LIST_EACH (f, &d->held, struct worker_frame, node) {
		list_remove(&f->node);
		free(f);
	}
	d->held_bytes = 0;
}

void
worker_delivery_free(struct delivery *d)
{
	struct worker *w = d->w;
	struct worker_sub *s = d->m.sub;

	list_remove(&d->node);
	if (d->kind == DELIVERY_REQUEST)
		del_request(w, d);
	worker_delivery_unhold(d);
	free(d->frame);
	pool_put(&w->spare, d);
	s->in_hand--;
	worker_sub_release(s);
}

static enum delivery_kind
kind_of(const struct env *head)
{
	if (env_has(head, ENV_M_GROUP))
		return DELIVERY_EVENT;
	return env_has(head, ENV_M_LEFT) ? DELIVERY_REQUEST : DELIVERY_TAIL;
}

/* A delivery that never reaches a callback: the broker learns why. */
static void
turn_away(struct worker *w, const struct env *head, enum err code, const char *why)
{
	switch (kind_of(head)) {
	case DELIVERY_REQUEST: worker_out_err(w, head->id, code, why); break;
	case DELIVERY_EVENT:
		if (code == ERR_BAD_ENVELOPE) {
			worker_out_nak(w, head, INT64_MIN, why);
		} else {
			worker_out_untried(w, head, why);
		}
		break;
	case DELIVERY_TAIL: break;
	}
}

/* A copy of the frame with both envelopes read from it; NULL: no memory, or the inner one is
 * broken. */
static struct delivery *
delivery_new(struct worker *w, const struct env *head, struct span frame)
{
	struct delivery *d = pool_get(&w->spare, sizeof *d);
	const char *why = "no memory";

	/* Reading sets what it needs of the two envelopes, which are most of it. */
	memset((uint8_t *)d + sizeof d->m, 0, sizeof *d - sizeof d->m);
	d->m.sub = NULL;
	d->m.deadline_ms = 0;
	d->m.user = NULL;
	d->w = w;
	list_init(&d->node);
	list_init(&d->held);
	d->kind = kind_of(head);
	d->generation = link_generation(w->link);
	memcpy(d->id, head->id, 16);
	d->frame = malloc(frame.n);
	if (d->frame) {
		memcpy(d->frame, frame.p, frame.n);
		if (env_decode(&d->m.head, span_of(d->frame, frame.n), false, &why) == ERR_OK &&
		    env_decode(&d->m.env, d->m.head.body, false, &why) == ERR_OK)
			return d;
		w->stats.unreadable++;
		turn_away(w, head, ERR_BAD_ENVELOPE, "unreadable");
	} else {
		turn_away(w, head, ERR_BUSY, why);
	}
	if (log_allow(&w->unreadable_lines, loop_now(w->loop), 5)) {
		log_warn("delivery_unreadable", LOG_B("topic", head->topic), LOG_ID("id", head->id),
		    LOG_S("why", why), LOG_U("suppressed", w->unreadable_lines.last));
	}
	free(d->frame);
	pool_put(&w->spare, d);
	return NULL;
}

static uint64_t
at_most(uint64_t v, uint64_t max)
{
	return v < max ? v : max;
}

static void
set_deadline(struct delivery *d)
{
	int64_t now = loop_now(d->w->loop);

	if (d->kind == DELIVERY_EVENT) {
		d->m.deadline_ms = now + d->m.sub->ack_ms;
	} else if (d->kind == DELIVERY_REQUEST) {
		d->m.deadline_ms =
		    now + (int64_t)at_most(env_u(&d->m.head, ENV_M_LEFT, 0), LIMIT_TTL_MS);
	}
}

static void
on_msg(struct worker *w, const struct env *head, struct span frame)
{
	struct worker_sub *s;
	struct delivery *d;

	if (w->byed) {
		turn_away(w, head, ERR_DRAINING, "draining");
		return;
	}
	d = delivery_new(w, head, frame);
	if (d == NULL)
		return;
	s = worker_sub_find(w, &d->m.head, &d->m.env);
	if (s == NULL || (d->kind == DELIVERY_REQUEST && find_request(w, d->id))) {
		w->stats.stray++;
		if (s == NULL)
			turn_away(w, head, ERR_NO_WORKERS, "not subscribed here");
		free(d->frame);
		pool_put(&w->spare, d);
		return;
	}
	d->m.sub = s;
	d->room = env_u(&d->m.env, ENV_M_WINDOW, DEFAULT_WINDOW);
	if (d->kind == DELIVERY_REQUEST)
		add_request(w, d);
	set_deadline(d);
	list_push_back(&w->hand, &d->node);
	w->in_hand++;
	s->in_hand++;
	s->count.delivered++;
	if (worker_keys_refuses(d)) {
		s->count.refused++;
		worker_delivery_untried(d, "one before it of its key went back");
	} else if (s->cancels) {
		worker_cancel_check(d);
	} else {
		s->msg(s->arg, &d->m);
	}
}

static void
cancel(struct delivery *d)
{
	struct worker_sub *s = d->m.sub;

	if (d->draining) {
		worker_delivery_free(d);
	} else if (s->cancel && (!s->cancels || d->checked)) {
		s->cancel(s->arg, &d->m);
	}
}

static void
on_cancel(struct worker *w, const uint8_t id[16])
{
	struct delivery *d = find_request(w, id);

	if (d == NULL)
		return;
	if (d->draining) {
		/* The one final answer is owed all the same. */
		worker_delivery_unhold(d);
		worker_out_err(w, id, ERR_GONE, "cancelled");
	}
	cancel(d);
}

static void
on_more(struct worker *w, const struct env *e)
{
	struct delivery *d = find_request(w, e->id);
	struct list *n;

	if (d == NULL)
		return;
	d->room += at_most(env_u(e, ENV_M_N, 0), UINT32_MAX);
	while ((n = list_pop(&d->held)) != NULL) {
		struct worker_frame *f = LIST_ITEM(n, struct worker_frame, node);

		if (f->is_part && d->room == 0) {
			list_push_front(&d->held, n);
			return;
		}
		d->room -= f->is_part ? 1 : 0;
		d->held_bytes -= f->is_part ? f->n : 0;
		worker_out_send(w, span_of(f->bytes, f->n));
		free(f);
	}
	if (d->draining) {
		worker_delivery_free(d);
	} else if (d->m.sub->more && d->room > 0) {
		d->m.sub->more(d->m.sub->arg, &d->m);
	}
}

static void
on_in(void *arg, const struct env *e, struct span frame)
{
	struct worker *w = arg;

	if (e->verb == ENV_MSG) {
		on_msg(w, e, frame);
	} else if (e->verb == ENV_CANCEL) {
		on_cancel(w, e->id);
	} else if (e->verb == ENV_MORE) {
		on_more(w, e);
	}
}

static void
free_all(struct list *deliveries)
{
	struct list *n;

	while ((n = list_pop(deliveries)) != NULL)
		worker_delivery_free(LIST_ITEM(n, struct delivery, node));
}

static void
on_up(void *arg)
{
	worker_sub_up(arg);
}

static void
on_down(void *arg)
{
	struct worker *w = arg;
	struct list all, *n;

	worker_out_void(w);
	worker_keys_void(w);
	worker_sub_down(w);
	free_all(&w->draining);
	/* Callbacks may finish any delivery, so each goes back in hand before its own is called. */
	list_init(&all);
	while ((n = list_pop(&w->hand)) != NULL)
		list_push_back(&all, n);
	while ((n = list_pop(&all)) != NULL) {
		struct delivery *d = LIST_ITEM(n, struct delivery, node);

		list_push_back(&w->hand, n);
		worker_delivery_unhold(d);
		/* A delivery can outlive several sessions; it is told once. */
		if (d->generation != link_generation(w->link))
			continue;
		w->stats.voided++;
		cancel(d);
	}
}

static void
on_pong(void *arg, const uint8_t id[16])
{
	worker_keys_pong(arg, id);
}

static void
on_ready(void *arg)
{
	worker_out_flush(arg);
}

struct worker *
worker_new(struct client *c)
{
	struct worker *w = xcalloc(1, sizeof *w);

	w->client = c;
	w->link = client_link(c);
	w->loop = link_loop(w->link);
	list_init(&w->subs);
	list_init(&w->hand);
	list_init(&w->draining);
	list_init(&w->out);
	w->spare.most = SPARE;
	worker_keys_init(w);
	buf_init(&w->scratch, LIMIT_FRAME_RX);
	link_listen(w->link, &(struct link_ops){
				 .up = on_up,
				 .down = on_down,
				 .in = on_in,
				 .ready = on_ready,
				 .pong = on_pong,
				 .arg = w,
			     });
	return w;
}

void
worker_free(struct worker *w)
{
	struct worker_sub *s;

	if (w == NULL)
		return;
	link_unlisten(w->link, w);
	loop_later_cancel(w->loop, w);
	worker_out_void(w);
	worker_keys_void(w);
	worker_cancel_end(w);
	free_all(&w->draining);
	free_all(&w->hand);
	LIST_EACH (s, &w->subs, struct worker_sub, node)
		worker_sub_free(s);
	buf_fini(&w->scratch);
	pool_fini(&w->spare);
	free(w->desc);
	free(w);
}

size_t
worker_in_hand(const struct worker *w)
{
	return w->in_hand;
}

bool
worker_is_flushed(const struct worker *w)
{
	return list_empty(&w->out) && list_empty(&w->draining) && !w->flush_later;
}

static void
on_byed(void *arg, const struct env *e)
{
	(void)arg;
	log_debug("bye", LOG_S("answer", env_verb_name(e->verb)));
}

void
worker_bye(struct worker *w)
{
	struct env e;

	w->byed = true;
	if (!link_is_up(w->link))
		return;
	worker_out_flush(w);
	env_init(&e, ENV_BYE, span_str(""), NULL);
	if (client_call(w->client, &e, PEER_LOST_MS, on_byed, NULL) != ERR_OK)
		log_warn("bye_refused");
}

struct client *
worker_client(struct worker *w)
{
	return w->client;
}

struct worker_stats
worker_stats(const struct worker *w)
{
	return w->stats;
}

#include "services/data-gateway/pusher_impl.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/str.h"

#define REPORT_MS 10000
#define REPORT_AGAIN_MS 500

static void send_report(struct pusher_work *w);

static void
fill(const struct pusher_work *w, struct env *e, struct buf *body, struct report *r, uint8_t *dig)
{
	const struct pusher *p = w->p;

	r->destination = p->conf.destination;
	memcpy(r->receipt, w->item.receipt, 16);
	r->uuid = w->item.rows.uuid_text[0] != '\0' ? w->item.rows.uuid_text : NULL;
	r->rows = w->item.rows.n;
	r->attempts = w->item.attempt;
	r->at_ms = clock_real_ms();
	env_init(e, ENV_PUB, buf_span(&p->topic), NULL);
	report_id(e->id, dig, p->group, w->item.seq, w->item.attempt, r->state);
	report_put(r, body);
	worker_inherit(w->m, e);
	env_set_s(e, ENV_M_KEY, span_of(w->item.receipt_text, UUID_TEXT));
	env_set_s(e, ENV_M_DIG, span_of(dig, DIGEST_BYTES));
	e->body = buf_span(body);
}

/* --- final --- */

static void
finish(struct pusher_work *w)
{
	if (w->verdict == REPORT_DEAD) {
		worker_reject(w->m, w->why);
	} else {
		worker_ack(w->m);
	}
	pusher_free_work(w);
}

static void
on_again(struct timer *t)
{
	send_report(LIST_ITEM(t, struct pusher_work, again));
}

static void
report_later(struct pusher_work *w)
{
	struct loop *l = svc_loop(w->p->svc);

	w->p->n.report_failed++;
	w->again.fn = on_again;
	loop_timer(l, &w->again, loop_now(l) + REPORT_AGAIN_MS);
}

static void
on_reported(void *arg, const struct env *e)
{
	struct pusher_call *call = arg;
	struct pusher_work *w = call->w;
	enum err code = e->verb == ENV_ERR ? env_err_code(e) : ERR_OK;

	free(call);
	if (w == NULL)
		return;
	w->call = NULL;
	if (w->p->closing)
		return;
	if (code != ERR_OK && err_retry(code) != ERR_NEVER) {
		report_later(w);
		return;
	}
	/* Never to be taken: the delivery itself is done, and a receipt without it beats a group
	 * that stands still. */
	if (code != ERR_OK) {
		log_error("report_refused", LOG_ID("receipt", w->item.receipt),
		    LOG_S("code", err_name(code)), LOG_B("detail", env_err_text(e)));
	}
	finish(w);
}

static void
send_report(struct pusher_work *w)
{
	struct report r = {.state = w->verdict};
	uint8_t dig[DIGEST_BYTES];
	struct buf body;
	struct env e;

	if (w->verdict == REPORT_DEAD)
		r.last_error = w->why;
	buf_init(&body, LIMIT_HEADER);
	fill(w, &e, &body, &r, dig);
	w->call = xcalloc(1, sizeof *w->call);
	w->call->w = w;
	if (client_call(svc_client(w->p->svc), &e, REPORT_MS, on_reported, w->call) != ERR_OK) {
		free(w->call);
		w->call = NULL;
		report_later(w);
	}
	buf_fini(&body);
}

void
pusher_report_final(struct pusher_work *w, enum report_state verdict, const char *why)
{
	w->state = ITEM_REPORTED;
	w->verdict = verdict;
	(void)str_copy(w->why, sizeof w->why, span_str(why ? why : ""));
	send_report(w);
}

/* --- pending --- */

static void
on_pending(void *arg, const struct env *e)
{
	struct pusher *p = arg;

	if (e->verb == ENV_ERR)
		p->n.report_failed++;
}

void
pusher_report_pending(struct pusher_work *w, int64_t delay_ms, const char *why)
{
	struct report r = {.state = REPORT_PENDING, .last_error = why ? why : ""};
	uint8_t dig[DIGEST_BYTES];
	struct buf body;
	struct env e;

	buf_init(&body, LIMIT_HEADER);
	r.next_attempt_ms = clock_real_ms() + delay_ms;
	fill(w, &e, &body, &r, dig);
	if (client_call(svc_client(w->p->svc), &e, REPORT_MS, on_pending, w->p) != ERR_OK)
		w->p->n.report_failed++;
	buf_fini(&body);
}

#include "services/data-gateway/recording.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"

#define BATCH_MAX 1000
#define BATCH_BYTES (8u * 1024 * 1024) /* of JSON */
#define ACK_MS 60000
#define TICK_MS 10000
#define TRIES 1000 /* a kill of this process is not the envelope's fault */
#define RETRY_FIRST_MS 100
#define RETRY_MOST_MS 5000

struct item {
	struct list link; /* waiting or running */
	struct worker_msg *m;
	struct recording *r;
	bool running;
};

struct recording {
	struct svc *svc;
	struct pg *pg;
	struct recording_spec spec;
	struct list waiting, running;
	size_t nwaiting, nrunning;
	size_t sent;  /* in the batch under way, some of which may have gone with their session */
	size_t limit; /* of the next batch: halved by a refusal, doubled by a success */
	struct timer retry, tick;
	int64_t backoff_ms;
	bool kicked, busy, draining, closed;
	struct recording_stats n;
	struct log_limit log;
};

static void run(void *arg);

static void
kick(struct recording *r)
{
	if (!r->kicked)
		loop_later(svc_loop(r->svc), run, r);
	r->kicked = true;
}

static struct worker_msg *
take(struct item *i)
{
	struct worker_msg *m = i->m;

	if (i->running) {
		i->r->nrunning--;
	} else {
		i->r->nwaiting--;
	}
	list_remove(&i->link);
	free(i);
	m->user = NULL;
	return m;
}

static void
reject(struct item *i, const char *why)
{
	struct recording *r = i->r;
	struct worker_msg *m;

	r->n.rejected++;
	if (log_allow(&r->log, loop_now(svc_loop(r->svc)), 5)) {
		log_warn("record_rejected", LOG_S("group", r->spec.group),
		    LOG_ID("id", i->m->env.id), LOG_S("why", why),
		    LOG_U("suppressed", r->log.last));
	}
	m = take(i);
	worker_reject(m, why);
}

/* --- ends of a batch --- */

static void
put_back(struct recording *r)
{
	while (!list_empty(&r->running)) {
		struct item *i = LIST_ITEM(r->running.prev, struct item, link);

		list_remove(&i->link);
		list_push_front(&r->waiting, &i->link);
		i->running = false;
		r->nrunning--;
		r->nwaiting++;
	}
}

static void
give_back_all(struct recording *r)
{
	struct item *i;

	LIST_EACH (i, &r->waiting, struct item, link)
		worker_nak(take(i), 0, "draining");
}

static void
batch_failed(struct recording *r, const char *why)
{
	put_back(r);
	r->n.retries++;
	if (r->draining) {
		give_back_all(r);
		return;
	}
	if (log_allow(&r->log, loop_now(svc_loop(r->svc)), 1)) {
		log_warn("record_retry", LOG_S("group", r->spec.group), LOG_S("why", why),
		    LOG_U("held", r->nwaiting));
	}
	loop_timer(svc_loop(r->svc), &r->retry, loop_now(svc_loop(r->svc)) + r->backoff_ms);
	r->backoff_ms = r->backoff_ms * 2 < RETRY_MOST_MS ? r->backoff_ms * 2 : RETRY_MOST_MS;
}

static void
batch_refused(struct recording *r, const char *why)
{
	struct item *only = LIST_FIRST(&r->running, struct item, link);

	if (r->sent == 1 && only != NULL) {
		reject(only, why);
	} else {
		r->limit = r->sent / 2;
		put_back(r);
	}
	kick(r);
}

static void
batch_done(struct recording *r)
{
	struct item *i;

	r->n.recorded += r->nrunning;
	r->backoff_ms = RETRY_FIRST_MS;
	r->limit = r->limit * 2 < BATCH_MAX ? r->limit * 2 : BATCH_MAX;
	LIST_EACH (i, &r->running, struct item, link)
		worker_ack(take(i));
	kick(r);
}

/* Data exceptions, constraints, limits.  Anything else is the server's state, or the operator's to
 * mend. */
static bool
is_about_data(const char *sqlstate)
{
	return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0 ||
	       strncmp(sqlstate, "54", 2) == 0;
}

static void
on_end(void *arg, const struct pg_done *d)
{
	struct recording *r = arg;

	r->busy = false;
	if (r->closed) {
		free(r);
		return;
	}
	if (r->nrunning == 0) {
		kick(r); /* all of them went with their session */
	} else if (d->end == PG_OK) {
		batch_done(r);
	} else if (d->end == PG_REFUSED && is_about_data(d->sqlstate)) {
		batch_refused(r, d->why);
	} else {
		batch_failed(r, d->why);
	}
}

/* --- a batch --- */

/* Appends the item; false: it is over with, skipped or rejected. */
static bool
add(struct recording *r, struct item *i, struct buf *json)
{
	struct record_from from = {.id = i->m->env.id,
	    .body = i->m->env.body,
	    .seq = env_u(&i->m->head, ENV_M_SEQ, 0),
	    .now_ms = clock_real_ms()};
	size_t before = json->n;
	const char *why = "";
	enum record_end end;

	buf_putc(json, r->nrunning > 0 ? ',' : '[');
	end = r->spec.read(&from, json, &why);
	if (end == RECORD_OK)
		return true;
	json->n = before;
	if (end == RECORD_BAD) {
		reject(i, why);
		return false;
	}
	r->n.skipped++;
	worker_ack(take(i));
	return false;
}

static void
fill(struct recording *r, struct buf *json)
{
	struct item *i;

	LIST_EACH (i, &r->waiting, struct item, link) {
		if (r->nrunning == r->limit || (r->nrunning > 0 && json->n > BATCH_BYTES / 2))
			return;
		if (!add(r, i, json))
			continue;
		list_remove(&i->link);
		list_push_back(&r->running, &i->link);
		i->running = true;
		r->nwaiting--;
		r->nrunning++;
	}
}

static void
run(void *arg)
{
	struct recording *r = arg;
	struct pg_param p;
	struct buf json;

	r->kicked = false;
	if (r->busy || timer_is_set(&r->retry))
		return;
	buf_init(&json, BATCH_BYTES);
	fill(r, &json);
	if (r->nrunning > 0) {
		buf_putc(&json, ']');
		p.v = buf_span(&json);
		r->busy = true;
		r->sent = r->nrunning;
		if (json.failed || pg_query(r->pg, r->spec.sql, &p, 1, on_end, r) != 0) {
			r->busy = false;
			batch_failed(r, "too much waits for the database");
		}
	}
	buf_fini(&json);
}

static void
on_retry(struct timer *t)
{
	kick(LIST_ITEM(t, struct recording, retry));
}

/* --- deliveries --- */

static void
on_msg(void *arg, struct worker_msg *m)
{
	struct recording *r = arg;
	struct item *i = xcalloc(1, sizeof *i);

	i->m = m;
	i->r = r;
	m->user = i;
	list_push_back(&r->waiting, &i->link);
	r->nwaiting++;
	kick(r);
}

/* The session ended: it will be delivered again. */
static void
on_cancel(void *arg, struct worker_msg *m)
{
	(void)arg;
	if (m->user != NULL)
		worker_drop(take(m->user));
}

static void
extend(struct list *items, int64_t before)
{
	struct item *i;

	LIST_EACH (i, items, struct item, link)
		if (i->m->deadline_ms < before)
			worker_extend(i->m, ACK_MS);
}

static void
on_tick(struct timer *t)
{
	struct recording *r = LIST_ITEM(t, struct recording, tick);
	int64_t now = loop_now(svc_loop(r->svc));

	extend(&r->waiting, now + ACK_MS / 2);
	extend(&r->running, now + ACK_MS / 2);
	loop_timer(svc_loop(r->svc), t, now + TICK_MS);
}

/* --- life --- */

struct recording *
recording_new(struct svc *s, struct pg *pg, const struct recording_spec *spec)
{
	struct recording *r = xcalloc(1, sizeof *r);
	struct worker_sub_spec sub = {.pattern = spec->pattern,
	    .group = spec->group,
	    .from = "all",
	    .ack_ms = ACK_MS,
	    .tries = TRIES,
	    .credit = 2 * BATCH_MAX,
	    .credit_bytes = 2 * LIMIT_FRAME_RX,
	    .msg = on_msg,
	    .cancel = on_cancel,
	    .arg = r};

	r->svc = s;
	r->pg = pg;
	r->spec = *spec;
	r->limit = BATCH_MAX;
	r->backoff_ms = RETRY_FIRST_MS;
	list_init(&r->waiting);
	list_init(&r->running);
	r->retry.fn = on_retry;
	r->tick.fn = on_tick;
	(void)worker_sub(svc_worker(s), &sub);
	loop_timer(svc_loop(s), &r->tick, loop_now(svc_loop(s)) + TICK_MS);
	return r;
}

static void
forget(struct list *items)
{
	struct item *i;

	LIST_EACH (i, items, struct item, link)
		(void)take(i);
}

void
recording_free(struct recording *r)
{
	if (r == NULL)
		return;
	loop_timer_clear(svc_loop(r->svc), &r->retry);
	loop_timer_clear(svc_loop(r->svc), &r->tick);
	loop_later_cancel(svc_loop(r->svc), r);
	forget(&r->waiting);
	forget(&r->running);
	r->closed = true;
	if (!r->busy)
		free(r);
}

void
recording_drain(struct recording *r)
{
	if (r == NULL)
		return;
	r->draining = true;
	if (!timer_is_set(&r->retry))
		return;
	loop_timer_clear(svc_loop(r->svc), &r->retry);
	give_back_all(r);
}

struct recording_stats
recording_stats(const struct recording *r)
{
	struct recording_stats s = {0};

	if (r == NULL)
		return s;
	s = r->n;
	s.waiting = r->nwaiting + r->nrunning;
	return s;
}

#include "services/control-tower/recorder.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"

#define BATCH_MAX 256
#define BATCH_BYTES ((size_t)4 << 20)   /* of frames; one larger delivery goes alone */
#define COLUMN_BYTES ((size_t)60 << 20) /* a job of store/ may hold 64 MiB */
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 2000
#define ACK_MS 60000
#define EXTEND_BEFORE_MS 30000
#define EXTEND_EVERY_MS 5000
#define TRIES 1000 /* a kill -9 of this process is not the envelope's fault */
#define CREDIT 1024
#define CREDIT_BYTES ((size_t)32 << 20)

struct item {
	struct list link; /* of waiting or running */
	struct worker_msg *m;
};

struct recorder {
	struct loop *loop;
	struct pg *pg;
	const struct record_kind *kind;
	struct list waiting, running;
	size_t nwaiting, nrunning;
	size_t limit; /* of the next batch: halved by a refusal, doubled by a success */
	struct timer retry, extend;
	int64_t backoff_ms;
	bool kicked, draining;
	struct recorder_stats stats;
	struct log_limit refused;
};

static void run_batch(struct recorder *r);

static void
item_end(struct item *i)
{
	list_remove(&i->link);
	free(i);
}

static void
on_kick(void *arg)
{
	struct recorder *r = arg;

	r->kicked = false;
	run_batch(r);
}

/* At the end of the turn, so that deliveries of one wake-up share a transaction. */
static void
kick(struct recorder *r)
{
	if (!r->kicked)
		loop_later(r->loop, on_kick, r);
	r->kicked = true;
}

static void
reject(struct recorder *r, struct item *i, const char *why)
{
	struct worker_msg *m = i->m;

	if (log_allow(&r->refused, loop_now(r->loop), 10)) {
		log_warn("record_rejected", LOG_S("group", r->kind->group), LOG_ID("id", m->env.id),
		    LOG_B("topic", m->env.topic), LOG_S("why", why),
		    LOG_U("suppressed", r->refused.last));
	}
	r->stats.rejected++;
	item_end(i);
	worker_reject(m, why);
}

/* To the next process of this group, without waiting for the database. */
static void
give_back(struct recorder *r)
{
	struct item *i;

	LIST_EACH (i, &r->waiting, struct item, link) {
		struct worker_msg *m = i->m;

		item_end(i);
		worker_nak(m, 0, "draining");
	}
	r->nwaiting = 0;
}

static void
set_retry(struct recorder *r)
{
	if (r->draining) {
		give_back(r);
		return;
	}
	loop_timer(r->loop, &r->retry, loop_now(r->loop) + r->backoff_ms);
	r->backoff_ms = r->backoff_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : r->backoff_ms * 2;
	r->stats.retried++;
}

/* The one delivery under way can never be recorded. */
static void
reject_running(struct recorder *r, const char *why)
{
	struct item *i;

	LIST_EACH (i, &r->running, struct item, link)
		reject(r, i, why);
	r->nrunning = 0;
}

/* The batch under way back to the front of what waits, in its order. */
static void
put_back(struct recorder *r)
{
	while (!list_empty(&r->running)) {
		struct list *last = r->running.prev;

		list_remove(last);
		list_push_front(&r->waiting, last);
	}
	r->nwaiting += r->nrunning;
	r->nrunning = 0;
}

static void
batch_recorded(struct recorder *r)
{
	struct item *i;

	LIST_EACH (i, &r->running, struct item, link) {
		struct worker_msg *m = i->m;

		item_end(i);
		worker_ack(m);
	}
	r->stats.recorded += r->nrunning;
	r->stats.batches++;
	r->nrunning = 0;
	r->backoff_ms = RETRY_MIN_MS;
	r->limit = r->limit * 2 > BATCH_MAX ? BATCH_MAX : r->limit * 2;
}

/* Does the refusal speak of the data (22 exception, 23 constraint, 54 limit), not of missing tables
 * or rights? */
static bool
is_about_data(const char *sqlstate)
{
	return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0 ||
	       strncmp(sqlstate, "54", 2) == 0;
}

static void
batch_refused(struct recorder *r, const struct pg_done *d)
{
	char why[LIMIT_REASON];

	if (r->nrunning > 1) {
		r->limit = r->nrunning / 2;
		put_back(r);
		return;
	}
	(void)snprintf(why, sizeof why, "refused by the database: %s %s", d->sqlstate, d->why);
	reject_running(r, why);
}

static void
on_done(void *arg, const struct pg_done *d)
{
	struct recorder *r = arg;

	if (d->end == PG_OK) {
		batch_recorded(r);
	} else if (d->end == PG_REFUSED && is_about_data(d->sqlstate)) {
		batch_refused(r, d);
	} else {
		if (d->end == PG_REFUSED && log_allow(&r->refused, loop_now(r->loop), 1)) {
			log_error("record_refused", LOG_S("group", r->kind->group),
			    LOG_S("sqlstate", d->sqlstate), LOG_S("why", d->why));
		}
		put_back(r);
		set_retry(r);
		return;
	}
	kick(r);
}

static void
columns_fini(struct buf *columns, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_fini(&columns[i]);
}

static bool
columns_failed(struct buf *columns, unsigned n)
{
	size_t bytes = 0;
	bool failed = false;

	for (unsigned i = 0; i < n; i++) {
		pg_array_end(&columns[i]);
		bytes += columns[i].n;
		failed |= columns[i].failed;
	}
	return failed || bytes > COLUMN_BYTES;
}

/* Take deliveries off the waiting ones into `columns` and the running ones. */
static void
fill(struct recorder *r, struct buf *columns)
{
	int64_t now_us = clock_real_us();
	size_t bytes = 0;
	struct item *i;

	LIST_EACH (i, &r->waiting, struct item, link) {
		struct worker_msg *m = i->m;
		size_t n = m->head.body.n;
		char why[RECORD_WHY];

		if (r->nrunning == r->limit || (r->nrunning > 0 && bytes + n > BATCH_BYTES))
			return;
		r->nwaiting--;
		if (worker_msg_is_void(m)) {
			/* The broker of today will deliver it again. */
			item_end(i);
			worker_ack(m);
			continue;
		}
		uint64_t seq = env_u(&m->head, ENV_M_SEQ, 0);

		if (r->kind->add(columns, &m->env, seq, now_us, why) != 0) {
			reject(r, i, why);
			continue;
		}
		bytes += n;
		list_remove(&i->link);
		list_push_back(&r->running, &i->link);
		r->nrunning++;
	}
}

static int
send_batch(struct recorder *r, struct buf *columns)
{
	struct pg_param params[RECORD_STEPS_MAX][RECORD_COLUMNS_MAX];
	struct pg_step steps[RECORD_STEPS_MAX];

	for (unsigned s = 0; s < r->kind->nsteps; s++) {
		const struct record_step *from = &r->kind->steps[s];

		for (unsigned i = 0; i < from->n; i++)
			params[s][i].v = buf_span(&columns[from->columns[i]]);
		steps[s] = (struct pg_step){
		    .sql = from->sql, .params = params[s], .nparams = (int)from->n};
	}
	return pg_run(r->pg, steps, r->kind->nsteps, on_done, r);
}

static void
too_big(struct recorder *r)
{
	if (r->nrunning > 1) {
		r->limit = r->nrunning / 2;
		put_back(r);
		kick(r);
		return;
	}
	reject_running(r, "too big to be recorded");
	kick(r);
}

static void
run_batch(struct recorder *r)
{
	struct buf columns[RECORD_COLUMNS_MAX];
	unsigned n = r->kind->ncolumns;

	if (r->nrunning > 0 || list_empty(&r->waiting) || timer_is_set(&r->retry))
		return;
	for (unsigned i = 0; i < n; i++)
		buf_init(&columns[i], COLUMN_BYTES);
	fill(r, columns);
	if (r->nrunning > 0) {
		if (columns_failed(columns, n)) {
			too_big(r);
		} else if (send_batch(r, columns) != 0) {
			put_back(r);
			set_retry(r);
		}
	}
	columns_fini(columns, n);
}

static void
on_retry(struct timer *t)
{
	run_batch(LIST_ITEM(t, struct recorder, retry));
}

static void
extend_all(struct recorder *r, struct list *items)
{
	int64_t soon = loop_now(r->loop) + EXTEND_BEFORE_MS;
	struct item *i;

	LIST_EACH (i, items, struct item, link) {
		if (i->m->deadline_ms < soon && !worker_msg_is_void(i->m))
			worker_extend(i->m, ACK_MS);
	}
}

static void
on_extend(struct timer *t)
{
	struct recorder *r = LIST_ITEM(t, struct recorder, extend);

	extend_all(r, &r->running);
	extend_all(r, &r->waiting);
	loop_timer(r->loop, &r->extend, loop_now(r->loop) + EXTEND_EVERY_MS);
}

static void
on_msg(void *arg, struct worker_msg *m)
{
	struct recorder *r = arg;
	struct item *i = xcalloc(1, sizeof *i);

	i->m = m;
	list_push_back(&r->waiting, &i->link);
	r->nwaiting++;
	kick(r);
}

/* The session is over: what was not sent to the database yet will be delivered again. */
static void
on_cancel(void *arg, struct worker_msg *m)
{
	struct recorder *r = arg;

	(void)m;
	kick(r);
}

struct recorder *
recorder_new(struct worker *w, struct pg *pg, const struct record_kind *kind)
{
	struct recorder *r = xcalloc(1, sizeof *r);

	r->pg = pg;
	r->kind = kind;
	r->loop = link_loop(client_link(worker_client(w)));
	r->limit = BATCH_MAX;
	r->backoff_ms = RETRY_MIN_MS;
	r->retry.fn = on_retry;
	r->extend.fn = on_extend;
	list_init(&r->waiting);
	list_init(&r->running);
	loop_timer(r->loop, &r->extend, loop_now(r->loop) + EXTEND_EVERY_MS);
	(void)worker_sub(w, &(struct worker_sub_spec){
				.pattern = kind->pattern,
				.group = kind->group,
				.from = "all",
				.ack_ms = ACK_MS,
				.tries = TRIES,
				.credit = CREDIT,
				.credit_bytes = CREDIT_BYTES,
				.msg = on_msg,
				.cancel = on_cancel,
				.arg = r,
			    });
	return r;
}

void
recorder_free(struct recorder *r)
{
	struct item *i;

	if (r == NULL)
		return;
	loop_later_cancel(r->loop, r);
	loop_timer_clear(r->loop, &r->retry);
	loop_timer_clear(r->loop, &r->extend);
	/* The deliveries are the worker's. */
	LIST_EACH (i, &r->waiting, struct item, link)
		item_end(i);
	LIST_EACH (i, &r->running, struct item, link)
		item_end(i);
	free(r);
}

void
recorder_drain(struct recorder *r)
{
	r->draining = true;
	if (timer_is_set(&r->retry))
		give_back(r);
}

struct recorder_stats
recorder_stats(const struct recorder *r)
{
	struct recorder_stats s = r->stats;

	s.waiting = r->nwaiting + r->nrunning;
	return s;
}

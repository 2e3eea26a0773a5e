#include "store/pg_conn.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/str.h"

#define DIAL_MS 5000
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000
#define COPY_CHUNK ((size_t)64 << 10)
#define COPY_PIECE ((size_t)8 << 20)
#define COPY_PIECES 64u             /* empty ones count too */
#define COPY_TURN ((size_t)1 << 20) /* at most this much before other work has its turn */
#define LOG_AGAIN_MS 60000

enum state { AWAY, DIALING, GREETING, READY, ASKING, COPYING };

struct pg_conn {
	struct loop *loop;
	struct pg_conn_ops ops;
	char *url;
	int64_t timeout_ms;
	enum state state;
	PGconn *pg;
	struct loop_fd *fd;
	PGresult *res;                  /* of the statement under way */
	const struct pg_job_step *step; /* the statement under way */
	size_t copied;
	struct buf piece; /* of a copy_fn, not yet handed over */
	bool last_piece;
	struct timer timer; /* AWAY: when to dial; DIALING, GREETING: when to give up */
	int64_t backoff_ms;
	int64_t log_at;   /* be silent about a lasting outage until then */
	bool send_failed; /* found inside pg_conn_send, told at the end of the turn */
};

static void dial(struct pg_conn *c);
static void on_fd(void *arg, short revents);

static void
watch(struct pg_conn *c, short events)
{
	if (c->fd == NULL) {
		c->fd = loop_fd(c->loop, PQsocket(c->pg), events, on_fd, c);
	} else {
		loop_fd_events(c->fd, events);
	}
}

static void
unwatch(struct pg_conn *c)
{
	if (c->fd != NULL)
		loop_fd_end(c->fd);
	c->fd = NULL;
}

static void
hang_up(struct pg_conn *c)
{
	loop_later_cancel(c->loop, c);
	loop_timer_clear(c->loop, &c->timer);
	unwatch(c);
	PQclear(c->res);
	c->res = NULL;
	c->step = NULL;
	c->send_failed = false;
	PQfinish(c->pg);
	c->pg = NULL;
	c->state = AWAY;
}

static void
lost(struct pg_conn *c, const char *because)
{
	char why[256];
	bool was_up = c->state >= READY;

	/* libpq explains itself over several lines; the first says what happened. */
	(void)str_copy(why, sizeof why, span_of(because, strcspn(because, "\n")));
	hang_up(c);
	int64_t now = loop_now(c->loop);
	if (was_up || now >= c->log_at) {
		log_warn("pg_away", LOG_S("why", why), LOG_I("retry_ms", c->backoff_ms));
		c->log_at = now + LOG_AGAIN_MS;
	}
	/* Jitter, so that the processes of a house do not all dial a restarted server at once. */
	int64_t wait = c->backoff_ms + clock_mono_us() % (c->backoff_ms / 2 + 1);
	c->backoff_ms = c->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : c->backoff_ms * 2;
	loop_timer(c->loop, &c->timer, now + wait);
	c->ops.down(c->ops.arg, why);
}

static void
on_timer(struct timer *t)
{
	struct pg_conn *c = LIST_ITEM(t, struct pg_conn, timer);

	if (c->state == AWAY) {
		dial(c);
	} else {
		lost(c, "the server did not answer in time");
	}
}

static void
on_notice(void *arg, const PGresult *res)
{
	(void)arg;
	log_debug("pg_notice", LOG_S("text", PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY)));
}

static void
dial(struct pg_conn *c)
{
	/* What precedes dbname is a default that the url may override. */
	static const char *const keys[] = {
	    "fallback_application_name", "tcp_user_timeout", "keepalives_idle", "dbname", NULL};
	const char *values[] = {"taxiway", "15000", "30", c->url, NULL};

	c->pg = PQconnectStartParams(keys, values, 1);
	if (c->pg == NULL || PQstatus(c->pg) == CONNECTION_BAD) {
		lost(c, c->pg ? PQerrorMessage(c->pg) : "out of memory");
		return;
	}
	PQsetNoticeReceiver(c->pg, on_notice, NULL);
	c->state = DIALING;
	watch(c, ZMQ_POLLOUT);
	loop_timer(c->loop, &c->timer, loop_now(c->loop) + DIAL_MS);
}

static void
greet(struct pg_conn *c)
{
	char sql[400];

	/* The server should give up a little before we do, as that keeps the connection.  A
	 * transaction whose client is gone without a word must not hold its locks for ever. */
	(void)snprintf(sql, sizeof sql,
	    "SET statement_timeout = %lld; SET idle_in_transaction_session_timeout = %lld;"
	    "SET client_encoding = 'UTF8'; SET client_min_messages = warning;"
	    "SET timezone = 'UTC'; SET datestyle = 'ISO, YMD'; SET standard_conforming_strings = "
	    "on",
	    (long long)(c->timeout_ms * 9 / 10), (long long)c->timeout_ms);
	c->state = GREETING;
	if (PQsetnonblocking(c->pg, 1) != 0 || !PQsendQuery(c->pg, sql) || PQflush(c->pg) < 0) {
		lost(c, PQerrorMessage(c->pg));
		return;
	}
	watch(c, ZMQ_POLLIN | ZMQ_POLLOUT);
}

static void
dial_more(struct pg_conn *c)
{
	PostgresPollingStatusType s = PQconnectPoll(c->pg);

	/* libpq may have gone on to another address on another socket. */
	unwatch(c);
	if (s == PGRES_POLLING_OK) {
		greet(c);
	} else if (s == PGRES_POLLING_READING) {
		watch(c, ZMQ_POLLIN);
	} else if (s == PGRES_POLLING_WRITING) {
		watch(c, ZMQ_POLLOUT);
	} else {
		lost(c, PQerrorMessage(c->pg));
	}
}

static int
copy_put(struct pg_conn *c, struct span s)
{
	int r = PQputCopyData(c->pg, (const char *)s.p, (int)s.n);

	if (r > 0)
		c->copied += s.n;
	return r < 0 ? -1 : 0;
}

static int
copy_asked_piece(struct pg_conn *c)
{
	if (c->piece.n == 0) {
		int r = c->last_piece ? 0 : c->step->copy_fn(c->step->copy_arg, &c->piece);

		if (r < 0 || c->piece.failed)
			return PQputCopyEnd(c->pg, "the data cannot be had");
		c->last_piece = r == 0;
		if (c->piece.n == 0)
			return c->last_piece ? PQputCopyEnd(c->pg, NULL) : 0;
	}
	size_t before = c->copied;
	int r = copy_put(c, buf_span(&c->piece));

	if (c->copied > before)
		buf_reset(&c->piece);
	return r;
}

/* Another piece of the COPY: 1 all is handed over, 0 a piece was, -1 lost. */
static int
copy_piece(struct pg_conn *c)
{
	if (c->step->copy_fn != NULL)
		return copy_asked_piece(c);

	struct span all = c->step->copy;
	size_t n = all.n - c->copied;

	if (n == 0)
		return PQputCopyEnd(c->pg, NULL);
	return copy_put(c, span_of(all.p + c->copied, n > COPY_CHUNK ? COPY_CHUNK : n));
}

/* Write what is pending; 0, or -1: lost. */
static int
push(struct pg_conn *c)
{
	size_t limit = c->copied + COPY_TURN;
	unsigned pieces = 0;

	for (;;) {
		int r = PQflush(c->pg);

		if (r < 0)
			return -1;
		bool blocked = r > 0 || (c->state == COPYING &&
					    (c->copied >= limit || pieces++ >= COPY_PIECES));
		watch(c, (short)(ZMQ_POLLIN | (blocked ? ZMQ_POLLOUT : 0)));
		if (blocked || c->state != COPYING)
			return 0;
		r = copy_piece(c);
		if (r < 0)
			return -1;
		if (r > 0)
			c->state = ASKING;
	}
}

static void
keep_result(struct pg_conn *c, PGresult *res)
{
	/* The first error of a statement is the one that counts. */
	if (c->res != NULL && PQresultStatus(c->res) == PGRES_FATAL_ERROR) {
		PQclear(res);
		return;
	}
	PQclear(c->res);
	c->res = res;
}

static void
statement_over(struct pg_conn *c)
{
	PGresult *res = c->res;
	bool bad = PQstatus(c->pg) == CONNECTION_BAD;
	/* Words of libpq itself carry no SQLSTATE: then nobody answered. */
	bool answered = res != NULL && (PQresultStatus(res) != PGRES_FATAL_ERROR ||
					   PQresultErrorField(res, PG_DIAG_SQLSTATE) != NULL);

	if (!answered || (c->state == GREETING && PQresultStatus(res) == PGRES_FATAL_ERROR)) {
		lost(c, PQerrorMessage(c->pg));
		return;
	}
	c->res = NULL;
	c->step = NULL;
	if (c->state == GREETING) {
		PQclear(res);
		c->state = READY;
		c->backoff_ms = BACKOFF_MIN_MS;
		c->log_at = 0;
		loop_timer_clear(c->loop, &c->timer);
		log_info("pg_up", LOG_I("server", PQserverVersion(c->pg)));
		c->ops.up(c->ops.arg);
		return;
	}
	c->state = READY;
	c->ops.answer(c->ops.arg, res);
	if (bad && c->pg != NULL)
		lost(c, PQerrorMessage(c->pg));
}

/* 0, or -1: this connection cannot go on. */
static int
take_result(struct pg_conn *c, PGresult *res)
{
	ExecStatusType s = PQresultStatus(res);

	if (s == PGRES_COPY_OUT || s == PGRES_COPY_BOTH) {
		PQclear(res);
		return -1;
	}
	if (s != PGRES_COPY_IN) {
		keep_result(c, res);
		return 0;
	}
	PQclear(res);
	if (c->step == NULL || !pg_job_step_is_copy(c->step))
		return PQputCopyEnd(c->pg, "no data was given for this COPY") == 1 ? push(c) : -1;
	c->state = COPYING;
	c->copied = 0;
	c->last_piece = false;
	buf_reset(&c->piece);
	return push(c);
}

static void
pull(struct pg_conn *c)
{
	while (c->state == GREETING || c->state == ASKING) {
		if (PQisBusy(c->pg))
			return;
		PGresult *res = PQgetResult(c->pg);

		if (res == NULL) {
			statement_over(c);
		} else if (take_result(c, res) != 0) {
			lost(c, "COPY TO is not served here, or a write failed");
		}
	}
	PGnotify *n;

	while (c->pg != NULL && (n = PQnotifies(c->pg)) != NULL)
		PQfreemem(n);
}

static void
on_fd(void *arg, short revents)
{
	struct pg_conn *c = arg;

	if (c->state == DIALING) {
		dial_more(c);
		return;
	}
	if ((revents & ~ZMQ_POLLOUT) && !PQconsumeInput(c->pg)) {
		/* The server's last word may still lie in the buffer. */
		pull(c);
		if (c->pg != NULL)
			lost(c, PQerrorMessage(c->pg));
		return;
	}
	if (push(c) != 0) {
		lost(c, PQerrorMessage(c->pg));
		return;
	}
	pull(c);
}

static void
tell_send_failed(void *arg)
{
	struct pg_conn *c = arg;

	if (c->send_failed)
		lost(c, PQerrorMessage(c->pg));
}

struct pg_conn *
pg_conn_new(struct loop *l, const char *url, int64_t timeout_ms, const struct pg_conn_ops *ops)
{
	struct pg_conn *c = xcalloc(1, sizeof *c);

	c->loop = l;
	c->ops = *ops;
	c->url = xstrdup(url);
	c->timeout_ms = timeout_ms;
	buf_init(&c->piece, COPY_PIECE);
	c->backoff_ms = BACKOFF_MIN_MS;
	c->timer.fn = on_timer;
	loop_timer(l, &c->timer, loop_now(l));
	return c;
}

void
pg_conn_free(struct pg_conn *c)
{
	if (c == NULL)
		return;
	hang_up(c);
	buf_fini(&c->piece);
	free(c->url);
	free(c);
}

bool
pg_conn_is_up(const struct pg_conn *c)
{
	return c->state >= READY;
}

void
pg_conn_send(struct pg_conn *c, const struct pg_job_step *s)
{
	INVARIANT(c->state == READY);
	c->state = ASKING;
	c->step = s;
	c->copied = 0;
	if (PQsendQueryParams(c->pg, s->sql, s->nvalues, NULL, s->values, NULL, NULL, 0) &&
	    push(c) == 0)
		return;
	c->send_failed = true;
	loop_later(c->loop, tell_send_failed, c);
}

void
pg_conn_drop(struct pg_conn *c, const char *why)
{
	if (c->state >= READY)
		lost(c, why);
}

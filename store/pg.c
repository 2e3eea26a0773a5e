#include "store/pg.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "store/pg_conn.h"

#define MAX_JOBS 10000
#define MAX_BYTES ((size_t)64 << 20)

enum phase { BEGINNING, STEPPING, COMMITTING, ROLLING_BACK };

struct pg {
	struct loop *loop;
	struct pg_conn *conn;
	struct list waiting;
	size_t njobs, bytes; /* waiting and running */
	int64_t timeout_ms;
	struct timer timer; /* the earliest deadline */
	bool kicked, closing;

	struct pg_job *run;
	enum phase phase;
	size_t step;
	PGresult *kept;
	/* Why the running job is rolled back. */
	enum pg_end end;
	char why[512];
	char sqlstate[6];
	char context[512];
};

static const struct pg_job_step begin = {.sql = "BEGIN"};
static const struct pg_job_step commit = {.sql = "COMMIT"};
static const struct pg_job_step rollback = {.sql = "ROLLBACK"};

static void start_next(struct pg *p);

static void
end_job(struct pg *p, struct pg_job *j, const struct pg_done *d)
{
	p->njobs--;
	p->bytes -= j->bytes;
	if (j->done != NULL)
		j->done(j->arg, d);
	pg_job_free(j);
}

static void
end_run(struct pg *p, enum pg_end end)
{
	struct pg_job *j = p->run;
	PGresult *kept = p->kept;
	struct pg_done d = {end, end == PG_OK ? kept : NULL, p->why, p->sqlstate, p->context};

	p->run = NULL;
	p->kept = NULL;
	end_job(p, j, &d);
	PQclear(kept);
	p->why[0] = p->sqlstate[0] = p->context[0] = '\0';
}

static void
end_waiting(struct pg *p, const char *why)
{
	struct pg_job *j = LIST_ITEM(p->waiting.next, struct pg_job, link); /* one waits */
	struct pg_done d = {PG_AWAY, NULL, why, "", ""};

	list_remove(&j->link);
	end_job(p, j, &d);
}

static void
set_timer(struct pg *p)
{
	struct pg_job *first = LIST_FIRST(&p->waiting, struct pg_job, link);
	int64_t at = first ? first->deadline_ms : INT64_MAX;

	if (p->run != NULL && p->run->deadline_ms < at)
		at = p->run->deadline_ms;
	if (at == INT64_MAX) {
		loop_timer_clear(p->loop, &p->timer);
	} else {
		loop_timer(p->loop, &p->timer, at);
	}
}

static void
expire_waiting(struct pg *p)
{
	struct pg_job *j;

	/* All wait equally long, so the first is the first to expire. */
	while ((j = LIST_FIRST(&p->waiting, struct pg_job, link)) != NULL &&
	       j->deadline_ms <= loop_now(p->loop))
		end_waiting(p, "the database is not there, or too slow");
}

static void
on_timer(struct timer *t)
{
	struct pg *p = LIST_ITEM(t, struct pg, timer);

	expire_waiting(p);
	if (p->run != NULL && p->run->deadline_ms <= loop_now(p->loop))
		pg_conn_drop(p->conn, "a job took too long");
	set_timer(p);
}

static void
start_job(struct pg *p, struct pg_job *j)
{
	p->run = j;
	p->step = 0;
	j->deadline_ms = loop_now(p->loop) + p->timeout_ms;
	if (j->has_nul) {
		(void)str_copy(p->why, sizeof p->why, span_str("text cannot hold a NUL byte"));
		(void)str_copy(p->sqlstate, sizeof p->sqlstate, span_str("22021"));
		end_run(p, PG_REFUSED);
	} else if (j->nsteps == 0) {
		end_run(p, PG_OK);
	} else if (pg_job_is_transaction(j)) {
		p->phase = BEGINNING;
		pg_conn_send(p->conn, &begin);
	} else {
		p->phase = STEPPING;
		pg_conn_send(p->conn, &j->steps[0]);
	}
}

static void
start_next(struct pg *p)
{
	expire_waiting(p);
	while (p->run == NULL && !list_empty(&p->waiting) && pg_conn_is_up(p->conn)) {
		struct pg_job *j = LIST_ITEM(p->waiting.next, struct pg_job, link);

		list_remove(&j->link);
		start_job(p, j);
	}
	set_timer(p);
}

static void
on_kick(void *arg)
{
	struct pg *p = arg;

	p->kicked = false;
	start_next(p);
}

/* Refusals that say something about the server's condition and nothing about the job. */
static bool
is_passing(const char *sqlstate)
{
	static const char *const classes[] = {"08", "40", "53", "57", "58", "55P03", "25006"};

	for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
		if (strncmp(sqlstate, classes[i], strlen(classes[i])) == 0)
			return true;
	}
	return false;
}

static void
note_refusal(struct pg *p, const PGresult *res)
{
	const char *text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
	const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
	const char *context = PQresultErrorField(res, PG_DIAG_CONTEXT);

	(void)str_copy(p->why, sizeof p->why, span_str(text ? text : "refused"));
	(void)str_copy(p->context, sizeof p->context, span_str(context ? context : ""));
	(void)str_copy(p->sqlstate, sizeof p->sqlstate, span_str(state ? state : "XX000"));
	p->end = is_passing(p->sqlstate) ? PG_AWAY : PG_REFUSED;
}

static void
step_failed(struct pg *p, const PGresult *res)
{
	note_refusal(p, res);
	if (!pg_job_is_transaction(p->run) || p->phase == BEGINNING || p->phase == COMMITTING) {
		end_run(p, p->end);
		return;
	}
	p->phase = ROLLING_BACK;
	pg_conn_send(p->conn, &rollback);
}

static void
step_done(struct pg *p)
{
	p->step++;
	if (p->step < p->run->nsteps) {
		p->phase = STEPPING;
		pg_conn_send(p->conn, &p->run->steps[p->step]);
	} else if (pg_job_is_transaction(p->run)) {
		p->phase = COMMITTING;
		pg_conn_send(p->conn, &commit);
	} else {
		end_run(p, PG_OK);
	}
}

static void
keep_step(struct pg *p, PGresult **res)
{
	const struct pg_job_step *s = &p->run->steps[p->step];

	if (!s->keep)
		return;
	PQclear(p->kept);
	p->kept = *res;
	*res = NULL;
}

static void
commit_done(struct pg *p, PGresult *res)
{
	if (strcmp(PQcmdStatus(res), "COMMIT") == 0) {
		end_run(p, PG_OK);
		return;
	}
	/* COMMIT of a transaction that a step has ended or broken itself. */
	(void)str_copy(p->why, sizeof p->why, span_str("the transaction was rolled back"));
	(void)str_copy(p->sqlstate, sizeof p->sqlstate, span_str("40000"));
	end_run(p, PG_REFUSED);
}

static void
on_answer(void *arg, PGresult *res)
{
	struct pg *p = arg;
	ExecStatusType s = PQresultStatus(res);
	bool failed = s != PGRES_COMMAND_OK && s != PGRES_TUPLES_OK && s != PGRES_EMPTY_QUERY;

	if (p->phase == ROLLING_BACK) {
		end_run(p, p->end);
	} else if (failed) {
		step_failed(p, res);
	} else if (p->phase == COMMITTING) {
		commit_done(p, res);
	} else if (p->phase == BEGINNING) {
		p->phase = STEPPING;
		pg_conn_send(p->conn, &p->run->steps[0]);
	} else {
		keep_step(p, &res);
		step_done(p);
	}
	PQclear(res);
	start_next(p);
}

/* What a lost connection means for the running job. */
static enum pg_end
end_when_lost(const struct pg *p)
{
	if (p->phase == ROLLING_BACK)
		return p->end;
	/* A lone statement commits itself. */
	return p->phase == COMMITTING || !pg_job_is_transaction(p->run) ? PG_UNCERTAIN : PG_AWAY;
}

static void
on_down(void *arg, const char *why)
{
	struct pg *p = arg;

	if (p->run == NULL)
		return;
	if (p->phase != ROLLING_BACK)
		(void)str_copy(p->why, sizeof p->why, span_str(why));
	end_run(p, end_when_lost(p));
	set_timer(p);
}

static void
on_up(void *arg)
{
	start_next(arg);
}

struct pg *
pg_new(struct loop *l, const char *url, int64_t timeout_ms)
{
	struct pg *p = xcalloc(1, sizeof *p);
	struct pg_conn_ops ops = {on_up, on_down, on_answer, p};

	p->loop = l;
	p->timeout_ms = timeout_ms;
	p->timer.fn = on_timer;
	list_init(&p->waiting);
	p->conn = pg_conn_new(l, url, timeout_ms, &ops);
	return p;
}

void
pg_free(struct pg *p)
{
	if (p == NULL)
		return;
	p->closing = true;
	pg_conn_free(p->conn);
	if (p->run != NULL)
		end_run(p, end_when_lost(p));
	while (!list_empty(&p->waiting))
		end_waiting(p, "closing");
	loop_timer_clear(p->loop, &p->timer);
	loop_later_cancel(p->loop, p);
	free(p);
}

int
pg_run(struct pg *p, const struct pg_step *steps, size_t n, pg_done_fn *done, void *arg)
{
	if (p->closing || p->njobs >= MAX_JOBS)
		return -1;
	struct pg_job *j = pg_job_new(steps, n, MAX_BYTES - p->bytes);

	if (j == NULL)
		return -1;
	j->done = done;
	j->arg = arg;
	j->deadline_ms = loop_now(p->loop) + p->timeout_ms;
	list_push_back(&p->waiting, &j->link);
	p->njobs++;
	p->bytes += j->bytes;
	if (!p->kicked)
		loop_later(p->loop, on_kick, p);
	p->kicked = true;
	return 0;
}

int
pg_query(struct pg *p, const char *sql, const struct pg_param *params, int nparams,
    pg_done_fn *done, void *arg)
{
	struct pg_step s = {.sql = sql, .params = params, .nparams = nparams, .keep = true};

	return pg_run(p, &s, 1, done, arg);
}

bool
pg_is_up(const struct pg *p)
{
	return pg_conn_is_up(p->conn);
}

size_t
pg_waiting(const struct pg *p)
{
	return p->njobs;
}

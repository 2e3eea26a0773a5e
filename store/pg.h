#ifndef STORE_PG_H
#define STORE_PG_H
/* One asynchronous Postgres connection in the loop.  Jobs run one after another; a job is a list of
 * steps in one transaction, so that nothing else comes between them.  Reconnects by itself with backoff;
 * jobs wait meanwhile (up to their deadline). */
#include <libpq-fe.h>
#include "base/buf.h"
#include "base/span.h"
#include "proto/loop.h"

struct pg;

enum pg_end {
	PG_OK,
	PG_REFUSED,   /* the server said no (constraint, syntax, type): the same job fails again */
	PG_AWAY,      /* no connection, lost before COMMIT was sent, or refused for a reason that passes
		       * (shutdown, timeout, deadlock, disk full, read-only): certainly not done */
	PG_UNCERTAIN, /* lost while COMMIT, or a lone statement that commits itself, was under way */
};

struct pg_param {
	struct span v;	 /* text format; {NULL,0} is NULL */
};

/* The next piece of a COPY, into the empty `out`: 1 there is more, 0 this is the end, -1 the data cannot
 * be had (the job is rolled back).  Keep a piece near 64 KiB: it is sent before the next is asked for. */
typedef int pg_copy_fn(void *arg, struct buf *out);

struct pg_step {
	const char *sql;	/* copied */
	const struct pg_param *params; /* copied */
	int nparams;
	struct span copy;	/* COPY … FROM STDIN: the data, copied */
	pg_copy_fn *copy_fn;	/* instead of `copy`, for data that memory should not hold; */
	void *copy_arg;		/* lives until `done`; pieces are asked for from the loop */
	bool keep;		/* hand this step's result to `done` (the last kept one) */
};

/* `res` is the kept result (NULL when none or not PG_OK); `why` the server's message, or "".
 * `sqlstate` is five characters or "".  `context` is where in a COPY ("COPY t, line 3, column a: …"), or "".
 * All borrowed until return. */
struct pg_done {
	enum pg_end end;
	const PGresult *res;
	const char *why;
	const char *sqlstate;
	const char *context;
};
typedef void pg_done_fn(void *arg, const struct pg_done *d);

/* `url` is a libpq conninfo or URI.  Never fails for an absent server.  `timeout_ms` bounds the wait of each job
 * for its turn, and then its run; statement_timeout is set to nine tenths of it. */
struct pg *pg_new(struct loop *l, const char *url, int64_t timeout_ms);
/* Ends waiting jobs with PG_AWAY.  Not from inside a `done`. */
void pg_free(struct pg *p);

/* All steps in one transaction, in order; the first failure rolls back.  A single step without copy runs
 * without BEGIN/COMMIT.  `done` runs exactly once, never from inside the call.  0, or -1: over 10,000 jobs or
 * 64 MiB wait (certainly not done). */
int pg_run(struct pg *p, const struct pg_step *steps, size_t n, pg_done_fn *done, void *arg)
    __attribute__((warn_unused_result));
/* One statement with parameters, its result kept. */
int pg_query(struct pg *p, const char *sql, const struct pg_param *params, int nparams, pg_done_fn *done,
    void *arg) __attribute__((warn_unused_result));

bool pg_is_up(const struct pg *p);
size_t pg_waiting(const struct pg *p);

/* One field of a COPY row in text format: escapes, or \N for {NULL,0}. */
void pg_copy_field(struct buf *b, struct span v, bool first);
void pg_copy_end_row(struct buf *b);
/* An array literal as a parameter, {"a",NULL}: each item, then the end, into a buffer of its own. */
void pg_array_item(struct buf *b, struct span v);
void pg_array_end(struct buf *b);
/* "name" quoted as an identifier, into b. */
void pg_put_ident(struct buf *b, struct span name);

#endif

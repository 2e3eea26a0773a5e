#ifndef STORE_PG_CONN_H
#define STORE_PG_CONN_H
/* One libpq connection in the loop that comes back by itself: dials, greets (session settings),
 * then runs one statement at a time.  Knows nothing of transactions.  Callbacks come from the loop,
 * never from inside pg_conn_send.  A host name in the address is looked up by libpq, which blocks:
 * use an address or a socket folder where that matters. */
#include "store/pg_job.h"

struct pg_conn;

struct pg_conn_ops {
	void (*up)(void *arg);
	/* Lost, or could not be made; a statement under way gets no answer. */
	void (*down)(void *arg, const char *why);
	/* The statement's result, now the callee's (PQclear): its error, else its last. */
	void (*answer)(void *arg, PGresult *res);
	void *arg;
};

struct pg_conn *pg_conn_new(
    struct loop *l, const char *url, int64_t timeout_ms, const struct pg_conn_ops *ops);
void pg_conn_free(struct pg_conn *c); /* silently; not from a callback */

bool pg_conn_is_up(const struct pg_conn *c);
/* Only while up and with no statement under way.  `s` must live until the answer or `down`. */
void pg_conn_send(struct pg_conn *c, const struct pg_job_step *s);
/* Give the connection up; `down` runs before this returns. */
void pg_conn_drop(struct pg_conn *c, const char *why);

#endif

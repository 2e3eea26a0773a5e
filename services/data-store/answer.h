#ifndef DATA_STORE_ANSWER_H
#define DATA_STORE_ANSWER_H
/* What the API answers with, whatever was asked. */
#include <msgpack.h>

#include "proto/faults.h"
#include "proto/worker.h"
#include "store/pg.h"

/* What every request handler gets as its arg. */
struct answer_house {
	struct pg *pg;
	uint64_t pages, rows; /* counters */
};

/* Finishes m.  `next`: a relative URL for the Link header, or NULL. */
void answer_ok(struct worker_msg *m, struct buf *body, const char *next);
void answer_faults(struct worker_msg *m, struct faults *f);
/* The database did not answer as it should. */
void answer_away(struct worker_msg *m, const struct pg_done *d);

struct span answer_text(const PGresult *res, int row, int column); /* {NULL, 0} when NULL */
int64_t answer_i64(const PGresult *res, int row, int column);      /* 0 when it is none */
/* key: text, or nil */
void answer_put(struct buf *b, const char *key, struct span text);
/* key: integer, or nil */
void answer_put_i64(struct buf *b, const char *key, const PGresult *res, int row, int column);

/* The integer `key` of a request in [min, max]; `def` when absent. */
int64_t answer_number(const msgpack_object *o, const char *key, int64_t min, int64_t max,
    int64_t def, struct faults *f);

#endif

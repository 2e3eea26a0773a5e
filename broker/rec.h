#ifndef BROKER_REC_H
#define BROKER_REC_H
/* A record: one sender's frame and where its parts are.  Counted references, so that a record many
 * groups are owed is held once; one allocation each, accounted in a rec_pool.  One thread. */
#include "base/span.h"
#include "broker/journal.h"
#include "proto/env.h"

struct rec_pool {
	size_t bytes, n; /* alive now */
	size_t holds;    /* references beyond the first of each */
};

struct rec {
	struct rec_pool *pool;
	unsigned refs;
	uint64_t seq; /* 0: not (yet) in the journal */
	int64_t at_ms, exp_ms;
	uint8_t id[16];
	struct span topic, key, as; /* into frame; key, as {NULL,0}: none */
	struct span root;           /* into frame, or id */
	struct span from;           /* whose it is, as msgpack: what a delivery's `from` is */
	char *only;                 /* the one group it is owed to; NULL: all that match */
	size_t n;
	uint8_t frame[];
};

/* A copy of the frame that `e` was decoded from; NULL: no memory.  The caller has the one
 * reference. */
struct rec *rec_of_env(struct rec_pool *p, const struct env *e, struct span frame);
/* The same of a publisher by name, which is copied; {NULL,0}: `local`. */
struct rec *rec_of_env_from(
    struct rec_pool *p, const struct env *e, struct span frame, struct span from);
/* As journal_rec.from wants it: the name; {NULL,0}: `local`. */
struct span rec_from(const struct rec *r);
/* As it was read back from the journal; NULL: no memory, or not a frame. */
struct rec *rec_of_row(struct rec_pool *p, const struct journal_row *r);
/* It is owed to this one group alone (journal_rec.only).  {NULL,0} sets nothing. */
void rec_set_only(struct rec *r, struct span group);
struct rec *rec_hold(struct rec *r); /* one reference more; returns r */
void rec_drop(struct rec *r);        /* one less; NULL is harmless */

/* The same run of bytes inside the record's copy, given where the frame was. */
struct span rec_rebase(const struct rec *r, struct span part, struct span frame);

static inline struct span
rec_frame(const struct rec *r)
{
	return span_of(r->frame, r->n);
}

/* The latest records by seq, without a hole, in bounded bytes: what is delivered live is never read
 * back. */
struct tail {
	struct rec **v; /* ring */
	size_t cap, at, n;
	size_t bytes, max_bytes;
};
void tail_init(struct tail *t, size_t max_bytes);
void tail_fini(struct tail *t);
void tail_push(struct tail *t, struct rec *r);            /* takes a reference of its own */
struct rec *tail_get(const struct tail *t, uint64_t seq); /* borrowed; NULL: not here */

#endif

#ifndef BROKER_ROUTE_H
#define BROKER_ROUTE_H
/* Requests: which worker gets one, and what becomes of it.  Pure: time comes in, decisions go out
 * through route_ops; no I/O, no clock.
 *
 * The workers of one pattern are a pool.  A request goes to the most specific matching pool that
 * has a worker, there to the least loaded one with credit, else it waits in the pool, in bounded
 * bytes.  Every accepted request ends exactly once for its client: by a final answer (route_answer
 * says ROUTE_PASS) or by ops->fail.  A request that ended for its client while a worker has it is a
 * ghost: it keeps that worker's credit until the worker's final answer or loss.
 *
 * Times are monotonic ms.  Nothing that is passed is kept but the peers; frames are copied when
 * needed. */
#include "base/list.h"
#include "base/span.h"
#include "base/timer.h"
#include "broker/match.h"
#include "proto/err.h"

struct route;
struct route_pool;
struct route_member;

/* A peer as this module sees it: embedded in the shell's own record. */
struct route_peer {
	uint64_t session;
	struct list asked;   /* its requests under way */
	struct list members; /* its places in pools */
	size_t bytes;        /* of its requests under way */
	size_t serving;      /* requests it has in hand, ghosts included */
};
void route_peer_init(struct route_peer *p, uint64_t session);

struct route_send {
	struct route_peer *client;
	uint8_t id[16]; /* the broker's own */
	struct span frame, topic;
	int64_t left;
	bool again; /* it may have been run before */
};

struct route_ops {
	void (*send)(void *arg, struct route_peer *worker, const struct route_send *s);
	void (*more)(void *arg, struct route_peer *worker, const uint8_t id[16], uint64_t n);
	void (*cancel)(void *arg, struct route_peer *worker, const uint8_t id[16]);
	/* The end of a request whose client is told so by us. */
	void (*fail)(void *arg, struct route_peer *client, const uint8_t id[16], enum err code,
	    const char *why);
	void *arg;
};

/* `salt` makes ids of this start known from those before.  Bytes count frames and bookkeeping. */
struct route *route_new(struct match *m, const struct route_ops *ops, uint64_t salt,
    size_t max_bytes, size_t max_peer_bytes);
void route_free(struct route *r);

/* From now on a request that may be run twice and whose worker was lost waits for a worker until
 * its deadline, though none is there; and until `until` so does any other, for at most that long:
 * the workers of before are on their way. */
void route_be_patient(struct route *r, int64_t until);

/* ---- workers ---- */
/* Joining again replaces the credit. */
void route_join(struct route *r, struct route_peer *p, struct span pattern, uint32_t credit,
    size_t bytes, int64_t now);
/* It gets no more of this pattern; what it has it may finish.  False: it serves no such pattern. */
bool route_close(struct route *r, struct route_peer *p, struct span pattern, int64_t now);
/* Its requests are cancelled, those in its hands are lost or tried again elsewhere. */
void route_peer_gone(struct route *r, struct route_peer *p, int64_t now);

/* ---- requests ---- */
struct route_req {
	struct route_peer *client;
	uint8_t id[16]; /* the client's */
	struct span topic, frame;
	int64_t ttl;
	bool again;
	uint32_t window;
};
/* ERR_OK: accepted (a repeat of one under way is accepted and ignored); NO_WORKERS; BUSY. */
enum err route_request(struct route *r, const struct route_req *q, int64_t now);
bool route_cancel(struct route *r, struct route_peer *client, const uint8_t id[16], int64_t now);
/* False: no such request. */
bool route_more(
    struct route *r, struct route_peer *client, const uint8_t id[16], uint64_t n, int64_t now);

/* REP or ERR of a worker.  PASS: forward it to `client` under `id`.  DISCARD: nobody waits for it,
 * or the request goes to another worker.  STALE: this peer holds no such request. */
enum route_verdict { ROUTE_PASS, ROUTE_DISCARD, ROUTE_STALE };
struct route_to {
	struct route_peer *client;
	uint8_t id[16];
};
struct route_say {
	const uint8_t *id; /* the broker's own */
	bool more;
	enum err code; /* of an ERR; ERR_OK for a REP */
};
enum route_verdict route_answer(struct route *r, struct route_peer *worker,
    const struct route_say *say, int64_t now, struct route_to *to);

void route_run(struct route *r, int64_t now); /* deadlines that passed */
int64_t route_next(const struct route *r);    /* the next deadline; INT64_MAX: none */

struct route_stats {
	uint64_t requests, answered, failed, again, ghosts, stale;
	size_t under_way, waiting, bytes, pools;
};
void route_stats(const struct route *r, struct route_stats *s);
void route_check(const struct route *r); /* dies on a broken invariant */

#endif

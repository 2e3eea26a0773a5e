#ifndef BROKER_GROUP_H
#define BROKER_GROUP_H
/* One durable group: what it is owed, who works on what, and what to do next.  Pure: time, records
 * and the workers' verbs come in as arguments, decisions go out through group_ops; no I/O, no
 * clock, no globals.
 *
 * Records are offered in seq order.  An owed record is in exactly one of these places until it is
 * done: not read yet; waiting behind another of its key; ready; stalled (only one worker may have
 * it, which is full); in flight; delayed; dying (its dead letter is being written).  `now` is
 * monotonic ms, `real` unix ms.
 *
 * References: a taken record's `frame` is the group's until ops->drop; nothing else is kept of what
 * is passed. The functions of group_ops must not call back into the group. */
#include "base/buf.h"
#include "base/span.h"

#define GROUP_AHEAD_RECORDS 10000u /* read past blocked keys and delays, at most */
#define GROUP_AHEAD_BYTES (64u * 1024 * 1024)
#define GROUP_READY_RECORDS 1024u /* ready to go, at most, while all workers are full */
#define GROUP_READY_BYTES (4u * 1024 * 1024)

struct group;
struct group_worker;

struct group_rec {
	uint64_t seq;
	int64_t at_ms;   /* unix ms of the commit */
	int64_t exp_ms;  /* unix ms; 0 = never */
	struct span key; /* order key; {NULL,0}: none */
	bool scarce;     /* memory is: not taken while another waits to be handed over */
	bool dead;       /* a dead letter of it is stored, whatever the state says */
	size_t bytes;    /* what it counts for */
	void *frame;     /* the caller's */
};

struct group_item {
	uint64_t seq;
	void *frame;
	size_t bytes;
	uint32_t try_no; /* from 1 */
	bool again;      /* may have been seen before */
};

/* What happened to a record, for whoever watches. */
enum group_event {
	GROUP_ACKED,
	GROUP_NAKED,
	GROUP_REJECTED,
	GROUP_EXTENDED,
	GROUP_LATE, /* no ACK in time */
	GROUP_LOST, /* with its worker */
	GROUP_EXPIRED,
	GROUP_DEAD,
	GROUP_DROPPED,
	GROUP_EVENTS
};

/* Why an envelope was given up on: what a dead letter says where nobody gave a reason, and what the
 * letters are counted by. */
#define GROUP_DEATHS(X) X(REJECTED) X(NAK) X(ACK_TIMEOUT) X(WORKER_LOST) X(EXPIRED) X(TRIES)

enum group_death {
#define X(id) GROUP_DEATH_##id,
	GROUP_DEATHS(X)
#undef X
	    GROUP_DEATH_COUNT
};

struct group_ops {
	/* Hand it to the worker; `user` is what group_join was given. */
	void (*deliver)(void *arg, void *user, const struct group_item *it);
	/* Write a dead letter, then call group_dead_done.  try_no is the number of tries it had. */
	void (*dead)(
	    void *arg, const struct group_item *it, enum group_death why, struct span reason);
	void (*drop)(void *arg, void *frame);
	/* May be NULL.  `session`: of the worker it concerns, 0: none. */
	void (*note)(void *arg, enum group_event what, const struct group_item *it,
	    uint64_t session, struct span reason);
	void *arg;
};

struct group_conf {
	uint32_t tries;
	int64_t ack_ms;
	int64_t backoff_ms, backoff_max_ms; /* after a failed try; 0: 250 ms, 5 minutes */
	bool paused;
	uint64_t seed; /* of the jitter */
};

/* Every seq >= next is owed, as far as it matches (the caller knows).  ops are copied. */
struct group *group_new(const struct group_ops *ops, const struct group_conf *conf, uint64_t next);
void group_free(struct group *g); /* drops every reference, tells nobody */
/* A pause takes effect at once, new tries and ack_ms with the next delivery or failure. */
void group_configure(struct group *g, const struct group_conf *conf);

/* ---- durable state ---- */
/* Appends the state.  `head` is the last seq that was committed and shown to group_commit. */
void group_encode(const struct group *g, uint64_t head, bool clean, struct buf *out);
/* For a group just made: go on from there.  Unless that state was the last word before a clean end,
 * records up to `head` may have been delivered since and are marked `again`.  Empty: none was
 * written before the crash.  0, or -1: not such a state. */
int group_restore(struct group *g, struct span state, uint64_t head);
/* While its owed records are still being counted a state does not tell their number: it is counted
 * anew. */
void group_counting(struct group *g, bool counting);
/* Nothing at all is owed: what is still counted as owed was not readable and is dropped.  True:
 * there was something. */
bool group_settle(struct group *g);
/* A number of the caller's that is kept with the state; 0 until it is set. */
void group_set_mark(struct group *g, uint64_t mark);
uint64_t group_mark(const struct group *g);
/* Nobody has anything in hand, and nobody is there who could be given something. */
bool group_is_idle(const struct group *g);
/* Up to which seq `owed` counts what was committed (group_restore; next - 1 for a new group). */
uint64_t group_counted(const struct group *g);

/* ---- records ---- */
/* n more matching records were committed (whether or not they are ever offered to us now). */
void group_commit(struct group *g, uint64_t n);
/* Would it take a record now? */
bool group_wants(const struct group *g);
/* A matching record with the lowest seq >= group_read not yet offered.  True: taken, or known to be
 * done (then dropped at once).  False: not now; the group falls behind and reads from that seq
 * later. */
bool group_offer(struct group *g, const struct group_rec *r);
/* Caught up: whatever is committed is offered to it at once. */
bool group_is_live(const struct group *g);
/* Where to go on reading; of no meaning while live. */
uint64_t group_read(const struct group *g);
/* All matching records below seq were offered.  `live`: and there are no others yet. */
void group_seen(struct group *g, uint64_t seq, bool live);
/* A matching record that was not offered, or was read ahead, is no longer kept: if it is owed, it
 * is counted as dropped, here or by the group_seen that must follow. */
void group_drop(struct group *g, uint64_t seq);

/* ---- workers ---- */
/* `session` is never reused.  Joining again replaces the credit and opens it again. */
struct group_worker *group_join(
    struct group *g, uint64_t session, uint32_t credit, size_t bytes, void *user);
struct group_worker *group_worker(const struct group *g, uint64_t session); /* NULL: none */
uint32_t group_worker_holds(const struct group_worker *w);                  /* in flight */
void group_close(
    struct group *g, struct group_worker *w); /* it gets no more; what it has it may finish */
/* It is gone: frees it and takes back what it had. */
void group_leave(struct group *g, struct group_worker *w, int64_t now);

/* False: stale, ignored.  An ACK counts from any session that was handed the seq (the last few are
 * remembered); the others only from the present holder with the present try. */
struct group_verdict {
	uint64_t seq, try_no;
	int64_t ms;         /* NAK: delay, < 0 for the group's own backoff.  EXTEND: from now */
	struct span reason; /* {NULL,0}: none given */
	bool untried;       /* NAK: it was not begun, so no try is counted; `ms` < 0: 100 */
};
bool group_ack(struct group *g, uint64_t session, uint64_t seq);
bool group_nak(struct group *g, uint64_t session, const struct group_verdict *v, int64_t now);
bool group_reject(struct group *g, uint64_t session, const struct group_verdict *v);
bool group_extend(struct group *g, uint64_t session, const struct group_verdict *v, int64_t now);
/* The dead letter is on disk: the envelope is done, its key goes on. */
void group_dead_done(struct group *g, uint64_t seq);

/* Deadlines that passed, redeliveries that are due, then hand over whatever can be handed over. */
void group_run(struct group *g, int64_t now, int64_t real);
/* Is a matching record of this seq still owed?  (One below what the group was created from, or of
 * another pattern, is for the caller to know.) */
bool group_owes(const struct group *g, uint64_t seq);
/* When group_run has something to do again, as far as time alone decides; INT64_MAX: never. */
int64_t group_next(const struct group *g);

/* ---- looking ---- */
struct group_stats {
	uint64_t floor; /* every seq <= floor is done */
	int64_t owed;
	uint64_t in_flight, ahead, ahead_bytes; /* ahead: read, not in flight */
	int64_t oldest_ms; /* unix ms of the oldest that was read; 0: none was */
	unsigned workers, closing;
	bool blocked; /* at the limit of what it may read ahead, while a worker waits */
	uint64_t received, acked, dead, dropped; /* since its creation: acked + dead + dropped +
						    owed is what it received */
	uint64_t delivered, redelivered, stale;  /* since the broker's start */
};
void group_stats(const struct group *g, uint64_t head, struct group_stats *s);
int64_t group_owed(const struct group *g);
uint64_t group_floor(const struct group *g, uint64_t head);
/* Has the durable state changed since this was last asked? */
bool group_take_dirty(struct group *g);
bool group_is_dirty(const struct group *g);
/* Walks everything and dies on a broken invariant: tests and debugging. */
void group_check(const struct group *g);

#endif

#ifndef PROTO_WORKER_H
#define PROTO_WORKER_H
/* Subscriptions and what is done with a delivery.  Every delivery handed to a callback is finished
 * by exactly one of worker_ack, _nak, _reject, _reply, _fail or worker_drop, now or later;
 * finishing frees it and gives the credit back.  When the session ends (broker restart) deliveries
 * in hand become void: worker_msg_is_void says so, and finishing them sends nothing.
 * Order by key: who NAKs an event must not process the later ones of its key that it has in hand
 * (the broker hands them out again); those that were on their way are given back here, and never
 * reach a callback.
 * Single-threaded, on the loop of the client's link; the client outlives the worker. */
#include "proto/client.h"

struct worker;
struct worker_sub;

struct worker_msg {
	struct env env;  /* the sender's envelope: topic, id, meta (key, root, src…), body */
	struct env head; /* the delivery header: group, seq, try, left, from, as, again */
	struct worker_sub *sub;
	int64_t deadline_ms; /* requests: answer before (monotonic); events: ack before; 0 = none */
	void *user;          /* the callee's own */
};

/* One delivery.  Owned by the callee until finished. */
typedef void worker_msg_fn(void *arg, struct worker_msg *m);
/* The requester cancelled, or the session ended: stop if you can; still finish m. */
typedef void worker_cancel_fn(void *arg, struct worker_msg *m);
/* The requester of a stream has room for more parts (worker_room). */
typedef void worker_more_fn(void *arg, struct worker_msg *m);

struct worker_sub_spec {
	const char *pattern;
	const char *group; /* durable group; NULL: ephemeral, or requests when serve */
	bool serve;        /* requests */
	bool cancels;     /* of a group: an event whose cancel.<id> was published is taken back.  In
			     hand: `cancel` is called, and it is still to be finished.  Later: it
			     is acked, with status.<id> "cancelled", and not handed over. */
	const char *from; /* "new" (default) or "all"; counts when the group is created */
	int64_t from_seq; /* > 0: instead of `from` */
	int64_t from_time_ms; /* > 0: instead of both: what was stored from then on (unix ms) */
	int64_t ack_ms;       /* 0: what the broker's policies say, else DEFAULT_ACK_MS */
	int64_t tries;        /* 0: what the broker's policies say, else DEFAULT_TRIES */
	unsigned credit;      /* 0: DEFAULT_CREDIT */
	size_t credit_bytes;  /* 0: DEFAULT_CREDIT_BYTES */
	struct span desc;     /* description, a msgpack map; {NULL,0}: the worker's default */
	worker_msg_fn *msg;
	worker_cancel_fn *cancel; /* may be NULL */
	worker_more_fn *more;     /* may be NULL */
	/* The broker refused for good (CONFLICT, DENIED…); it is tried again all the same.  May be
	 * NULL.  The subscription must not be ended in here. */
	void (*refused)(void *arg, const struct env *err);
	void *arg;
};

struct worker *worker_new(struct client *c);
void worker_free(struct worker *w); /* deliveries in hand are freed with it; not from a callback */
/* Description for every SUB that has none of its own (copied). */
void worker_describe(struct worker *w, struct span desc);

/* Strings of the spec are copied.  Subscribes now and after every reconnect.  A refusal (CONFLICT,
 * DENIED, BAD_TOPIC) is logged as evt=sub_refused and tried again every 5 s. */
struct worker_sub *worker_sub(struct worker *w, const struct worker_sub_spec *s);
/* Deliveries in hand are still to be finished; the handle is gone. */
void worker_unsub(struct worker_sub *s);
/* Subscribed in the present session? */
bool worker_sub_is_live(const struct worker_sub *s);
/* Of a group: how long a delivery may be in hand, as the last answer to its SUB says. */
int64_t worker_sub_ack_ms(const struct worker_sub *s);
/* Every subscription is live. */
bool worker_is_live(const struct worker *w);
/* fn runs whenever a subscription became live or ceased to be. */
void worker_on_change(struct worker *w, loop_fn *fn, void *arg);

bool worker_msg_is_void(const struct worker_msg *m);
void worker_ack(struct worker_msg *m);
void worker_nak(struct worker_msg *m, int64_t delay_ms,
    const char *reason);                                      /* delay < 0: the broker's backoff */
void worker_reject(struct worker_msg *m, const char *reason); /* to the dead letters */
void worker_extend(struct worker_msg *m, int64_t ms); /* does not finish; ms <= 0: the group's */
void worker_drop(struct worker_msg *m);               /* ephemeral: nothing to say */

/* Answer a request.  `rep` has verb ENV_REP with body and own meta (status, headers, type); id and
 * topic are filled in.  Too big a body is answered TOO_BIG.  worker_part sends a REP with `more`
 * and does not finish; a part is at most LIMIT_PART.  Parts beyond worker_room are held here, up to
 * LIMIT_FRAME bytes, until the requester wants them; above that the answer ends as TOO_BIG. Whoever
 * makes a long answer stops at room 0 and goes on in `more`. */
void worker_reply(struct worker_msg *m, struct env *rep);
void worker_part(struct worker_msg *m, struct env *rep);
unsigned worker_room(const struct worker_msg *m);
void worker_fail(struct worker_msg *m, enum err code, const char *text);
/* With a ready `detail` object (faults_put). */
void worker_fail_detail(struct worker_msg *m, enum err code, struct span detail);

/* root, trace and as of what is being handled, onto what is sent because of it. */
void worker_inherit(const struct worker_msg *m, struct env *e);

size_t worker_in_hand(const struct worker *w);
/* Nothing finished is still on its way to the socket. */
bool worker_is_flushed(const struct worker *w);
/* Ask the broker for no more (BYE); deliveries in hand may still be finished.  What comes all the
 * same is given back: requests as DRAINING, events by NAK. */
void worker_bye(struct worker *w);
/* Appends an array of maps, one a subscription: what it is and what became of its deliveries. */
void worker_put_subs(const struct worker *w, struct buf *out);

struct worker_stats {
	uint64_t unreadable; /* deliveries whose inner frame could not be read */
	uint64_t stray;      /* deliveries that belong to no subscription of ours */
	uint64_t dropped;    /* frames to send that the queue had no room for */
	uint64_t voided;     /* deliveries in hand when their session ended */
};
struct worker_stats worker_stats(const struct worker *w);
struct client *worker_client(struct worker *w);

#endif

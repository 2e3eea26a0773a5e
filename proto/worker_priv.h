#ifndef PROTO_WORKER_PRIV_H
#define PROTO_WORKER_PRIV_H
/* What worker.c (life, deliveries coming in), worker_finish.c (what becomes of them), worker_sub.c
 * (subscriptions) and worker_out.c (what is said to the broker) share.
 * Nobody else includes this. */
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/pool.h"
#include "proto/worker.h"

#define uthash_fatal(msg) die(EXIT_AGAIN, "uthash: %s", msg)
#include <uthash.h>

/* A SUB under way.  The subscription may go first. */
struct worker_ask {
	struct worker_sub *sub;
};

struct worker_sub {
	struct worker *w;
	struct list node;
	char *pattern, *group, *from;
	bool serve, cancels;
	int64_t from_seq, from_time_ms, tries;
	int64_t asked_ack_ms; /* 0: the callee gave none */
	int64_t ack_ms;       /* the group's, as far as we know */
	unsigned credit;
	size_t credit_bytes;
	uint8_t *desc;
	size_t desc_n;
	worker_msg_fn *msg;
	worker_cancel_fn *cancel;
	worker_more_fn *more;
	void (*refused)(void *arg, const struct env *err);
	void *arg;

	struct timer retry;
	struct worker_ask *ask; /* NULL: none under way */
	bool live, gone;
	uint8_t sub_id[16]; /* of the SUB that made it live */
	size_t in_hand;
	uint64_t *acks; /* seqs finished in this turn */
	size_t nacks, acks_cap;
	uint64_t given_back; /* credit of an ephemeral one, not yet said */
	struct {
		uint64_t delivered, refused, acked, naked, rejected, replied, failed, dropped;
	} count;
};

enum delivery_kind { DELIVERY_EVENT, DELIVERY_REQUEST, DELIVERY_TAIL };

/* A frame that waits to be sent. */
struct worker_frame {
	struct list node;
	bool is_part;
	size_t n;
	uint8_t bytes[];
};

struct delivery {
	struct worker_msg m;
	struct worker *w;
	struct list node;  /* in hand, or draining: finished, with parts still held */
	UT_hash_handle hh; /* requests, by the broker's id */
	uint8_t id[16];
	enum delivery_kind kind;
	uint64_t generation;
	uint8_t *frame;
	struct list held; /* parts the requester has no room for yet, then the final answer */
	size_t held_bytes;
	uint64_t room, parts;
	bool draining;
	bool checked, cancelled; /* worker_cancel.c: handed over; cancelled */
	bool taken_back; /* an earlier one of its key was given back before it was checked */
};

/* What was given back lately (worker_keys.c). */
struct worker_keys {
	struct worker_key *by_name;
	struct list waiting; /* for their PONG */
	uint8_t ping[16];    /* the last one: ours, and its number */
	uint64_t pings;
};

struct worker {
	struct client *client;
	struct link *link;
	struct loop *loop;
	struct list subs;
	struct list hand, draining;
	size_t in_hand;
	struct delivery *requests;
	uint8_t *desc;
	size_t desc_n;
	struct list out; /* frames the link could not take yet */
	size_t out_bytes;
	bool byed, flush_later;
	loop_fn *changed;
	void *changed_arg;
	struct buf scratch;
	struct worker_cancels *cancels; /* NULL: nobody asked for them */
	struct worker_keys keys;
	struct pool spare; /* deliveries */
	struct worker_stats stats;
	struct log_limit unreadable_lines, misused_lines;
};

static inline struct delivery *
delivery_of(struct worker_msg *m)
{
	return LIST_ITEM(m, struct delivery, m);
}

static inline const struct delivery *
delivery_peek(const struct worker_msg *m)
{
	_Static_assert(offsetof(struct delivery, m) == 0, "a worker_msg begins its delivery");
	return (const void *)m;
}

/* worker.c */
void worker_delivery_free(struct delivery *d);
void worker_delivery_unhold(struct delivery *d); /* frees the parts that wait */

/* worker_out.c */
/* False: lost, since there is no room. */
bool worker_out_send(struct worker *w, struct span frame);
bool worker_out_env(struct worker *w, const struct env *e); /* small ones, that cannot be too big */
void worker_out_err(struct worker *w, const uint8_t id[16], enum err code, const char *text);
void worker_out_ack(struct worker_sub *s, uint64_t seq);
void worker_out_credit(struct worker_sub *s); /* one envelope of an ephemeral one */
/* INT64_MIN: REJECT; < 0: the broker's backoff. */
void worker_out_nak(struct worker *w, const struct env *head, int64_t delay_ms, const char *reason);
/* Back to the broker as it came: no try is counted. */
void worker_out_untried(struct worker *w, const struct env *head, const char *reason);
void worker_delivery_untried(struct delivery *d, const char *reason); /* an event: finishes it */
void worker_out_flush(struct worker *w);
void worker_out_void(struct worker *w); /* the session ended: all of it means nothing any more */
struct worker_frame *worker_frame_new(struct span bytes); /* NULL: no memory */

/* worker_cancel.c */
void worker_cancel_start(struct worker *w);
void worker_cancel_end(struct worker *w);
void worker_cancel_check(struct delivery *d); /* and hand it over, or not */

/* worker_keys.c */
void worker_keys_init(struct worker *w);
void worker_keys_void(struct worker *w);
void worker_keys_pong(struct worker *w, const uint8_t id[16]);
void worker_keys_given_back(const struct delivery *d); /* in the turn of its NAK, behind it */
bool worker_keys_refuses(const struct delivery *d);    /* it is to be given back unseen */

/* worker_sub.c */
void worker_sub_up(struct worker *w);
void worker_sub_down(struct worker *w);
void worker_sub_free(struct worker_sub *s);
void worker_sub_release(struct worker_sub *s); /* frees it when gone and nothing is in hand */
struct worker_sub *worker_sub_find(struct worker *w, const struct env *head, const struct env *e);

#endif

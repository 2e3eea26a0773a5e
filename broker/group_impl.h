#ifndef BROKER_GROUP_IMPL_H
#define BROKER_GROUP_IMPL_H
/* What the files of the group core share.  Nobody else includes this. */
#include <uthash.h>

#include "base/list.h"
#include "base/timer.h"
#include "broker/group.h"

enum entry_state {
	ENTRY_WAIT,    /* behind another of its key */
	ENTRY_READY,   /* g->ready, or g->urgent when it came out of turn */
	ENTRY_STALLED, /* holder->stalled: its key is at a worker that is full */
	ENTRY_FLIGHT,  /* holder->flight, and a deadline */
	ENTRY_DELAY,   /* g->delay */
	ENTRY_DYING,   /* its dead letter is being written */
	ENTRY_STATES
};

enum { ENTRY_HANDED = 4 };

/* An owed record that was read. */
struct entry {
	UT_hash_handle hh; /* g->entries, by seq */
	struct list all;   /* g->all, by seq */
	struct list place; /* the list of its state */
	struct list due;   /* g->due, when its deadline came in turn */
	struct list kin;   /* key->entries, by seq */
	struct timer timer;
	uint64_t seq;
	int64_t at_ms, exp_ms, deadline;
	size_t bytes;
	void *frame;
	struct order_key *key;
	struct group_worker *holder;   /* FLIGHT, STALLED */
	uint64_t handed[ENTRY_HANDED]; /* sessions that were handed it, latest first; 0: none */
	uint32_t fails;                /* tries that count */
	enum entry_state state;
	bool delivered;
};

/* Entries of one key.  Those before `next` are in flight at `holder` (or dying after a REJECT);
 * `next` is the one whose turn it is: ready or stalled, or it blocks the key by being delayed or
 * dying.  All after it wait or are delayed. */
struct order_key {
	UT_hash_handle hh;
	struct list entries;
	struct entry *next;
	struct group_worker *holder;
	unsigned in_flight;
	unsigned n;
	char bytes[];
};

struct group_worker {
	struct list place; /* g->open, g->full or g->closing */
	struct list flight, stalled;
	uint64_t session;
	void *user;
	uint32_t credit, n;
	size_t max_bytes, bytes;
	bool closing;
};

/* An owed seq below the high mark that is not read: restored, or let go again. */
struct known {
	uint64_t seq;
	uint32_t fails;
	bool delivered;
};

struct group {
	struct group_ops ops;
	struct group_conf conf;
	struct entry *entries;
	struct order_key *keys;
	struct list all, ready, dying;
	struct list due; /* in flight, deadlines ascending */
	struct timer_heap
	    late; /* in flight, deadlines out of turn: extended, or of a lowered ack_ms */
	struct timer_heap delay;         /* redeliveries by time */
	struct timer_heap urgent;        /* ready, by seq */
	struct list open, full, closing; /* workers */
	unsigned workers, nclosing;

	size_t count[ENTRY_STATES];
	size_t ready_bytes, ahead_bytes;

	uint64_t read;
	bool live;
	/* Below high, what is neither read nor known is done; above it all is owed. */
	uint64_t high, known_high;
	struct known *known;
	size_t nknown, iknown;
	uint64_t suspect; /* up to here a delivery may have been forgotten by a crash */
	uint64_t counted;
	int64_t owed;
	bool dirty, counting;
	uint64_t random;
	/* Kept with the state: received == acked + dead + dropped + owed, always. */
	uint64_t received, acked, dead, dropped;
	uint64_t mark;
	uint64_t delivered, redelivered, stale;
};

/* group_work.c: tell whoever watches */
void group_note(struct group *g, enum group_event what, const struct entry *e, uint64_t session,
    struct span reason);

/* group.c */
struct entry *group_find(const struct group *g, uint64_t seq);
/* Let go of what is only read ahead, from the newest down to the first that has a history. */
void group_let_go(struct group *g);

/* group_verbs.c: a try that counts has failed; delay < 0: backoff.  Reason {NULL,0}: that of `why`
 */
void group_fail(struct group *g, struct entry *e, int64_t delay, enum group_death why,
    struct span reason, int64_t now);

/* group_order.c: keys */
void group_order_add(struct group *g, struct entry *e, struct span key);
void group_order_del(struct group *g, struct entry *e);
void group_order_sent(
    struct group *g, struct entry *e); /* e, whose turn it was, is in flight now */
void group_order_landed(struct group *g, struct entry *e); /* e left its holder */
/* e failed and is delayed or dying: the later ones of its key come back and wait, and its key waits
 * for e. */
void group_order_back(struct group *g, struct entry *e);
bool group_order_is_turn(const struct entry *e);
/* e is late; the first of its key that is: the one whose failure takes the others back. */
struct entry *group_order_first_late(struct entry *e, int64_t now);

/* group_work.c: places of entries, workers, handing over */
void group_work_ready(struct group *g, struct entry *e, bool in_turn);
void group_work_lift(
    struct group *g, struct entry *e); /* out of its place, whichever; state WAIT */
void group_work_delay(struct group *g, struct entry *e, int64_t at_ms);
void group_work_die(struct group *g, struct entry *e, enum group_death why, struct span reason);
void group_work_done(struct group *g, struct entry *e); /* frees it */
void group_work_forget(
    struct group *g, struct entry *e); /* frees it; whether it is done is another matter */
void group_work_pump(struct group *g, int64_t now, int64_t real);
void group_work_refile(
    struct group *g, struct group_worker *w); /* to the list its room puts it in */
void group_work_unstall(struct group *g, struct group_worker *w);
void group_work_extend(struct group *g, struct entry *e, int64_t deadline);

static inline struct entry *
entry_of_timer(struct timer *t)
{
	return LIST_ITEM(t, struct entry, timer);
}

#endif

#ifndef SIM_H
#define SIM_H
/* A deterministic simulation of what the broker decides: groups (broker/group*.c), requests
 * (broker/route*.c) and patterns (broker/match.c) on a simulated clock, peers and disk.  One seed
 * is one history; the same seed is the same history.
 *
 *	owed.c   groups as the shell drives them: the journal, feeding, pages, saving, dead letters
 *	truth.c  what must be true of a group, in arrays that are searched from end to end
 *	disk.c   a journal that commits late, refuses when it is full and forgets in a crash
 *	asked.c  requests, and what must be true of them
 *	pick.c   which patterns a topic concerns, said a second time
 *
 * Nothing of the models is shared with the cores.  The first broken rule ends a history. */
#include "base/buf.h"
#include "base/span.h"
#include "broker/group.h"
#include "broker/match.h"
#include "broker/route.h"

enum { RECORDS = 110, GROUPS = 3, PEERS = 7, CLIENTS = 3, TOPICS = 6, PATTERNS = 5, OPS = 24 };

struct sim;

/* ---- sim.c ---- */
uint64_t sim_rnd(struct sim *s, uint64_t n); /* < n */
bool sim_one_in(struct sim *s, uint64_t n);
void sim_wrong(struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void sim_trace(const struct sim *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- pick.c ---- */
extern const char *const pick_topics[TOPICS];
extern const char *const pick_patterns[PATTERNS]; /* the most specific first */
bool pick_matches(int pattern, int topic);
/* The trie calls exactly those entries that match, the most specific first. */
void pick_check(struct sim *s, int topic);

/* ---- disk.c ---- */
struct record {
	int topic, key; /* key 0: none */
	size_t bytes;
	int64_t exp;
};

enum fate { NOT_OURS, OWED, DYING, DONE, DEAD, DROPPED };

/* What the model of a group knew when its state was encoded. */
struct memory {
	uint64_t head, suspect;
	uint8_t fate[RECORDS + 1];
	uint8_t fails[RECORDS + 1];
};

enum op_kind { OP_PUT, OP_GROUP, OP_GROUP_DEL, OP_STATE, OP_DEAD, OP_TRIM };

struct op {
	enum op_kind kind;
	uint64_t turn;
	int group, pattern; /* of the group */
	uint64_t seq;       /* DEAD; TRIM: below it; GROUP: 0 = from now on, else from there; out */
	struct record rec;  /* PUT */
	struct memory mem;  /* STATE */
	struct buf blob;
	uint64_t floor, mark;
	bool sealed;  /* STATE: nobody has anything, so a crash leaves no doubt */
	bool refused; /* out: the disk is full */
};

struct kept {
	bool there, has_state, sealed;
	int pattern;
	uint64_t next, floor, mark;
	struct buf blob;
	struct memory mem;
	uint64_t letter[RECORDS + 1]; /* number of its dead letter; 0: none */
};

struct disk {
	struct record rec[RECORDS + 1];
	uint64_t head, first, turn, letters;
	struct kept kept[GROUPS];
	bool full;
	struct op q[OPS];
	unsigned n;
};

/* The next operation to fill, or NULL: too many are under way. */
struct op *disk_submit(struct sim *s, enum op_kind kind);
void disk_flush(struct disk *d); /* what was submitted so far is one turn, never split */
/* The first turn is on disk; its operations are handed to owed_reaped one by one. */
void disk_commit(struct sim *s);
/* Some turns more may have reached the disk, unseen by anybody; the rest never did. */
void disk_crash(struct sim *s);
void disk_fini(struct disk *d);

/* ---- truth.c: one group ---- */
struct fact { /* of one record and one group */
	enum fate fate;
	uint32_t fails;
	int holder;                 /* peer, -1: in nobody's hands */
	int64_t deadline;           /* in somebody's hands */
	int64_t not_before, surely; /* a redelivery: not before, and if it can be, from then on */
	uint64_t handed[4];
	bool ever; /* was delivered, in any life of the broker */
	bool rejected;
	bool buried, letter; /* a dead letter is to be written; it is under way */
	bool dead;           /* its letter is on disk, the state that was found does not know */
	int refs;
};

struct seat {
	bool there, open;
	uint32_t credit, n;
	size_t max, bytes;
	struct group_worker *w;
};

struct tally { /* of this life of the broker */
	uint64_t delivered, redelivered, stale;
};

struct owed {
	struct match_entry match; /* first: pick.c finds the group by it */
	struct sim *s;
	int at, pattern;
	bool there; /* it is known; its core may still be on its way to the disk */
	bool deleting, saving;
	bool sealed, unsealing; /* as the shell has them */
	bool busy, ran;         /* there is something to do; it was done in this turn */
	bool fuzzy;             /* retention and a crash: its own count is not exact */
	struct group *core;
	struct group_conf conf;
	uint64_t next;    /* every seq >= next is its own */
	uint64_t suspect; /* up to here a crash may have forgotten a delivery */
	uint64_t count_at, count_to;
	uint64_t saved_floor; /* on disk */
	struct fact f[RECORDS + 1];
	struct seat seat[PEERS];
	struct tally life;
};

void truth_begin(struct owed *g); /* a new group */
void truth_restart(struct owed *g, const struct kept *k);
void truth_remember(const struct owed *g, struct memory *m);
void truth_committed(struct owed *g, uint64_t seq);
void truth_delivered(struct owed *g, int peer, const struct group_item *it);
void truth_dying(struct owed *g, const struct group_item *it, struct span reason);
void truth_failed(struct owed *g, uint64_t seq, int64_t delay);  /* < 0: backoff */
void truth_untried(struct owed *g, uint64_t seq, int64_t delay); /* < 0: 100 ms */
void truth_rejected(struct owed *g, uint64_t seq);
void truth_acked(struct owed *g, uint64_t seq);
void truth_left(struct owed *g, int peer);
void truth_expire(struct owed *g); /* deadlines that passed */
bool truth_was_handed(const struct owed *g, uint64_t seq, uint64_t session);
void truth_check(struct owed *g, bool ran);
int64_t truth_owed(const struct owed *g);

/* ---- owed.c ---- */
void owed_step(struct sim *s);
void owed_reaped(struct sim *s, struct op *op);
void owed_peer_gone(struct sim *s, int peer);
void owed_turn(struct sim *s); /* the end of a turn */
void owed_check(struct sim *s);
void owed_crash(struct sim *s); /* nothing of the groups is in memory any more */
void owed_reopen(struct sim *s);
void owed_close(struct sim *s);  /* states as the last word */
void owed_finish(struct sim *s); /* everything must come to an end */
int64_t owed_next(const struct sim *s);

/* ---- asked.c ---- */
enum { REQS = 200 };
struct asked;
void asked_open(struct sim *s);
void asked_close(struct sim *s);
void asked_step(struct sim *s);
void asked_peer_gone(struct sim *s, int peer);
void asked_turn(struct sim *s);
void asked_finish(struct sim *s);
int64_t asked_next(const struct sim *s);

/* ---- the world ---- */
struct sim {
	uint64_t seed, random, step;
	int64_t now, real;
	bool trace;
	char wrong[300];
	struct match *match;
	struct disk disk;
	uint64_t head, letters; /* the last seq, and the last dead letter, that were reaped */
	struct owed g[GROUPS];
	uint64_t session[PEERS], sessions; /* of whoever is here now; never reused */
	struct asked *asked;
	uint64_t deliveries, answers;
};

#endif

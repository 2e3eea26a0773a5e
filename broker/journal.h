#ifndef BROKER_JOURNAL_H
#define BROKER_JOURNAL_H
/* The durable log and everything that must survive with it: records by seq, dedup, cursors, groups,
 * dead letters, path claims.  The loop submits operations; one writer thread takes whatever has
 * arrived, executes it in order in ONE transaction, fsyncs, and hands the operations back through
 * journal_fd: what is reaped is on disk.  Reads run in the loop's thread, on a connection of their
 * own, a page at a time. Every function here belongs to the loop's thread.  What is submitted
 * between two flushes is one transaction or part of a larger one, never split: all of it survives a
 * crash, or none.
 *
 * Two implementations, one conformance suite (tests/unit/test_journal.c): journal_sqlite.c, and
 * journal_mem.c, which commits at submit and lives in memory (simulation, tests).
 *
 * Failure of fsync or write is final: after it every operation comes back ERR_STORE_FAILED, for
 * good.  A full disk is ERR_BUSY and heals by itself.  Meanwhile only what makes room is executed
 * (TRIM, GROUP_STATE, and what deletes), also when the rest of its turn is refused: the one
 * exception to "never split".
 *
 * Everything stored carries a CRC-32C.  What does not match it is never served: it is skipped,
 * logged (evt=journal_damaged) and counted.  A group whose state is damaged is owed everything from
 * its `next` on again; one whose settings are makes journal_groups fail. */
#include <stdbool.h>
#include "base/list.h"
#include "base/span.h"
#include "proto/err.h"

struct journal;

enum journal_kind {
	JOURNAL_PUT,         /* records and/or a cursor, all or none */
	JOURNAL_GROUP,       /* create, or change the settings of, a group */
	JOURNAL_GROUP_STATE, /* floor, acked set, tries of a group: an opaque blob */
	JOURNAL_GROUP_DEL,   /* u.group.name; of no group: ERR_OK */
	JOURNAL_DEAD,        /* a dead letter */
	JOURNAL_DEAD_DROP,   /* u.dead.no */
	JOURNAL_CLAIM,       /* path -> name, first claim wins */
	JOURNAL_CLAIM_DEL,   /* u.claim.path; of no claim: ERR_OK */
	JOURNAL_TRIM,        /* delete records below a seq, at most 1,000 an operation */
	JOURNAL_DEAD_EDIT,   /* u.dead.no gets u.dead.frame, its topic and its key instead */
	JOURNAL_POLICY,      /* u.policy: keep, or replace, what a pattern's groups start from */
	JOURNAL_POLICY_DEL,  /* u.policy.pattern; of no policy: ERR_OK */
	JOURNAL_BACKUP,      /* a copy in another directory, made beside the others' work: it alone
				comes back out of order, when it is done.  ERR_CONFLICT: there is a
				journal; ERR_INTERNAL: logged; ERR_NOT_FOUND: in memory */
};

/* The last value of a topic, kept apart from the records: neither retention nor acks touch it.  In
 * a PUT of several records each counts against the limits as if its topic had no value yet. */
enum journal_retain { JOURNAL_RETAIN_NO, JOURNAL_RETAIN_SET, JOURNAL_RETAIN_CLEAR };

struct journal_rec {
	/* in: borrowed, must live until reaped */
	uint8_t id[16];
	struct span topic, key; /* key {NULL,0}: none */
	uint8_t dig[32];        /* what a repeat is compared by */
	struct span frame;      /* the sender's frame, kept byte for byte */
	uint32_t groups;        /* how many owe it: the answer a repeat gets again */
	int64_t exp_ms;         /* unix ms; 0 = never */
	struct span from;       /* identity of the publisher; {NULL,0}: local */
	struct span only;       /* the one group it is owed to; {NULL,0}: all that match */
	bool anew;              /* an id that is stored already: no repeat, and the window stays */
	bool known;             /* only if it is a repeat: else ERR_NOT_FOUND, and conflict_at */
	enum journal_retain retain;
	/* out, when the operation is ERR_OK */
	uint64_t seq;
	bool repeat; /* known id, same digest: seq and groups are the first answer's */
};

struct journal_group {
	struct span name, settings; /* settings: opaque msgpack of the caller */
	struct span state;          /* opaque; empty for a new group */
	uint64_t next;              /* every seq >= next is owed, less what `state` says */
};

/* SEQ and TIME are moved into [first, head + 1] of the moment the operation is executed. */
enum journal_from { JOURNAL_FROM_NEW, JOURNAL_FROM_ALL, JOURNAL_FROM_SEQ, JOURNAL_FROM_TIME };

/* The caller owns the operation and all it points to; journal_submit lends it until it is reaped.
 *
 * Cursor of a PUT: `was` present but empty expects a src that was never set.  `cur` {NULL,0} checks
 * `was` and sets nothing.  Where every record is a repeat (or there is none) and the stored cursor
 * equals `cur` already, it is a repeat as a whole and `was` is not looked at; nor does `was` refuse
 * one whose records (at least one) are all repeats: then the cursor, which moved on since, stays.
 */
struct journal_op {
	struct list node;
	enum journal_kind kind;
	void *user;
	size_t bytes; /* set by submit: what it counts for in journal_queued_bytes */
	union {
		struct {
			struct journal_rec *recs;
			unsigned n;
			struct span src, cur,
			    was;           /* src {NULL,0}: no cursor; was {NULL,0}: not checked */
			struct span owner; /* identity that a src belongs to from its first use */
			uint64_t dead; /* not 0: this dead letter goes in the same transaction */
		} put;
		struct {
			struct span name, settings;
			enum journal_from from; /* for a new name only */
			int64_t from_arg;       /* seq, or unix ms */
			uint64_t next;          /* out */
		} group;
		struct {
			struct span name, state;
		} state;
		struct {
			struct span group, topic, reason, frame, key, from;
			uint8_t id[16];
			uint64_t seq, no; /* no: out for DEAD, in for DEAD_DROP, DEAD_EDIT */
			uint32_t tries;
		} dead;
		struct {
			struct span path, name; /* name: in; ERR_QUOTA: no more are taken */
			char owner[128];        /* out: whose it is now, cut to fit */
		} claim;
		struct {
			uint64_t before;
			uint64_t deleted; /* out */
		} trim;
		struct {
			struct span dir; /* made when it is not there */
			uint64_t bytes;  /* out; the copy holds all up to op->head, at least */
		} backup;
		struct {
			struct span pattern, settings; /* settings: opaque msgpack of the caller */
		} policy;
	} u;
	/* out: ERR_OK; ERR_CONFLICT (put: other digest, cursor not as expected, src of another
	 * identity); ERR_NOT_FOUND (put.dead, DEAD_DROP,
	 * DEAD_EDIT, GROUP_STATE of no group); ERR_QUOTA (no more claims, policies or retained
	 * topics are taken); ERR_BUSY (disk full);
	 * ERR_STORE_FAILED */
	enum err err;
	int conflict_at;      /* put: index of the record, -1 for the cursor */
	uint64_t head, first; /* the journal's own: head and first after this operation */
};

/* Claims are kept for good, and the list of services names them all, in one frame. */
#define JOURNAL_CLAIMS 8192u
#define JOURNAL_POLICIES 256u
#define JOURNAL_RETAINED 65536u /* topics with a last value, and their frames' bytes */
#define JOURNAL_RETAINED_BYTES (64u * 1024 * 1024)

struct journal_ops; /* journal_impl.h */

/* NULL when it cannot be opened (logged); errno is EUCLEAN where trying again will not help: it is
 * damaged, another program's, or of a later version.  `dir` must exist and be ours alone (flock).
 */
struct journal *journal_open_sqlite(const char *dir);
struct journal *journal_open_mem(void);
/* Commits what was submitted and gives every operation back to its owner unreaped.  Nothing that
 * was reaped is lost by not calling it.  NULL is harmless. */
void journal_close(struct journal *j);

/* What was recovered.  The callback's spans live until it returns. */
typedef void journal_group_fn(void *arg, const struct journal_group *g);
int journal_groups(struct journal *j, journal_group_fn *fn, void *arg);

/* The caller knows from what it stored itself that seq `head` was given out.  Where that is above
 * the recovered head, records are lost: logged (evt=journal_lost), counted, and their seqs are not
 * given out again.  Before the first submit. */
void journal_known(struct journal *j, uint64_t head);

uint64_t journal_head(const struct journal *j);  /* last seq reaped; 0 = none.  Never reused. */
uint64_t journal_first(const struct journal *j); /* lowest seq still kept; head + 1 = none */

void journal_submit(struct journal *j, struct journal_op *op);
/* At the end of a loop turn, and within a long one: let the writer start on what was submitted. */
void journal_flush(struct journal *j);
/* Readable when something can be reaped (or the journal failed), until journal_reap has returned
 * NULL. */
int journal_fd(const struct journal *j);
struct journal_op *journal_reap(
    struct journal *j); /* one finished operation, in submit order; NULL = none */
size_t journal_queued_bytes(const struct journal *j); /* submitted, not reaped */
bool journal_failed(const struct journal *j);

/* Records with from <= seq <= head, ascending, until fn returns false, 256 KiB were read or the
 * end. Returns the seq to go on from (the last one fn was given, + 1; head + 1 at the end), 0 on
 * failure.  At least one record is read whatever its size.  Spans live until fn returns; fn may
 * submit, not read. */
struct journal_row {
	uint64_t seq;
	struct span topic, key, frame, from, only;
	int64_t at_ms, exp_ms;
	uint8_t id[16];
};
typedef bool journal_row_fn(void *arg, const struct journal_row *r);
uint64_t journal_read(struct journal *j, uint64_t from, journal_row_fn *fn, void *arg);

/* Seq of the first record kept that was committed at or after `at_ms` (unix ms); head + 1: none; 0
 * on failure. */
uint64_t journal_seek(struct journal *j, int64_t at_ms);
/* Where the record with this id is, as far as the dedup window reaches; 0: not known there. */
uint64_t journal_find(struct journal *j, const uint8_t id[16]);

/* Last values of topics > after, ascending by topic, until fn returns false or 256 KiB were read;
 * 0, or -1.  One that is committed but not reaped is left out: it comes as a record. */
int journal_retained(struct journal *j, struct span after, journal_row_fn *fn, void *arg);

/* 0 and *cur (caller frees *p; NULL when never set), or -1. */
int journal_cursor(struct journal *j, struct span src, uint8_t **p, size_t *n);

struct journal_dead {
	uint64_t no, seq;
	struct span group, topic, reason, frame, key, from;
	uint8_t id[16];
	uint32_t tries;
	int64_t at_ms;
};
typedef bool journal_dead_fn(void *arg, const struct journal_dead *d);
/* Dead letters with no > after (of one group when given), ascending, until fn returns false. */
int journal_dead_each(
    struct journal *j, struct span group, uint64_t after, journal_dead_fn *fn, void *arg);

typedef void journal_claim_fn(void *arg, struct span path, struct span name);
int journal_claims(struct journal *j, journal_claim_fn *fn, void *arg);

typedef void journal_policy_fn(void *arg, struct span pattern, struct span settings);
int journal_policies(struct journal *j, journal_policy_fn *fn, void *arg);

#define JOURNAL_BUCKETS 12u
#define JOURNAL_BOUNDS                                                                           \
	{                                                                                        \
		100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000, 1000000, INT64_MAX \
	}

struct journal_stats {
	uint64_t commits, records, repeats,
	    bytes;        /* since start; records stored and their frames' bytes */
	uint64_t damaged; /* times a damaged record was skipped, or one missing, since start */
	uint64_t lost;    /* seqs known to have been committed that were not there at open */
	uint64_t file_bytes, kept_bytes; /* database file (0 in memory); frames kept */
	int64_t oldest_ms;               /* unix ms of the oldest record kept; 0 = none */
	uint32_t fsync_us_p50, fsync_us_p99, fsync_us_max; /* of the last 1,024 commits */
	/* Since start: commits that took at most JOURNAL_BOUNDS[i] us, not counted before; the last
	 * without bound. */
	uint64_t fsync_us_in[JOURNAL_BUCKETS], fsync_us_sum;
	bool full; /* the disk is full: only what makes room is executed */
};
void journal_stats(struct journal *j, struct journal_stats *s);

#endif

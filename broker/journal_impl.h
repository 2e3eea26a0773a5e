#ifndef BROKER_JOURNAL_IMPL_H
#define BROKER_JOURNAL_IMPL_H
/* What the implementations of the journal share: the table of functions behind journal.h, and the
 * two rules that must not differ between them. */
#include <stdint.h>
#include "broker/journal.h"

struct journal_ops {
	void (*close)(struct journal *j);
	void (*submit)(struct journal *j, struct journal_op *op);
	void (*flush)(struct journal *j);
	/* Fills op->head and op->first, which journal_reap publishes. */
	struct journal_op *(*reap)(struct journal *j);
	bool (*failed)(const struct journal *j);
	uint64_t (*read)(struct journal *j, uint64_t from, journal_row_fn *fn, void *arg);
	int (*cursor)(struct journal *j, struct span src, uint8_t **p, size_t *n);
	int (*groups)(struct journal *j, journal_group_fn *fn, void *arg);
	int (*dead_each)(
	    struct journal *j, struct span group, uint64_t after, journal_dead_fn *fn, void *arg);
	int (*claims)(struct journal *j, journal_claim_fn *fn, void *arg);
	int (*policies)(struct journal *j, journal_policy_fn *fn, void *arg);
	uint64_t (*seek)(struct journal *j, int64_t at_ms);
	uint64_t (*find)(struct journal *j, const uint8_t id[16]);
	int (*retained)(struct journal *j, struct span after, journal_row_fn *fn, void *arg);
	void (*known)(struct journal *j, uint64_t head); /* sets j->head and first too */
	void (*stats)(struct journal *j, struct journal_stats *s);
};

/* First member of every implementation.  The loop's thread only. */
struct journal {
	const struct journal_ops *ops;
	/* Unix ms; a test or a simulation may replace it before the first submit.  The writer's
	 * thread calls it. */
	int64_t (*now_ms)(void);
	int fd;
	uint64_t head, first; /* as of the last operation reaped */
	size_t queued;
};

#define JOURNAL_PAGE_BYTES (256u * 1024)
#define JOURNAL_TRIM_MAX 1000u
#define JOURNAL_DEDUP_MS (24 * 3600 * 1000)

struct journal *journal_sqlite_open(const char *dir);
struct journal *journal_mem_open(void);
/* For tests: how many pages of the WAL start a checkpoint.  Before the first submit. */
void journal_sqlite_checkpoint_at(struct journal *j, int pages);

/* Equal ids within one PUT: leader[i] becomes the index of the first record with the id of recs[i]
 * (i itself when it is the first, or when it is `anew`).  Returns the lowest index whose digest
 * differs from its leader's, or n when there is none. */
unsigned journal_twins(const struct journal_rec *recs, unsigned n, unsigned *leader);

/* The letter that a JOURNAL_DEAD asks for, without its number; its spans are the operation's. */
struct journal_dead journal_dead_of(const struct journal_op *op, int64_t at_ms);

/* Whether those retained still fit with what a PUT adds.  `old` is what a single record replaces;
 * in a PUT of several each counts as if its topic were new. */
struct journal_kept {
	uint64_t n, bytes;
};
bool journal_fits(const struct journal_op *op, struct journal_kept have, struct journal_kept old);

/* What the cursor of a PUT comes to, given what is stored. */
struct journal_src {
	bool known;  /* the src was set before */
	bool mine;   /* ... by the identity of this operation */
	bool is_cur; /* its value equals the operation's `cur` */
	bool is_was; /* ... equals `was` */
};
enum journal_move { JOURNAL_MOVE, JOURNAL_STAY, JOURNAL_REFUSE };
enum journal_move journal_move(
    const struct journal_op *op, const struct journal_src *s, bool all_repeats);

#endif

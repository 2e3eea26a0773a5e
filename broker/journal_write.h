#ifndef BROKER_JOURNAL_WRITE_H
#define BROKER_JOURNAL_WRITE_H
/* The writer's half of the SQLite journal: a list of operations becomes one transaction.  No
 * threads in here; whoever calls does so one at a time. */
#include "broker/journal_bulk.h"
#include "broker/journal_checkpoint.h"
#include "broker/journal_db.h"
#include "broker/journal_dedup.h"
#include "broker/journal_impl.h"
#include "broker/journal_place.h"
#include "broker/journal_room.h"

/* Where the journal stands.  A rollback puts the copy of the last commit back. */
struct journal_pos {
	uint64_t head, first;
	int64_t at_ms;      /* commit time: never goes back */
	uint64_t kept;      /* bytes of the frames kept */
	uint64_t meta_head; /* head when the row `meta` was written last */
	uint64_t gen;       /* dedup's turn */
	int64_t since_ms;
	struct journal_kept last;         /* retained */
	uint64_t records, repeats, bytes; /* since start */
};

#define JOURNAL_COMMITS 1024u

struct journal_writer {
	struct journal_db db;
	struct journal_db names, letters, last; /* the same connection, other statements */
	struct journal_dedup dedup;
	struct journal_bulk *bulk;
	struct journal_room room;
	struct journal_place place;
	/* Asked when all is executed, before the commit: adds what came meanwhile to the list,
	 * false when there is nothing.  May be NULL. */
	bool (*more)(void *arg, struct list *ops);
	void *more_arg;
	struct journal_pos pos, committed;
	unsigned *leader; /* scratch of a PUT of several records */
	unsigned leader_n;
	struct journal_checkpoint checkpoint; /* its mover is the caller's to give, once open */
	bool full;     /* something did not fit on the disk: logged, not yet healed */
	bool trimmed;  /* this transaction deleted records */
	bool vacuum;   /* the file has pages to give back */
	bool gone;     /* the files are not where they were, but can be read: journal_place.h */
	bool unmarked; /* the mark cannot be written: logged */
	int mark_fd;   /* journal_mark.h; the caller's */
	uint64_t lost; /* seqs that were given out and are not there, as found at open */
	uint64_t commits;
	uint32_t commit_us[JOURNAL_COMMITS]; /* what the last ones took, a ring */
};

/* w->mark_fd is set.  0, or -1 logged, or JOURNAL_HOPELESS: logged too, and trying again will not
 * help. */
int journal_write_open(struct journal_writer *w, const char *dir);
/* Somebody knows that seq `head` was given out: it is not given out again, and if it is not there,
 * it is lost (logged, counted).  Before the first batch. */
void journal_write_known(struct journal_writer *w, uint64_t head, const char *from);
/* `keep_wal` after a failure: closing must not sync again what was not synced, and believe it. */
void journal_write_close(struct journal_writer *w, bool keep_wal);

/* Executes and commits; every operation has its results.  false when the store failed for good
 * (logged): then every one of them is ERR_STORE_FAILED. */
bool journal_write_batch(struct journal_writer *w, struct list *ops, int64_t now_ms);

/* Moves a WAL that has grown into the database, or has it moved: between two batches, and when the
 * mover has ended.  false as above. */
bool journal_write_checkpoint(struct journal_writer *w);

/* Whether there is something to tidy up when nothing else is to do, and one step of it. */
bool journal_write_untidy(const struct journal_writer *w);
bool journal_write_tidy(struct journal_writer *w);

#endif

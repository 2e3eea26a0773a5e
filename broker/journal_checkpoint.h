#ifndef BROKER_JOURNAL_CHECKPOINT_H
#define BROKER_JOURNAL_CHECKPOINT_H
/* When the WAL moves into the database, and by whom.  From `every` pages on the mover is at it, a
 * pass after the other, each with what was committed during the one before; what is left in the end
 * is short and moved by the writer between two commits, as only it can know that nothing is added
 * meanwhile.  Then the WAL starts over in the room it has.  A WAL that grows faster than the mover
 * moves it, is the writer's at twice as many pages: it waits for the mover, and moves the rest.
 *
 * The writer's thread alone; functions return SQLite's result codes.  What a pass of the mover met
 * is final unless it is SQLITE_BUSY or SQLITE_FULL: a second fsync may succeed without the pages of
 * the first, so none is made.  Nothing acknowledged depends on it yet then: the WAL starts over
 * only after a pass to its end, and none is begun after a failed one. */
#include <stdbool.h>
#include <stdint.h>
#include <sqlite3.h>

#define JOURNAL_CHECKPOINT_PAGES 1000

struct journal_mover;

struct journal_checkpoint {
	sqlite3 *db;                 /* the writer's; not ours */
	struct journal_mover *mover; /* may be NULL: everything is the writer's */
	int pages;                   /* in the WAL, as of the last commit */
	int last;                    /* ... of them by the last commit */
	int every, at;               /* pages: the next time is due */
	int asked, done;             /* pages when the mover was asked, and those it has moved */
	bool again;                  /* the mover is not done: there was more meanwhile */
	bool moved;                  /* all of the WAL is in the database */
	uint64_t commits;            /* that reached the WAL */
	uint64_t seen;               /* ... when the mover was asked, or its word taken */
	int failed, err;             /* what the mover met for good, and its errno */
};

/* `db` is open and tells of its commits from here on. */
void journal_checkpoint_init(struct journal_checkpoint *c, sqlite3 *db);
/* As JOURNAL_CHECKPOINT_PAGES, for tests. */
void journal_checkpoint_every(struct journal_checkpoint *c, int pages);
/* The mover's end, if there is one.  false: its last pass failed for good. */
bool journal_checkpoint_close(struct journal_checkpoint *c);

/* What ended for good in the mover, before the next commit. */
int journal_checkpoint_look(struct journal_checkpoint *c);
/* What is to be done between two commits, or when the mover has ended. */
int journal_checkpoint_step(struct journal_checkpoint *c);
/* All of it, here and now, as far as readers let it. */
int journal_checkpoint_now(struct journal_checkpoint *c);

#endif

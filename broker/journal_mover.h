#ifndef BROKER_JOURNAL_MOVER_H
#define BROKER_JOURNAL_MOVER_H
/* A thread that moves the WAL into the database, by a connection of its own, while the writer goes
 * on committing: one pass for each time it is asked, and what it moved is synced when it says so.
 *
 * It is asked only while the WAL holds something that is not in the database, and that no pass but
 * this one can move.  SQLite up to 3.51.2 must not begin a checkpoint while a writer starts the WAL
 * over: the frames of before would count as moved for those that took their place, and be lost.  A
 * writer starts it over only when all of it was moved as its transaction began.
 *
 * All functions are for one thread, the writer's; `done` is called by the mover's own. */
#include <stdbool.h>

struct journal_mover;

struct journal_moved {
	int rc;    /* SQLite's; SQLITE_BUSY: nothing was done */
	int err;   /* errno, when rc says that a call failed */
	int moved; /* frames of the WAL, from its begin, that are in the database */
};

/* The journal in `dir` is open for its writer.  NULL: logged.  `done` tells that a pass has ended,
 * for the writer to come and take the result. */
struct journal_mover *journal_mover_open(const char *dir, void (*done)(void *arg), void *arg);
/* Waits for the end of a pass, whose result may be taken before.  NULL is harmless. */
void journal_mover_close(struct journal_mover *m);

/* Not while busy. */
void journal_mover_ask(struct journal_mover *m);
/* Asked, and the result was not taken yet. */
bool journal_mover_busy(const struct journal_mover *m);
void journal_mover_wait(struct journal_mover *m);
/* The result of a pass that has ended, without taking it; false: there is none. */
bool journal_mover_look(struct journal_mover *m, struct journal_moved *out);
void journal_mover_take(struct journal_mover *m);

#endif

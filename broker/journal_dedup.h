#ifndef BROKER_JOURNAL_DEDUP_H
#define BROKER_JOURNAL_DEDUP_H
/* id -> first answer, for 24 to 48 h of commit time.  Three tables take turns: one is written, the
 * one before it still answers, the third is emptied a little in each transaction until the next
 * turn.  All calls are inside a transaction of the writer; results are SQLite's. */
#include "broker/journal_db.h"
#include "broker/journal_impl.h"

#define JOURNAL_DEDUP_DIG 36 /* the column: the digest and what it is checked by */

struct journal_dedup {
	struct journal_db db; /* the writer's connection, our own statements */
	/* Persistent (meta): which turn it is and since when. */
	uint64_t gen;
	int64_t since_ms;
	/* Known, so that a lookup that cannot hit is not made. */
	bool draining, before_empty;
};

int journal_dedup_init(struct journal_dedup *d, sqlite3 *db, uint64_t gen, int64_t since_ms);
/* After a rollback: back to the turn that is on disk. */
int journal_dedup_restore(struct journal_dedup *d, uint64_t gen, int64_t since_ms);
void journal_dedup_fini(struct journal_dedup *d); /* leaves the connection open */

/* *hit: rec->seq, groups and repeat are filled, or *conflict when the digest is another. */
enum journal_dedup_hit { JOURNAL_DEDUP_NEW, JOURNAL_DEDUP_REPEAT, JOURNAL_DEDUP_CONFLICT };
int journal_dedup_find(
    struct journal_dedup *d, struct journal_rec *rec, enum journal_dedup_hit *hit);
/* Whether a row is as it was written; `dig` is its column: the digest and what it is checked by. */
bool journal_dedup_sound(const uint8_t id[16], struct span dig, uint64_t seq, uint64_t groups);
int journal_dedup_add(struct journal_dedup *d, const struct journal_rec *rec);
/* The number of the table in use (turn 0), or of the one before it (-1). */
unsigned journal_dedup_table(const struct journal_dedup *d, int turn);
/* The column of the digest for a record whose seq is set. */
void journal_dedup_column(const struct journal_rec *rec, uint8_t column[JOURNAL_DEDUP_DIG]);
/* Both in one step, for a record whose seq is set already; not *claimed: the id is known, and
 * nothing was done: find tells more. */
int journal_dedup_claim(struct journal_dedup *d, struct journal_rec *rec, bool *claimed);

/* Takes the next turn when this one is old enough and the third table is empty; *turned says so. */
int journal_dedup_turn(struct journal_dedup *d, int64_t now_ms, bool *turned);
/* Deletes at most n rows that nobody asks for any more. */
int journal_dedup_drain(struct journal_dedup *d, unsigned n);

#endif

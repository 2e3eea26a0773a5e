#ifndef BROKER_JOURNAL_BULK_H
#define BROKER_JOURNAL_BULK_H
/* Many records in two statements.  A statement run for each record spends half of its time on
 * beginning and ending; here SQLite reads the records of a whole group out of a virtual table of
 * ours and keeps its cursors.  All calls are inside a transaction of the writer; results are
 * SQLite's. */
#include "broker/journal_db.h"
#include "broker/journal_dedup.h"

#define JOURNAL_BULK_MOST 512u
#define JOURNAL_BULK_LEAST 4u /* below that one at a time is as good */

struct journal_bulk_row {
	const struct journal_rec *rec;
	uint32_t crc;
	uint8_t dig[JOURNAL_DEDUP_DIG];
};

struct journal_bulk {
	struct journal_db db; /* the writer's connection, our own statements */
	unsigned n;
	int64_t at_ms;
	struct journal_bulk_row rows[JOURNAL_BULK_MOST];
};

/* `bulk` stays where it is as long as the connection lives. */
int journal_bulk_init(struct journal_bulk *bulk, sqlite3 *db);
void journal_bulk_fini(struct journal_bulk *bulk); /* leaves the connection open */

/* Forget all rows; what is added next is of this commit time. */
void journal_bulk_reset(struct journal_bulk *bulk, int64_t at_ms);
/* There is room; rec->seq is set, one after that of the row before; nothing is copied. */
void journal_bulk_add(struct journal_bulk *bulk, const struct journal_rec *rec);
/* Store all, ids and records.  Not *stored: an id is known already, or twice among them, and
 * nothing was changed. */
int journal_bulk_store(struct journal_bulk *bulk, const struct journal_dedup *d, bool *stored);

#endif

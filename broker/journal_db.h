#ifndef BROKER_JOURNAL_DB_H
#define BROKER_JOURNAL_DB_H
/* One SQLite connection with its prepared statements, used by one thread.  Functions return
 * SQLite's result codes (extended), SQLITE_OK for success; nothing is logged here.  Bound spans are
 * not copied: they live until the statement was run. */
#include <stdbool.h>
#include <sqlite3.h>
#include "base/span.h"

struct journal_db {
	sqlite3 *db;
	sqlite3_stmt **st;
	unsigned n;
};

/* vfs: NULL for the default. */
int journal_db_open(struct journal_db *d, const char *path, const char *vfs);
int journal_db_prepare(struct journal_db *d, const char *const *sql, unsigned n);
void journal_db_close(struct journal_db *d); /* harmless on a zeroed one */
/* The statements alone: the connection is another's. */
void journal_db_forget(struct journal_db *d);

int journal_db_exec(struct journal_db *d, const char *sql);
/* The first column of the first row of `sql`; 0 when there is none. */
int journal_db_get(struct journal_db *d, const char *sql, int64_t *out);

void journal_db_bind_u(struct journal_db *d, unsigned i, int at, uint64_t v);
void journal_db_bind_i(struct journal_db *d, unsigned i, int at, int64_t v);
void journal_db_bind_text(struct journal_db *d, unsigned i, int at, struct span s);
void journal_db_bind_blob(struct journal_db *d, unsigned i, int at, struct span s);

/* SQLITE_ROW, or SQLITE_DONE, or an error; only after SQLITE_ROW is the statement still open and
 * journal_db_done due. */
int journal_db_step(struct journal_db *d, unsigned i);
void journal_db_done(struct journal_db *d, unsigned i);
/* For a statement without rows: SQLITE_OK or an error. */
int journal_db_run(struct journal_db *d, unsigned i);

/* The lowest seq, from *seq on, whose commit time is not before `ms`, else `end`.  Statement i
 * gives the time of the first record from seq ?1 on; times never go back along the seqs. */
int journal_db_seek(struct journal_db *d, unsigned i, int64_t ms, uint64_t end, uint64_t *seq);

/* Columns of the row a step found; spans live until the next step or journal_db_done. */
uint64_t journal_db_u(const struct journal_db *d, unsigned i, int col);
int64_t journal_db_i(const struct journal_db *d, unsigned i, int col);
struct span journal_db_span(const struct journal_db *d, unsigned i, int col); /* NULL is {NULL,0} */
/* Into dst[n]; false, and dst untouched, when the column is not a blob of exactly n bytes. */
bool journal_db_fixed(const struct journal_db *d, unsigned i, int col, uint8_t *dst, size_t n);

#endif

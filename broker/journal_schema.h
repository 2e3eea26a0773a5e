#ifndef BROKER_JOURNAL_SCHEMA_H
#define BROKER_JOURNAL_SCHEMA_H
/* The file behind the journal: who may open it, how it is laid out, how its connections are set.
 * 0, or -1 after logging evt=journal_open_failed with the reason; JOURNAL_HOPELESS instead of -1
 * when trying again will not help: damaged, foreign, or newer than this program. */
#include "broker/journal_db.h"

#define JOURNAL_APPLICATION 0x54415849 /* "TAXI" */
#define JOURNAL_FORMAT 2
#define JOURNAL_FILE "journal.db"
#define JOURNAL_LOCK "journal.lock"
#define JOURNAL_HOPELESS (-2)

/* An exclusive flock on <dir>/journal.lock: the descriptor, or -1. */
int journal_schema_lock(const char *dir);

/* The writer's connection.  A new file gets its tables, one of an older format is brought up to
 * this one, in one transaction; one that is not a journal, or of a newer format, is refused and
 * left as it is. */
int journal_schema_writer(struct journal_db *d, const char *dir, int mark_fd);
/* A connection that only reads; the writer's is open already. */
int journal_schema_reader(struct journal_db *d, const char *dir);
/* A connection that only moves the WAL into the database; likewise. */
int journal_schema_mover(struct journal_db *d, const char *dir);

/* log evt=journal_open_failed with SQLite's own words; -1 or JOURNAL_HOPELESS. */
int journal_schema_complain(const struct journal_db *d, const char *dir, const char *what);

#endif

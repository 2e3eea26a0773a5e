#ifndef BROKER_JOURNAL_READER_H
#define BROKER_JOURNAL_READER_H
/* The loop's half of the SQLite journal: a connection that only reads.  Every statement is reset
 * before a function returns, so that no read holds up a checkpoint.  Failures are logged, at most a
 * few a second. */
#include "base/log.h"
#include "broker/journal_db.h"
#include "broker/journal_impl.h"

struct journal_reader {
	struct journal_db db;
	uint64_t damaged;
	struct log_limit damaged_log, failed_log;
};

int journal_reader_open(struct journal_reader *r, const char *dir); /* as journal_schema.h */
/* Its second half, for a connection that is open already: SQLite's result. */
int journal_reader_prepare(struct journal_reader *r);
void journal_reader_close(struct journal_reader *r, bool keep_wal);

/* As the functions of journal.h; nothing above `head` is served. */
uint64_t journal_reader_page(
    struct journal_reader *r, uint64_t from, uint64_t head, journal_row_fn *fn, void *arg);
int journal_reader_cursor(struct journal_reader *r, struct span src, uint8_t **p, size_t *n);
int journal_reader_groups(struct journal_reader *r, journal_group_fn *fn, void *arg);
int journal_reader_dead(
    struct journal_reader *r, struct span group, uint64_t after, journal_dead_fn *fn, void *arg);
int journal_reader_claims(struct journal_reader *r, journal_claim_fn *fn, void *arg);
int journal_reader_policies(struct journal_reader *r, journal_policy_fn *fn, void *arg);
/* Among first <= seq <= head. */
uint64_t journal_reader_seek(
    struct journal_reader *r, int64_t at_ms, uint64_t first, uint64_t head);
uint64_t journal_reader_find(struct journal_reader *r, const uint8_t id[16]);
int journal_reader_retained(
    struct journal_reader *r, struct span after, uint64_t head, journal_row_fn *fn, void *arg);

/* A record (seq, at, exp, id, crc, topic, key, frame, sender, only); false: damaged.  Spans live
 * until the next step. */
bool journal_reader_row(const struct journal_db *d, unsigned st, struct journal_row *row);

/* file_bytes, oldest_ms and damaged */
void journal_reader_stats(struct journal_reader *r, struct journal_stats *s);

#endif

#include "broker/journal_reader.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "broker/journal_crc.h"
#include "broker/journal_schema.h"

enum st { PAGE, CURSOR, GROUPS, DEAD, DEAD_OF, CLAIMS, OLDEST, PAGES, PAGE_SIZE, STATEMENTS };

#define DEAD_COLUMNS "SELECT no, grp, seq, id, topic, key, reason, tries, at, frame FROM dead"

static const char *const sql[STATEMENTS] = {
    [PAGE] = ("SELECT seq, at, exp, id, crc, topic, key, frame FROM records"
	      " WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq"),
    [CURSOR] = "SELECT cur FROM cursors WHERE src = ?1",
    [GROUPS] = "SELECT name, settings, state, next FROM groups ORDER BY name",
    [DEAD] = DEAD_COLUMNS " WHERE no > ?1 ORDER BY no",
    [DEAD_OF] = DEAD_COLUMNS " WHERE no > ?1 AND grp = ?2 ORDER BY no",
    [CLAIMS] = "SELECT path, name FROM claims ORDER BY path",
    [OLDEST] = "SELECT at FROM records ORDER BY seq LIMIT 1",
    [PAGES] = "PRAGMA page_count",
    [PAGE_SIZE] = "PRAGMA page_size",
};

int
journal_reader_open(struct journal_reader *r, const char *dir)
{
	if (journal_schema_reader(&r->db, dir) == -1)
		return -1;
	if (journal_db_prepare(&r->db, sql, STATEMENTS) == SQLITE_OK)
		return 0;
	journal_schema_complain(&r->db, dir, "prepare to read");
	return -1;
}

void
journal_reader_close(struct journal_reader *r, bool keep_wal)
{
	if (r->db.db != NULL) {
		sqlite3_db_config(
		    r->db.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal ? 1 : 0, NULL);
	}
	journal_db_close(&r->db);
}

/* 0 when the statement came to its end. */
static int
finish(struct journal_reader *r, enum st st, int rc)
{
	if (rc == SQLITE_ROW)
		journal_db_done(&r->db, st);
	if (rc == SQLITE_ROW || rc == SQLITE_DONE)
		return 0;
	if (log_allow(&r->failed_log, clock_mono_ms(), 5)) {
		log_error("journal_read_failed", LOG_S("sql", sql[st]),
		    LOG_S("sqlite", sqlite3_errmsg(r->db.db)), LOG_I("rc", rc),
		    LOG_U("suppressed", r->failed_log.last));
	}
	return -1;
}

static bool
load(struct journal_reader *r, struct journal_row *row)
{
	const struct journal_db *d = &r->db;

	*row = (struct journal_row){
	    .seq = journal_db_u(d, PAGE, 0),
	    .at_ms = journal_db_i(d, PAGE, 1),
	    .exp_ms = journal_db_i(d, PAGE, 2),
	    .topic = journal_db_span(d, PAGE, 5),
	    .key = journal_db_span(d, PAGE, 6),
	    .frame = journal_db_span(d, PAGE, 7),
	};
	if (journal_db_fixed(d, PAGE, 3, row->id, sizeof row->id) &&
	    journal_db_u(d, PAGE, 4) == journal_crc_row(row))
		return true;
	r->damaged++;
	if (log_allow(&r->damaged_log, clock_mono_ms(), 5)) {
		log_error("journal_damaged", LOG_U("seq", row->seq), LOG_U("damaged", r->damaged),
		    LOG_U("suppressed", r->damaged_log.last));
	}
	return false;
}

uint64_t
journal_reader_page(
    struct journal_reader *r, uint64_t from, uint64_t head, journal_row_fn *fn, void *arg)
{
	uint64_t next = head + 1;
	size_t bytes = 0;
	int rc;

	journal_db_bind_u(&r->db, PAGE, 1, from);
	journal_db_bind_u(&r->db, PAGE, 2, head);
	while ((rc = journal_db_step(&r->db, PAGE)) == SQLITE_ROW) {
		struct journal_row row;
		bool more = true;

		if (load(r, &row))
			more = fn(arg, &row);
		bytes += row.topic.n + row.key.n + row.frame.n;
		if (!more || bytes >= JOURNAL_PAGE_BYTES) {
			next = row.seq + 1;
			break;
		}
	}
	return finish(r, PAGE, rc) == 0 ? next : 0;
}

int
journal_reader_cursor(struct journal_reader *r, struct span src, uint8_t **p, size_t *n)
{
	struct span cur = {NULL, 0};
	int rc;

	journal_db_bind_text(&r->db, CURSOR, 1, src);
	rc = journal_db_step(&r->db, CURSOR);
	if (rc == SQLITE_ROW)
		cur = journal_db_span(&r->db, CURSOR, 0);
	if (cur.p != NULL) {
		*p = xcalloc(1, cur.n + 1);
		memcpy(*p, cur.p, cur.n);
		*n = cur.n;
	}
	return finish(r, CURSOR, rc);
}

int
journal_reader_groups(struct journal_reader *r, journal_group_fn *fn, void *arg)
{
	int rc;

	while ((rc = journal_db_step(&r->db, GROUPS)) == SQLITE_ROW) {
		struct journal_group g = {
		    .name = journal_db_span(&r->db, GROUPS, 0),
		    .settings = journal_db_span(&r->db, GROUPS, 1),
		    .state = journal_db_span(&r->db, GROUPS, 2),
		    .next = journal_db_u(&r->db, GROUPS, 3),
		};

		fn(arg, &g);
	}
	return finish(r, GROUPS, rc);
}

int
journal_reader_dead(
    struct journal_reader *r, struct span group, uint64_t after, journal_dead_fn *fn, void *arg)
{
	enum st st = group.p != NULL ? DEAD_OF : DEAD;
	bool more = true;
	int rc = SQLITE_DONE;

	/* Bound as signed: nothing is after the largest number there can be. */
	journal_db_bind_i(&r->db, st, 1, after > INT64_MAX ? INT64_MAX : (int64_t)after);
	if (st == DEAD_OF)
		journal_db_bind_text(&r->db, st, 2, group);
	while (more && (rc = journal_db_step(&r->db, st)) == SQLITE_ROW) {
		struct journal_dead d = {
		    .no = journal_db_u(&r->db, st, 0),
		    .group = journal_db_span(&r->db, st, 1),
		    .seq = journal_db_u(&r->db, st, 2),
		    .topic = journal_db_span(&r->db, st, 4),
		    .key = journal_db_span(&r->db, st, 5),
		    .reason = journal_db_span(&r->db, st, 6),
		    .tries = (uint32_t)journal_db_u(&r->db, st, 7),
		    .at_ms = journal_db_i(&r->db, st, 8),
		    .frame = journal_db_span(&r->db, st, 9),
		};

		(void)journal_db_fixed(&r->db, st, 3, d.id, sizeof d.id);
		more = fn(arg, &d);
	}
	return finish(r, st, rc);
}

int
journal_reader_claims(struct journal_reader *r, journal_claim_fn *fn, void *arg)
{
	int rc;

	while ((rc = journal_db_step(&r->db, CLAIMS)) == SQLITE_ROW)
		fn(arg, journal_db_span(&r->db, CLAIMS, 0), journal_db_span(&r->db, CLAIMS, 1));
	return finish(r, CLAIMS, rc);
}

static int64_t
number(struct journal_reader *r, enum st st)
{
	int rc = journal_db_step(&r->db, st);
	int64_t v = rc == SQLITE_ROW ? journal_db_i(&r->db, st, 0) : 0;

	(void)finish(r, st, rc);
	return v;
}

void
journal_reader_stats(struct journal_reader *r, struct journal_stats *s)
{
	s->file_bytes = (uint64_t)number(r, PAGES) * (uint64_t)number(r, PAGE_SIZE);
	s->oldest_ms = number(r, OLDEST);
	s->damaged = r->damaged;
}

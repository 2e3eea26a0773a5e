#include "broker/journal_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/die.h"
#include "broker/journal_crc.h"
#include "broker/journal_dedup.h"
#include "broker/journal_last.h"
#include "broker/journal_letters.h"
#include "broker/journal_names.h"
#include "broker/journal_schema.h"

enum st {
	PAGE,
	CURSOR,
	GROUPS,
	DEAD,
	DEAD_OF,
	CLAIMS,
	POLICIES,
	LAST,
	AT,
	BEFORE,
	GEN,
	ID,
	ID_LAST = ID + 2,
	OLDEST,
	PAGES,
	PAGE_SIZE,
	STATEMENTS
};

#define RECORD "seq, at, exp, id, crc, topic, key, frame, sender, only FROM records"

static const char *const sql[STATEMENTS] = {
    [PAGE] = ("SELECT " RECORD " WHERE seq >= ?1 AND seq <= ?2 ORDER BY seq"),
    [CURSOR] = "SELECT cur, owner, crc FROM cursors WHERE src = ?1",
    [GROUPS] = "SELECT name, settings, state, next, crc, state_crc FROM groups ORDER BY name",
    [DEAD] = ("SELECT " JOURNAL_LETTER " FROM dead WHERE no > ?1 ORDER BY no"),
    [DEAD_OF] = ("SELECT " JOURNAL_LETTER " FROM dead WHERE no > ?1 AND grp = ?2 ORDER BY no"),
    [CLAIMS] = "SELECT path, name, crc FROM claims ORDER BY path",
    [POLICIES] = "SELECT pattern, settings, crc FROM policies ORDER BY pattern",
    [LAST] = ("SELECT " JOURNAL_LAST ", NULL FROM retained WHERE topic > ?1 ORDER BY topic"),
    [AT] = "SELECT at FROM records WHERE seq >= ?1 ORDER BY seq LIMIT 1",
    [BEFORE] = "SELECT 1 FROM records WHERE seq < ?1 LIMIT 1",
    [GEN] = "SELECT gen FROM meta",
    [ID] = "SELECT dig, seq, groups FROM dedup_0 WHERE id = ?1",
    [ID + 1] = "SELECT dig, seq, groups FROM dedup_1 WHERE id = ?1",
    [ID_LAST] = "SELECT dig, seq, groups FROM dedup_2 WHERE id = ?1",
    [OLDEST] = "SELECT at FROM records ORDER BY seq LIMIT 1",
    [PAGES] = "PRAGMA page_count",
    [PAGE_SIZE] = "PRAGMA page_size",
};

int
journal_reader_prepare(struct journal_reader *r)
{
	return journal_db_prepare(&r->db, sql, STATEMENTS);
}

int
journal_reader_open(struct journal_reader *r, const char *dir)
{
	int rc = journal_schema_reader(&r->db, dir);

	if (rc == 0 && journal_reader_prepare(r) != SQLITE_OK)
		return journal_schema_complain(&r->db, dir, "prepare to read");
	return rc;
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

static void
damaged(struct journal_reader *r, const char *table, struct span name, uint64_t n)
{
	r->damaged++;
	if (log_allow(&r->damaged_log, clock_mono_ms(), 5)) {
		log_error("journal_damaged", LOG_S("table", table), LOG_B("name", name),
		    LOG_U("seq", n), LOG_U("damaged", r->damaged),
		    LOG_U("suppressed", r->damaged_log.last));
	}
}

bool
journal_reader_row(const struct journal_db *d, unsigned st, struct journal_row *row)
{
	*row = (struct journal_row){
	    .seq = journal_db_u(d, st, 0),
	    .at_ms = journal_db_i(d, st, 1),
	    .exp_ms = journal_db_i(d, st, 2),
	    .topic = journal_db_span(d, st, 5),
	    .key = journal_db_span(d, st, 6),
	    .frame = journal_db_span(d, st, 7),
	    .from = journal_db_span(d, st, 8),
	    .only = journal_db_span(d, st, 9),
	};
	return journal_db_fixed(d, st, 3, row->id, sizeof row->id) &&
	       journal_db_u(d, st, 4) == journal_crc_row(row);
}

static bool
load(struct journal_reader *r, enum st st, struct journal_row *row)
{
	if (journal_reader_row(&r->db, st, row))
		return true;
	damaged(r, st == LAST ? "retained" : "records", row->topic, row->seq);
	return false;
}

/* Seqs have no holes.  What is missing at the front may have been trimmed just now; where something
 * before it is still there, it was not. */
static void
note_gap(struct journal_reader *r, uint64_t due, uint64_t seq)
{
	int rc;

	if (seq <= due)
		return;
	journal_db_bind_u(&r->db, BEFORE, 1, due);
	rc = journal_db_step(&r->db, BEFORE);
	if (rc == SQLITE_ROW) {
		r->damaged += seq - due - 1;
		damaged(r, "records", span_str("missing"), due);
	}
	(void)finish(r, BEFORE, rc);
}

static bool
is_readable(struct journal_reader *r, uint64_t from)
{
	int rc;

	journal_db_bind_u(&r->db, AT, 1, from);
	rc = journal_db_step(&r->db, AT);
	if (rc == SQLITE_ROW)
		journal_db_done(&r->db, AT);
	return rc == SQLITE_ROW || rc == SQLITE_DONE;
}

/* Pages that cannot be read, from seq `bad` on: the first seq behind them that can, looked for in
 * growing steps and then between the last two. */
static uint64_t
skip(struct journal_reader *r, uint64_t bad, uint64_t head)
{
	uint64_t lo = bad, hi = head + 1;

	for (uint64_t step = 1; lo < head && step <= head - lo; step *= 2) {
		if (is_readable(r, lo + step)) {
			hi = lo + step;
			break;
		}
		lo += step;
	}
	while (hi - lo > 1) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (is_readable(r, mid)) {
			hi = mid;
		} else {
			lo = mid;
		}
	}
	r->damaged += hi - bad - 1;
	damaged(r, "records", span_str("page"), bad);
	return hi;
}

uint64_t
journal_reader_page(
    struct journal_reader *r, uint64_t from, uint64_t head, journal_row_fn *fn, void *arg)
{
	uint64_t due = from;
	size_t bytes = 0;
	bool more = true;
	int rc = SQLITE_DONE;

	journal_db_bind_u(&r->db, PAGE, 1, from);
	journal_db_bind_u(&r->db, PAGE, 2, head);
	while (more && bytes < JOURNAL_PAGE_BYTES &&
	       (rc = journal_db_step(&r->db, PAGE)) == SQLITE_ROW) {
		struct journal_row row;
		bool sound = load(r, PAGE, &row);

		/* A page that hangs in the tree twice gives what was there before. */
		if (row.seq < due || row.seq > head) {
			damaged(r, "records", span_str("order"), row.seq);
			continue;
		}
		note_gap(r, due, row.seq);
		due = row.seq + 1;
		if (sound)
			more = fn(arg, &row);
		bytes += row.topic.n + row.key.n + row.frame.n;
	}
	if ((rc & 0xff) == SQLITE_CORRUPT)
		return skip(r, due, head);
	if (rc == SQLITE_DONE) {
		note_gap(r, due, head + 1);
		due = head + 1;
	}
	return finish(r, PAGE, rc) == 0 ? due : 0;
}

/* A page of an index that names one row twice leaves another out. */
static bool
ascends(struct journal_reader *r, const char *table, struct buf *last, struct span name)
{
	size_t n = last->n < name.n ? last->n : name.n;
	int order = n > 0 ? memcmp(last->p, name.p, n) : 0;

	if (order > 0 || (order == 0 && last->n >= name.n && last->n > 0)) {
		damaged(r, table, span_str("order"), 0);
		return false;
	}
	buf_reset(last);
	buf_put(last, name.p, name.n);
	return true;
}

int
journal_reader_retained(
    struct journal_reader *r, struct span after, uint64_t head, journal_row_fn *fn, void *arg)
{
	size_t bytes = 0;
	bool more = true;
	int rc = SQLITE_DONE;
	struct buf last;

	buf_init(&last, SIZE_MAX);
	journal_db_bind_text(&r->db, LAST, 1, after.p != NULL ? after : span_str(""));
	while (more && bytes < JOURNAL_PAGE_BYTES &&
	       (rc = journal_db_step(&r->db, LAST)) == SQLITE_ROW) {
		struct journal_row row;

		if (!load(r, LAST, &row) || !ascends(r, "retained", &last, row.topic) ||
		    row.seq > head)
			continue;
		more = fn(arg, &row);
		bytes += row.topic.n + row.key.n + row.frame.n;
	}
	buf_fini(&last);
	return finish(r, LAST, rc);
}

uint64_t
journal_reader_seek(struct journal_reader *r, int64_t at_ms, uint64_t first, uint64_t head)
{
	uint64_t seq = first;
	int rc = journal_db_seek(&r->db, AT, at_ms, head + 1, &seq);

	return finish(r, AT, rc == SQLITE_OK ? SQLITE_DONE : rc) == 0 ? seq : 0;
}

/* As journal_dedup.h: the table of this turn and the one before it. */
uint64_t
journal_reader_find(struct journal_reader *r, const uint8_t id[16])
{
	uint64_t gen, seq = 0;
	int rc = journal_db_step(&r->db, GEN);

	gen = rc == SQLITE_ROW ? journal_db_u(&r->db, GEN, 0) : 0;
	if (finish(r, GEN, rc) != 0)
		return 0;
	for (unsigned i = 0; i < 2 && seq == 0; i++) {
		enum st st = (enum st)(ID + (gen + 2 * i) % 3);

		journal_db_bind_blob(&r->db, st, 1, span_of(id, 16));
		rc = journal_db_step(&r->db, st);
		if (rc == SQLITE_ROW) {
			struct span dig = journal_db_span(&r->db, st, 0);

			seq = journal_db_u(&r->db, st, 1);
			if (!journal_dedup_sound(id, dig, seq, journal_db_u(&r->db, st, 2))) {
				damaged(r, "dedup", (struct span){NULL, 0}, seq);
				seq = 0;
			}
		}
		if (finish(r, st, rc) != 0)
			return 0;
	}
	return seq;
}

int
journal_reader_cursor(struct journal_reader *r, struct span src, uint8_t **p, size_t *n)
{
	struct span cur = {NULL, 0};
	bool sound = true;
	int rc;

	journal_db_bind_text(&r->db, CURSOR, 1, src);
	rc = journal_db_step(&r->db, CURSOR);
	if (rc == SQLITE_ROW) {
		cur = journal_db_span(&r->db, CURSOR, 0);
		sound = journal_db_u(&r->db, CURSOR, 2) ==
			journal_crc_cursor(src, journal_db_span(&r->db, CURSOR, 1), cur);
	}
	if (!sound) {
		damaged(r, "cursors", src, 0);
	} else if (cur.p != NULL) {
		*p = xcalloc(1, cur.n + 1);
		memcpy(*p, cur.p, cur.n);
		*n = cur.n;
	}
	return finish(r, CURSOR, rc) == 0 && sound ? 0 : -1;
}

/* A state that is damaged is no state: all is owed again from `next` on.  Settings that are damaged
 * are no group at all, and that must be seen to by somebody. */
int
journal_reader_groups(struct journal_reader *r, journal_group_fn *fn, void *arg)
{
	bool sound = true;
	struct buf last;
	int rc;

	buf_init(&last, SIZE_MAX);
	while ((rc = journal_db_step(&r->db, GROUPS)) == SQLITE_ROW) {
		struct journal_group g = {
		    .name = journal_db_span(&r->db, GROUPS, 0),
		    .settings = journal_db_span(&r->db, GROUPS, 1),
		    .state = journal_db_span(&r->db, GROUPS, 2),
		    .next = journal_db_u(&r->db, GROUPS, 3),
		};

		if (journal_db_u(&r->db, GROUPS, 4) !=
		    journal_names_crc_group(g.name, g.settings, g.next)) {
			damaged(r, "groups", g.name, g.next);
			sound = false;
			continue;
		}
		if (!ascends(r, "groups", &last, g.name)) {
			sound = false;
			continue;
		}
		if (journal_db_u(&r->db, GROUPS, 5) != journal_names_crc(g.name, g.state)) {
			damaged(r, "groups.state", g.name, g.next);
			g.state = (struct span){NULL, 0};
		}
		fn(arg, &g);
	}
	buf_fini(&last);
	return finish(r, GROUPS, rc) == 0 && sound ? 0 : -1;
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
		struct journal_dead d;

		if (!journal_letters_load(&r->db, st, &d)) {
			damaged(r, "dead", d.group, d.no);
		} else if (d.no <= after) {
			damaged(r, "dead", span_str("order"), d.no);
		} else {
			after = d.no;
			more = fn(arg, &d);
		}
	}
	return finish(r, st, rc);
}

static int
pairs(struct journal_reader *r, enum st st, const char *table, journal_claim_fn *fn, void *arg)
{
	struct buf last;
	int rc;

	buf_init(&last, SIZE_MAX);
	while ((rc = journal_db_step(&r->db, st)) == SQLITE_ROW) {
		struct span name = journal_db_span(&r->db, st, 0),
			    value = journal_db_span(&r->db, st, 1);

		if (journal_db_u(&r->db, st, 2) != journal_names_crc(name, value)) {
			damaged(r, table, name, 0);
		} else if (ascends(r, table, &last, name)) {
			fn(arg, name, value);
		}
	}
	buf_fini(&last);
	return finish(r, st, rc);
}

int
journal_reader_claims(struct journal_reader *r, journal_claim_fn *fn, void *arg)
{
	return pairs(r, CLAIMS, "claims", fn, arg);
}

int
journal_reader_policies(struct journal_reader *r, journal_policy_fn *fn, void *arg)
{
	return pairs(r, POLICIES, "policies", fn, arg);
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

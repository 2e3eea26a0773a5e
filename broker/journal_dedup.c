#include "broker/journal_dedup.h"

#include "base/log.h"
#include "broker/journal_crc.h"

/* Statement k of table t is k * 3 + t. */
enum { GET = 0, ADD = 3, DRAIN = 6, ANY = 9, CLAIM = 12, STATEMENTS = 15 };

#define THREE(a, b) a "0" b, a "1" b, a "2" b

static const char *const sql[STATEMENTS] = {
    THREE("SELECT dig, seq, groups FROM dedup_", " WHERE id = ?1"),
    THREE("INSERT INTO dedup_", "(id, dig, seq, groups) VALUES(?1, ?2, ?3, ?4)"),
    "DELETE FROM dedup_0 WHERE id IN (SELECT id FROM dedup_0 ORDER BY id LIMIT ?1)",
    "DELETE FROM dedup_1 WHERE id IN (SELECT id FROM dedup_1 ORDER BY id LIMIT ?1)",
    "DELETE FROM dedup_2 WHERE id IN (SELECT id FROM dedup_2 ORDER BY id LIMIT ?1)",
    THREE("SELECT 1 FROM dedup_", " LIMIT 1"),
    THREE("INSERT OR IGNORE INTO dedup_", "(id, dig, seq, groups) VALUES(?1, ?2, ?3, ?4)"),
};

static unsigned
table_now(const struct journal_dedup *d)
{
	return (unsigned)(d->gen % 3);
}

static unsigned
table_before(const struct journal_dedup *d)
{
	return (unsigned)((d->gen + 2) % 3);
}

static unsigned
table_third(const struct journal_dedup *d)
{
	return (unsigned)((d->gen + 1) % 3);
}

static int
is_empty(struct journal_dedup *d, unsigned table, bool *empty)
{
	int rc = journal_db_step(&d->db, ANY + table);

	if (rc == SQLITE_ROW) {
		journal_db_done(&d->db, ANY + table);
	} else if (rc != SQLITE_DONE) {
		return rc;
	}
	*empty = rc == SQLITE_DONE;
	return SQLITE_OK;
}

static int
look(struct journal_dedup *d)
{
	bool empty = true;
	int rc = is_empty(d, table_before(d), &d->before_empty);

	if (rc == SQLITE_OK)
		rc = is_empty(d, table_third(d), &empty);
	d->draining = !empty;
	return rc;
}

int
journal_dedup_init(struct journal_dedup *d, sqlite3 *db, uint64_t gen, int64_t since_ms)
{
	int rc;

	*d = (struct journal_dedup){.db.db = db, .gen = gen, .since_ms = since_ms};
	rc = journal_db_prepare(&d->db, sql, STATEMENTS);
	return rc == SQLITE_OK ? look(d) : rc;
}

int
journal_dedup_restore(struct journal_dedup *d, uint64_t gen, int64_t since_ms)
{
	d->gen = gen;
	d->since_ms = since_ms;
	return look(d);
}

void
journal_dedup_fini(struct journal_dedup *d)
{
	journal_db_forget(&d->db);
}

static uint32_t
dedup_crc(const uint8_t id[16], const uint8_t dig[32], uint64_t seq, uint64_t groups)
{
	uint32_t c = journal_crc(0, id, 16);

	c = journal_crc(c, dig, 32);
	return journal_crc_num(journal_crc_num(c, seq), groups);
}

/* The digest's column is the digest and four bytes of checksum; a row of format 1 has none. */
bool
journal_dedup_sound(const uint8_t id[16], struct span dig, uint64_t seq, uint64_t groups)
{
	uint32_t crc;

	if (dig.n == 32)
		return true;
	if (dig.n != 32 + sizeof crc)
		return false;
	memcpy(&crc, dig.p + 32, sizeof crc);
	return crc == dedup_crc(id, dig.p, seq, groups);
}

static int
find_in(
    struct journal_dedup *d, unsigned table, struct journal_rec *rec, enum journal_dedup_hit *hit)
{
	struct span dig;
	uint64_t seq, groups;
	int rc;

	journal_db_bind_blob(&d->db, GET + table, 1, span_of(rec->id, sizeof rec->id));
	rc = journal_db_step(&d->db, GET + table);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_OK : rc;
	dig = journal_db_span(&d->db, GET + table, 0);
	seq = journal_db_u(&d->db, GET + table, 1);
	groups = journal_db_u(&d->db, GET + table, 2);
	/* One that is damaged conflicts with everything: it was stored, and what was answered is
	 * not known any more. */
	*hit = JOURNAL_DEDUP_CONFLICT;
	if (!journal_dedup_sound(rec->id, dig, seq, groups)) {
		log_error("journal_damaged", LOG_S("table", "dedup"), LOG_ID("id", rec->id));
	} else if (memcmp(dig.p, rec->dig, sizeof rec->dig) == 0) {
		*hit = JOURNAL_DEDUP_REPEAT;
		rec->repeat = true;
		rec->seq = seq;
		rec->groups = (uint32_t)groups;
	}
	journal_db_done(&d->db, GET + table);
	return SQLITE_OK;
}

int
journal_dedup_find(struct journal_dedup *d, struct journal_rec *rec, enum journal_dedup_hit *hit)
{
	int rc;

	*hit = JOURNAL_DEDUP_NEW;
	rec->repeat = false;
	rec->seq = 0;
	rc = find_in(d, table_now(d), rec, hit);
	if (rc == SQLITE_OK && *hit == JOURNAL_DEDUP_NEW && !d->before_empty)
		rc = find_in(d, table_before(d), rec, hit);
	return rc;
}

void
journal_dedup_column(const struct journal_rec *rec, uint8_t column[JOURNAL_DEDUP_DIG])
{
	uint32_t crc = dedup_crc(rec->id, rec->dig, rec->seq, rec->groups);

	_Static_assert(sizeof rec->dig + sizeof crc == JOURNAL_DEDUP_DIG, "digest and checksum");
	memcpy(column, rec->dig, sizeof rec->dig);
	memcpy(column + sizeof rec->dig, &crc, sizeof crc);
}

unsigned
journal_dedup_table(const struct journal_dedup *d, int turn)
{
	return turn == 0 ? table_now(d) : table_before(d);
}

static int
add(struct journal_dedup *d, unsigned st, const struct journal_rec *rec)
{
	uint8_t dig[JOURNAL_DEDUP_DIG];

	journal_dedup_column(rec, dig);
	journal_db_bind_blob(&d->db, st, 1, span_of(rec->id, sizeof rec->id));
	journal_db_bind_blob(&d->db, st, 2, span_of(dig, sizeof dig));
	journal_db_bind_u(&d->db, st, 3, rec->seq);
	journal_db_bind_u(&d->db, st, 4, rec->groups);
	return journal_db_run(&d->db, st);
}

int
journal_dedup_add(struct journal_dedup *d, const struct journal_rec *rec)
{
	return add(d, ADD + table_now(d), rec);
}

int
journal_dedup_claim(struct journal_dedup *d, struct journal_rec *rec, bool *claimed)
{
	enum journal_dedup_hit hit = JOURNAL_DEDUP_NEW;
	uint64_t seq = rec->seq;
	int rc = d->before_empty ? SQLITE_OK : find_in(d, table_before(d), rec, &hit);

	*claimed = false;
	if (rc != SQLITE_OK || hit != JOURNAL_DEDUP_NEW)
		return rc;
	rec->seq = seq;
	rc = add(d, CLAIM + table_now(d), rec);
	*claimed = rc == SQLITE_OK && sqlite3_changes(d->db.db) == 1;
	return rc;
}

int
journal_dedup_turn(struct journal_dedup *d, int64_t now_ms, bool *turned)
{
	*turned = false;
	/* The clock was set back: else nothing would leave until it is there again. */
	if (now_ms < d->since_ms)
		d->since_ms = now_ms;
	if (now_ms - d->since_ms < JOURNAL_DEDUP_MS || d->draining)
		return SQLITE_OK;
	d->gen++;
	d->since_ms = now_ms;
	*turned = true;
	return look(d);
}

int
journal_dedup_drain(struct journal_dedup *d, unsigned n)
{
	unsigned st = DRAIN + table_third(d);
	int rc;

	if (!d->draining)
		return SQLITE_OK;
	journal_db_bind_u(&d->db, st, 1, n);
	rc = journal_db_run(&d->db, st);
	if (rc == SQLITE_OK && (unsigned)sqlite3_changes(d->db.db) < n)
		d->draining = false;
	return rc;
}

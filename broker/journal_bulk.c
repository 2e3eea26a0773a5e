#include "broker/journal_bulk.h"

#include <stdlib.h>

#include "broker/journal_crc.h"

/* Statement k of dedup's table t is k * 3 + t. */
enum { BEFORE = 0, IDS = 3, UNDO = 6, RECORDS = 9, STATEMENTS };

#define THREE(a, b) a "0" b, a "1" b, a "2" b

/* With OR FAIL and OR IGNORE SQLite need not be able to take back half a statement; what fails
 * here ends the whole transaction. */
static const char *const sql[STATEMENTS] = {
    THREE("SELECT 1 FROM pending AS p CROSS JOIN dedup_", " AS d ON d.id = p.id LIMIT 1"),
    THREE("INSERT OR IGNORE INTO dedup_",
	"(id, dig, seq, groups) SELECT id, dig, seq, groups FROM pending"),
    THREE("DELETE FROM dedup_", " WHERE id IN (SELECT id FROM pending) AND seq >= ?1"),
    [RECORDS] =
	"INSERT OR FAIL INTO records(seq, at, exp, id, crc, topic, key, frame, sender, only)"
	" SELECT seq, at, exp, id, crc, topic, key, frame, sender, only FROM pending",
};

/* ---- the virtual table ---- */

static const char declared[] =
    "CREATE TABLE pending(seq INTEGER, at INTEGER, exp INTEGER, id BLOB, crc INTEGER, topic TEXT,"
    " key TEXT, frame BLOB, sender TEXT, only TEXT, dig BLOB, groups INTEGER)";

enum { SEQ, AT, EXP, ID, CRC, TOPIC, KEY, FRAME, SENDER, ONLY, DIG, GROUPS };

struct table {
	sqlite3_vtab base;
	const struct journal_bulk *bulk;
};

struct cursor {
	sqlite3_vtab_cursor base;
	unsigned at;
};

static const struct journal_bulk *
bulk_of(const sqlite3_vtab_cursor *c)
{
	return ((const struct table *)(const void *)c->pVtab)->bulk;
}

static unsigned *
at_of(sqlite3_vtab_cursor *c)
{
	return &((struct cursor *)(void *)c)->at;
}

static int
on_connect(
    sqlite3 *db, void *arg, int argc, const char *const *argv, sqlite3_vtab **out, char **why)
{
	struct table *t = sqlite3_malloc(sizeof *t);
	int rc = sqlite3_declare_vtab(db, declared);

	(void)argc, (void)argv, (void)why;
	if (t == NULL || rc != SQLITE_OK) {
		sqlite3_free(t);
		return t == NULL ? SQLITE_NOMEM : rc;
	}
	*t = (struct table){.bulk = arg};
	*out = &t->base;
	return SQLITE_OK;
}

static int
on_disconnect(sqlite3_vtab *t)
{
	sqlite3_free(t);
	return SQLITE_OK;
}

static int
on_best_index(sqlite3_vtab *t, sqlite3_index_info *info)
{
	(void)t;
	info->estimatedCost = JOURNAL_BULK_MOST;
	info->estimatedRows = JOURNAL_BULK_MOST;
	return SQLITE_OK;
}

static int
on_open(sqlite3_vtab *t, sqlite3_vtab_cursor **out)
{
	struct cursor *c = sqlite3_malloc(sizeof *c);

	(void)t;
	if (c == NULL)
		return SQLITE_NOMEM;
	*c = (struct cursor){0};
	*out = &c->base;
	return SQLITE_OK;
}

static int
on_close(sqlite3_vtab_cursor *c)
{
	sqlite3_free(c);
	return SQLITE_OK;
}

static int
on_filter(sqlite3_vtab_cursor *c, int index, const char *text, int argc, sqlite3_value **argv)
{
	(void)index, (void)text, (void)argc, (void)argv;
	*at_of(c) = 0;
	return SQLITE_OK;
}

static int
on_next(sqlite3_vtab_cursor *c)
{
	++*at_of(c);
	return SQLITE_OK;
}

static int
on_eof(sqlite3_vtab_cursor *c)
{
	return *at_of(c) >= bulk_of(c)->n;
}

static void
give_text(sqlite3_context *to, struct span s)
{
	if (s.p != NULL)
		sqlite3_result_text64(to, (const char *)s.p, s.n, SQLITE_STATIC, SQLITE_UTF8);
}

/* A column nothing is given for is NULL. */
static int
on_column(sqlite3_vtab_cursor *c, sqlite3_context *to, int col)
{
	const struct journal_bulk *b = bulk_of(c);
	const struct journal_bulk_row *row = &b->rows[*at_of(c)];
	const struct journal_rec *r = row->rec;

	switch (col) {
	case SEQ: sqlite3_result_int64(to, (sqlite3_int64)r->seq); break;
	case AT: sqlite3_result_int64(to, b->at_ms); break;
	case EXP: sqlite3_result_int64(to, r->exp_ms); break;
	case ID: sqlite3_result_blob64(to, r->id, sizeof r->id, SQLITE_STATIC); break;
	case CRC: sqlite3_result_int64(to, row->crc); break;
	case TOPIC: give_text(to, r->topic); break;
	case KEY: give_text(to, r->key); break;
	case FRAME: sqlite3_result_blob64(to, r->frame.p, r->frame.n, SQLITE_STATIC); break;
	case SENDER: give_text(to, r->from); break;
	case ONLY: give_text(to, r->only); break;
	case DIG: sqlite3_result_blob64(to, row->dig, sizeof row->dig, SQLITE_STATIC); break;
	case GROUPS: sqlite3_result_int64(to, r->groups); break;
	default: break;
	}
	return SQLITE_OK;
}

static int
on_rowid(sqlite3_vtab_cursor *c, sqlite3_int64 *out)
{
	*out = *at_of(c);
	return SQLITE_OK;
}

static const sqlite3_module module = {
    .xConnect = on_connect,
    .xBestIndex = on_best_index,
    .xDisconnect = on_disconnect,
    .xOpen = on_open,
    .xClose = on_close,
    .xFilter = on_filter,
    .xNext = on_next,
    .xEof = on_eof,
    .xColumn = on_column,
    .xRowid = on_rowid,
};

/* ---- */

int
journal_bulk_init(struct journal_bulk *bulk, sqlite3 *db)
{
	int rc = sqlite3_create_module_v2(db, "pending", &module, bulk, NULL);

	bulk->n = 0;
	bulk->db = (struct journal_db){.db = db};
	return rc == SQLITE_OK ? journal_db_prepare(&bulk->db, sql, STATEMENTS) : rc;
}

void
journal_bulk_fini(struct journal_bulk *bulk)
{
	journal_db_forget(&bulk->db);
}

void
journal_bulk_reset(struct journal_bulk *bulk, int64_t at_ms)
{
	bulk->n = 0;
	bulk->at_ms = at_ms;
}

void
journal_bulk_add(struct journal_bulk *bulk, const struct journal_rec *rec)
{
	struct journal_bulk_row *row = &bulk->rows[bulk->n++];
	struct journal_row r = {
	    .seq = rec->seq,
	    .topic = rec->topic,
	    .key = rec->key,
	    .frame = rec->frame,
	    .at_ms = bulk->at_ms,
	    .exp_ms = rec->exp_ms,
	    .from = rec->from,
	    .only = rec->only,
	};

	memcpy(r.id, rec->id, sizeof r.id);
	row->rec = rec;
	row->crc = journal_crc_row(&r);
	journal_dedup_column(rec, row->dig);
}

static int
is_known_before(struct journal_bulk *bulk, const struct journal_dedup *d, bool *known)
{
	unsigned st = BEFORE + journal_dedup_table(d, -1);
	int rc;

	*known = false;
	if (d->before_empty)
		return SQLITE_OK;
	rc = journal_db_step(&bulk->db, st);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_OK : rc;
	journal_db_done(&bulk->db, st);
	*known = true;
	return SQLITE_OK;
}

int
journal_bulk_store(struct journal_bulk *bulk, const struct journal_dedup *d, bool *stored)
{
	unsigned table = journal_dedup_table(d, 0);
	bool known;
	int rc = is_known_before(bulk, d, &known);

	*stored = false;
	if (rc != SQLITE_OK || known)
		return rc;
	rc = journal_db_run(&bulk->db, IDS + table);
	if (rc != SQLITE_OK)
		return rc;
	if ((unsigned)sqlite3_changes(bulk->db.db) != bulk->n) {
		/* Seqs that nobody had before: exactly what was added just now. */
		journal_db_bind_u(&bulk->db, UNDO + table, 1, bulk->rows[0].rec->seq);
		return journal_db_run(&bulk->db, UNDO + table);
	}
	rc = journal_db_run(&bulk->db, RECORDS);
	*stored = rc == SQLITE_OK;
	return rc;
}

#include "broker/journal_format.h"

#include "broker/journal_crc.h"
#include "broker/journal_schema.h"

#define DEDUP_TABLE(n)                                                                           \
	"CREATE TABLE dedup_" n "(id BLOB PRIMARY KEY, dig BLOB NOT NULL, seq INTEGER NOT NULL," \
	" groups INTEGER NOT NULL) WITHOUT ROWID;"

/* meta is written by a trim and every few thousand records, not by each commit: it holds as of its
 * head, and what came later is read off the records. */
static const char first[] =
    "CREATE TABLE records(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, exp INTEGER NOT NULL,"
    " id BLOB NOT NULL, crc INTEGER NOT NULL, topic TEXT NOT NULL, key TEXT,"
    " frame BLOB NOT NULL);"
    "CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), head INTEGER NOT NULL,"
    " at INTEGER NOT NULL, kept INTEGER NOT NULL, gen INTEGER NOT NULL, since INTEGER NOT NULL);"
    "INSERT INTO meta VALUES(1, 0, 0, 0, 0, 0);" DEDUP_TABLE("0") DEDUP_TABLE("1") DEDUP_TABLE(
	"2") "CREATE TABLE cursors(src TEXT PRIMARY KEY, owner TEXT, cur BLOB);"
	     "CREATE TABLE groups(name TEXT PRIMARY KEY, settings BLOB, state BLOB, next INTEGER "
	     "NOT NULL);"
	     "CREATE TABLE dead(no INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL,"
	     " seq INTEGER NOT NULL, id BLOB NOT NULL, topic TEXT NOT NULL, key TEXT, reason TEXT,"
	     " tries INTEGER NOT NULL, at INTEGER NOT NULL, frame BLOB);"
	     "CREATE INDEX dead_grp ON dead(grp);"
	     "CREATE TABLE claims(path TEXT PRIMARY KEY, name TEXT NOT NULL);"
	     "PRAGMA application_id=1413568585;"
	     "PRAGMA user_version=1;";

/* Columns that most rows leave empty are last: they cost a byte. */
static const char second[] =
    "ALTER TABLE records ADD COLUMN sender TEXT;"
    "ALTER TABLE records ADD COLUMN only TEXT;"
    "ALTER TABLE meta ADD COLUMN crc INTEGER;"
    "ALTER TABLE cursors ADD COLUMN crc INTEGER;"
    "ALTER TABLE groups ADD COLUMN crc INTEGER;"
    "ALTER TABLE groups ADD COLUMN state_crc INTEGER;"
    "ALTER TABLE dead ADD COLUMN sender TEXT;"
    "ALTER TABLE dead ADD COLUMN crc INTEGER;"
    "ALTER TABLE claims ADD COLUMN crc INTEGER;"
    "CREATE TABLE retained(topic TEXT PRIMARY KEY, seq INTEGER NOT NULL, at INTEGER NOT NULL,"
    " exp INTEGER NOT NULL, id BLOB NOT NULL, crc INTEGER NOT NULL, key TEXT, sender TEXT,"
    " frame BLOB NOT NULL);"
    "CREATE TABLE policies(pattern TEXT PRIMARY KEY, settings BLOB, crc INTEGER NOT NULL);"
    "UPDATE meta SET crc = journal_crc(head, at, kept, gen, since);"
    "UPDATE cursors SET crc = journal_crc(src, owner, cur);"
    "UPDATE groups SET crc = journal_crc(name, settings, next),"
    " state_crc = journal_crc(name, state);"
    "UPDATE dead SET crc = journal_crc(no, seq, at, tries, id, grp, topic, key, reason, sender,"
    " frame);"
    "UPDATE claims SET crc = journal_crc(path, name);"
    "PRAGMA user_version=2;";

static const char *const steps[JOURNAL_FORMAT] = {first, second};

_Static_assert(JOURNAL_APPLICATION == 1413568585 && JOURNAL_FORMAT == 2, "as in the steps");

static void
crc_function(sqlite3_context *c, int n, sqlite3_value **v)
{
	uint32_t crc = 0;

	for (int i = 0; i < n; i++) {
		struct span s = {NULL, 0};

		if (sqlite3_value_type(v[i]) == SQLITE_INTEGER) {
			crc = journal_crc_num(crc, (uint64_t)sqlite3_value_int64(v[i]));
			continue;
		}
		if (sqlite3_value_type(v[i]) != SQLITE_NULL) {
			const void *p = sqlite3_value_blob(v[i]);

			s = span_of(p != NULL ? p : "", (size_t)sqlite3_value_bytes(v[i]));
		}
		crc = journal_crc_span(crc, s);
	}
	sqlite3_result_int64(c, crc);
}

int
journal_format_function(struct journal_db *d)
{
	journal_crc_init();
	return sqlite3_create_function_v2(d->db, "journal_crc", -1,
	    SQLITE_UTF8 | SQLITE_DETERMINISTIC, NULL, crc_function, NULL, NULL, NULL);
}

int
journal_format_raise(struct journal_db *d, int from)
{
	int rc;

	if (from >= JOURNAL_FORMAT)
		return SQLITE_OK;
	rc = journal_format_function(d);
	if (rc == SQLITE_OK)
		rc = journal_db_exec(d, "BEGIN IMMEDIATE");
	for (int i = from; i < JOURNAL_FORMAT && rc == SQLITE_OK; i++)
		rc = journal_db_exec(d, steps[i]);
	return rc == SQLITE_OK ? journal_db_exec(d, "COMMIT") : rc;
}

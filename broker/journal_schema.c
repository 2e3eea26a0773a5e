#include "broker/journal_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"

/* page_size and auto_vacuum count only before the first table.  Debian's SQLite overwrites deleted
 * content with zeroes unless told not to. */
static const char writer_setup[] = "PRAGMA page_size=4096;"
				   "PRAGMA auto_vacuum=INCREMENTAL;"
				   "PRAGMA journal_mode=WAL;"
				   "PRAGMA synchronous=FULL;"
				   "PRAGMA wal_autocheckpoint=0;"
				   "PRAGMA journal_size_limit=16777216;"
				   "PRAGMA secure_delete=OFF;"
				   "PRAGMA temp_store=MEMORY;"
				   "PRAGMA trusted_schema=OFF;"
				   "PRAGMA cell_size_check=ON;"
				   "PRAGMA cache_size=-65536;";

static const char reader_setup[] = "PRAGMA query_only=ON;"
				   "PRAGMA trusted_schema=OFF;"
				   "PRAGMA cell_size_check=ON;"
				   "PRAGMA cache_size=-8192;";

#define DEDUP_TABLE(n)                                                                           \
	"CREATE TABLE dedup_" n "(id BLOB PRIMARY KEY, dig BLOB NOT NULL, seq INTEGER NOT NULL," \
	" groups INTEGER NOT NULL) WITHOUT ROWID;"

/* meta is written by a trim and every few thousand records, not by each commit: it holds as of its
 * head, and what came later is read off the records. */
static const char tables[] =
    "BEGIN IMMEDIATE;"
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
	     "PRAGMA user_version=1;"
	     "COMMIT;";

_Static_assert(JOURNAL_APPLICATION == 1413568585 && JOURNAL_FORMAT == 1, "as in tables[]");

int
journal_schema_lock(const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_LOCK, dir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	free(path);
	if (fd == -1) {
		log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", "lock file"),
		    LOG_ERRNO());
		return -1;
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (errno == EWOULDBLOCK) {
		log_error("journal_open_failed", LOG_S("dir", dir),
		    LOG_S("what", "another broker has this journal open"));
	} else {
		log_error(
		    "journal_open_failed", LOG_S("dir", dir), LOG_S("what", "flock"), LOG_ERRNO());
	}
	close(fd);
	return -1;
}

void
journal_schema_complain(const struct journal_db *d, const char *dir, const char *what)
{
	log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", what),
	    LOG_S("sqlite", d->db != NULL ? sqlite3_errmsg(d->db) : "out of memory"),
	    LOG_I("rc", d->db != NULL ? sqlite3_extended_errcode(d->db) : SQLITE_NOMEM));
}

static int
open_file(struct journal_db *d, const char *dir, int busy_ms)
{
	char *path = xasprintf("%s/" JOURNAL_FILE, dir);
	int rc = journal_db_open(d, path);

	free(path);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(d->db, busy_ms);
	if (rc == SQLITE_OK)
		return 0;
	journal_schema_complain(d, dir, "open");
	return -1;
}

/* 1 for a journal, 0 for a new file, -1 for anything else (logged). */
static int
identify(struct journal_db *d, const char *dir)
{
	int64_t app, version, objects;

	if (journal_db_get(d, "PRAGMA application_id", &app) != SQLITE_OK ||
	    journal_db_get(d, "PRAGMA user_version", &version) != SQLITE_OK ||
	    journal_db_get(d, "SELECT count(*) FROM sqlite_schema", &objects) != SQLITE_OK) {
		journal_schema_complain(d, dir, "not a journal, or damaged");
		return -1;
	}
	if (app == 0 && version == 0 && objects == 0)
		return 0;
	if (app != JOURNAL_APPLICATION) {
		log_error("journal_open_failed", LOG_S("dir", dir),
		    LOG_S("what", JOURNAL_FILE " belongs to another program"),
		    LOG_I("application_id", app));
		return -1;
	}
	if (version != JOURNAL_FORMAT) {
		log_error("journal_open_failed", LOG_S("dir", dir),
		    LOG_S("what", version > JOURNAL_FORMAT ? "written by a newer version"
							   : "of a format no longer read"),
		    LOG_I("format", version), LOG_I("expected", JOURNAL_FORMAT));
		return -1;
	}
	return 1;
}

/* The new file's name must survive a power cut as its content does. */
static int
sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = -1;

	if (fd != -1) {
		rc = fsync(fd);
		close(fd);
	}
	if (rc == -1) {
		log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", "fsync of it"),
		    LOG_ERRNO());
	}
	return rc;
}

int
journal_schema_writer(struct journal_db *d, const char *dir)
{
	int64_t sync = 0;
	int known;

	if (open_file(d, dir, 5000) == -1)
		return -1;
	known = identify(d, dir);
	if (known == -1)
		return -1;
	if (journal_db_exec(d, writer_setup) != SQLITE_OK ||
	    (known == 0 && journal_db_exec(d, tables) != SQLITE_OK)) {
		journal_schema_complain(d, dir, "set up");
		return -1;
	}
	/* A pragma that is not understood is silently nothing. */
	if (journal_db_get(d, "PRAGMA synchronous", &sync) != SQLITE_OK || sync != 2) {
		journal_schema_complain(d, dir, "synchronous=FULL");
		return -1;
	}
	return sync_dir(dir);
}

int
journal_schema_reader(struct journal_db *d, const char *dir)
{
	if (open_file(d, dir, 100) == -1)
		return -1;
	if (journal_db_exec(d, reader_setup) == SQLITE_OK)
		return 0;
	journal_schema_complain(d, dir, "set up for reading");
	return -1;
}

#include "broker/journal_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/die.h"
#include "base/fs.h"
#include "base/log.h"
#include "broker/journal_format.h"
#include "broker/journal_mark.h"
#include "broker/journal_room.h"
#include "broker/journal_vfs.h"

/* page_size and auto_vacuum count only before the first table.  Debian's SQLite overwrites deleted
 * content with zeroes unless told not to.  synchronous comes before there can be a WAL: what
 * gathers its writes (journal_vfs.h) counts on a sync with each commit. */
static const char writer_setup[] = "PRAGMA page_size=4096;"
				   "PRAGMA auto_vacuum=INCREMENTAL;"
				   "PRAGMA synchronous=FULL;"
				   "PRAGMA journal_mode=WAL;"
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

/* The last line reads: a connection that never did knows of no WAL. */
static const char mover_setup[] = "PRAGMA synchronous=FULL;"
				  "PRAGMA wal_autocheckpoint=0;"
				  "PRAGMA trusted_schema=OFF;"
				  "SELECT count(*) FROM sqlite_schema;";

int
journal_schema_lock(const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_LOCK, dir);
	int fd = journal_room_file(path, O_RDWR | O_CREAT);

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

static bool
is_hopeless(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_CORRUPT || rc == SQLITE_NOTADB || rc == SQLITE_ERROR ||
	       rc == SQLITE_FORMAT || rc == SQLITE_MISMATCH || rc == SQLITE_CONSTRAINT;
}

int
journal_schema_complain(const struct journal_db *d, const char *dir, const char *what)
{
	int rc = d->db != NULL ? sqlite3_extended_errcode(d->db) : SQLITE_NOMEM;

	log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", what),
	    LOG_S("sqlite", d->db != NULL ? sqlite3_errmsg(d->db) : "out of memory"),
	    LOG_I("rc", rc));
	return is_hopeless(rc) ? JOURNAL_HOPELESS : -1;
}

static int
open_file(struct journal_db *d, const char *dir, const char *vfs, int busy_ms)
{
	char *path = xasprintf("%s/" JOURNAL_FILE, dir);
	int rc = journal_db_open(d, path, vfs);

	free(path);
	if (rc == SQLITE_OK)
		rc = sqlite3_busy_timeout(d->db, busy_ms);
	if (rc == SQLITE_OK)
		return 0;
	return journal_schema_complain(d, dir, "open");
}

/* The format it has, 0 for a new file; negative (logged) for what cannot be opened. */
static int
identify(struct journal_db *d, const char *dir)
{
	int64_t app, version, objects;

	if (journal_db_get(d, "PRAGMA application_id", &app) != SQLITE_OK ||
	    journal_db_get(d, "PRAGMA user_version", &version) != SQLITE_OK ||
	    journal_db_get(d, "SELECT count(*) FROM sqlite_schema", &objects) != SQLITE_OK) {
		return journal_schema_complain(d, dir, "not a journal, or damaged");
	}
	if (app == 0 && version == 0 && objects == 0)
		return 0;
	if (app != JOURNAL_APPLICATION) {
		log_error("journal_open_failed", LOG_S("dir", dir),
		    LOG_S("what", JOURNAL_FILE " belongs to another program"),
		    LOG_I("application_id", app));
		return JOURNAL_HOPELESS;
	}
	if (version < 1 || version > JOURNAL_FORMAT) {
		log_error("journal_open_failed", LOG_S("dir", dir),
		    LOG_S(
			"what", version < 1 ? "of no known format" : "written by a newer version"),
		    LOG_I("format", version), LOG_I("expected", JOURNAL_FORMAT));
		return JOURNAL_HOPELESS;
	}
	return (int)version;
}

/* The new file's name must survive a power cut as its content does. */
static int
sync_dir(const char *dir)
{
	int rc = fs_sync_dir(dir);

	if (rc == -1) {
		log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", "fsync of it"),
		    LOG_ERRNO());
	}
	return rc;
}

/* A file that was cut down to nothing looks like a new one. */
static int
check_new(const char *dir, int mark_fd)
{
	uint64_t head;

	if (!journal_mark_read(mark_fd, &head))
		return 0;
	log_error("journal_open_failed", LOG_S("dir", dir),
	    LOG_S("what",
		JOURNAL_FILE " is gone or empty (to begin anew, remove " JOURNAL_LOCK " as well)"),
	    LOG_U("head_was", head));
	return JOURNAL_HOPELESS;
}

static int
set_up(struct journal_db *d, const char *dir, int format)
{
	int64_t sync = 0;

	if (journal_db_exec(d, writer_setup) != SQLITE_OK ||
	    journal_format_raise(d, format) != SQLITE_OK)
		return journal_schema_complain(d, dir, "set up");
	if (format != 0 && format != JOURNAL_FORMAT) {
		log_info("journal_upgraded", LOG_S("dir", dir), LOG_I("from", format),
		    LOG_I("to", JOURNAL_FORMAT));
	}
	/* A pragma that is not understood is silently nothing. */
	if (journal_db_get(d, "PRAGMA synchronous", &sync) != SQLITE_OK || sync != 2)
		return journal_schema_complain(d, dir, "synchronous=FULL");
	return sync_dir(dir);
}

int
journal_schema_writer(struct journal_db *d, const char *dir, int mark_fd)
{
	int format = open_file(d, dir, journal_vfs_name(), 5000);

	if (format == 0) {
		journal_vfs_watch(d->db);
		format = identify(d, dir);
	}
	if (format == 0 && check_new(dir, mark_fd) != 0)
		return JOURNAL_HOPELESS;
	return format < 0 ? format : set_up(d, dir, format);
}

int
journal_schema_reader(struct journal_db *d, const char *dir)
{
	int rc = open_file(d, dir, NULL, 100);

	if (rc == 0 && journal_db_exec(d, reader_setup) != SQLITE_OK)
		return journal_schema_complain(d, dir, "set up for reading");
	return rc;
}

int
journal_schema_mover(struct journal_db *d, const char *dir)
{
	int rc = open_file(d, dir, journal_vfs_name(), 0);

	if (rc == 0 && journal_db_exec(d, mover_setup) != SQLITE_OK)
		return journal_schema_complain(d, dir, "set up for moving");
	if (rc == 0)
		sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	return rc;
}

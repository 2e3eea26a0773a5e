#include "broker/journal_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/fs.h"
#include "base/log.h"
#include "broker/journal_room.h"
#include "broker/journal_schema.h"

enum { PAGE = 4096, AHEAD = 1 << 20 };

static int
fail(const char *dir, const char *what, const char *sqlite)
{
	if (sqlite != NULL) {
		log_error("journal_backup_failed", LOG_S("dir", dir), LOG_S("what", what),
		    LOG_S("sqlite", sqlite));
	} else {
		log_error(
		    "journal_backup_failed", LOG_S("dir", dir), LOG_S("what", what), LOG_ERRNO());
	}
	return -1;
}

static int
make_place(const char *dir, bool *made)
{
	char *path = xasprintf("%s/" JOURNAL_FILE, dir);
	int rc = mkdir(dir, 0700);

	*made = rc == 0;
	if (rc == -1 && errno == EEXIST) {
		rc = access(path, F_OK) == 0 ? -1 : 0;
		errno = EEXIST;
	}
	free(path);
	return rc;
}

/* No journal of its own: until the file has its name it is nothing. */
static int
open_copy(struct journal_copy *c)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;

	if (sqlite3_open_v2(c->part, &c->to, flags, NULL) != SQLITE_OK)
		return -1;
	return sqlite3_exec(
	    c->to, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", NULL, NULL, NULL);
}

int
journal_copy_begin(struct journal_copy *c, sqlite3 *from, const char *dir)
{
	*c = (struct journal_copy){.fd = -1};
	if (make_place(dir, &c->made) == -1)
		return fail(dir, "directory", NULL);
	c->dir = xstrdup(dir);
	c->part = xasprintf("%s/" JOURNAL_FILE ".part", dir);
	(void)unlink(c->part);
	if (open_copy(c) == SQLITE_OK)
		c->backup = sqlite3_backup_init(c->to, "main", from, "main");
	if (c->backup != NULL)
		c->fd = journal_room_file(c->part, O_RDWR);
	if (c->fd != -1)
		return 0;
	(void)fail(dir, "copy", c->to != NULL ? sqlite3_errmsg(c->to) : "out of memory");
	journal_copy_abandon(c);
	return -1;
}

static void
let_go(struct journal_copy *c)
{
	if (c->backup != NULL)
		sqlite3_backup_finish(c->backup);
	sqlite3_close(c->to);
	if (c->fd != -1)
		close(c->fd);
	free(c->dir);
	free(c->part);
	*c = (struct journal_copy){.fd = -1};
}

void
journal_copy_abandon(struct journal_copy *c)
{
	if (c->part != NULL)
		(void)unlink(c->part);
	let_go(c);
}

/* The file's name, and that of its directory where it is as new. */
static int
sync_names(const struct journal_copy *c)
{
	char *above = xasprintf("%s/..", c->dir);
	int rc = fs_sync_dir(c->dir);

	if (rc == 0 && c->made)
		rc = fs_sync_dir(above);
	free(above);
	return rc;
}

static int
finish(struct journal_copy *c)
{
	char *path = xasprintf("%s/" JOURNAL_FILE, c->dir);
	int rc = sqlite3_backup_finish(c->backup);

	c->backup = NULL;
	if (rc != SQLITE_OK) {
		rc = fail(c->dir, "copy", sqlite3_errmsg(c->to));
	} else if (fsync(c->fd) == -1 || rename(c->part, path) == -1 || sync_names(c) == -1) {
		rc = fail(c->dir, "sync", NULL);
	}
	if (rc == 0) {
		let_go(c);
	} else {
		journal_copy_abandon(c);
	}
	free(path);
	return rc;
}

int
journal_copy_step(struct journal_copy *c, int pages)
{
	int rc = sqlite3_backup_step(c->backup, pages);

	if (rc == SQLITE_DONE)
		return finish(c);
	if (rc == SQLITE_OK) {
		int64_t at = (int64_t)PAGE * (sqlite3_backup_pagecount(c->backup) -
						 sqlite3_backup_remaining(c->backup));

		/* So that little is left for the sync at the end. */
		if (at - c->synced >= AHEAD) {
			(void)sync_file_range(
			    c->fd, c->synced, at - c->synced, SYNC_FILE_RANGE_WRITE);
			c->synced = at;
		}
		return 1;
	}
	if (rc == SQLITE_BUSY || rc == SQLITE_LOCKED)
		return 1;
	(void)fail(c->dir, "copy", sqlite3_errstr(rc));
	journal_copy_abandon(c);
	return -1;
}

#include "broker/journal_vfs.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"

/* A multiple of pages below 128 KiB: of a longer write SQLite's file system takes the length modulo
 * that. */
#define GATHER_MOST (120 * 1024)

static sqlite3_vfs shim, *below;

struct wal {
	sqlite3_file base;
	char *buf;
	int n;       /* gathered */
	int64_t at;  /* where it belongs */
	bool synced; /* and nothing was written since */
	int lost_rc; /* SQLITE_OK, or why what was gathered for lost_at on did not get there */
	int64_t lost_at;
	sqlite3_file *real; /* right behind */
};

static struct wal *
of(sqlite3_file *f)
{
	return (struct wal *)(void *)f;
}

static int
flush(struct wal *w)
{
	int n = w->n, rc;

	if (n == 0)
		return SQLITE_OK;
	w->n = 0;
	rc = w->real->pMethods->xWrite(w->real, w->buf, n, w->at);
	if (rc != SQLITE_OK) {
		w->lost_rc = rc;
		w->lost_at = w->at;
	}
	return rc;
}

/* What was gathered and not synced was never committed. */
static int
wal_close(sqlite3_file *f)
{
	struct wal *w = of(f);

	free(w->buf);
	return w->real->pMethods->xClose(w->real);
}

static int
wal_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	struct wal *w = of(f);
	int rc = flush(w);

	if (rc == SQLITE_OK && w->lost_rc != SQLITE_OK && at + n > w->lost_at)
		rc = w->lost_rc;
	return rc == SQLITE_OK ? w->real->pMethods->xRead(w->real, p, n, at) : rc;
}

static int
wal_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	struct wal *w = of(f);
	int rc = SQLITE_OK;

	w->synced = false;
	if (at != w->at + w->n || n > GATHER_MOST - w->n)
		rc = flush(w);
	if (rc == SQLITE_OK)
		rc = w->lost_rc;
	if (rc != SQLITE_OK)
		return rc;
	if (n > GATHER_MOST)
		return w->real->pMethods->xWrite(w->real, p, n, at);
	if (w->n == 0)
		w->at = at;
	memcpy(w->buf + w->n, p, (size_t)n);
	w->n += n;
	return SQLITE_OK;
}

static int
wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	struct wal *w = of(f);
	int rc = flush(w);

	w->synced = false;
	return rc == SQLITE_OK ? w->real->pMethods->xTruncate(w->real, size) : rc;
}

static int
wal_sync(sqlite3_file *f, int flags)
{
	struct wal *w = of(f);
	int rc = flush(w);

	if (rc != SQLITE_OK || w->synced)
		return rc;
	rc = w->real->pMethods->xSync(w->real, flags);
	w->synced = rc == SQLITE_OK;
	return rc;
}

static int
wal_size(sqlite3_file *f, sqlite3_int64 *size)
{
	struct wal *w = of(f);
	int rc = flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xFileSize(w->real, size) : rc;
}

static int
wal_control(sqlite3_file *f, int op, void *arg)
{
	struct wal *w = of(f);
	int rc = flush(w);

	return rc == SQLITE_OK ? w->real->pMethods->xFileControl(w->real, op, arg) : rc;
}

static int
wal_sector(sqlite3_file *f)
{
	return of(f)->real->pMethods->xSectorSize(of(f)->real);
}

static int
wal_device(sqlite3_file *f)
{
	return of(f)->real->pMethods->xDeviceCharacteristics(of(f)->real);
}

/* A WAL is never locked: the database and the wal-index are. */
static int
wal_lock(sqlite3_file *f, int how)
{
	return of(f)->real->pMethods->xLock(of(f)->real, how);
}

static int
wal_unlock(sqlite3_file *f, int how)
{
	return of(f)->real->pMethods->xUnlock(of(f)->real, how);
}

static int
wal_reserved(sqlite3_file *f, int *out)
{
	return of(f)->real->pMethods->xCheckReservedLock(of(f)->real, out);
}

/* Version 1: no shared memory and no mapping, which only the database has. */
static const sqlite3_io_methods wal_methods = {
    .iVersion = 1,
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_device,
};

static int
open_file(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct wal *w = of(f);
	int rc;

	(void)v;
	if ((flags & SQLITE_OPEN_WAL) == 0)
		return below->xOpen(below, name, f, flags, out);
	*w = (struct wal){.real = (sqlite3_file *)(void *)(w + 1)};
	rc = below->xOpen(below, name, w->real, flags, out);
	if (rc != SQLITE_OK)
		return rc;
	w->buf = xcalloc(1, GATHER_MOST);
	w->base.pMethods = &wal_methods;
	return SQLITE_OK;
}

static void
install(void)
{
	below = sqlite3_vfs_find(NULL);
	INVARIANT(below != NULL);
	shim = *below;
	shim.pNext = NULL;
	shim.zName = "taxi-journal";
	shim.szOsFile = (int)sizeof(struct wal) + below->szOsFile;
	shim.xOpen = open_file;
	INVARIANT(sqlite3_vfs_register(&shim, 0) == SQLITE_OK);
}

/* Of all that was lost nothing is in the WAL any more. */
static void
on_rollback(void *arg)
{
	sqlite3_file *f = NULL;

	if (sqlite3_file_control(arg, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f) == SQLITE_OK &&
	    f != NULL && f->pMethods == &wal_methods)
		of(f)->lost_rc = SQLITE_OK;
}

void
journal_vfs_watch(sqlite3 *db)
{
	sqlite3_rollback_hook(db, on_rollback, db);
}

const char *
journal_vfs_name(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	(void)pthread_once(&once, install);
	return shim.zName;
}

/* What the writer's connection gathers: nobody else ever misses it, it is bounded, and what did not
 * get to the disk is neither read nor built upon. */
#include "broker/journal_vfs.h"

#include <sqlite3.h>
#include "tests/unit/journal_disk.h"

enum { PAGE = 4096, HEAD = 24, MOST = 120 * 1024 };

static unsigned
count_calls(size_t from, enum disk_what what, size_t *longest)
{
	unsigned n = 0;

	for (size_t i = from; i < disk.n; i++) {
		if (disk.notes[i].what != what)
			continue;
		n++;
		if (longest != NULL && disk.notes[i].n > *longest)
			*longest = disk.notes[i].n;
	}
	return n;
}

/* ---- the file itself ---- */

static sqlite3_file *
open_wal(const char *dir, char **path)
{
	sqlite3_vfs *v = sqlite3_vfs_find(journal_vfs_name());
	sqlite3_file *f;
	int fd;

	INVARIANT(v != NULL && v != sqlite3_vfs_find(NULL));
	/* A WAL has its mode from its database. */
	*path = xasprintf("%s/some", dir);
	fd = open(*path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	INVARIANT(fd != -1);
	close(fd);
	free(*path);
	*path = xasprintf("%s/some-wal", dir);
	f = xcalloc(1, (size_t)v->szOsFile);
	INVARIANT(
	    v->xOpen(v, *path, f, SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
		NULL) == SQLITE_OK);
	return f;
}

static void
close_wal(sqlite3_file *f, char *path)
{
	f->pMethods->xClose(f);
	(void)unlink(path);
	free(f);
	free(path);
}

static off_t
size_of(const char *path)
{
	struct stat st;

	INVARIANT(stat(path, &st) == 0);
	return st.st_size;
}

static void
fill(uint8_t *p, size_t n, unsigned seed)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(seed + i * 7 + i / 251);
}

/* Frames from `at` on, as a commit writes them. */
static int
write_frames(sqlite3_file *f, sqlite3_int64 at, unsigned n, unsigned seed)
{
	uint8_t b[HEAD + PAGE];
	int rc = SQLITE_OK;

	for (unsigned i = 0; i < n && rc == SQLITE_OK; i++, at += HEAD + PAGE) {
		fill(b, sizeof b, seed + i);
		rc = f->pMethods->xWrite(f, b, HEAD, at);
		if (rc == SQLITE_OK)
			rc = f->pMethods->xWrite(f, b + HEAD, PAGE, at + HEAD);
	}
	return rc;
}

static bool
has_frames(sqlite3_file *f, sqlite3_int64 at, unsigned n, unsigned seed)
{
	uint8_t b[HEAD + PAGE], got[HEAD + PAGE];

	for (unsigned i = 0; i < n; i++, at += HEAD + PAGE) {
		fill(b, sizeof b, seed + i);
		if (f->pMethods->xRead(f, got, HEAD + PAGE, at) != SQLITE_OK ||
		    memcmp(b, got, sizeof b) != 0)
			return false;
	}
	return true;
}

/* What is synced is so, until something is written. */
static void
test_syncs_once(const char *dir)
{
	char *path;
	sqlite3_file *f;

	disk_follow(dir);
	f = open_wal(dir, &path);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(count_calls(0, DISK_SYNC, NULL) == 1); /* who knows what is in there */
	CHECK(write_frames(f, 0, 3, 1) == SQLITE_OK);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(count_calls(0, DISK_SYNC, NULL) == 2);
	CHECK(f->pMethods->xTruncate(f, HEAD + PAGE) == SQLITE_OK);
	/* One that failed was none. */
	disk_fail(disk.calls + 1, DISK_EIO, false);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) != SQLITE_OK);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(count_calls(0, DISK_SYNC, NULL) == 3);
	disk_heal();
	close_wal(f, path);
}

static void
test_gathers(const char *dir)
{
	sqlite3_int64 size = 0;
	size_t longest = 0;
	char *path;
	sqlite3_file *f;

	disk_follow(dir);
	f = open_wal(dir, &path);
	CHECK(write_frames(f, 0, 10, 1) == SQLITE_OK && size_of(path) == 0);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(count_calls(0, DISK_WRITE, NULL) == 1 && count_calls(0, DISK_SYNC, NULL) == 1);
	CHECK(disk.notes[disk.n - 1].what != DISK_WRITE);
	CHECK(size_of(path) == 10 * (HEAD + PAGE) && has_frames(f, 0, 10, 1));
	/* Nothing of this connection sees less than it wrote. */
	CHECK(write_frames(f, 10 * (HEAD + PAGE), 2, 50) == SQLITE_OK);
	CHECK(has_frames(f, 10 * (HEAD + PAGE), 2, 50));
	CHECK(write_frames(f, 12 * (HEAD + PAGE), 2, 60) == SQLITE_OK);
	CHECK(f->pMethods->xFileSize(f, &size) == SQLITE_OK && size == 14 * (HEAD + PAGE));
	CHECK(write_frames(f, 14 * (HEAD + PAGE), 2, 70) == SQLITE_OK);
	CHECK(f->pMethods->xTruncate(f, 15 * (HEAD + PAGE)) == SQLITE_OK);
	CHECK(size_of(path) == 15 * (HEAD + PAGE) && has_frames(f, 14 * (HEAD + PAGE), 1, 70));
	/* Back over what is gathered, in between, and at its end again: the last one wins. */
	CHECK(write_frames(f, 0, 4, 80) == SQLITE_OK && write_frames(f, 0, 2, 90) == SQLITE_OK);
	CHECK(write_frames(f, 3 * (HEAD + PAGE), 1, 99) == SQLITE_OK);
	CHECK(has_frames(f, 0, 2, 90) && has_frames(f, 2 * (HEAD + PAGE), 1, 82) &&
	      has_frames(f, 3 * (HEAD + PAGE), 1, 99));
	/* Bounded. */
	CHECK(write_frames(f, 0, 100, 7) == SQLITE_OK && size_of(path) > 60 * (HEAD + PAGE));
	CHECK(has_frames(f, 0, 100, 7));
	(void)count_calls(0, DISK_WRITE, &longest);
	CHECK(longest > 20 * PAGE && longest <= MOST);
	close_wal(f, path);
}

/* One write larger than all that is gathered at most, and nearly all that SQLite's takes. */
static void
test_large(const char *dir)
{
	static uint8_t b[130000 + 200], got[sizeof b];
	char *path;
	sqlite3_file *f = open_wal(dir, &path);

	fill(b, sizeof b, 3);
	CHECK(f->pMethods->xWrite(f, b, 100, 0) == SQLITE_OK);
	CHECK(f->pMethods->xWrite(f, b + 100, sizeof b - 200, 100) == SQLITE_OK);
	CHECK(f->pMethods->xWrite(f, b + sizeof b - 100, 100, sizeof b - 100) == SQLITE_OK);
	CHECK(f->pMethods->xRead(f, got, sizeof got, 0) == SQLITE_OK);
	CHECK(memcmp(b, got, sizeof b) == 0);
	close_wal(f, path);
}

/* Fails at the flush with the code of a write; who goes on as if nothing had been is refused. */
static void
test_lost(const char *dir, enum disk_fault fault, int code)
{
	const sqlite3_int64 base = 5 * (HEAD + PAGE);
	uint8_t b[HEAD];
	char *path;
	sqlite3_file *f;

	disk_follow(dir);
	f = open_wal(dir, &path);
	CHECK(write_frames(f, 0, 5, 1) == SQLITE_OK);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	CHECK(write_frames(f, base, 3, 20) == SQLITE_OK);
	disk_fail(disk.calls + 1, fault, true);
	CHECK(f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == code);
	disk_heal();
	CHECK(f->pMethods->xRead(f, b, HEAD, base) == code);
	CHECK(write_frames(f, base + 3 * (HEAD + PAGE), 1, 23) == code);
	/* Nor before it: a frame of the same transaction may be written over. */
	CHECK(f->pMethods->xWrite(f, b, HEAD, 2 * (HEAD + PAGE)) == code);
	/* What was there before is, and can be synced: a checkpoint makes room. */
	CHECK(has_frames(f, 0, 5, 1) && f->pMethods->xSync(f, SQLITE_SYNC_NORMAL) == SQLITE_OK);
	close_wal(f, path);
}

/* The same, found by a read, or by a write that is too much. */
static void
test_lost_late(const char *dir, bool by_read, enum disk_fault fault, int code)
{
	uint8_t b[HEAD];
	char *path;
	sqlite3_file *f;

	disk_follow(dir);
	f = open_wal(dir, &path);
	CHECK(write_frames(f, 0, 2, 40) == SQLITE_OK);
	disk_fail(disk.calls + 1, fault, true);
	if (by_read) {
		CHECK(f->pMethods->xRead(f, b, HEAD, 0) == code);
	} else {
		CHECK(write_frames(f, 2 * (HEAD + PAGE), 100, 42) == code);
	}
	disk_heal();
	CHECK(f->pMethods->xRead(f, b, HEAD, 0) == code);
	CHECK(write_frames(f, 0, 1, 40) == code);
	close_wal(f, path);
}

/* ---- below a database ---- */

static sqlite3 *
open_db(const char *dir, const char *vfs)
{
	char *path = xasprintf("%s/journal.db", dir);
	sqlite3 *db = NULL;

	INVARIANT(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs) ==
		  SQLITE_OK);
	free(path);
	return db;
}

static int
run(sqlite3 *db, const char *sql)
{
	return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

static int64_t
get(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *st = NULL;
	int64_t v = -1;

	if (sqlite3_prepare_v2(db, sql, -1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW)
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return v;
}

#define SETUP                                                \
	"PRAGMA synchronous=FULL; PRAGMA journal_mode=WAL;"  \
	"PRAGMA wal_autocheckpoint=0; PRAGMA cache_size=10;" \
	"CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB UNIQUE);"
#define MANY(from, to)                                                          \
	"WITH RECURSIVE n(i) AS (VALUES(" #from ") UNION ALL SELECT i+1 FROM n" \
	" WHERE i<" #to ") INSERT INTO t SELECT i, randomblob(500) FROM n;"

static bool
is_whole(sqlite3 *db, int64_t rows)
{
	return get(db, "SELECT count(*) FROM t") == rows &&
	       get(db, "SELECT integrity_check='ok' FROM pragma_integrity_check") == 1;
}

/* Far more than the cache: pages spill, come back, and are written over. */
static void
test_spill(const char *dir)
{
	sqlite3 *w, *r;
	unsigned frames, writes;
	size_t from;

	disk_follow(dir);
	w = open_db(dir, journal_vfs_name());
	CHECK(run(w, SETUP MANY(1, 100)) == SQLITE_OK);
	r = open_db(dir, NULL);
	CHECK(is_whole(r, 100));
	CHECK(run(w, "BEGIN;" MANY(101, 2000)) == SQLITE_OK && is_whole(r, 100));
	CHECK(run(w, "UPDATE t SET b=randomblob(501) WHERE a%3=0") == SQLITE_OK);
	CHECK(is_whole(w, 2000) && is_whole(r, 100));
	CHECK(
	    run(w, "SAVEPOINT s;" MANY(2001, 3000) "ROLLBACK TO s;" MANY(2001, 2100)) == SQLITE_OK);
	CHECK(run(w, "COMMIT") == SQLITE_OK && is_whole(w, 2100) && is_whole(r, 2100));
	CHECK(run(w, "BEGIN;" MANY(3001, 4000) "ROLLBACK;" MANY(2101, 2110)) == SQLITE_OK);
	CHECK(is_whole(w, 2110) && is_whole(r, 2110));
	/* A commit that fits into the cache is one call. */
	from = disk.n;
	CHECK(run(w, "PRAGMA cache_size=1000;" MANY(2111, 2115)) == SQLITE_OK && is_whole(r, 2115));
	writes = count_calls(from, DISK_WRITE, NULL);
	CHECK(writes == 1 && count_calls(from, DISK_SYNC, NULL) == 1);
	frames = (unsigned)(disk.notes[from].n / (HEAD + PAGE));
	CHECK(frames > 5 && disk.notes[from].n == frames * (HEAD + PAGE));
	CHECK(run(w, "PRAGMA wal_checkpoint(TRUNCATE)") == SQLITE_OK && is_whole(r, 2115));
	sqlite3_close(r);
	sqlite3_close(w);
}

/* The disk fills up while pages spill; nobody rolls back but by and by. */
static void
test_full(const char *dir)
{
	sqlite3 *w;
	unsigned bad = 0, before;

	disk_follow(dir);
	w = open_db(dir, journal_vfs_name());
	journal_vfs_watch(w);
	CHECK(run(w, SETUP MANY(1, 300) "PRAGMA wal_checkpoint") == SQLITE_OK);
	for (unsigned k = 1; k <= 40; k++) {
		bool full;

		before = disk.calls;
		CHECK(run(w, "BEGIN;" MANY(301, 310)) == SQLITE_OK);
		disk_fail(before + k, DISK_ENOSPC, true);
		full = run(w, "INSERT OR IGNORE INTO t SELECT a+1000, randomblob(600) FROM t") !=
		       SQLITE_OK;
		disk_heal();
		(void)run(w, "UPDATE t SET b=randomblob(400) WHERE a%2=0");
		full = run(w, "COMMIT") != SQLITE_OK || full;
		bad += full;
		(void)run(w, "ROLLBACK");
		CHECK(run(w, "DELETE FROM t WHERE a>300") == SQLITE_OK && is_whole(w, 300));
	}
	CHECK(bad > 5);
	sqlite3_close(w);
	w = open_db(dir, NULL);
	CHECK(is_whole(w, 300));
	sqlite3_close(w);
}

/* ---- below a journal ---- */

static unsigned
count_syncs_of(const char *name)
{
	unsigned n = 0;

	for (size_t i = 0; i < disk.n; i++)
		for (unsigned k = 0; k < DISK_FILES; k++)
			n += disk.notes[i].what == DISK_SYNC &&
			     disk.live[k].file == disk.notes[i].file &&
			     strcmp(disk.live[k].name, name) == 0;
	return n;
}

static void
copy_file(const char *from, const char *to, const char *name)
{
	static uint8_t b[1 << 20];
	char *a = xasprintf("%s/%s", from, name), *c = xasprintf("%s/%s", to, name);
	int in = open(a, O_RDONLY | O_CLOEXEC), out = open(c, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ssize_t n = pread(in, b, sizeof b, 0);

	INVARIANT(n > 0 && n < (ssize_t)sizeof b && pwrite(out, b, (size_t)n, 0) == n);
	close(in);
	close(out);
	free(a);
	free(c);
}

/* A kill between the write of a commit and its sync leaves what a power cut may still take.  The
 * next start takes it for committed and answers repeats by it, so it is synced before that. */
static void
test_start_syncs(const char *dir)
{
	static const char *const files[] = {"journal.db", "journal.db-wal", "journal.lock"};
	char *copy = kit_dir();
	struct journal *j = kit_open(dir);
	struct journal_rec r;

	CHECK(kit_put1(j, 1, "frame", NULL) == ERR_OK);
	disk_follow(copy);
	for (unsigned i = 0; i < 3; i++)
		copy_file(dir, copy, files[i]);
	journal_close(j);
	j = kit_open(copy);
	CHECK(kit_put1(j, 1, "frame", &r) == ERR_OK && r.repeat);
	CHECK(count_syncs_of("journal.db-wal") > 0);
	journal_close(j);
	disk_follow("");
	kit_rmdir(copy);
}

int
main(void)
{
	char *dir = kit_dir();

	test_syncs_once(dir);
	test_gathers(dir);
	test_large(dir);
	test_lost(dir, DISK_EIO, SQLITE_IOERR_WRITE);
	test_lost(dir, DISK_ENOSPC, SQLITE_FULL);
	for (int by_read = 0; by_read < 2; by_read++) {
		test_lost_late(dir, by_read != 0, DISK_EIO, SQLITE_IOERR_WRITE);
		test_lost_late(dir, by_read != 0, DISK_ENOSPC, SQLITE_FULL);
	}
	kit_empty(dir);
	test_spill(dir);
	kit_empty(dir);
	test_full(dir);
	kit_empty(dir);
	disk_follow("");
	test_start_syncs(dir);
	free(disk.notes);
	kit_rmdir(dir);
	return check_done();
}

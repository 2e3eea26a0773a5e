#ifndef TESTS_UNIT_JOURNAL_VFS_H
#define TESTS_UNIT_JOURNAL_VFS_H
/* A layer between SQLite and the disk, below every connection opened after vfs_install():
 *
 * - vfs.fail[file].write / .sync: a result every write / sync of that file gets from now on (0 =
 * none); vfs.fail[file].limit: writes that end beyond this offset get SQLITE_FULL (0 = no limit).
 * - a power cut: after vfs_cut_after(n, seed, dir) the n-th write or sync leaves in `dir` what the
 * disk would hold had the power gone at that moment: everything that was synced, and of what was
 * only written, some blocks and not others.  The process goes on unharmed; vfs.cut_done says it
 * happened.
 *
 * - a gate: after vfs_gate(true) the mover's thread waits before it writes to or syncs journal.db,
 * until vfs_gate(false).
 *
 * Only journal.db and its WAL are looked at, one journal at a time. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include "tests/unit/journal_kit.h"

enum { VFS_DB, VFS_WAL, VFS_FILES };
#define VFS_BLOCK 4096
#define VFS_BLOCKS 16384 /* 64 MiB a file is enough for a test */

static struct {
	sqlite3_vfs shim, *real;
	struct {
		_Atomic int write, sync;
		_Atomic int64_t limit;
		_Atomic unsigned syncs;
	} fail[VFS_FILES];
	/* Under mu, but for arming, when no write is under way. */
	pthread_mutex_t mu;
	int shadow[VFS_FILES]; /* what is synced */
	int live[VFS_FILES];   /* a descriptor of our own on the real file */
	bool dirty[VFS_FILES][VFS_BLOCKS];
	int top[VFS_FILES]; /* no dirty block is beyond */
	bool tracking;
	uint64_t seed;
	char cut_dir[64];
	unsigned countdown;
	_Atomic bool cut_done;
	_Atomic uint64_t acked; /* the test's: what it has reaped */
	_Atomic uint64_t acked_at_cut;
	pthread_mutex_t gate_mu;
	pthread_cond_t gate_moves;
	bool gate_shut, at_gate;   /* gate_mu */
	_Atomic unsigned by_mover; /* writes to and syncs of the database */
} vfs = {.mu = PTHREAD_MUTEX_INITIALIZER,
    .gate_mu = PTHREAD_MUTEX_INITIALIZER,
    .gate_moves = PTHREAD_COND_INITIALIZER,
    .shadow = {-1, -1},
    .live = {-1, -1}};

struct vfs_file {
	sqlite3_file base;
	int kind; /* -1: none of our business */
	sqlite3_file *real;
};

static const char *const vfs_names[VFS_FILES] = {"journal.db", "journal.db-wal"};

static inline sqlite3_file *
vfs_real(sqlite3_file *f)
{
	return ((struct vfs_file *)(void *)f)->real;
}

static inline int
vfs_kind(sqlite3_file *f)
{
	return ((struct vfs_file *)(void *)f)->kind;
}

/* ---- power ---- */

static inline void
vfs_copy_block(int to, int from, int block)
{
	char b[VFS_BLOCK];
	ssize_t n = pread(from, b, sizeof b, (off_t)block * VFS_BLOCK);

	if (n > 0)
		INVARIANT(pwrite(to, b, (size_t)n, (off_t)block * VFS_BLOCK) == n);
}

static inline off_t
vfs_size(int fd)
{
	struct stat st;

	INVARIANT(fstat(fd, &st) == 0);
	return st.st_size;
}

static inline void
vfs_synced(int kind)
{
	for (int b = 0; b <= vfs.top[kind]; b++) {
		if (vfs.dirty[kind][b])
			vfs_copy_block(vfs.shadow[kind], vfs.live[kind], b);
		vfs.dirty[kind][b] = false;
	}
	vfs.top[kind] = 0;
	INVARIANT(ftruncate(vfs.shadow[kind], vfs_size(vfs.live[kind])) == 0);
}

/* Of what was not synced, each block made it to the disk or not. */
static inline void
vfs_cut(void)
{
	for (int k = 0; k < VFS_FILES; k++) {
		char *path = xasprintf("%s/%s", vfs.cut_dir, vfs_names[k]);
		int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		int end = (int)((vfs_size(vfs.shadow[k]) + VFS_BLOCK - 1) / VFS_BLOCK);

		INVARIANT(fd != -1);
		for (int b = 0; b < end; b++)
			vfs_copy_block(fd, vfs.shadow[k], b);
		for (int b = 0; b < VFS_BLOCKS; b++) {
			if (vfs.dirty[k][b] && kit_below(&vfs.seed, 2) == 0)
				vfs_copy_block(fd, vfs.live[k], b);
		}
		close(fd);
		free(path);
	}
	atomic_store(&vfs.acked_at_cut, atomic_load(&vfs.acked));
	atomic_store(&vfs.cut_done, true);
}

static inline void
vfs_tick(void)
{
	if (vfs.countdown > 0 && --vfs.countdown == 0)
		vfs_cut();
}

static inline void
vfs_note(int kind, int64_t at, int n)
{
	for (int64_t b = at / VFS_BLOCK; b <= (at + n - 1) / VFS_BLOCK; b++) {
		INVARIANT(b < VFS_BLOCKS);
		vfs.dirty[kind][b] = true;
		if (b > vfs.top[kind])
			vfs.top[kind] = (int)b;
	}
}

/* From here on it is known what is synced.  The journal in `dir` is open and idle. */
static inline void
vfs_track(const char *dir)
{
	for (int k = 0; k < VFS_FILES; k++) {
		char *path = xasprintf("%s/%s", dir, vfs_names[k]);

		vfs.live[k] = open(path, O_RDONLY | O_CLOEXEC);
		vfs.shadow[k] = open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		INVARIANT(vfs.live[k] != -1 && vfs.shadow[k] != -1);
		vfs.top[k] = (int)(vfs_size(vfs.live[k]) / VFS_BLOCK);
		for (int b = 0; b <= vfs.top[k]; b++)
			vfs.dirty[k][b] = true;
		vfs_synced(k);
		free(path);
	}
	vfs.tracking = true;
}

static inline void
vfs_untrack(void)
{
	vfs.tracking = false;
	vfs.countdown = 0;
	for (int k = 0; k < VFS_FILES; k++) {
		close(vfs.live[k]);
		close(vfs.shadow[k]);
		vfs.live[k] = vfs.shadow[k] = -1;
		memset(vfs.dirty[k], 0, sizeof vfs.dirty[k]);
	}
}

static inline void
vfs_cut_after(unsigned n, uint64_t seed, const char *dir)
{
	(void)snprintf(vfs.cut_dir, sizeof vfs.cut_dir, "%s", dir);
	vfs.seed = seed;
	atomic_store(&vfs.cut_done, false);
	atomic_store(&vfs.acked, 0);
	atomic_store(&vfs.acked_at_cut, 0);
	vfs.countdown = n;
}

/* ---- the gate ---- */

static inline void
vfs_gate(bool shut)
{
	pthread_mutex_lock(&vfs.gate_mu);
	vfs.gate_shut = shut;
	pthread_mutex_unlock(&vfs.gate_mu);
	pthread_cond_broadcast(&vfs.gate_moves);
}

/* Until the mover stands before it; it was asked. */
static inline void
vfs_gate_await(void)
{
	pthread_mutex_lock(&vfs.gate_mu);
	while (!vfs.at_gate)
		pthread_cond_wait(&vfs.gate_moves, &vfs.gate_mu);
	pthread_mutex_unlock(&vfs.gate_mu);
}

static inline void
vfs_pass(int kind)
{
	char name[16] = "";

	(void)pthread_getname_np(pthread_self(), name, sizeof name);
	if (kind != VFS_DB || strcmp(name, "journal-mover") != 0)
		return;
	atomic_fetch_add(&vfs.by_mover, 1);
	pthread_mutex_lock(&vfs.gate_mu);
	while (vfs.gate_shut) {
		vfs.at_gate = true;
		pthread_cond_broadcast(&vfs.gate_moves);
		pthread_cond_wait(&vfs.gate_moves, &vfs.gate_mu);
	}
	vfs.at_gate = false;
	pthread_mutex_unlock(&vfs.gate_mu);
}

/* ---- the methods of a file ---- */

static inline int
vfs_close(sqlite3_file *f)
{
	int rc = vfs_real(f)->pMethods->xClose(vfs_real(f));

	free(vfs_real(f));
	return rc;
}

static inline int
vfs_read(sqlite3_file *f, void *p, int n, sqlite3_int64 at)
{
	return vfs_real(f)->pMethods->xRead(vfs_real(f), p, n, at);
}

static inline int
vfs_write(sqlite3_file *f, const void *p, int n, sqlite3_int64 at)
{
	int k = vfs_kind(f), rc;
	int64_t limit;

	if (k == -1)
		return vfs_real(f)->pMethods->xWrite(vfs_real(f), p, n, at);
	vfs_pass(k);
	rc = atomic_load(&vfs.fail[k].write);
	limit = atomic_load(&vfs.fail[k].limit);
	if (rc != SQLITE_OK)
		return rc;
	if (limit != 0 && at + n > limit)
		return SQLITE_FULL;
	pthread_mutex_lock(&vfs.mu);
	rc = vfs_real(f)->pMethods->xWrite(vfs_real(f), p, n, at);
	if (vfs.tracking) {
		vfs_note(k, at, n);
		vfs_tick();
	}
	pthread_mutex_unlock(&vfs.mu);
	return rc;
}

static inline int
vfs_truncate(sqlite3_file *f, sqlite3_int64 n)
{
	return vfs_real(f)->pMethods->xTruncate(vfs_real(f), n);
}

static inline int
vfs_sync(sqlite3_file *f, int flags)
{
	int k = vfs_kind(f), rc;

	if (k == -1)
		return vfs_real(f)->pMethods->xSync(vfs_real(f), flags);
	vfs_pass(k);
	atomic_fetch_add(&vfs.fail[k].syncs, 1);
	rc = atomic_load(&vfs.fail[k].sync);
	if (rc != SQLITE_OK)
		return rc;
	if (!vfs.tracking)
		return vfs_real(f)->pMethods->xSync(vfs_real(f), flags);
	/* The power may go before the sync has done its work, or right after; the shadow is the
	 * disk. */
	pthread_mutex_lock(&vfs.mu);
	vfs_tick();
	vfs_synced(k);
	vfs_tick();
	pthread_mutex_unlock(&vfs.mu);
	return SQLITE_OK;
}

static inline int
vfs_file_size(sqlite3_file *f, sqlite3_int64 *n)
{
	return vfs_real(f)->pMethods->xFileSize(vfs_real(f), n);
}

static inline int
vfs_lock(sqlite3_file *f, int how)
{
	return vfs_real(f)->pMethods->xLock(vfs_real(f), how);
}

static inline int
vfs_unlock(sqlite3_file *f, int how)
{
	return vfs_real(f)->pMethods->xUnlock(vfs_real(f), how);
}

static inline int
vfs_reserved(sqlite3_file *f, int *out)
{
	return vfs_real(f)->pMethods->xCheckReservedLock(vfs_real(f), out);
}

static inline int
vfs_control(sqlite3_file *f, int op, void *arg)
{
	return vfs_real(f)->pMethods->xFileControl(vfs_real(f), op, arg);
}

static inline int
vfs_sector(sqlite3_file *f)
{
	return vfs_real(f)->pMethods->xSectorSize(vfs_real(f));
}

static inline int
vfs_device(sqlite3_file *f)
{
	return vfs_real(f)->pMethods->xDeviceCharacteristics(vfs_real(f));
}

static inline int
vfs_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **p)
{
	return vfs_real(f)->pMethods->xShmMap(vfs_real(f), page, size, extend, p);
}

static inline int
vfs_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
	return vfs_real(f)->pMethods->xShmLock(vfs_real(f), at, n, flags);
}

static inline void
vfs_shm_barrier(sqlite3_file *f)
{
	vfs_real(f)->pMethods->xShmBarrier(vfs_real(f));
}

static inline int
vfs_shm_unmap(sqlite3_file *f, int unlink_it)
{
	return vfs_real(f)->pMethods->xShmUnmap(vfs_real(f), unlink_it);
}

static const sqlite3_io_methods vfs_methods = {
    .iVersion = 2, /* without xFetch: everything passes through here */
    .xClose = vfs_close,
    .xRead = vfs_read,
    .xWrite = vfs_write,
    .xTruncate = vfs_truncate,
    .xSync = vfs_sync,
    .xFileSize = vfs_file_size,
    .xLock = vfs_lock,
    .xUnlock = vfs_unlock,
    .xCheckReservedLock = vfs_reserved,
    .xFileControl = vfs_control,
    .xSectorSize = vfs_sector,
    .xDeviceCharacteristics = vfs_device,
    .xShmMap = vfs_shm_map,
    .xShmLock = vfs_shm_lock,
    .xShmBarrier = vfs_shm_barrier,
    .xShmUnmap = vfs_shm_unmap,
};

static inline int
vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
	struct vfs_file *file = (struct vfs_file *)(void *)f;
	const char *base = name != NULL ? strrchr(name, '/') : NULL;
	int rc;

	(void)v;
	file->base.pMethods = NULL;
	file->kind = -1;
	for (int k = 0; k < VFS_FILES; k++) {
		if (base != NULL && strcmp(base + 1, vfs_names[k]) == 0)
			file->kind = k;
	}
	file->real = xcalloc(1, (size_t)vfs.real->szOsFile);
	rc = vfs.real->xOpen(vfs.real, name, file->real, flags, out);
	if (rc != SQLITE_OK) {
		free(file->real);
		return rc;
	}
	file->base.pMethods = &vfs_methods;
	return SQLITE_OK;
}

static inline void
vfs_install(void)
{
	vfs.real = sqlite3_vfs_find(NULL);
	vfs.shim = *vfs.real;
	vfs.shim.zName = "taxi-test";
	vfs.shim.szOsFile = (int)sizeof(struct vfs_file);
	vfs.shim.xOpen = vfs_open;
	INVARIANT(sqlite3_vfs_register(&vfs.shim, 1) == SQLITE_OK);
}

static inline void
vfs_heal(void)
{
	for (int k = 0; k < VFS_FILES; k++) {
		atomic_store(&vfs.fail[k].write, 0);
		atomic_store(&vfs.fail[k].sync, 0);
		atomic_store(&vfs.fail[k].limit, 0);
	}
}

#endif

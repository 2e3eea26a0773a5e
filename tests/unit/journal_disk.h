#ifndef TESTS_UNIT_JOURNAL_DISK_H
#define TESTS_UNIT_JOURNAL_DISK_H
/* Between the journal and the kernel: the calls that SQLite and we make on files of one directory,
 * for this program defines them before the C library does.
 *
 * - Every change is noted down: files that appear and go, writes, truncations, syncs of files and
 * of the directory.  From the notes a disk can be made as it might be had the power gone between
 * any two of them: what was synced is there; of what was not, none, all, or some, in sectors.  A
 * name is there once the directory was synced.
 * - The n-th call can be made to fail.
 *
 * Nothing is ever really synced: it is the notes that say what would be. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/stat.h>
#include "tests/unit/journal_kit.h"

enum disk_what {
	DISK_OPEN,
	DISK_CREATE,
	DISK_READ,
	DISK_WRITE,
	DISK_TRUNCATE,
	DISK_ALLOCATE,
	DISK_SYNC,
	DISK_SYNC_DIR,
	DISK_UNLINK,
	DISK_RENAME,
	DISK_MARK
};
static const char *const disk_names[] = {"open", "create", "read", "write", "truncate", "allocate",
    "sync", "sync of the directory", "unlink", "rename", "mark"};

#define DISK_FDS 1024
#define DISK_FILES 64
#define DISK_SECTOR 512u

struct disk_note {
	enum disk_what what;
	int file;
	char name[32], to[32];
	int64_t at;
	size_t n;
	uint8_t *bytes;
	uint64_t mark;
};

enum disk_fault { DISK_NONE, DISK_EIO, DISK_ENOSPC, DISK_EINTR, DISK_SHORT };

static struct {
	pthread_mutex_t mu;
	char dir[64];
	bool noting;
	unsigned by_mover; /* writes by the thread that moves the WAL into the database */
	struct disk_note *notes;
	size_t n, cap;
	int files; /* numbers given out */
	struct {
		char name[32];
		int file;
	} live[DISK_FILES];
	int fd_file[DISK_FDS]; /* file + 1; -1: the directory; -2: not followed, but may fail; 0:
				  not ours */
	/* faults */
	unsigned calls, fail_at;
	enum disk_fault fault;
	bool lasting; /* until disk_heal */
	bool fired;
	enum disk_what fired_on;
} disk = {.mu = PTHREAD_MUTEX_INITIALIZER};

#define DISK_REAL(type, name, ...)        \
	static type (*real)(__VA_ARGS__); \
	if (real == NULL)                 \
	*(void **)(void *)&real = dlsym(RTLD_NEXT, name)

/* ---- notes ---- */

static inline struct disk_note *
disk_add(enum disk_what what, int file)
{
	struct disk_note *e;

	if (disk.n == disk.cap) {
		disk.cap = disk.cap != 0 ? 2 * disk.cap : 1024;
		disk.notes = xrealloc(disk.notes, disk.cap * sizeof *disk.notes);
	}
	e = &disk.notes[disk.n++];
	*e = (struct disk_note){.what = what, .file = file};
	return e;
}

static inline void
disk_mark(uint64_t mark)
{
	pthread_mutex_lock(&disk.mu);
	disk_add(DISK_MARK, -1)->mark = mark;
	pthread_mutex_unlock(&disk.mu);
}

static inline int
disk_live(const char *name)
{
	for (int i = 0; i < DISK_FILES; i++) {
		if (strcmp(disk.live[i].name, name) == 0)
			return i;
	}
	return -1;
}

/* Follows the files of `dir`, which is empty. */
static inline void
disk_follow(const char *dir)
{
	pthread_mutex_lock(&disk.mu);
	for (size_t i = 0; i < disk.n; i++)
		free(disk.notes[i].bytes);
	disk.n = 0;
	disk.files = 0;
	memset(disk.live, 0, sizeof disk.live);
	memset(disk.fd_file, 0, sizeof disk.fd_file);
	(void)snprintf(disk.dir, sizeof disk.dir, "%s", dir);
	disk.noting = true;
	disk.calls = disk.fail_at = disk.by_mover = 0;
	disk.fired = false;
	pthread_mutex_unlock(&disk.mu);
}

static inline void
disk_fail(unsigned at, enum disk_fault fault, bool lasting)
{
	disk.fail_at = at;
	disk.fault = fault;
	disk.lasting = lasting;
}

static inline void
disk_heal(void)
{
	pthread_mutex_lock(&disk.mu);
	disk.fail_at = 0;
	pthread_mutex_unlock(&disk.mu);
}

/* The name within the directory; NULL for what is none of our business.  "" is the directory. */
static inline const char *
disk_base(const char *path)
{
	size_t n = strlen(disk.dir);

	if (n == 0 || strncmp(path, disk.dir, n) != 0)
		return NULL;
	if (path[n] == '\0')
		return path + n;
	return path[n] == '/' ? path + n + 1 : NULL;
}

static inline int
disk_fd(int fd)
{
	return fd >= 0 && fd < DISK_FDS ? disk.fd_file[fd] : 0;
}

/* Under the mutex.  Whether this call is to fail, with errno set. */
static inline enum disk_fault
disk_strikes(enum disk_what what)
{
	bool strikes;

	disk.calls++;
	strikes = disk.fail_at != 0 &&
		  (disk.lasting ? disk.calls >= disk.fail_at : disk.calls == disk.fail_at);
	if (!strikes)
		return DISK_NONE;
	if (disk.fault == DISK_SHORT && what != DISK_WRITE && what != DISK_READ)
		return DISK_NONE;
	/* A full disk takes what needs no room. */
	if (disk.fault == DISK_ENOSPC && what != DISK_WRITE && what != DISK_ALLOCATE &&
	    what != DISK_CREATE)
		return DISK_NONE;
	if (disk.fault == DISK_EINTR && what == DISK_UNLINK)
		return DISK_NONE; /* there is no such thing */
	disk.fired = true;
	disk.fired_on = what;
	errno = disk.fault == DISK_EIO ? EIO : disk.fault == DISK_ENOSPC ? ENOSPC : EINTR;
	return disk.fault;
}

/* Has the call that was to fail been made?  The journal's thread may be at it. */
static inline bool
disk_fired(void)
{
	bool fired;

	pthread_mutex_lock(&disk.mu);
	fired = disk.fired;
	pthread_mutex_unlock(&disk.mu);
	return fired;
}

/* ---- the calls ---- */

static inline int
disk_open(const char *path, int flags, mode_t mode)
{
	DISK_REAL(int, "open64", const char *, int, ...);
	const char *name = disk_base(path);
	struct stat st;
	int fd, i;
	bool fresh;

	if (name == NULL)
		return real(path, flags, mode);
	pthread_mutex_lock(&disk.mu);
	fresh = *name != '\0' && (flags & O_CREAT) != 0 && stat(path, &st) == -1;
	fd = disk_strikes(fresh ? DISK_CREATE : DISK_OPEN) != DISK_NONE ? -1
									: real(path, flags, mode);
	if (fd == -1)
		goto out;
	INVARIANT(fd < DISK_FDS);
	disk.fd_file[fd] = *name == '\0' ? -1 : -2;
	if (*name == '\0' || !disk.noting || strstr(name, "-shm") != NULL)
		goto out;
	i = disk_live(name);
	if (fresh) {
		i = disk_live("");
		INVARIANT(i != -1 && strlen(name) < sizeof disk.live[i].name);
		(void)snprintf(disk.live[i].name, sizeof disk.live[i].name, "%s", name);
		disk.live[i].file = disk.files++;
		(void)snprintf(disk_add(DISK_CREATE, disk.live[i].file)->name, 32, "%s", name);
	}
	if (i != -1)
		disk.fd_file[fd] = disk.live[i].file + 1;
out:
	pthread_mutex_unlock(&disk.mu);
	return fd;
}

int
open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (mode_t)va_arg(ap, unsigned);
	va_end(ap);
	return disk_open(path, flags, mode);
}

int
open64(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = (mode_t)va_arg(ap, unsigned);
	va_end(ap);
	return disk_open(path, flags, mode);
}

int
close(int fd)
{
	DISK_REAL(int, "close", int);

	pthread_mutex_lock(&disk.mu);
	if (fd >= 0 && fd < DISK_FDS)
		disk.fd_file[fd] = 0;
	pthread_mutex_unlock(&disk.mu);
	return real(fd);
}

static inline bool
disk_is_mover(void)
{
	char name[16] = "";

	(void)pthread_getname_np(pthread_self(), name, sizeof name);
	return strcmp(name, "journal-mover") == 0;
}

static inline ssize_t
disk_pwrite(int fd, const void *p, size_t n, off_t at)
{
	DISK_REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t);
	enum disk_fault f;
	struct disk_note *e;
	ssize_t rc = -1;

	pthread_mutex_lock(&disk.mu);
	if (disk_fd(fd) == 0) {
		pthread_mutex_unlock(&disk.mu);
		return real(fd, p, n, at);
	}
	disk.by_mover += disk_is_mover();
	f = disk_strikes(DISK_WRITE);
	if (f == DISK_SHORT && n > 1)
		n /= 2;
	if (f == DISK_NONE || f == DISK_SHORT)
		rc = real(fd, p, n, at);
	if (rc > 0 && disk_fd(fd) > 0) {
		e = disk_add(DISK_WRITE, disk_fd(fd) - 1);
		e->at = at;
		e->n = (size_t)rc;
		e->bytes = xcalloc(1, e->n);
		memcpy(e->bytes, p, e->n);
	}
	pthread_mutex_unlock(&disk.mu);
	return rc;
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return disk_pwrite(fd, p, n, at);
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return disk_pwrite(fd, p, n, at);
}

static inline ssize_t
disk_pread(int fd, void *p, size_t n, off_t at)
{
	DISK_REAL(ssize_t, "pread64", int, void *, size_t, off_t);
	enum disk_fault f = DISK_NONE;

	pthread_mutex_lock(&disk.mu);
	if (disk_fd(fd) != 0)
		f = disk_strikes(DISK_READ);
	pthread_mutex_unlock(&disk.mu);
	if (f == DISK_SHORT && n > 1)
		n /= 2;
	return f == DISK_NONE || f == DISK_SHORT ? real(fd, p, n, at) : -1;
}

ssize_t
pread(int fd, void *p, size_t n, off_t at)
{
	return disk_pread(fd, p, n, at);
}

ssize_t
pread64(int fd, void *p, size_t n, off_t at)
{
	return disk_pread(fd, p, n, at);
}

static inline int
disk_truncate(int fd, off_t n)
{
	DISK_REAL(int, "ftruncate64", int, off_t);
	int rc = -1;

	pthread_mutex_lock(&disk.mu);
	if (disk_fd(fd) == 0 || disk_strikes(DISK_TRUNCATE) == DISK_NONE)
		rc = real(fd, n);
	if (rc == 0 && disk_fd(fd) > 0)
		disk_add(DISK_TRUNCATE, disk_fd(fd) - 1)->at = n;
	pthread_mutex_unlock(&disk.mu);
	return rc;
}

int
ftruncate(int fd, off_t n)
{
	return disk_truncate(fd, n);
}

int
ftruncate64(int fd, off_t n)
{
	return disk_truncate(fd, n);
}

int
fallocate(int fd, int mode, off_t at, off_t n)
{
	DISK_REAL(int, "fallocate", int, int, off_t, off_t);
	int rc = -1;

	pthread_mutex_lock(&disk.mu);
	if (disk_fd(fd) == 0 || disk_strikes(DISK_ALLOCATE) == DISK_NONE)
		rc = real(fd, mode, at, n);
	pthread_mutex_unlock(&disk.mu);
	return rc;
}

static inline int
disk_sync(int fd)
{
	int rc = 0, file;

	pthread_mutex_lock(&disk.mu);
	file = disk_fd(fd);
	if (file != 0 && disk_strikes(file == -1 ? DISK_SYNC_DIR : DISK_SYNC) != DISK_NONE)
		rc = -1;
	if (rc == 0 && file != 0 && file != -2)
		(void)disk_add(file == -1 ? DISK_SYNC_DIR : DISK_SYNC, file - 1);
	pthread_mutex_unlock(&disk.mu);
	return rc;
}

int
fsync(int fd)
{
	return disk_sync(fd);
}

int
fdatasync(int fd)
{
	return disk_sync(fd);
}

int
unlink(const char *path)
{
	DISK_REAL(int, "unlink", const char *);
	const char *name = disk_base(path);
	int rc = -1, i;

	if (name == NULL)
		return real(path);
	pthread_mutex_lock(&disk.mu);
	if (disk_strikes(DISK_UNLINK) == DISK_NONE)
		rc = real(path);
	i = disk_live(name);
	if (rc == 0 && i != -1) {
		(void)snprintf(disk_add(DISK_UNLINK, disk.live[i].file)->name, 32, "%s", name);
		disk.live[i].name[0] = '\0';
	}
	pthread_mutex_unlock(&disk.mu);
	return rc;
}

int
rename(const char *from, const char *to)
{
	DISK_REAL(int, "rename", const char *, const char *);
	const char *a = disk_base(from), *b = disk_base(to);
	struct disk_note *e;
	int rc = -1, i;

	if (a == NULL || b == NULL)
		return real(from, to);
	pthread_mutex_lock(&disk.mu);
	if (disk_strikes(DISK_RENAME) == DISK_NONE)
		rc = real(from, to);
	i = disk_live(a);
	if (rc == 0 && i != -1) {
		e = disk_add(DISK_RENAME, disk.live[i].file);
		(void)snprintf(e->name, sizeof e->name, "%s", a);
		(void)snprintf(e->to, sizeof e->to, "%s", b);
		(void)snprintf(disk.live[i].name, sizeof disk.live[i].name, "%s", b);
	}
	pthread_mutex_unlock(&disk.mu);
	return rc;
}

/* ---- what a disk might hold ---- */

struct disk_file {
	uint8_t *p;
	size_t n, cap;
};

static inline void
disk_apply(struct disk_file *f, const struct disk_note *e, size_t at, size_t n)
{
	size_t end = e->what == DISK_TRUNCATE ? (size_t)e->at : (size_t)e->at + at + n;

	if (end > f->cap) {
		size_t cap = end * 2;

		f->p = xrealloc(f->p, cap);
		memset(f->p + f->cap, 0, cap - f->cap);
		f->cap = cap;
	}
	if (e->what == DISK_TRUNCATE) {
		if (end < f->n)
			memset(f->p + end, 0, f->n - end);
		f->n = end;
		return;
	}
	memcpy(f->p + (size_t)e->at + at, e->bytes + at, n);
	if (end > f->n)
		f->n = end;
}

/* All that is synced by the first `done` notes. */
struct disk_image {
	size_t done;
	struct disk_file files[DISK_FILES];
	struct {
		char name[32];
		int file;
	} names[DISK_FILES];
	uint8_t *settled; /* by note: it is part of the above */
};

static inline void
disk_image_name(struct disk_image *im, const struct disk_note *e)
{
	const char *was = e->what == DISK_CREATE ? "" : e->name;

	for (int i = 0; i < DISK_FILES; i++) {
		if (strcmp(im->names[i].name, was) != 0)
			continue;
		im->names[i].file = e->file;
		(void)snprintf(im->names[i].name, sizeof im->names[i].name, "%s",
		    e->what == DISK_CREATE   ? e->name
		    : e->what == DISK_RENAME ? e->to
					     : "");
		return;
	}
}

static inline bool
disk_is_name(const struct disk_note *e)
{
	return e->what == DISK_CREATE || e->what == DISK_UNLINK || e->what == DISK_RENAME;
}

static inline bool
disk_is_data(const struct disk_note *e)
{
	return e->what == DISK_WRITE || e->what == DISK_TRUNCATE;
}

static inline void
disk_image_advance(struct disk_image *im, size_t to)
{
	for (; im->done < to; im->done++) {
		const struct disk_note *e = &disk.notes[im->done];

		if (e->what != DISK_SYNC && e->what != DISK_SYNC_DIR)
			continue;
		for (size_t i = 0; i < im->done; i++) {
			const struct disk_note *old = &disk.notes[i];

			if (im->settled[i])
				continue;
			if (e->what == DISK_SYNC && disk_is_data(old) && old->file == e->file) {
				disk_apply(&im->files[old->file], old, 0, old->n);
				im->settled[i] = 1;
			}
			if (e->what == DISK_SYNC_DIR && disk_is_name(old)) {
				disk_image_name(im, old);
				im->settled[i] = 1;
			}
		}
	}
}

enum disk_luck { DISK_LOSES_ALL, DISK_KEEPS_ALL, DISK_KEEPS_SOME };

static inline void
disk_lucky(struct disk_file *f, const struct disk_note *e, enum disk_luck luck, uint64_t *seed)
{
	if (luck == DISK_KEEPS_ALL || (e->what == DISK_TRUNCATE && kit_below(seed, 2) != 0)) {
		disk_apply(f, e, 0, e->n);
		return;
	}
	for (size_t at = 0; at < e->n; at += DISK_SECTOR) {
		size_t n = e->n - at < DISK_SECTOR ? e->n - at : DISK_SECTOR;

		if (kit_below(seed, 2) != 0)
			disk_apply(f, e, at, n);
	}
}

/* Into `dir`, which is empty. */
static inline void
disk_image_write(const struct disk_image *im, const char *dir, enum disk_luck luck, uint64_t *seed)
{
	struct disk_image now = *im;
	size_t names = 0, some;

	for (size_t i = 0; i < im->done; i++)
		names += !im->settled[i] && disk_is_name(&disk.notes[i]);
	/* A directory keeps the order of its changes. */
	some = luck == DISK_LOSES_ALL ? 0 : names;
	if (luck == DISK_KEEPS_SOME)
		some = kit_below(seed, (unsigned)names + 1);
	for (size_t i = 0; i < im->done && some > 0; i++) {
		if (!im->settled[i] && disk_is_name(&disk.notes[i])) {
			disk_image_name(&now, &disk.notes[i]);
			some--;
		}
	}
	for (int k = 0; k < DISK_FILES; k++) {
		struct disk_file f = {0};
		char path[128];
		int fd;

		if (now.names[k].name[0] == '\0')
			continue;
		f.n = im->files[now.names[k].file].n;
		f.cap = f.n + 1;
		f.p = xcalloc(1, f.cap);
		if (f.n > 0)
			memcpy(f.p, im->files[now.names[k].file].p, f.n);
		for (size_t i = 0; luck != DISK_LOSES_ALL && i < im->done; i++) {
			const struct disk_note *e = &disk.notes[i];

			if (!im->settled[i] && disk_is_data(e) && e->file == now.names[k].file)
				disk_lucky(&f, e, luck, seed);
		}
		(void)snprintf(path, sizeof path, "%s/%s", dir, now.names[k].name);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		INVARIANT(fd != -1 && pwrite(fd, f.p, f.n, 0) == (ssize_t)f.n);
		close(fd);
		free(f.p);
	}
}

#endif

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "services/data-gateway/plugins/csv-file/csv.h"
#include "services/data-gateway/plugins/csv-file/reader.h"
#include "services/data-gateway/plugins/csv-file/table_impl.h"

#define MODE 0644
#define LOCK_MS 10000
#define LOCK_POLL_MS 5

int
table_file_write(int fd, struct span bytes, off_t at)
{
	while (bytes.n > 0) {
		ssize_t n = pwrite(fd, bytes.p, bytes.n, at);

		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			return -1;
		bytes = span_of(bytes.p + n, bytes.n - (size_t)n);
		at += n;
	}
	return 0;
}

/* --- open and lock --- */

/* Others hold it while they write, which is short; who holds it for longer is stuck. */
static int
lock(int fd)
{
	int64_t until = clock_mono_ms() + LOCK_MS;

	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		if (clock_mono_ms() >= until) {
			errno = ETIMEDOUT;
			return -1;
		}
		(void)poll(NULL, 0, LOCK_POLL_MS);
	}
	return 0;
}

/* Is what we have locked still what the name stands for?  Another process may have replaced it. */
static int
is_current(const struct tables *t, const struct table *f, struct stat *st)
{
	struct stat named;

	if (fstat(f->fd, st) == -1)
		return -1;
	if (fstatat(t->dir, f->name, &named, 0) == -1)
		return errno == ENOENT ? 0 : -1;
	return named.st_ino == st->st_ino && named.st_dev == st->st_dev;
}

static int
open_locked(struct tables *t, struct table *f, struct stat *st)
{
	for (;;) {
		int current;

		f->fd = openat(t->dir, f->name, O_RDWR | O_CREAT | O_CLOEXEC, MODE);
		if (f->fd == -1)
			return -1;
		current = lock(f->fd) == 0 ? is_current(t, f, st) : -1;
		if (current > 0)
			return 0;
		table_file_close(f);
		if (current < 0)
			return -1;
	}
}

void
table_file_close(struct table *f)
{
	int e = errno;

	if (f->fd != -1)
		(void)close(f->fd); /* and its lock */
	f->fd = -1;
	errno = e;
}

/* --- what is in it --- */

/* The receipt that a record begins with. */
static bool
receipt_of(struct span record, uint8_t receipt[16])
{
	return record.n > UUID_TEXT && record.p[UUID_TEXT] == ',' &&
	       uuid_parse(span_of(record.p, UUID_TEXT), receipt) == 0;
}

static void
see(struct table *f, struct span record, uint8_t last[16])
{
	uint8_t receipt[16];

	if (!receipt_of(record, receipt) || memcmp(receipt, last, 16) == 0)
		return;
	seen_add(&f->seen, receipt);
	memcpy(last, receipt, 16);
}

static int
scan(struct table *f, off_t *good)
{
	uint8_t last[16] = {0};
	struct span record;
	struct reader r;
	int bad = 0;

	columns_fini(&f->columns);
	seen_fini(&f->seen);
	reader_init(&r, f->fd);
	record = reader_next(&r);
	f->has_header = record.p != NULL;
	if (f->has_header && columns_read(&f->columns, record) != 0) {
		errno = EEXIST;
		bad = -1;
	}
	while (bad == 0 && (record = reader_next(&r)).p != NULL)
		see(f, record, last);
	*good = r.good;
	if (r.failed)
		bad = -1;
	reader_fini(&r);
	return bad;
}

static int
copy_range(int from, off_t at, off_t end, int to)
{
	uint8_t chunk[65536];

	while (at < end) {
		size_t want = end - at < (off_t)sizeof chunk ? (size_t)(end - at) : sizeof chunk;
		ssize_t n = pread(from, chunk, want, at);

		if (n <= 0) {
			errno = n == 0 ? EIO : errno;
			return -1;
		}
		if (write(to, chunk, (size_t)n) != n)
			return -1;
		at += n;
	}
	return 0;
}

/* A record without an end was being written when the writer died.  It is not thrown away: should
 * somebody's editor have left an open quote, what stands behind it is in there. */
static int
cut_torn(struct tables *t, struct table *f, off_t good, off_t size)
{
	char name[sizeof f->name + 8];
	int to, bad;

	log_warn(
	    "torn_record", LOG_S("file", f->name), LOG_I("at", good), LOG_I("bytes", size - good));
	(void)snprintf(name, sizeof name, "%s.torn", f->name);
	to = openat(t->dir, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, MODE);
	if (to == -1)
		return -1;
	bad = copy_range(f->fd, good, size, to);
	if (bad == 0)
		bad = fsync(to);
	(void)close(to);
	return bad == 0 ? ftruncate(f->fd, good) : -1;
}

int
table_file_open(struct tables *t, struct table *f)
{
	struct stat st;
	off_t good;

	if (open_locked(t, f, &st) != 0)
		return -1;
	if (st.st_ino == f->ino && st.st_size == f->size)
		return 0;
	f->ino = 0;
	if (scan(f, &good) != 0 || (good < st.st_size && cut_torn(t, f, good, st.st_size) != 0)) {
		table_file_close(f);
		return -1;
	}
	f->ino = st.st_ino;
	f->size = good;
	return 0;
}

static void
find_one(struct span record, const struct table_wants *wants)
{
	struct table_want *w;
	uint8_t receipt[16];
	const uint8_t *comma;
	struct span rest;
	uint64_t position;

	if (!receipt_of(record, receipt))
		return;
	w = table_want_of(wants, receipt);
	if (w == NULL)
		return;
	rest = span_of(record.p + UUID_TEXT + 1, record.n - UUID_TEXT - 1);
	comma = memchr(rest.p, ',', rest.n);
	if (comma != NULL &&
	    str_u64(span_of(rest.p, (size_t)(comma - rest.p)), UINT32_MAX, &position) == 0 &&
	    position >= w->next)
		w->next = position + 1;
}

int
table_file_find(struct table *f, const struct table_wants *wants)
{
	struct span record;
	struct reader r;
	int bad;

	reader_init(&r, f->fd);
	while ((record = reader_next(&r)).p != NULL)
		find_one(record, wants);
	bad = r.failed ? -1 : 0;
	reader_fini(&r);
	return bad;
}

/* --- replace it --- */

/* An open file that rename_into will put in the place of `name`. */
static int
open_temp(struct tables *t, const char *name)
{
	char temp[UUID_TEXT + 16];

	(void)snprintf(temp, sizeof temp, ".%s.new", name);
	return openat(t->dir, temp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, MODE);
}

static int
rename_into(struct tables *t, int fd, const char *name)
{
	char temp[UUID_TEXT + 16];

	(void)snprintf(temp, sizeof temp, ".%s.new", name);
	if (fsync(fd) != 0 || renameat(t->dir, temp, t->dir, name) != 0)
		return -1;
	return fsync(t->dir);
}

static struct span
without_end(struct span record)
{
	size_t n = record.n - 1;

	return span_of(record.p, n > 0 && record.p[n - 1] == '\r' ? n - 1 : n);
}

/* All records but the header, each with `more` empty fields behind it.  Returns the size, -1. */
static off_t
copy_wider(int from, int to, const struct columns *wide, size_t more)
{
	struct span record;
	struct reader r;
	struct buf out;
	off_t size = 0;
	bool bad = false;

	buf_init(&out, 512u * 1024 * 1024);
	reader_init(&r, from);
	columns_put(wide, &out);
	(void)reader_next(&r);
	do {
		record = reader_next(&r);
		if (record.p != NULL) {
			struct span line = without_end(record);

			buf_put(&out, line.p, line.n);
			for (size_t i = 0; i < more; i++)
				buf_putc(&out, ',');
			buf_putc(&out, '\n');
		}
		if (out.n >= 1024 * 1024 || record.p == NULL) {
			bad = out.failed || table_file_write(to, buf_span(&out), size) != 0;
			size += (off_t)out.n;
			buf_reset(&out);
		}
	} while (!bad && record.p != NULL);
	bad = bad || r.failed;
	reader_fini(&r);
	buf_fini(&out);
	return bad ? -1 : size;
}

static int
replace_wider(struct tables *t, struct table *f, size_t more)
{
	int fd = open_temp(t, f->name);
	struct stat st;
	off_t size;

	if (fd == -1)
		return -1;
	/* Locked before it has the name, so that nobody gets in between. */
	size = lock(fd) == 0 ? copy_wider(f->fd, fd, &f->columns, more) : -1;
	if (size == -1 || fstat(fd, &st) != 0 || rename_into(t, fd, f->name) != 0) {
		int e = errno;

		(void)close(fd);
		errno = e;
		return -1;
	}
	table_file_close(f);
	f->fd = fd;
	f->ino = st.st_ino;
	f->size = size;
	log_info("csv_widened", LOG_S("file", f->name), LOG_U("columns", f->columns.n));
	return 0;
}

int
table_file_widen(struct tables *t, struct table *f, const struct columns *more)
{
	size_t before = f->columns.n;

	if (more->n == 0)
		return 0;
	columns_append(&f->columns, more);
	if (!f->has_header)
		return 0;
	if (replace_wider(t, f, f->columns.n - before) == 0)
		return 0;
	columns_cut(&f->columns, before);
	f->ino = 0; /* whatever happened, look again */
	return -1;
}

int
table_file_put(struct tables *t, const char *name, struct span bytes)
{
	int fd = open_temp(t, name), bad;

	if (fd == -1)
		return -1;
	bad = table_file_write(fd, bytes, 0);
	if (bad == 0)
		bad = rename_into(t, fd, name);
	(void)close(fd);
	return bad;
}

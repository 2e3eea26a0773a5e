#include "services/control-tower/plugins/file/inbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/mp.h"

#define READY_MAX 4096
#define ENTRIES_A_TURN 256
#define SOON_MS 10
#define LOCK_MS 500
#define UNSETTLED_MAX_MS 250

struct ready {
	struct timespec at;
	char *name;
};

struct inbox {
	struct inbox_settings set;
	struct place place;
	struct watcher *w;
	struct loop *loop;
	struct drop *drop;
	struct follows *follows;
	int notify;
	struct loop_fd *notify_watch;
	struct timer scan;
	DIR *dir; /* a scan is under way */
	struct ready ready[READY_MAX];
	size_t nready, next;
	bool locked, feeding, dirty, unsettled, overflow, stopping;
	int64_t began_ms, took_ms;
	uint64_t scans;
};

static void scan_turn(void *arg);

static void
scan_at(struct inbox *b, int64_t at_ms)
{
	/* Not more often than a tenth of the time. */
	int64_t earliest = b->began_ms + 10 * b->took_ms;

	if (!b->stopping)
		loop_timer(b->loop, &b->scan, at_ms > earliest ? at_ms : earliest);
}

static bool
ends_in(const char *name, const char *end)
{
	size_t n = strlen(name), m = strlen(end);

	return n > m && strcmp(name + n - m, end) == 0;
}

static void
note_ready(struct inbox *b, const char *name)
{
	struct stat st;

	if (fstatat(b->place.inbox, name, &st, AT_SYMLINK_NOFOLLOW) == -1 || !S_ISREG(st.st_mode))
		return;
	if (b->nready == READY_MAX) {
		b->overflow = true;
		return;
	}
	b->ready[b->nready++] = (struct ready){st.st_mtim, xstrdup(name)};
}

static int
older_first(const void *x, const void *y)
{
	const struct ready *a = x, *b = y;

	if (a->at.tv_sec != b->at.tv_sec)
		return a->at.tv_sec < b->at.tv_sec ? -1 : 1;
	if (a->at.tv_nsec != b->at.tv_nsec)
		return a->at.tv_nsec < b->at.tv_nsec ? -1 : 1;
	return strcmp(a->name, b->name);
}

static void
forget_ready(struct inbox *b)
{
	for (size_t i = b->next; i < b->nready; i++)
		free(b->ready[i].name);
	b->nready = b->next = 0;
}

/* Everything the scan found has had its turn. */
static void
fed(struct inbox *b)
{
	int64_t now = loop_now(b->loop), soon = b->set.settle_ms / 2, at = now + b->set.rescan_ms;
	int64_t due = follows_due(b->follows);

	b->feeding = false;
	forget_ready(b);
	if (soon > UNSETTLED_MAX_MS)
		soon = UNSETTLED_MAX_MS;
	if (soon < SOON_MS)
		soon = SOON_MS;
	if (b->unsettled && now + soon < at)
		at = now + soon;
	if (due < at)
		at = due > now + UNSETTLED_MAX_MS ? due : now + UNSETTLED_MAX_MS;
	if (b->dirty || b->overflow)
		at = now + SOON_MS;
	scan_at(b, at);
}

static void
feed(struct inbox *b)
{
	if (b->stopping || b->next == b->nready) {
		fed(b);
		return;
	}
	char *name = b->ready[b->next++].name;

	drop_take(b->drop, name);
	free(name);
}

/* drop.h: it is free for another file, or for the first. */
static void
on_free(void *arg, enum drop_say say)
{
	struct inbox *b = arg;

	if (say == DROP_NOT_YET)
		b->unsettled = true;
	if (b->feeding) {
		feed(b);
	} else {
		scan_at(b, loop_now(b->loop));
	}
}

static void
scan_end(struct inbox *b)
{
	(void)closedir(b->dir);
	b->dir = NULL;
	b->scans++;
	follows_scanned(b->follows);
	qsort(b->ready, b->nready, sizeof b->ready[0], older_first);
	b->took_ms = loop_now(b->loop) - b->began_ms;
	b->feeding = true;
	feed(b);
}

static void
scan_turn(void *arg)
{
	struct inbox *b = arg;

	for (int i = 0; i < ENTRIES_A_TURN; i++) {
		const struct dirent *e = readdir(b->dir);

		if (e == NULL) {
			scan_end(b);
			return;
		}
		if (e->d_name[0] == '.')
			continue;
		if (ends_in(e->d_name, ".ndjson")) {
			follows_seen(b->follows, e->d_name);
		} else if (ends_in(e->d_name, ".json")) {
			note_ready(b, e->d_name);
		}
	}
	loop_later(b->loop, scan_turn, b);
}

static void
scan_begin(struct inbox *b)
{
	int fd = openat(b->place.inbox, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	b->dir = fd == -1 ? NULL : fdopendir(fd);
	if (b->dir == NULL) {
		log_error("folder_failed", LOG_S("folder", b->set.dir), LOG_ERRNO());
		if (fd != -1)
			(void)close(fd);
		scan_at(b, loop_now(b->loop) + b->set.rescan_ms);
		return;
	}
	b->dirty = b->unsettled = b->overflow = false;
	b->began_ms = loop_now(b->loop);
	follows_scan(b->follows);
	scan_turn(b);
}

/* What a process before this one was putting away (follow.c) when it ended. */
static void
give_back(struct inbox *b)
{
	int fd = openat(b->place.work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *e;

	while (dir != NULL && (e = readdir(dir)) != NULL) {
		if (strncmp(e->d_name, "back-", 5) == 0)
			place_give_back(&b->place, e->d_name, e->d_name + 5, "old");
	}
	if (dir != NULL)
		(void)closedir(dir);
}

static void
on_scan(struct timer *t)
{
	struct inbox *b = LIST_ITEM(t, struct inbox, scan);

	if (b->locked) {
		if (b->dir == NULL && !b->feeding)
			scan_begin(b);
		return;
	}
	if (place_lock(&b->place) != 1) {
		if (b->scans++ == 0)
			log_warn("folder_taken", LOG_S("folder", b->set.dir));
		loop_timer(b->loop, &b->scan, loop_now(b->loop) + LOCK_MS);
		return;
	}
	b->locked = true;
	give_back(b);
	b->follows = follows_new(b->w, &b->place, b->set.quiet_ms);
	b->drop = drop_new(b->w, &b->place, b->set.settle_ms, on_free, b);
}

/* What changed does not matter: the scan finds it.  Nor does an overflow. */
static void
on_notify(void *arg, short revents)
{
	struct inbox *b = arg;
	char events[16384];

	(void)revents;
	for (int i = 0; i < 64 && read(b->notify, events, sizeof events) > 0; i++)
		b->dirty = true;
	if (b->dirty && b->locked && b->dir == NULL && !b->feeding && !drop_is_busy(b->drop))
		scan_at(b, loop_now(b->loop) + SOON_MS);
}

struct inbox *
inbox_new(const struct inbox_settings *s)
{
	struct inbox *b = xcalloc(1, sizeof *b);

	b->set = *s;
	b->scan.fn = on_scan;
	b->notify = -1;
	place_init(&b->place);
	b->place.dir = s->dir;
	b->place.remove = !s->keep;
	if (place_open(&b->place) == 0)
		return b;
	inbox_free(b);
	return NULL;
}

void
inbox_start(struct inbox *b, struct watcher *w)
{
	b->w = w;
	b->loop = watcher_loop(w);
	b->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (b->notify == -1 || inotify_add_watch(b->notify, b->set.dir,
				   IN_CLOSE_WRITE | IN_MOVED_TO | IN_MODIFY) == -1) {
		/* Slower, and all the same. */
		log_warn("inotify_failed", LOG_S("folder", b->set.dir), LOG_ERRNO());
	}
	if (b->notify != -1)
		b->notify_watch = loop_fd(b->loop, b->notify, ZMQ_POLLIN, on_notify, b);
	loop_timer(b->loop, &b->scan, loop_now(b->loop));
}

void
inbox_stop(struct inbox *b)
{
	b->stopping = true;
	loop_timer_clear(b->loop, &b->scan);
	if (b->drop != NULL) {
		drop_stop(b->drop);
		follows_stop(b->follows);
	}
}

bool
inbox_is_idle(const struct inbox *b)
{
	return b->drop == NULL || !drop_is_busy(b->drop);
}

void
inbox_free(struct inbox *b)
{
	if (b == NULL)
		return;
	if (b->loop != NULL) {
		loop_timer_clear(b->loop, &b->scan);
		loop_later_cancel(b->loop, b);
	}
	if (b->notify_watch != NULL)
		loop_fd_end(b->notify_watch);
	if (b->notify != -1)
		(void)close(b->notify);
	drop_free(b->drop);
	follows_free(b->follows);
	forget_ready(b);
	if (b->dir != NULL)
		(void)closedir(b->dir);
	place_close(&b->place);
	free(b);
}

unsigned
inbox_stats(const struct inbox *b, struct buf *out)
{
	struct drop_stats d = {0};
	struct follow_stats f = {0};

	if (b->drop != NULL) {
		d = drop_stats(b->drop);
		f = follows_stats(b->follows);
	}
	const struct {
		const char *name;
		uint64_t n;
	} count[] = {
	    {"files", d.files + f.files},
	    {"filesFailed", d.failed},
	    {"lines", f.lines},
	    {"linesBad", f.bad},
	    {"following", f.open},
	    {"scans", b->scans},
	};
	unsigned n = sizeof count / sizeof *count;

	for (unsigned i = 0; i < n; i++) {
		mp_put_cstr(out, count[i].name);
		mp_put_u64(out, count[i].n);
	}
	return n;
}

#include "broker/journal_impl.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/spin.h"
#include "broker/journal_backup.h"
#include "broker/journal_mover.h"
#include "broker/journal_reader.h"
#include "broker/journal_schema.h"
#include "broker/journal_write.h"

#define TIDY_AFTER_MS 20
#define MORE_MOST 4096u /* records, after which a commit waits for nothing that came later */

/* What the writer's thread tells the loop about itself, under the mutex. */
struct report {
	uint64_t commits, records, repeats, bytes, kept;
	bool full;
	uint64_t in[JOURNAL_BUCKETS], sum_us;
	uint32_t commit_us[JOURNAL_COMMITS];
};

struct sqlite {
	struct journal j;
	int lock_fd;
	struct journal_reader reader; /* loop's thread */
	struct list pending;          /* loop's thread: submitted, not flushed */
	struct list reaped;           /* loop's thread: taken from `done`, not yet given out */

	pthread_mutex_t mu;
	pthread_cond_t wake;
	struct list queue, done; /* mu */
	bool stop, moved;        /* mu; moved: the mover has ended a pass */
	atomic_bool asked;       /* there is something in queue, or stop */
	struct report report;    /* mu */

	pthread_t thread;
	struct spin spin; /* writer's thread */
	bool running;
	atomic_bool failed;
	struct journal_writer writer; /* writer's thread, while it runs */
	struct journal_backup backup; /* writer's thread */
};

static struct sqlite *
of(struct journal *j)
{
	return (struct sqlite *)(void *)j;
}

static void
splice(struct list *to, struct list *from)
{
	if (list_empty(from))
		return;
	from->next->prev = to->prev;
	to->prev->next = from->next;
	from->prev->next = to;
	to->prev = from->prev;
	list_init(from);
}

/* An eventfd of our own, never near its limit: these two cannot fail. */
static void
event_set(int fd)
{
	(void)eventfd_write(fd, 1);
}

static void
event_clear(int fd)
{
	eventfd_t n;

	(void)eventfd_read(fd, &n);
}

/* ---- the writer's thread ---- */

/* Awake for a moment, as the next group of a lone publisher is not far when its last was answered.
 */
static void
stay_awake(struct sqlite *s)
{
	int64_t now = clock_mono_us(), until = now + SPIN_US;
	bool spin = spin_pays(&s->spin);

	while (spin && !atomic_load(&s->asked) && now < until) {
		int64_t before = now;

		(void)sched_yield();
		now = clock_mono_us();
		spin = now - before < SPIN_OTHERS_US;
	}
}

/* Waits for operations into `batch`.  With something to tidy up it waits only a moment.  false: the
 * end. */
static bool
take(struct sqlite *s, struct list *batch)
{
	bool tidy = !atomic_load(&s->failed) && journal_write_untidy(&s->writer), more;
	int64_t began = clock_mono_us();
	struct timespec until;
	int rc = journal_backup_busy(&s->backup) ? ETIMEDOUT : 0;

	if (rc == 0)
		stay_awake(s);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += TIDY_AFTER_MS * 1000000L;
	if (until.tv_nsec >= 1000000000L) {
		until.tv_nsec -= 1000000000L;
		until.tv_sec++;
	}
	pthread_mutex_lock(&s->mu);
	while (list_empty(&s->queue) && !s->stop && !s->moved && rc == 0) {
		if (tidy) {
			rc = pthread_cond_timedwait(&s->wake, &s->mu, &until);
		} else {
			rc = pthread_cond_wait(&s->wake, &s->mu);
		}
	}
	splice(batch, &s->queue);
	s->moved = false;
	atomic_store(&s->asked, s->stop);
	more = !s->stop || !list_empty(batch);
	pthread_mutex_unlock(&s->mu);
	if (!journal_backup_busy(&s->backup))
		spin_note(&s->spin, clock_mono_us() - began < SPIN_SHORT_US);
	return more;
}

/* What came while the rest was executed goes into the same commit. */
static bool
fetch_more(void *arg, struct list *ops)
{
	struct sqlite *s = arg;
	struct list fresh;
	bool any;

	if (s->writer.pos.head - s->writer.committed.head >= MORE_MOST)
		return false;
	list_init(&fresh);
	pthread_mutex_lock(&s->mu);
	any = !list_empty(&s->queue);
	splice(&fresh, &s->queue);
	atomic_store(&s->asked, s->stop);
	pthread_mutex_unlock(&s->mu);
	journal_backup_take(&s->backup, &fresh);
	splice(ops, &fresh);
	return any;
}

static void
report(struct report *r, const struct journal_writer *w)
{
	static const int64_t bounds[JOURNAL_BUCKETS] = JOURNAL_BOUNDS;

	/* Only what is new: the ring is 4 KiB and this is on every commit's way. */
	for (; r->commits < w->commits; r->commits++) {
		uint32_t us = w->commit_us[r->commits % JOURNAL_COMMITS];
		unsigned i = 0;

		while (us > bounds[i])
			i++;
		r->in[i]++;
		r->sum_us += us;
		r->commit_us[r->commits % JOURNAL_COMMITS] = us;
	}
	r->records = w->committed.records;
	r->repeats = w->committed.repeats;
	r->bytes = w->committed.bytes;
	r->kept = w->committed.kept;
	r->full = w->full;
}

static void
post(struct sqlite *s, struct list *batch)
{
	pthread_mutex_lock(&s->mu);
	splice(&s->done, batch);
	report(&s->report, &s->writer);
	pthread_mutex_unlock(&s->mu);
	event_set(s->j.fd);
}

static void
set_failed(struct sqlite *s)
{
	atomic_store(&s->failed, true);
	event_set(s->j.fd);
}

static void
stamp(struct sqlite *s, struct list *ops)
{
	struct journal_op *op;

	LIST_EACH (op, ops, struct journal_op, node) {
		op->head = s->writer.committed.head;
		op->first = s->writer.committed.first;
	}
}

static void
work(struct sqlite *s, struct list *batch)
{
	struct journal_op *op;

	if (atomic_load(&s->failed)) {
		/* What is gone from its directory is read as before: the way to save it. */
		if (s->writer.gone)
			journal_backup_take(&s->backup, batch);
		LIST_EACH (op, batch, struct journal_op, node)
			op->err = ERR_STORE_FAILED;
		stamp(s, batch);
		post(s, batch);
		return;
	}
	journal_backup_take(&s->backup, batch);
	if (list_empty(batch))
		return;
	if (!journal_write_batch(&s->writer, batch, s->j.now_ms()))
		set_failed(s);
	post(s, batch);
	/* After the answers are on their way: a checkpoint costs as much as many commits. */
	if (!atomic_load(&s->failed) && !journal_write_checkpoint(&s->writer))
		set_failed(s);
}

/* A little of a copy, or the end of all of them. */
static void
back_up(struct sqlite *s, bool over)
{
	struct list done;

	list_init(&done);
	if (over || (atomic_load(&s->failed) && !s->writer.gone)) {
		journal_backup_abandon(&s->backup, over ? ERR_DRAINING : ERR_STORE_FAILED, &done);
	} else {
		journal_backup_step(&s->backup, s->writer.db.db, &done);
	}
	if (list_empty(&done))
		return;
	stamp(s, &done);
	post(s, &done);
}

/* Nothing else is to do. */
static void
look_around(struct sqlite *s)
{
	bool fine = true;

	if (atomic_load(&s->failed))
		return;
	if (journal_write_untidy(&s->writer)) {
		fine = journal_write_tidy(&s->writer);
	} else {
		fine = journal_write_checkpoint(&s->writer);
	}
	if (!fine)
		set_failed(s);
}

static void *
run(void *arg)
{
	struct sqlite *s = arg;
	struct list batch;

	list_init(&batch);
	while (take(s, &batch)) {
		if (!list_empty(&batch)) {
			work(s, &batch);
			if (journal_backup_busy(&s->backup))
				back_up(s, false);
		} else if (journal_backup_busy(&s->backup)) {
			back_up(s, false);
		} else {
			look_around(s);
		}
	}
	back_up(s, true);
	return NULL;
}

/* The mover's thread. */
static void
on_moved(void *arg)
{
	struct sqlite *s = arg;

	pthread_mutex_lock(&s->mu);
	s->moved = true;
	pthread_mutex_unlock(&s->mu);
	pthread_cond_signal(&s->wake);
}

static int
start(struct sqlite *s)
{
	sigset_t all, old;
	int rc;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&s->thread, NULL, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		errno = rc;
		log_error("journal_open_failed", LOG_S("what", "thread"), LOG_ERRNO());
		return -1;
	}
	(void)pthread_setname_np(s->thread, "journal");
	s->running = true;
	return 0;
}

/* ---- the loop's thread ---- */

static void
sqlite_submit(struct journal *j, struct journal_op *op)
{
	list_push_back(&of(j)->pending, &op->node);
}

static void
sqlite_flush(struct journal *j)
{
	struct sqlite *s = of(j);

	if (list_empty(&s->pending))
		return;
	pthread_mutex_lock(&s->mu);
	splice(&s->queue, &s->pending);
	atomic_store(&s->asked, true);
	pthread_mutex_unlock(&s->mu);
	pthread_cond_signal(&s->wake);
}

static void
collect(struct sqlite *s)
{
	pthread_mutex_lock(&s->mu);
	splice(&s->reaped, &s->done);
	pthread_mutex_unlock(&s->mu);
}

static struct journal_op *
sqlite_reap(struct journal *j)
{
	struct sqlite *s = of(j);
	struct journal_op *op;

	if (list_empty(&s->reaped))
		collect(s);
	if (list_empty(&s->reaped)) {
		/* Clear, then look again: whatever is posted after the look sets it again.  What
		 * the look finds may have been announced by what was cleared. */
		event_clear(j->fd);
		collect(s);
		if (list_empty(&s->reaped))
			return NULL;
		event_set(j->fd);
	}
	op = LIST_ITEM(s->reaped.next, struct journal_op, node);
	list_remove(&op->node);
	return op;
}

static bool
sqlite_failed(const struct journal *j)
{
	return atomic_load(&((const struct sqlite *)(const void *)j)->failed);
}

static uint64_t
sqlite_read(struct journal *j, uint64_t from, journal_row_fn *fn, void *arg)
{
	return journal_reader_page(&of(j)->reader, from, j->head, fn, arg);
}

static int
sqlite_cursor(struct journal *j, struct span src, uint8_t **p, size_t *n)
{
	return journal_reader_cursor(&of(j)->reader, src, p, n);
}

static int
sqlite_groups(struct journal *j, journal_group_fn *fn, void *arg)
{
	return journal_reader_groups(&of(j)->reader, fn, arg);
}

static int
sqlite_dead_each(
    struct journal *j, struct span group, uint64_t after, journal_dead_fn *fn, void *arg)
{
	return journal_reader_dead(&of(j)->reader, group, after, fn, arg);
}

static int
sqlite_claims(struct journal *j, journal_claim_fn *fn, void *arg)
{
	return journal_reader_claims(&of(j)->reader, fn, arg);
}

static int
sqlite_policies(struct journal *j, journal_policy_fn *fn, void *arg)
{
	return journal_reader_policies(&of(j)->reader, fn, arg);
}

static uint64_t
sqlite_seek(struct journal *j, int64_t at_ms)
{
	return journal_reader_seek(&of(j)->reader, at_ms, j->first, j->head);
}

static uint64_t
sqlite_find(struct journal *j, const uint8_t id[16])
{
	return journal_reader_find(&of(j)->reader, id);
}

static int
sqlite_retained(struct journal *j, struct span after, journal_row_fn *fn, void *arg)
{
	return journal_reader_retained(&of(j)->reader, after, j->head, fn, arg);
}

/* The writer's thread waits for its first batch. */
static void
sqlite_known(struct journal *j, uint64_t head)
{
	struct sqlite *s = of(j);

	pthread_mutex_lock(&s->mu);
	journal_write_known(&s->writer, head, "caller");
	pthread_mutex_unlock(&s->mu);
	j->head = s->writer.pos.head;
	j->first = s->writer.pos.first;
}

void
journal_sqlite_checkpoint_at(struct journal *j, int pages)
{
	pthread_mutex_lock(&of(j)->mu);
	journal_checkpoint_every(&of(j)->writer.checkpoint, pages);
	pthread_mutex_unlock(&of(j)->mu);
}

static void
nothing(void *arg, const struct journal_group *g)
{
	(void)arg;
	(void)g;
}

static int
by_value(const void *va, const void *vb)
{
	uint32_t a = *(const uint32_t *)va, b = *(const uint32_t *)vb;

	return a < b ? -1 : a > b;
}

static void
sqlite_stats(struct journal *j, struct journal_stats *st)
{
	struct sqlite *s = of(j);
	struct report r;
	size_t n;

	pthread_mutex_lock(&s->mu);
	r = s->report;
	pthread_mutex_unlock(&s->mu);
	st->commits = r.commits;
	st->records = r.records;
	st->repeats = r.repeats;
	st->bytes = r.bytes;
	st->kept_bytes = r.kept;
	st->full = r.full;
	st->fsync_us_sum = r.sum_us;
	memcpy(st->fsync_us_in, r.in, sizeof r.in);
	st->lost = s->writer.lost; /* since open it has not changed */
	n = r.commits < JOURNAL_COMMITS ? (size_t)r.commits : JOURNAL_COMMITS;
	if (n > 0) {
		qsort(r.commit_us, n, sizeof r.commit_us[0], by_value);
		st->fsync_us_p50 = r.commit_us[(n - 1) / 2];
		st->fsync_us_p99 = r.commit_us[(n - 1) * 99 / 100];
		st->fsync_us_max = r.commit_us[n - 1];
	}
	journal_reader_stats(&s->reader, st);
}

/* Also takes a half-opened one. */
static void
sqlite_close(struct journal *j)
{
	struct sqlite *s = of(j);

	if (s->running) {
		sqlite_flush(j);
		pthread_mutex_lock(&s->mu);
		s->stop = true;
		atomic_store(&s->asked, true);
		pthread_mutex_unlock(&s->mu);
		pthread_cond_signal(&s->wake);
		pthread_join(s->thread, NULL);
	}
	journal_reader_close(&s->reader, atomic_load(&s->failed));
	journal_write_close(&s->writer, atomic_load(&s->failed));
	if (j->fd != -1)
		close(j->fd);
	if (s->lock_fd != -1)
		close(s->lock_fd);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

static const struct journal_ops sqlite_ops = {
    .close = sqlite_close,
    .submit = sqlite_submit,
    .flush = sqlite_flush,
    .reap = sqlite_reap,
    .failed = sqlite_failed,
    .read = sqlite_read,
    .cursor = sqlite_cursor,
    .groups = sqlite_groups,
    .dead_each = sqlite_dead_each,
    .claims = sqlite_claims,
    .policies = sqlite_policies,
    .seek = sqlite_seek,
    .find = sqlite_find,
    .retained = sqlite_retained,
    .known = sqlite_known,
    .stats = sqlite_stats,
};

static struct sqlite *
sqlite_new(void)
{
	struct sqlite *s = xcalloc(1, sizeof *s);
	pthread_condattr_t attr;

	s->j = (struct journal){.ops = &sqlite_ops, .now_ms = clock_real_ms, .fd = -1};
	s->lock_fd = -1;
	s->writer.room.fd = -1;
	list_init(&s->pending);
	list_init(&s->reaped);
	list_init(&s->queue);
	list_init(&s->done);
	journal_backup_init(&s->backup);
	pthread_mutex_init(&s->mu, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &attr);
	pthread_condattr_destroy(&attr);
	return s;
}

/* SQLite counts its memory under a lock that two threads want at every allocation, for nobody.
 * Refused when somebody opened a database before: then it goes on counting. */
static void
do_not_count(void)
{
	(void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int
open_all(struct sqlite *s, const char *dir)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int rc;

	(void)pthread_once(&once, do_not_count);
	s->lock_fd = journal_schema_lock(dir);
	if (s->lock_fd == -1)
		return -1;
	s->j.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->j.fd == -1) {
		log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", "eventfd"),
		    LOG_ERRNO());
		return -1;
	}
	s->writer.mark_fd = s->lock_fd;
	s->writer.more = fetch_more;
	s->writer.more_arg = s;
	rc = journal_write_open(&s->writer, dir);
	if (rc == 0) {
		s->writer.checkpoint.mover = journal_mover_open(dir, on_moved, s);
		rc = s->writer.checkpoint.mover != NULL ? 0 : -1;
	}
	if (rc == 0)
		rc = journal_reader_open(&s->reader, dir);
	if (rc == 0 && journal_reader_groups(&s->reader, nothing, NULL) == -1) {
		log_error("journal_open_failed", LOG_S("dir", dir),
		    LOG_S("what", "groups cannot be read"));
		rc = JOURNAL_HOPELESS;
	}
	return rc;
}

struct journal *
journal_sqlite_open(const char *dir)
{
	struct sqlite *s = sqlite_new();
	int rc = open_all(s, dir);

	/* A disk that failed once can look like damage; what is damaged is so twice. */
	if (rc == JOURNAL_HOPELESS) {
		sqlite_close(&s->j);
		s = sqlite_new();
		rc = open_all(s, dir);
	}
	s->report.kept = s->writer.pos.kept;
	s->report.full = s->writer.full;
	s->j.head = s->writer.pos.head;
	s->j.first = s->writer.pos.first;
	if (rc == 0)
		rc = start(s);
	if (rc != 0) {
		sqlite_close(&s->j);
		errno = rc == JOURNAL_HOPELESS ? EUCLEAN : EAGAIN;
		return NULL;
	}
	log_info("journal_open", LOG_S("dir", dir), LOG_U("head", s->j.head),
	    LOG_U("first", s->j.first));
	return &s->j;
}

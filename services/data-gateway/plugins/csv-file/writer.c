#include "services/data-gateway/plugins/csv-file/writer.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/die.h"
#include "base/str.h"

struct writer {
	pthread_t thread;
	bool running, with_trigger;
	int fd;
	struct tables *tables;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* under the lock */
	bool stop, busy, done;
	struct pusher_batch batch;

	struct writer_end *ends; /* the thread's while busy */
	size_t cap;
};

/* --- the thread --- */

/* Where an item stands in the batch, and whose it is. */
struct place {
	const struct pusher_item *item;
	size_t at;
};

static int
by_uuid(const void *a, const void *b)
{
	const struct place *x = a, *y = b;
	int c = memcmp(x->item->rows.uuid, y->item->rows.uuid, 16);

	return c != 0 ? c : (x->at > y->at) - (x->at < y->at);
}

static void
put_end(struct writer_end *e, enum pusher_end end, const char *why)
{
	e->end = end;
	(void)str_copy(e->why, sizeof e->why, span_str(why ? why : ""));
}

/* Items of one file. */
static void
write_run(struct writer *w, const struct place *run, size_t n, struct table_row_set *sets)
{
	const struct pusher_item *first = run[0].item;
	const char *late = NULL;

	for (size_t i = 0; i < n; i++)
		sets[i] = (struct table_row_set){.item = run[i].item};
	tables_write(w->tables, sets, n);
	if (w->with_trigger && first->trigger.p != NULL && sets[0].end != PUSHER_RETRY &&
	    tables_write_trigger(w->tables, first->rows.uuid_text, first->trigger) != 0)
		late = "the trigger's file could not be written";
	for (size_t i = 0; i < n; i++) {
		bool retry = late != NULL && sets[i].end == PUSHER_OK;

		put_end(&w->ends[run[i].at], retry ? PUSHER_RETRY : sets[i].end,
		    retry ? late : sets[i].why);
	}
}

static void
write_batch(struct writer *w, const struct pusher_batch *b)
{
	struct table_row_set *sets = xcalloc(b->n, sizeof *sets);
	struct place *places = xcalloc(b->n, sizeof *places);
	size_t from = 0;

	for (size_t i = 0; i < b->n; i++)
		places[i] = (struct place){.item = b->items[i], .at = i};
	qsort(places, b->n, sizeof *places, by_uuid);
	for (size_t i = 1; i <= b->n; i++) {
		if (i < b->n &&
		    memcmp(places[i].item->rows.uuid, places[from].item->rows.uuid, 16) == 0)
			continue;
		write_run(w, places + from, i - from, sets);
		from = i;
	}
	free(places);
	free(sets);
}

static void
tell(const struct writer *w)
{
	const uint64_t one = 1;

	while (write(w->fd, &one, sizeof one) == -1 && errno == EINTR)
		;
}

static void *
run(void *arg)
{
	struct writer *w = arg;

	(void)pthread_mutex_lock(&w->lock);
	while (!w->stop) {
		struct pusher_batch b = w->batch;

		if (!w->busy || w->done) {
			(void)pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		(void)pthread_mutex_unlock(&w->lock);
		write_batch(w, &b);
		(void)pthread_mutex_lock(&w->lock);
		w->done = true;
		tell(w);
	}
	(void)pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* --- the loop's side --- */

static int
start_thread(struct writer *w)
{
	sigset_t all, old;
	int e;

	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	e = pthread_create(&w->thread, NULL, run, w);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	w->running = e == 0;
	errno = e;
	return e == 0 ? 0 : -1;
}

struct writer *
writer_new(const char *dir, bool with_trigger)
{
	struct writer *w = xcalloc(1, sizeof *w);

	w->with_trigger = with_trigger;
	(void)pthread_mutex_init(&w->lock, NULL);
	(void)pthread_cond_init(&w->wake, NULL);
	w->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->tables = tables_new(dir);
	if (w->fd == -1 || w->tables == NULL || start_thread(w) != 0) {
		int e = errno;

		writer_free(w);
		errno = e;
		return NULL;
	}
	return w;
}

void
writer_free(struct writer *w)
{
	if (w == NULL)
		return;
	(void)pthread_mutex_lock(&w->lock);
	w->stop = true;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
	if (w->running)
		(void)pthread_join(w->thread, NULL);
	(void)pthread_cond_destroy(&w->wake);
	(void)pthread_mutex_destroy(&w->lock);
	tables_free(w->tables);
	if (w->fd != -1)
		(void)close(w->fd);
	free(w->ends);
	free(w);
}

void
writer_start(struct writer *w, const struct pusher_batch *b)
{
	(void)pthread_mutex_lock(&w->lock);
	INVARIANT(!w->busy);
	if (b->n > w->cap) {
		w->ends = xrealloc(w->ends, b->n * sizeof *w->ends);
		w->cap = b->n;
	}
	w->batch = *b;
	w->busy = true;
	w->done = false;
	(void)pthread_cond_signal(&w->wake);
	(void)pthread_mutex_unlock(&w->lock);
}

int
writer_fd(const struct writer *w)
{
	return w->fd;
}

const struct writer_end *
writer_take(struct writer *w)
{
	uint64_t n;
	bool done;

	while (read(w->fd, &n, sizeof n) == -1 && errno == EINTR)
		;
	(void)pthread_mutex_lock(&w->lock);
	done = w->busy && w->done;
	if (done)
		w->busy = w->done = false;
	(void)pthread_mutex_unlock(&w->lock);
	return done ? w->ends : NULL;
}

#include "broker/journal_mover.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/journal_schema.h"

enum state { IDLE, ASKED, ENDED };

struct journal_mover {
	struct journal_db db; /* the mover's thread, while it runs */
	void (*done)(void *arg);
	void *arg;
	pthread_t thread;
	bool running;

	pthread_mutex_t mu;
	pthread_cond_t wake;
	bool stop;                  /* mu */
	_Atomic enum state state;   /* changed under mu */
	struct journal_moved moved; /* whose turn it is by `state` */
};

/* SQLite syncs the database only at the end of a pass that reached the end of the WAL; what we
 * moved must not wait for that, as it would be the writer's to wait for. */
static int
sync_database(sqlite3 *db)
{
	sqlite3_file *file = NULL;
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_FILE_POINTER, &file);

	if (rc != SQLITE_OK || file == NULL || file->pMethods == NULL)
		return rc != SQLITE_OK ? rc : SQLITE_INTERNAL;
	return file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

static struct journal_moved
move(sqlite3 *db)
{
	struct journal_moved r = {.moved = -1};
	int pages;

	errno = 0;
	r.rc = sqlite3_wal_checkpoint_v2(db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &r.moved);
	if (r.rc == SQLITE_OK) {
		r.rc = sync_database(db);
		r.err = errno;
	} else {
		r.err = sqlite3_system_errno(db);
	}
	return r;
}

static bool
await(struct journal_mover *m)
{
	bool go;

	pthread_mutex_lock(&m->mu);
	while (m->state != ASKED && !m->stop)
		pthread_cond_wait(&m->wake, &m->mu);
	go = m->state == ASKED;
	pthread_mutex_unlock(&m->mu);
	return go;
}

static void *
run(void *arg)
{
	struct journal_mover *m = arg;

	while (await(m)) {
		m->moved = move(m->db.db);
		pthread_mutex_lock(&m->mu);
		m->state = ENDED;
		pthread_mutex_unlock(&m->mu);
		pthread_cond_broadcast(&m->wake);
		m->done(m->arg);
	}
	return NULL;
}

static int
start(struct journal_mover *m)
{
	sigset_t all, old;
	int rc;

	/* Signals are the loop's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	rc = pthread_create(&m->thread, NULL, run, m);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc != 0) {
		errno = rc;
		log_error("journal_open_failed", LOG_S("what", "thread"), LOG_ERRNO());
		return -1;
	}
	(void)pthread_setname_np(m->thread, "journal-mover");
	m->running = true;
	return 0;
}

struct journal_mover *
journal_mover_open(const char *dir, void (*done)(void *arg), void *arg)
{
	struct journal_mover *m = xcalloc(1, sizeof *m);

	m->done = done;
	m->arg = arg;
	pthread_mutex_init(&m->mu, NULL);
	pthread_cond_init(&m->wake, NULL);
	if (journal_schema_mover(&m->db, dir) == 0 && start(m) == 0)
		return m;
	journal_mover_close(m);
	return NULL;
}

void
journal_mover_close(struct journal_mover *m)
{
	if (m == NULL)
		return;
	if (m->running) {
		pthread_mutex_lock(&m->mu);
		m->stop = true;
		pthread_mutex_unlock(&m->mu);
		pthread_cond_broadcast(&m->wake);
		pthread_join(m->thread, NULL);
	}
	journal_db_close(&m->db);
	pthread_cond_destroy(&m->wake);
	pthread_mutex_destroy(&m->mu);
	free(m);
}

static void
set(struct journal_mover *m, enum state state)
{
	pthread_mutex_lock(&m->mu);
	m->state = state;
	pthread_mutex_unlock(&m->mu);
}

void
journal_mover_ask(struct journal_mover *m)
{
	set(m, ASKED);
	pthread_cond_broadcast(&m->wake);
}

bool
journal_mover_busy(const struct journal_mover *m)
{
	return atomic_load(&m->state) != IDLE;
}

void
journal_mover_wait(struct journal_mover *m)
{
	pthread_mutex_lock(&m->mu);
	while (m->state == ASKED)
		pthread_cond_wait(&m->wake, &m->mu);
	pthread_mutex_unlock(&m->mu);
}

bool
journal_mover_look(struct journal_mover *m, struct journal_moved *out)
{
	if (atomic_load(&m->state) != ENDED)
		return false;
	*out = m->moved;
	return true;
}

void
journal_mover_take(struct journal_mover *m)
{
	set(m, IDLE);
}

#include "proto/loop.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/spin.h"

#define HOUR_MS (3600 * 1000)

#define SPIN_WORK_US 40 /* a turn of more than this came with many messages: no hurry */

/* A socket or an fd in the poll set. */
struct loop_fd {
	struct loop *l;
	struct list node;
	int fd;
	short events; /* ZMQ_POLLIN | ZMQ_POLLOUT; 0: paused */
	loop_fd_fn *fn;
	loop_fn *sock_fn;
	zsock_t *sock;
	void *z; /* its handle; NULL: an fd */
	void *arg;
	bool dead;
};

struct later {
	loop_fn *fn;
	void *arg;
};

struct later_list {
	struct later *v;
	size_t n, cap;
};

struct loop {
	struct timer_heap timers;
	struct later_list later, batch;
	struct list live, dead;
	/* What is polled, and for whom; made anew when `stale`. */
	struct pollfd *set;
	struct loop_fd **who;
	size_t n, cap;
	bool stale;
	int wake;
	struct loop_fd *wake_watch;
	int64_t now_ms;
	int64_t work_us; /* of this turn's callbacks */
	struct spin spin;
	unsigned depth;
	bool stopping;
	struct log_limit slow_lines;
	struct loop_stats stats;
};

static int64_t
enter(struct loop *l)
{
	int64_t us = clock_mono_us();

	l->now_ms = us / 1000;
	l->depth++;
	return us;
}

static void
leave(struct loop *l, int64_t began_us, const char *kind, const void *fn)
{
	int64_t took_us = clock_mono_us() - began_us;
	Dl_info where = {0};

	l->depth--;
	l->work_us += took_us;
	l->stats.callbacks++;
	if (took_us > l->stats.max_callback_us)
		l->stats.max_callback_us = took_us;
	if (took_us <= LOOP_SLOW_MS * 1000)
		return;
	l->stats.slow++;
	if (!log_allow(&l->slow_lines, (began_us + took_us) / 1000, 5))
		return;
	/* An offset into the program file, as addr2line -f -e wants it. */
	(void)dladdr(fn, &where);
	log_warn("slow_callback", LOG_S("kind", kind), LOG_I("ms", took_us / 1000),
	    LOG_U("code", (uint64_t)((const char *)fn - (const char *)where.dli_fbase)),
	    LOG_U("suppressed", l->slow_lines.last));
}

/* Function pointers and void pointers are one kind here: POSIX dlsym asks for it. */
static const void *
code_of(loop_fn *fn)
{
	const void *p;

	memcpy(&p, &fn, sizeof p);
	return p;
}

/* After the callback of a socket or fd, and after a run of timers: that is where a turn ends.  What
 * was put off meanwhile waits for the next turn, so that sockets get their share. */
static void
run_later(struct loop *l)
{
	struct later_list now = l->later;

	if (now.n == 0)
		return;
	l->later = l->batch;
	l->later.n = 0;
	l->batch = now;
	for (size_t i = 0; i < l->batch.n; i++) {
		loop_fn *fn = l->batch.v[i].fn;
		int64_t began;

		if (fn == NULL)
			continue;
		l->batch.v[i].fn = NULL;
		began = enter(l);
		fn(l->batch.v[i].arg);
		leave(l, began, "later", code_of(fn));
	}
	l->batch.n = 0;
}

static struct loop_fd *
watch_new(struct loop *l, int fd, short events, void *arg)
{
	struct loop_fd *f = xcalloc(1, sizeof *f);

	f->l = l;
	f->fd = fd;
	f->events = events;
	f->arg = arg;
	list_push_back(&l->live, &f->node);
	l->stale = true;
	return f;
}

/* Freed when the poll set is made anew: a turn may still come by it. */
static void
watch_end(struct loop_fd *f)
{
	f->dead = true;
	f->l->stale = true;
	list_remove(&f->node);
	list_push_back(&f->l->dead, &f->node);
}

struct loop_fd *
loop_fd(struct loop *l, int fd, short events, loop_fd_fn *fn, void *arg)
{
	struct loop_fd *f = watch_new(l, fd, events, arg);

	f->fn = fn;
	return f;
}

void
loop_fd_events(struct loop_fd *f, short events)
{
	f->l->stale |= f->events != events;
	f->events = events;
}

void
loop_fd_end(struct loop_fd *f)
{
	if (f)
		watch_end(f);
}

int
loop_sock(struct loop *l, zsock_t *s, loop_fn *fn, void *arg)
{
	void *z = zsock_resolve(s);
	size_t size = sizeof(int);
	struct loop_fd *f;
	int fd;

	if (zmq_getsockopt(z, ZMQ_FD, &fd, &size) != 0)
		die(EXIT_AGAIN, "no fd of a socket: %s", zmq_strerror(zmq_errno()));
	f = watch_new(l, fd, ZMQ_POLLIN, arg);
	f->sock = s;
	f->z = z;
	f->sock_fn = fn;
	return 0;
}

void
loop_sock_end(struct loop *l, zsock_t *s)
{
	struct loop_fd *f;

	LIST_EACH (f, &l->live, struct loop_fd, node) {
		if (f->sock == s) {
			watch_end(f);
			return;
		}
	}
}

void
loop_timer(struct loop *l, struct timer *t, int64_t at_ms)
{
	timer_set(&l->timers, t, at_ms);
}

void
loop_timer_clear(struct loop *l, struct timer *t)
{
	timer_clear(&l->timers, t);
}

void
loop_later(struct loop *l, loop_fn *fn, void *arg)
{
	struct later_list *q = &l->later;

	if (q->n == q->cap) {
		q->cap = q->cap ? q->cap * 2 : 16;
		q->v = xrealloc(q->v, q->cap * sizeof *q->v);
	}
	q->v[q->n++] = (struct later){fn, arg};
}

void
loop_later_cancel(struct loop *l, void *arg)
{
	for (size_t i = 0; i < l->later.n; i++) {
		if (l->later.v[i].arg == arg)
			l->later.v[i].fn = NULL;
	}
	for (size_t i = 0; i < l->batch.n; i++) {
		if (l->batch.v[i].arg == arg)
			l->batch.v[i].fn = NULL;
	}
}

static void
on_wake(void *arg, short revents)
{
	struct loop *l = arg;
	uint64_t n;

	(void)revents;
	if (read(l->wake, &n, sizeof n) == (ssize_t)sizeof n)
		loop_stop(l);
}

struct loop *
loop_new(void)
{
	struct loop *l = xcalloc(1, sizeof *l);

	list_init(&l->live);
	list_init(&l->dead);
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->wake == -1)
		die(EXIT_AGAIN, "no event loop: %s", strerror(errno));
	l->wake_watch = loop_fd(l, l->wake, ZMQ_POLLIN, on_wake, l);
	return l;
}

static void
free_watches(struct list *watches)
{
	struct list *n;

	while ((n = list_pop(watches)) != NULL)
		free(LIST_ITEM(n, struct loop_fd, node));
}

void
loop_free(struct loop *l)
{
	if (l == NULL)
		return;
	free_watches(&l->live);
	free_watches(&l->dead);
	timer_heap_fini(&l->timers);
	free(l->set);
	free(l->who);
	free(l->later.v);
	free(l->batch.v);
	(void)close(l->wake);
	free(l);
}

/* ---- a turn ---- */

static void
make_set(struct loop *l)
{
	struct loop_fd *f;

	free_watches(&l->dead);
	l->n = 0;
	LIST_EACH (f, &l->live, struct loop_fd, node) {
		short events = (short)((f->events & ZMQ_POLLIN ? POLLIN : 0) |
				       (f->events & ZMQ_POLLOUT ? POLLOUT : 0));

		if (f->events == 0)
			continue;
		if (l->n == l->cap) {
			l->cap = l->cap ? l->cap * 2 : 8;
			l->set = xrealloc(l->set, l->cap * sizeof *l->set);
			l->who = xrealloc(l->who, l->cap * sizeof(struct loop_fd *));
		}
		l->set[l->n] = (struct pollfd){.fd = f->fd, .events = events};
		l->who[l->n++] = f;
	}
	l->stale = false;
}

/* Its fd only tells that something may have changed; this is what counts. */
static bool
can_read(struct loop *l, void *z)
{
	int events = 0;
	size_t size = sizeof events;

	if (zmq_getsockopt(z, ZMQ_EVENTS, &events, &size) != 0) {
		l->stopping |= zmq_errno() == ETERM;
		return false;
	}
	return (events & ZMQ_POLLIN) != 0;
}

/* Any socket that was used since may have taken the signal of its fd with it, so all are asked. */
static bool
any_can_read(struct loop *l)
{
	bool any = false;

	for (size_t i = 0; i < l->n && !any; i++)
		any = l->who[i]->z != NULL && can_read(l, l->who[i]->z);
	return any;
}

static int
look(struct loop *l, int wait_ms)
{
	int rc = poll(l->set, l->n, wait_ms);

	if (rc == -1 && errno != EINTR)
		die(EXIT_AGAIN, "poll: %s", strerror(errno));
	if (rc <= 0) {
		for (size_t i = 0; i < l->n; i++)
			l->set[i].revents = 0;
	}
	return rc;
}

static int
wait_ms(const struct loop *l)
{
	int64_t at = timer_next(&l->timers), ms;

	if (l->later.n > 0 || l->stopping)
		return 0;
	if (at == INT64_MAX)
		return HOUR_MS;
	ms = at - clock_mono_ms();
	return ms <= 0 ? 0 : ms < HOUR_MS ? (int)ms : HOUR_MS;
}

/* Nothing is ready: wait for what comes, at first awake. */
static void
wait_for_more(struct loop *l, int ms)
{
	int64_t began = clock_mono_us(), now = began;
	bool spin = spin_pays(&l->spin) && l->work_us < SPIN_WORK_US;

	while (spin && now - began < SPIN_US) {
		int64_t before = now;

		(void)sched_yield();
		if (look(l, 0) != 0) {
			spin_note(&l->spin, true);
			return;
		}
		now = clock_mono_us();
		spin = now - before < SPIN_OTHERS_US;
	}
	(void)look(l, ms);
	spin_note(&l->spin, clock_mono_us() - began < SPIN_SHORT_US);
}

static short
zmq_events(short revents)
{
	return (short)((revents & POLLIN ? ZMQ_POLLIN : 0) | (revents & POLLOUT ? ZMQ_POLLOUT : 0) |
		       (revents & ~(POLLIN | POLLOUT) ? ZMQ_POLLERR : 0));
}

static void
call(struct loop *l, struct loop_fd *f, short revents)
{
	int64_t began;

	if (f->z != NULL) {
		loop_fn *fn = f->sock_fn;

		if (!can_read(l, f->z))
			return;
		began = enter(l);
		fn(f->arg);
		leave(l, began, "sock", code_of(fn));
	} else {
		loop_fd_fn *fn = f->fn;
		const void *code;

		revents = (short)(zmq_events(revents) & (f->events | ZMQ_POLLERR));
		if (revents == 0)
			return;
		memcpy(&code, &fn, sizeof code);
		began = enter(l);
		fn(f->arg, revents);
		leave(l, began, "fd", code);
	}
	run_later(l);
}

static void
run_timers(struct loop *l)
{
	size_t most = l->timers.n; /* a timer that sets itself to now must not hold the turn */
	int64_t now;
	struct timer *t;

	if (most == 0)
		return;
	now = clock_mono_ms();
	while (most-- > 0 && !l->stopping && (t = timer_pop(&l->timers, now)) != NULL) {
		void (*fn)(struct timer *) = t->fn;
		int64_t began = enter(l);
		const void *code;

		memcpy(&code, &fn, sizeof code);
		if (now - t->at_ms > l->stats.max_late_ms)
			l->stats.max_late_ms = now - t->at_ms;
		fn(t);
		leave(l, began, "timer", code);
	}
}

static void
turn(struct loop *l)
{
	int ms;
	bool ready;

	if (l->stale)
		make_set(l);
	ms = wait_ms(l);
	ready = any_can_read(l);
	if (ready || ms == 0) {
		(void)look(l, 0);
	} else {
		wait_for_more(l, ms);
	}
	l->work_us = 0;
	run_timers(l);
	run_later(l);
	/* What a callback ends or begins to watch changes the set for the next turn only. */
	for (size_t i = 0; i < l->n && !l->stopping; i++) {
		struct loop_fd *f = l->who[i];

		if (!f->dead && f->events != 0 &&
		    (l->set[i].revents != 0 || (ready && f->z != NULL)))
			call(l, f, l->set[i].revents);
	}
}

int
loop_run(struct loop *l)
{
	while (!l->stopping)
		turn(l);
	run_later(l);
	l->stopping = false;
	return 0;
}

void
loop_stop(struct loop *l)
{
	l->stopping = true;
}

void
loop_stop_from_outside(struct loop *l)
{
	const uint64_t one = 1;

	/* Fails only when the counter is full: then the loop is being woken already. */
	if (write(l->wake, &one, sizeof one) == -1 && errno != EAGAIN)
		log_warn("loop_wake_failed", LOG_ERRNO());
}

int64_t
loop_now(const struct loop *l)
{
	return l->depth > 0 ? l->now_ms : clock_mono_ms();
}

struct loop_stats
loop_stats(const struct loop *l)
{
	return l->stats;
}

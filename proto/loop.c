#include "proto/loop.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"

#define ARMED_MAX 32

/* A socket or an fd in the poll set. */
struct loop_fd {
	struct loop *l;
	struct list node;
	zmq_pollitem_t item;
	loop_fd_fn *fn;
	loop_fn *sock_fn;
	zsock_t *sock;
	void *arg;
	bool dead;
	unsigned turns; /* ends of turns still to wait before it may be freed */
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
	zloop_t *z;
	struct timer_heap timers;
	/* When zloop will wake us for timers, latest first: a new one is armed only when it is
	 * sooner than all before it, so the last is the earliest.  None is ever taken back: zloop
	 * cannot do that safely from every callback, and one that fires for nothing costs nothing.
	 */
	int64_t armed[ARMED_MAX];
	unsigned narmed;
	bool in_timers;
	struct later_list later, batch;
	bool later_armed;
	struct list live, dead;
	int wake;
	struct loop_fd *wake_watch;
	int64_t now_ms;
	unsigned depth;
	bool running, stopping;
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

static void run_later(struct loop *l);

static int
verdict(const struct loop *l)
{
	return l->stopping ? -1 : 0;
}

static int
on_ready(zloop_t *z, zmq_pollitem_t *item, void *arg)
{
	struct loop_fd *f = arg;
	struct loop *l = f->l;
	const int revents = item->revents & (f->item.events | ZMQ_POLLERR);
	int64_t began;

	(void)z;
	/* zloop walks a copy of the poll set: what a timer ended in this turn still comes by. */
	if (f->dead || f->item.events == 0 || revents == 0)
		return verdict(l);
	began = enter(l);
	if (f->sock) {
		loop_fn *fn = f->sock_fn;

		fn(f->arg);
		leave(l, began, "sock", code_of(fn));
	} else {
		loop_fd_fn *fn = f->fn;
		const void *code;

		memcpy(&code, &fn, sizeof code);
		fn(f->arg, (short)revents);
		leave(l, began, "fd", code);
	}
	run_later(l);
	return verdict(l);
}

static void
watch_start(struct loop_fd *f)
{
	if (f->item.events == 0)
		return;
	if (zloop_poller(f->l->z, &f->item, on_ready, f) != 0)
		die(EXIT_AGAIN, "out of memory for a poll item");
	zloop_poller_set_tolerant(f->l->z, &f->item);
}

static struct loop_fd *
watch_new(struct loop *l, zmq_pollitem_t item, void *arg)
{
	struct loop_fd *f = xcalloc(1, sizeof *f);

	f->l = l;
	f->item = item;
	f->arg = arg;
	list_push_back(&l->live, &f->node);
	return f;
}

static int on_turn_end(zloop_t *z, int timer_id, void *arg);

static void
arm_later(struct loop *l)
{
	if (l->later_armed)
		return;
	if (zloop_timer(l->z, 0, 1, on_turn_end, l) == -1)
		die(EXIT_AGAIN, "out of memory for a timer");
	l->later_armed = true;
}

/* After the callback of a socket or fd, and after a run of timers: that is where a turn ends.  What
 * was put off meanwhile waits for zloop to come round, so that sockets get their share. */
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
	if (l->later.n > 0)
		arm_later(l);
}

static void
watch_end(struct loop_fd *f)
{
	struct loop *l = f->l;

	zloop_poller_end(l->z, &f->item);
	list_remove(&f->node);
	if (!l->running) {
		free(f);
		return;
	}
	f->dead = true;
	f->turns = 2;
	list_push_back(&l->dead, &f->node);
	arm_later(l);
}

struct loop_fd *
loop_fd(struct loop *l, int fd, short events, loop_fd_fn *fn, void *arg)
{
	struct loop_fd *f = watch_new(l, (zmq_pollitem_t){.fd = fd, .events = events}, arg);

	f->fn = fn;
	watch_start(f);
	return f;
}

void
loop_fd_events(struct loop_fd *f, short events)
{
	if (f->item.events == events)
		return;
	if (f->item.events != 0)
		zloop_poller_end(f->l->z, &f->item);
	f->item.events = events;
	watch_start(f);
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
	zmq_pollitem_t item = {.socket = zsock_resolve(s), .events = ZMQ_POLLIN};
	struct loop_fd *f = watch_new(l, item, arg);

	f->sock = s;
	f->sock_fn = fn;
	watch_start(f);
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

static int on_timer(zloop_t *z, int timer_id, void *arg);

static void
arm_timers(struct loop *l)
{
	int64_t at = timer_next(&l->timers), delay;

	if (at == INT64_MAX || l->in_timers)
		return;
	if (l->narmed > 0 && l->armed[l->narmed - 1] <= at)
		return;
	delay = at - clock_mono_ms();
	if (delay > 3600 * 1000)
		delay = 3600 * 1000;
	if (zloop_timer(l->z, delay > 0 ? (size_t)delay : 0, 1, on_timer, l) == -1)
		die(EXIT_AGAIN, "out of memory for a timer");
	if (l->narmed == ARMED_MAX)
		memmove(l->armed, l->armed + 1, --l->narmed * sizeof *l->armed);
	l->armed[l->narmed++] = at;
}

static int
on_timer(zloop_t *z, int timer_id, void *arg)
{
	struct loop *l = arg;
	int64_t now = clock_mono_ms();
	size_t most = l->timers.n; /* a timer that sets itself to now must not hold the turn */
	struct timer *t;

	(void)z;
	(void)timer_id;
	while (l->narmed > 0 && l->armed[l->narmed - 1] <= now)
		l->narmed--;
	l->in_timers = true;
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
	l->in_timers = false;
	run_later(l);
	arm_timers(l);
	return verdict(l);
}

void
loop_timer(struct loop *l, struct timer *t, int64_t at_ms)
{
	timer_set(&l->timers, t, at_ms);
	arm_timers(l);
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
	if (l->depth == 0)
		arm_later(l);
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

/* Freed only when zloop has surely made its poll set anew. */
static void
reap(struct loop *l)
{
	struct loop_fd *f;

	LIST_EACH (f, &l->dead, struct loop_fd, node) {
		if (--f->turns == 0) {
			list_remove(&f->node);
			free(f);
		}
	}
	if (!list_empty(&l->dead))
		arm_later(l);
}

static int
on_turn_end(zloop_t *z, int timer_id, void *arg)
{
	struct loop *l = arg;

	(void)z;
	(void)timer_id;
	l->later_armed = false;
	run_later(l);
	reap(l);
	return verdict(l);
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
	l->z = zloop_new();
	l->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->z == NULL || l->wake == -1)
		die(EXIT_AGAIN, "no event loop: %s", strerror(errno));
	zloop_set_nonstop(l->z, true);
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
	zloop_destroy(&l->z);
	timer_heap_fini(&l->timers);
	free(l->later.v);
	free(l->batch.v);
	(void)close(l->wake);
	free(l);
}

int
loop_run(struct loop *l)
{
	l->running = true;
	/* zloop ends by itself only when a signal interrupts its poll, or the context is gone. */
	while (!l->stopping) {
		if (zloop_start(l->z) == 0 && zmq_errno() == ETERM)
			break;
	}
	run_later(l);
	l->running = false;
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

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "proto/loop.h"
#include "tests/unit/check.h"

static char order[64];
static size_t norder;

static void
note(char c)
{
	if (norder + 1 < sizeof order)
		order[norder++] = c;
	order[norder] = '\0';
}

static void
reset(void)
{
	norder = 0;
	order[0] = '\0';
}

struct named {
	struct timer t;
	struct loop *l;
	char name;
	bool last;
};

static void
on_named(struct timer *t)
{
	struct named *n = LIST_ITEM(t, struct named, t);

	note(n->name);
	if (n->last)
		loop_stop(n->l);
}

static void
set(struct named *n, struct loop *l, char name, int64_t at_ms)
{
	n->t.fn = on_named;
	n->l = l;
	n->name = name;
	loop_timer(l, &n->t, at_ms);
}

static void
test_timers_in_order(struct loop *l)
{
	struct named a = {.last = false}, b = a, c = a, d = a, end = {.last = true};
	int64_t now = loop_now(l);

	reset();
	set(&c, l, 'c', now + 12);
	set(&a, l, 'a', now + 3);
	set(&b, l, 'b', now + 7);
	set(&d, l, 'd', now + 5);
	set(&end, l, '.', now + 15);
	set(&a, l, 'a', now + 9); /* moved */
	loop_timer_clear(l, &d.t);
	CHECK(!timer_is_set(&d.t));
	CHECK(loop_run(l) == 0);
	CHECK_STR(order, "bac.");
}

static struct {
	struct loop *l;
	struct timer t;
	unsigned ran;
	bool later_ran;
} greedy;

static void
on_greedy(struct timer *t)
{
	greedy.ran++;
	loop_timer(greedy.l, t, loop_now(greedy.l)); /* due again at once */
}

static void
on_greedy_later(void *arg)
{
	(void)arg;
	greedy.later_ran = true;
	loop_stop(greedy.l);
}

static void
test_a_greedy_timer_leaves_room(struct loop *l)
{
	greedy.l = l;
	greedy.t.fn = on_greedy;
	loop_timer(l, &greedy.t, loop_now(l));
	loop_later(l, on_greedy_later, l);
	CHECK(loop_run(l) == 0);
	loop_timer_clear(l, &greedy.t);
	CHECK(greedy.later_ran);
}

static struct loop *later_loop;

static void
later_c(void *arg)
{
	(void)arg;
	note('c');
	loop_stop(later_loop);
}

static void
later_a(void *arg)
{
	note('a');
	loop_later(later_loop, later_c, arg);
}

static void
later_b(void *arg)
{
	(void)arg;
	note('b');
}

static void
later_never(void *arg)
{
	(void)arg;
	note('!');
}

static void
later_forgets(void *arg)
{
	note('f');
	loop_later_cancel(later_loop, arg);
}

static void
test_later(struct loop *l)
{
	int one, two, three;

	reset();
	later_loop = l;
	loop_later(l, later_a, &one);
	loop_later(l, later_never, &two);
	loop_later(l, later_b, &one);
	loop_later(l, later_forgets, &three);
	loop_later(l, later_never, &three);
	loop_later_cancel(l, &two);
	CHECK(loop_run(l) == 0);
	CHECK_STR(order, "abfc");
}

static void
later_stops(void *arg)
{
	(void)arg;
	loop_later(later_loop, later_b, NULL);
	loop_stop(later_loop);
}

static void
test_what_is_late_runs_before_the_end(struct loop *l)
{
	reset();
	loop_later(l, later_stops, NULL);
	CHECK(loop_run(l) == 0);
	CHECK_STR(order, "b");
}

static struct {
	struct loop *l;
	int r, w;
	struct loop_fd *f;
	unsigned calls;
	short seen;
	char got;
	bool end_in_timer;
	struct timer t;
} pipes;

static void
on_pipe(void *arg, short revents)
{
	(void)arg;
	pipes.calls++;
	pipes.seen = revents;
	if (read(pipes.r, &pipes.got, 1) != 1)
		pipes.got = '?';
	loop_fd_end(pipes.f);
	pipes.f = NULL;
	loop_stop(pipes.l);
}

static void
on_pipe_timer(struct timer *t)
{
	(void)t;
	if (pipes.end_in_timer) {
		/* The fd is ready in this very turn: the callback must not come any more. */
		loop_fd_end(pipes.f);
		pipes.f = NULL;
		loop_later(pipes.l, later_c, NULL);
		return;
	}
	if (pipes.calls == 0)
		loop_fd_events(pipes.f, ZMQ_POLLIN);
}

static void
test_fd(struct loop *l)
{
	int p[2];

	later_loop = l;
	pipes.l = l;
	pipes.t.fn = on_pipe_timer;
	CHECK(pipe2(p, O_NONBLOCK | O_CLOEXEC) == 0);
	pipes.r = p[0];
	pipes.w = p[1];
	CHECK(write(pipes.w, "x", 1) == 1);
	pipes.f = loop_fd(l, pipes.r, 0, on_pipe, NULL); /* paused; the timer wakes it */
	loop_timer(l, &pipes.t, loop_now(l) + 3);
	CHECK(loop_run(l) == 0);
	CHECK(pipes.calls == 1);
	CHECK(pipes.seen == ZMQ_POLLIN);
	CHECK(pipes.got == 'x');

	pipes.calls = 0;
	pipes.end_in_timer = true;
	CHECK(write(pipes.w, "y", 1) == 1);
	pipes.f = loop_fd(l, pipes.r, ZMQ_POLLIN, on_pipe, NULL);
	loop_timer(l, &pipes.t, loop_now(l));
	CHECK(loop_run(l) == 0);
	CHECK(pipes.calls == 0);
	(void)close(p[0]);
	(void)close(p[1]);
}

static void *
stop_it(void *arg)
{
	loop_stop_from_outside(arg);
	return NULL;
}

static void
test_stop_from_outside(struct loop *l)
{
	pthread_t t;

	CHECK(pthread_create(&t, NULL, stop_it, l) == 0);
	CHECK(loop_run(l) == 0);
	CHECK(pthread_join(t, NULL) == 0);
	loop_stop(l);
	CHECK(loop_run(l) == 0); /* stopped before it ran: ends at once */
}

#define MANY 20000

static struct many {
	struct timer t;
	int64_t at;
} * many;
static struct loop *many_loop;
static unsigned many_ran, many_wrong, many_early;
static int64_t many_last;

static void
on_many(struct timer *t)
{
	struct many *m = LIST_ITEM(t, struct many, t);

	many_wrong += m->at < many_last;
	many_early += loop_now(many_loop) < m->at;
	many_last = m->at;
	if (++many_ran == MANY)
		loop_stop(many_loop);
}

static void
test_many_timers(struct loop *l)
{
	int64_t now = loop_now(l);

	many = calloc(MANY, sizeof *many);
	if (!CHECK(many != NULL))
		return;
	many_loop = l;
	for (unsigned i = 0; i < MANY; i++) {
		many[i].t.fn = on_many;
		many[i].at = now + (int64_t)((i * 7919u) % 97u);
		loop_timer(l, &many[i].t, many[i].at);
	}
	CHECK(loop_run(l) == 0);
	CHECK(many_ran == MANY);
	CHECK(many_wrong == 0);
	CHECK(many_early == 0);
	free(many);
}

static void
later_dawdles(void *arg)
{
	int64_t until = clock_mono_us() + (LOOP_SLOW_MS + 5) * 1000;

	while (clock_mono_us() < until)
		continue;
	loop_stop(arg);
}

static void
test_slow_callbacks_are_counted(struct loop *l)
{
	uint64_t before = loop_stats(l).slow;

	loop_later(l, later_dawdles, l);
	CHECK(loop_run(l) == 0);
	CHECK(loop_stats(l).slow > before);
	CHECK(loop_stats(l).max_callback_us > LOOP_SLOW_MS * 1000);
}

struct own {
	struct loop *l;
	struct timer t;
	unsigned ran;
};

static void
on_own(struct timer *t)
{
	struct own *o = LIST_ITEM(t, struct own, t);

	if (++o->ran == 50)
		loop_stop(o->l);
	else
		loop_timer(o->l, t, loop_now(o->l) + (o->ran & 1));
}

static void *
run_own(void *arg)
{
	struct own *o = arg;

	o->l = loop_new();
	o->t.fn = on_own;
	loop_timer(o->l, &o->t, loop_now(o->l));
	(void)loop_run(o->l);
	loop_free(o->l);
	return NULL;
}

static void
test_a_loop_a_thread(void)
{
	struct own own[4] = {{.ran = 0}};
	pthread_t t[4];

	for (unsigned i = 0; i < 4; i++)
		CHECK(pthread_create(&t[i], NULL, run_own, &own[i]) == 0);
	for (unsigned i = 0; i < 4; i++)
		CHECK(pthread_join(t[i], NULL) == 0 && own[i].ran == 50);
}

int
main(void)
{
	struct loop *l = loop_new();

	test_timers_in_order(l);
	test_a_greedy_timer_leaves_room(l);
	test_later(l);
	test_what_is_late_runs_before_the_end(l);
	test_fd(l);
	test_stop_from_outside(l);
	test_many_timers(l);
	test_slow_callbacks_are_counted(l);
	test_a_loop_a_thread();
	loop_free(l);
	loop_free(NULL);
	return check_done();
}

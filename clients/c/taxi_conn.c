#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "clients/c/taxi_priv.h"
#include "proto/keys.h"
#include "proto/mp.h"
#include "proto/sock.h"

#define MAX_PENDING (64u << 20)
#define DRAIN_POLL_MS 5
#define FLUSH_MS 2000

struct taxi_watch {
	struct taxi *t;
	struct loop_fd *fd;
	taxi_fd_fn *fn;
	void *arg;
};

void
priv_enter(struct taxi *t)
{
	t->depth++;
	if (t->polling)
		loop_stop(t->loop);
}

void
priv_leave(struct taxi *t)
{
	t->depth--;
}

static void
stop_now(void *arg)
{
	struct taxi *t = arg;

	t->timed_out = true;
	loop_stop(t->loop);
}

static void
stop_next(void *arg)
{
	struct taxi *t = arg;

	loop_later(t->loop, stop_now, t);
}

/* One turn more: timers come before sockets, and even a poll of 0 ms is to hear what is there. */
static void
on_until(struct timer *timer)
{
	struct taxi *t = LIST_ITEM(timer, struct taxi, until);

	loop_later(t->loop, stop_next, t);
}

static void
run_until(struct taxi *t, int64_t timeout_ms)
{
	t->timed_out = false;
	if (timeout_ms >= 0)
		loop_timer(t->loop, &t->until, clock_mono_ms() + timeout_ms);
	(void)loop_run(t->loop);
	loop_timer_clear(t->loop, &t->until);
	loop_later_cancel(t->loop, t);
}

bool
priv_block(struct taxi *t, const bool *done, int64_t timeout_ms)
{
	int64_t until = timeout_ms > 0 ? clock_mono_ms() + timeout_ms : INT64_MAX;

	t->blocking = true;
	while (!*done) {
		int64_t now = clock_mono_ms();

		if (now >= until)
			break;
		run_until(t, until == INT64_MAX ? -1 : until - now);
	}
	t->blocking = false;
	return *done;
}

static void
describe(struct taxi *t)
{
	struct buf b;

	buf_init(&b, LIMIT_DESC);
	mp_put_map(&b, 2);
	mp_put_cstr(&b, "name");
	mp_put_cstr(&b, t->name);
	mp_put_cstr(&b, "pid");
	mp_put_i64(&b, getpid());
	worker_describe(t->worker, buf_span(&b));
	buf_fini(&b);
}

static bool
wrong(const char *option, const char *value, const char *expected)
{
	log_error("bad_option", LOG_S("option", option), LOG_S("value", value),
	    LOG_S("expected", expected));
	return true;
}

static const char *
or_env(const char *given, const char *name)
{
	const char *v = given ? given : getenv(name);

	return v ? v : "";
}

static bool
use_keys(const struct taxi_options *o)
{
	char why[KEYS_WHY];

	if (keys_use(or_env(o->key, "TAXI_KEY"), or_env(o->broker_key, "TAXI_BROKER_KEY"), why) ==
	    0)
		return true;
	log_error("bad_option", LOG_S("option", "key, broker_key"), LOG_S("reason", why));
	return false;
}

struct taxi *
taxi_open(const struct taxi_options *o)
{
	static const struct taxi_options none;
	const char *bus, *name, *log;
	struct taxi *t;

	if (o == NULL)
		o = &none;
	bus = o->bus ? o->bus : getenv("TAXI_BUS");
	if (bus == NULL)
		bus = "tcp://127.0.0.1:5570";
	name = o->name ? o->name : "taxiway";
	log = o->log ? o->log : "error";
	zsys_handler_set(NULL);
	(void)zsys_init();
	if (log_level_of(log) < 0 && wrong("log", log, "debug, info, warn or error"))
		return NULL;
	if (!sock_is_endpoint(bus) && wrong("bus", bus, "tcp://host:port or ipc://path"))
		return NULL;
	if (!use_keys(o))
		return NULL;
	t = xcalloc(1, sizeof *t);
	t->name = xstrdup(name);
	log_init(t->name, (enum log_level)log_level_of(log));
	list_init(&t->subs);
	list_init(&t->hand);
	t->until.fn = on_until;
	t->loop = loop_new();
	t->link = link_new(t->loop, bus);
	t->client = client_new(t->link, o->max_pending ? o->max_pending : MAX_PENDING);
	t->worker = worker_new(t->client);
	worker_on_change(t->worker, priv_states, t);
	describe(t);
	return t;
}

void
taxi_close(struct taxi *t)
{
	struct list *n;

	if (t == NULL)
		return;
	client_end(t->client);
	worker_free(t->worker);
	client_free(t->client);
	link_free(t->link);
	while ((n = list_pop(&t->hand)) != NULL)
		priv_msg_free(LIST_ITEM(n, struct taxi_msg, node));
	while ((n = list_pop(&t->subs)) != NULL)
		free(LIST_ITEM(n, struct taxi_sub, node));
	loop_free(t->loop);
	log_init("taxiway", LOG_ERROR); /* it kept the name */
	free(t->name);
	free(t);
}

void
taxi_run(struct taxi *t)
{
	while (!atomic_exchange(&t->stopped, false))
		(void)loop_run(t->loop);
}

void
taxi_poll(struct taxi *t, int64_t timeout_ms)
{
	if (t->depth > 0 || t->blocking)
		return;
	t->polling = true;
	run_until(t, timeout_ms > 0 ? timeout_ms : 0);
	t->polling = false;
}

void
taxi_stop(struct taxi *t)
{
	atomic_store(&t->stopped, true);
	loop_stop_from_outside(t->loop);
}

bool
taxi_is_up(const struct taxi *t)
{
	return link_is_up(t->link);
}

const char *
taxi_refused(const struct taxi *t)
{
	return link_refused(t->link);
}

static void
on_fd(void *arg, short revents)
{
	struct taxi_watch *w = arg;
	struct taxi *t = w->t;

	(void)revents;
	priv_enter(t);
	w->fn(w->arg);
	priv_leave(t);
}

struct taxi_watch *
taxi_watch(struct taxi *t, int fd, taxi_fd_fn *fn, void *arg)
{
	struct taxi_watch *w = xcalloc(1, sizeof *w);

	w->t = t;
	w->fn = fn;
	w->arg = arg;
	w->fd = loop_fd(t->loop, fd, ZMQ_POLLIN, on_fd, w);
	return w;
}

void
taxi_unwatch(struct taxi_watch *w)
{
	if (w == NULL)
		return;
	loop_fd_end(w->fd);
	free(w);
}

static void
on_flushed(void *arg, const struct env *e)
{
	(void)e;
	*(bool *)arg = true;
}

int
taxi_drain(struct taxi *t, int64_t timeout_ms)
{
	int64_t until = clock_mono_ms() + timeout_ms;
	bool flushed = false;
	struct env e;

	if (t->depth > 0 || t->blocking)
		return -1;
	worker_bye(t->worker);
	while (worker_in_hand(t->worker) > 0 || !worker_is_flushed(t->worker) ||
	       client_pending(t->client) > 0) {
		if (clock_mono_ms() >= until)
			return -1;
		taxi_poll(t, DRAIN_POLL_MS);
	}
	/* The socket closes without lingering: the answer to this says that all before it arrived.
	 */
	env_init(&e, ENV_BYE, span_str(""), NULL);
	if (!link_is_up(t->link) ||
	    client_call(t->client, &e, FLUSH_MS, on_flushed, &flushed) != ERR_OK)
		return 0;
	while (!flushed)
		taxi_poll(t, DRAIN_POLL_MS);
	return 0;
}

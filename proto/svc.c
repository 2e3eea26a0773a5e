#include "proto/svc.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/keys.h"
#include "proto/sock.h"
#include "proto/svc_priv.h"
#include "proto/topic.h"

#define WAITING_FIRST_MS 1000
#define WAITING_AGAIN_MS 10000
#define DRAIN_POLL_MS 10
#define FLUSH_MS 1000

static int
read_options(struct svc *s, int argc, char **argv)
{
	const struct opt rows[] = {
	    {"bus", OPT_STR, &s->bus, "tcp://127.0.0.1:5570", 0, 0, 0,
		"endpoint of the broker, tcp://host:port or ipc://path"},
	    {"key", OPT_STR, &s->key, "", 0, 0, 0,
		"file of this process's keys (taxi keys new), where the broker asks for one"},
	    {"broker-key", OPT_STR, &s->broker_key, "", 0, 0, 0,
		"the broker's public key, or a file that holds it"},
	    {"log-level", OPT_STR, &s->log_level, "info", 0, 0, 0, "debug, info, warn or error"},
	    {"ready-fd", OPT_INT, &s->ready_fd, "-1", -1, INT32_MAX, 0,
		"write a newline to this fd when ready"},
	    {"drain-ms", OPT_INT, &s->drain_ms, "10000", 0, 3600000, 0,
		"how long SIGTERM waits for work under way"},
	    {"instance", OPT_STR, &s->instance, "", 0, 0, 0,
		"tells processes of one name apart in logs and listings"},
	    {"max-pending", OPT_INT, &s->max_pending, "64m", 1024 * 1024, INT64_C(1) << 40, 0,
		"bytes of calls that may wait for their answer"},
	};
	const size_t n = sizeof rows / sizeof *rows;
	struct opt *own = xcalloc(n, sizeof *own);
	char *usage =
	    xasprintf("%s [options]\n\n%s", s->spec->name, s->spec->about ? s->spec->about : "");
	int got;

	memcpy(own, rows, sizeof rows);
	s->ntables = s->spec->noptions + 1;
	s->tables = xcalloc(s->ntables, sizeof *s->tables);
	for (size_t i = 0; i < s->spec->noptions; i++)
		s->tables[i] = s->spec->options[i];
	s->tables[s->ntables - 1] = (struct opt_table){"TAXI_", "Every process", own, n};
	got = opt_parse(s->tables, s->ntables, usage, argc, argv, NULL);
	free(usage);
	return got;
}

static int
use_keys(const struct svc *s)
{
	char why[KEYS_WHY];

	if (keys_use(s->key, s->broker_key, why) == 0)
		return 0;
	log_error("bad_option", LOG_S("option", "--key, --broker-key"), LOG_S("reason", why));
	return EXIT_NORESTART + 1;
}

/* 0, or the exit code plus one (so that --help's 0 ends too). */
static int
configure(struct svc *s, int argc, char **argv)
{
	int got = read_options(s, argc, argv), level;

	if (got != 0)
		return got > 0 ? 1 : EXIT_NORESTART + 1;
	level = log_level_of(s->log_level);
	if (level < 0) {
		log_error("bad_option", LOG_S("option", "--log-level"),
		    LOG_S("expected", "debug, info, warn or error"));
		return EXIT_NORESTART + 1;
	}
	if (!sock_is_endpoint(s->bus)) {
		log_error("bad_option", LOG_S("option", "--bus"), LOG_S("value", s->bus),
		    LOG_S("expected", "tcp://host:port or ipc://path"));
		return EXIT_NORESTART + 1;
	}
	if (*s->instance)
		s->log_name = xasprintf("%s/%s", s->spec->name, s->instance);
	log_init(s->log_name ? s->log_name : s->spec->name, (enum log_level)level);
	return use_keys(s);
}

void
svc_check_ready(struct svc *s)
{
	ssize_t n;

	if (s->phase != SVC_RUNNING || s->ready_fd < 0 || !worker_is_live(s->worker) ||
	    (s->spec->ready && !s->spec->ready(s->state)))
		return;
	n = write((int)s->ready_fd, "\n", 1);
	if (n != 1)
		log_warn("ready_fd_failed", LOG_I("fd", s->ready_fd), LOG_ERRNO());
	(void)close((int)s->ready_fd);
	s->ready_fd = -1;
	log_info("ready");
}

static void
on_change(void *arg)
{
	svc_check_ready(arg);
}

static void
on_waiting(struct timer *t)
{
	struct svc *s = LIST_ITEM(t, struct svc, waiting);

	if (link_is_up(s->link))
		return;
	log_warn("waiting_for_broker", LOG_S("endpoint", s->bus));
	loop_timer(s->loop, &s->waiting, loop_now(s->loop) + WAITING_AGAIN_MS);
}

static void
end(struct svc *s)
{
	loop_timer_clear(s->loop, &s->drain_poll);
	loop_stop(s->loop);
}

static void
on_up(void *arg)
{
	struct svc *s = arg;
	int code;

	loop_timer_clear(s->loop, &s->waiting);
	if (s->phase != SVC_STARTING)
		return;
	s->phase = SVC_RUNNING;
	svc_sys_describe(s);
	code = s->spec->start ? s->spec->start(s->state, s) : 0;
	if (code != 0) {
		log_error("start_failed", LOG_I("code", code));
		s->code = code;
		end(s);
		return;
	}
	svc_sys_subscribe(s);
}

static void
on_down(void *arg)
{
	struct svc *s = arg;

	loop_timer(s->loop, &s->waiting, loop_now(s->loop) + WAITING_FIRST_MS);
}

static bool
is_idle(struct svc *s)
{
	return worker_in_hand(s->worker) == 0 && worker_is_flushed(s->worker) &&
	       client_pending(s->client) == 0 && (s->spec->idle == NULL || s->spec->idle(s->state));
}

static void
on_flushed(void *arg, const struct env *e)
{
	struct svc *s = arg;

	log_info("drained", LOG_S("answer", env_verb_name(e->verb)));
	end(s);
}

/* The socket closes without lingering: the broker's answer to this BYE says that all before it
 * arrived. */
static void
flush(struct svc *s)
{
	struct env e;

	s->phase = SVC_FLUSHING;
	env_init(&e, ENV_BYE, span_str(""), NULL);
	if (!link_is_up(s->link) || client_call(s->client, &e, FLUSH_MS, on_flushed, s) != ERR_OK)
		end(s);
}

static void
on_drain_poll(struct timer *t)
{
	struct svc *s = LIST_ITEM(t, struct svc, drain_poll);
	int64_t now = loop_now(s->loop);

	if (s->phase == SVC_FLUSHING)
		return;
	if (is_idle(s)) {
		flush(s);
		return;
	}
	if (now >= s->drain_by_ms) {
		log_warn("drain_timeout", LOG_U("in_hand", worker_in_hand(s->worker)),
		    LOG_U("pending", client_pending(s->client)));
		flush(s);
		return;
	}
	loop_timer(s->loop, &s->drain_poll, now + DRAIN_POLL_MS);
}

void
svc_stop(struct svc *s, int code)
{
	enum svc_phase was;

	if (svc_is_draining(s))
		return;
	s->code = code;
	log_info("draining", LOG_I("code", code), LOG_I("at_most_ms", s->drain_ms));
	was = s->phase;
	s->phase = SVC_DRAINING;
	if (was == SVC_RUNNING && s->spec->drain)
		s->spec->drain(s->state);
	s->drain_by_ms = loop_now(s->loop) + s->drain_ms;
	if (s->worker)
		worker_bye(s->worker);
	loop_timer(s->loop, &s->drain_poll, loop_now(s->loop));
}

static void
on_signal(void *arg, short revents)
{
	struct svc *s = arg;
	struct signalfd_siginfo info;

	(void)revents;
	if (read(s->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	log_info("signal", LOG_U("signo", info.ssi_signo), LOG_U("from_pid", info.ssi_pid));
	if (svc_is_draining(s)) {
		end(s);
	} else {
		svc_stop(s, 0);
	}
}

static void
watch_signals(struct svc *s)
{
	sigset_t set;

	(void)sigemptyset(&set);
	(void)sigaddset(&set, SIGTERM);
	(void)sigaddset(&set, SIGINT);
	s->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (s->signal_fd == -1)
		die(EXIT_AGAIN, "signalfd: %s", strerror(errno));
	s->signal_watch = loop_fd(s->loop, s->signal_fd, ZMQ_POLLIN, on_signal, s);
}

static void
connect_bus(struct svc *s)
{
	s->link = link_new(s->loop, s->bus);
	s->client = client_new(s->link, (size_t)s->max_pending);
	s->worker = worker_new(s->client);
	worker_on_change(s->worker, on_change, s);
	link_listen(s->link, &(struct link_ops){.up = on_up, .down = on_down, .arg = s});
	s->waiting.fn = on_waiting;
	loop_timer(s->loop, &s->waiting, loop_now(s->loop) + WAITING_FIRST_MS);
}

static void
release(struct svc *s)
{
	worker_free(s->worker);
	client_free(s->client);
	link_free(s->link);
	if (s->loop) {
		loop_fd_end(s->signal_watch);
		(void)close(s->signal_fd);
	}
	loop_free(s->loop);
	if (s->tables) {
		const struct opt *own = s->tables[s->ntables - 1].rows;

		free((void *)(uintptr_t)own);
	}
	free(s->tables);
	log_init(s->spec->name, LOG_INFO); /* it kept the longer name */
	free(s->log_name);
}

int
svc_main(int argc, char **argv, const struct svc_spec *spec, void *state)
{
	struct svc s = {.spec = spec, .state = state};
	int code;

	sock_process_init();
	log_init(spec->name, LOG_INFO);
	code = configure(&s, argc, argv);
	if (code != 0) {
		release(&s);
		return code - 1;
	}
	s.loop = loop_new();
	s.started_ms = loop_now(s.loop);
	s.drain_poll.fn = on_drain_poll;
	watch_signals(&s);
	code = spec->open ? spec->open(state, &s) : 0;
	if (code == 0) {
		connect_bus(&s);
		log_info("started", LOG_S("version", TAXI_VERSION), LOG_S("bus", s.bus));
		(void)loop_run(s.loop);
		client_end(s.client);
		code = s.code;
	}
	if (spec->close)
		spec->close(state);
	log_info("ended", LOG_I("code", code));
	release(&s);
	return code;
}

struct loop *
svc_loop(struct svc *s)
{
	return s->loop;
}

struct client *
svc_client(struct svc *s)
{
	return s->client;
}

struct worker *
svc_worker(struct svc *s)
{
	return s->worker;
}

const char *
svc_name(const struct svc *s)
{
	return s->spec->name;
}

const char *
svc_instance(const struct svc *s)
{
	return s->instance;
}

bool
svc_is_draining(const struct svc *s)
{
	return s->phase == SVC_DRAINING || s->phase == SVC_FLUSHING;
}

const char *
svc_endpoint(const struct svc *s)
{
	return s->bus;
}

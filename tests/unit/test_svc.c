#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "base/list.h"
#include "proto/doc.h"
#include "proto/svc.h"
#include "tests/unit/check.h"
#include "tests/unit/fake_broker.h"

/* A service with one request topic, whose broker lives on its own loop. */
struct state {
	struct svc *svc;
	struct fake broker;
	char trail[32];
	size_t n;
	int open_code, start_code;
	bool no_broker, hold; /* hold: the request is kept when SIGTERM comes */
	bool busy;            /* idle() says no */
	bool impatient;       /* a second SIGTERM follows the first */
	bool ready_later;
	struct worker_msg *held;
	struct timer poke;
	bool poked;
	unsigned byes, answers;
	uint8_t *info, *stats; /* bodies of the answers */
	size_t info_n, stats_n;
};

static const char *secret, *flavour;
static int ready_pipe[2];
static const uint8_t ping_id[16] = {1}, info_id[16] = {2}, stats_id[16] = {3}, own_id[16] = {4};

static void
mark(struct state *st, char c)
{
	if (st->n + 1 < sizeof st->trail)
		st->trail[st->n++] = c;
	st->trail[st->n] = '\0';
}

static bool
is_ready_written(void)
{
	char c;

	return read(ready_pipe[0], &c, 1) == 1 && c == '\n';
}

static void
ask(struct fake *f, const char *topic, const uint8_t id[16])
{
	struct env e, head;
	struct buf inner;

	buf_init(&inner, LIMIT_HEADER);
	env_init(&e, ENV_REQ, span_str(topic), id);
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str(topic), id);
	env_set_u(&head, ENV_M_LEFT, 5000);
	fake_deliver(f, &head, buf_span(&inner));
	buf_fini(&inner);
}

static void
copy_body(const struct env *e, uint8_t **p, size_t *n)
{
	free(*p);
	*p = malloc(e->body.n);
	*n = e->body.n;
	if (*p)
		memcpy(*p, e->body.p, e->body.n);
}

static void
on_answer(struct state *st, const struct env *e)
{
	st->answers++;
	if (memcmp(e->id, info_id, 16) == 0)
		copy_body(e, &st->info, &st->info_n);
	if (memcmp(e->id, stats_id, 16) == 0)
		copy_body(e, &st->stats, &st->stats_n);
	/* ping, info and stats are known: the end may come. */
	if (st->answers == 3 && !st->hold)
		(void)kill(getpid(), SIGTERM);
	if (memcmp(e->id, own_id, 16) == 0)
		mark(st, 'a');
}

static void
on_heard(struct fake *f, const struct env *e)
{
	struct state *st = f->arg;

	if (e->verb == ENV_BYE)
		mark(st, st->byes++ == 0 ? 'b' : 'B');
	if (e->verb == ENV_SUB || e->verb == ENV_BYE)
		fake_answer(f, ENV_OK, e->id);
	if (e->verb == ENV_REP)
		on_answer(st, e);
}

/* Watches for what happens outside of any callback of the service. */
static void
on_poke(struct timer *t)
{
	struct state *st = LIST_ITEM(t, struct state, poke);

	if (st->no_broker) {
		(void)kill(getpid(), SIGTERM);
		return;
	}
	if (!st->poked && is_ready_written()) {
		st->poked = true;
		mark(st, 'r');
		if (st->hold) {
			ask(&st->broker, "q.own", own_id);
		} else {
			ask(&st->broker, "sys.ping.test-svc", ping_id);
			ask(&st->broker, "sys.info.test-svc", info_id);
			ask(&st->broker, "sys.stats.test-svc", stats_id);
		}
	}
	if (st->ready_later) {
		st->ready_later = false;
		svc_check_ready(st->svc);
	}
	loop_timer(svc_loop(st->svc), t, loop_now(svc_loop(st->svc)) + 2);
}

static int
on_open(void *state, struct svc *s)
{
	struct state *st = state;

	mark(st, 'o');
	st->svc = s;
	CHECK(svc_client(s) == NULL && svc_worker(s) == NULL);
	if (st->open_code != 0)
		return st->open_code;
	st->broker.loop = svc_loop(s);
	(void)snprintf(st->broker.endpoint, sizeof st->broker.endpoint, "%s", svc_endpoint(s));
	st->broker.on = on_heard;
	st->broker.arg = st;
	if (!st->no_broker)
		fake_start(&st->broker);
	st->poke.fn = on_poke;
	loop_timer(svc_loop(s), &st->poke, loop_now(svc_loop(s)) + 2);
	return 0;
}

static void
on_request(void *arg, struct worker_msg *m)
{
	struct state *st = arg;

	st->held = m;
	(void)kill(getpid(), SIGTERM);
}

static int
on_start(void *state, struct svc *s)
{
	struct state *st = state;

	mark(st, 's');
	if (st->start_code == 0)
		(void)worker_sub(svc_worker(s),
		    &(struct worker_sub_spec){
			.pattern = "q.own", .serve = true, .msg = on_request, .arg = st});
	return st->start_code;
}

static void
let_go(void *arg)
{
	struct state *st = arg;
	struct env rep;

	env_init(&rep, ENV_REP, span_str(""), NULL);
	worker_reply(st->held, &rep);
	st->held = NULL;
}

static void
on_drain(void *state)
{
	struct state *st = state;

	mark(st, 'd');
	CHECK(svc_is_draining(st->svc));
	if (st->impatient)
		(void)kill(getpid(), SIGTERM);
	if (st->held)
		loop_later(svc_loop(st->svc), let_go, st);
}

static bool
on_idle(void *state)
{
	const struct state *st = state;

	return !st->busy;
}

static void
on_close(void *state)
{
	struct state *st = state;

	mark(st, 'c');
	if (svc_loop(st->svc)) {
		loop_timer_clear(svc_loop(st->svc), &st->poke);
		fake_stop(&st->broker);
	}
}

static unsigned
on_stats(void *state, struct buf *out)
{
	(void)state;
	mp_put_cstr(out, "plates");
	mp_put_u64(out, 96);
	return 1;
}

static bool
on_ready(void *state)
{
	const struct state *st = state;

	return !st->ready_later;
}

static const struct opt rows[] = {
    {"flavour", OPT_STR, &flavour, "vanilla", 0, 0, 0, "which"},
    {"password", OPT_STR, &secret, "hush", 0, 0, OPT_SECRET, "secret"},
};
static const struct opt_table tables[] = {{"TEST_SVC_", "Test", rows, 2}};
static const struct svc_spec spec = {
    .name = "test-svc",
    .about = "a service under test",
    .options = tables,
    .noptions = 1,
    .api_json = "{\"openapi\":\"3.1.0\"}",
    .open = on_open,
    .start = on_start,
    .drain = on_drain,
    .idle = on_idle,
    .close = on_close,
    .stats = on_stats,
    .ready = on_ready,
};

static int
run(struct state *st, const char *extra)
{
	char bus[64], fd[32];
	char *argv[] = {(char[]){"test-svc"}, (char[]){"--bus"}, bus, (char[]){"--ready-fd"}, fd,
	    (char[]){"--instance"}, (char[]){"7"}, NULL, NULL};

	(void)snprintf(bus, sizeof bus, "ipc://@taxi-svc-%d", (int)getpid());
	if (pipe2(ready_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
		CHECK(!"a pipe");
	(void)snprintf(fd, sizeof fd, "%d", ready_pipe[1]);
	if (extra) {
		argv[7] = strdup(extra);
		if (argv[7] == NULL)
			CHECK(!"memory");
	}
	st->svc = NULL;
	int code = svc_main(extra ? 8 : 7, argv, &spec, st);
	free(argv[7]);
	(void)close(ready_pipe[0]);
	(void)close(ready_pipe[1]); /* EBADF when the service closed it */
	return code;
}

static void
test_life(void)
{
	struct state st = {.ready_later = true};
	const msgpack_object *settings, *o;
	struct doc d;

	CHECK(run(&st, NULL) == 0);
	CHECK_STR(st.trail, "osrdbBc");
	CHECK(st.byes == 2); /* the second one is the flush */

	CHECK(doc_parse(&d, span_of(st.info, st.info_n)) == 0);
	CHECK(span_is(doc_str(&d.root, "name"), "test-svc"));
	CHECK(span_is(doc_str(&d.root, "version"), TAXI_VERSION));
	CHECK(span_is(doc_str(&d.root, "instance"), "7"));
	CHECK(doc_i64(&d.root, "pid", 0) == getpid());
	settings = doc_get(&d.root, "settings");
	CHECK(span_is(doc_str(settings, "flavour"), "vanilla"));
	CHECK(doc_get(settings, "password") == NULL);
	CHECK(doc_i64(settings, "drain-ms", 0) == 10000);
	CHECK(doc_i64(doc_get(&d.root, "limits"), "frame", 0) == LIMIT_FRAME);
	doc_fini(&d);

	CHECK(doc_parse(&d, span_of(st.stats, st.stats_n)) == 0);
	CHECK(doc_i64(doc_get(&d.root, "counters"), "plates", 0) == 96);
	o = doc_get(&d.root, "subs");
	CHECK(o && o->type == MSGPACK_OBJECT_ARRAY && o->via.array.size == 5);
	CHECK(doc_i64(doc_get(&d.root, "worker"), "inHand", 0) == 1); /* the one asking */
	CHECK(doc_get(doc_get(&d.root, "loop"), "maxCallbackUs") != NULL);
	doc_fini(&d);
	free(st.info);
	free(st.stats);
}

/* What is in hand when SIGTERM comes is answered, and the answer arrives before the end. */
static void
test_drain(void)
{
	struct state st = {.hold = true};

	CHECK(run(&st, NULL) == 0);
	CHECK_STR(st.trail, "osrdbaBc");
}

static void
test_drain_has_an_end(void)
{
	struct state st = {.busy = true};

	CHECK(run(&st, "--drain-ms=30") == 0);
	CHECK_STR(st.trail, "osrdbBc");
	free(st.info);
	free(st.stats);
}

static void
test_a_second_signal_ends_at_once(void)
{
	struct state st = {.busy = true, .impatient = true};

	CHECK(run(&st, NULL) == 0); /* --drain-ms is 10 s, but nobody waits for it */
	CHECK(strncmp(st.trail, "osrd", 4) == 0);
	CHECK(st.byes < 2); /* no flush */
	free(st.info);
	free(st.stats);
}

static void
test_no_broker(void)
{
	struct state st = {.no_broker = true};

	CHECK(run(&st, NULL) == 0);
	CHECK_STR(st.trail, "oc");
}

static void
test_failures(void)
{
	struct state st = {.open_code = EXIT_AGAIN};

	CHECK(run(&st, NULL) == EXIT_AGAIN);
	CHECK_STR(st.trail, "oc");
	st = (struct state){.start_code = EXIT_NORESTART};
	CHECK(run(&st, NULL) == EXIT_NORESTART);
	CHECK_STR(st.trail, "osc");
	st = (struct state){.start_code = 0};
	CHECK(run(&st, "--no-such-option") == EXIT_NORESTART);
	CHECK(run(&st, "--log-level=loud") == EXIT_NORESTART);
	CHECK(run(&st, "--bus=somewhere") == EXIT_NORESTART);
	CHECK_STR(st.trail, "");
	CHECK(run(&st, "--help") == 0);
}

int
main(void)
{
	test_life();
	test_drain();
	test_drain_has_an_end();
	test_a_second_signal_ends_at_once();
	test_no_broker();
	test_failures();
	return check_done();
}

#include <stdlib.h>

#include "base/uuid.h"
#include "proto/client.h"
#include "tests/unit/check.h"
#include "tests/unit/fake_broker.h"

#define MAX_PENDING (256u * 1024)

static struct fake broker;
static struct loop *loop;
static struct link *link_;
static struct client *client;

/* What became of a call.  `ends` must be 1 in the end, and never 0 or 2. */
struct end {
	unsigned ends, parts;
	enum env_verb verb;
	enum err code;
	char text[128];
	uint8_t id[16];
};

static unsigned ended;
static bool inside_call, ended_inside;

static void
on_done(void *arg, const struct env *e)
{
	struct end *end = arg;
	struct span text;

	ended++;
	ended_inside |= inside_call;
	end->ends++;
	end->verb = e->verb;
	memcpy(end->id, e->id, 16);
	end->code = e->verb == ENV_ERR ? env_err_code(e) : ERR_OK;
	text = e->verb == ENV_ERR ? env_err_text(e) : span_str("");
	(void)snprintf(end->text, sizeof end->text, "%.*s", (int)text.n, (const char *)text.p);
}

static void
on_part(void *arg, const struct env *e)
{
	struct end *end = arg;

	(void)e;
	end->parts++;
}

static enum err
call(struct env *e, int64_t timeout_ms, struct end *end)
{
	enum err err;

	*end = (struct end){.ends = 0};
	inside_call = true;
	err = client_call(client, e, timeout_ms, on_done, end);
	inside_call = false;
	return err;
}

static enum err
call_topic(enum env_verb verb, const char *topic, bool again, int64_t timeout_ms, struct end *end)
{
	struct env e;

	env_init(&e, verb, span_str(topic), NULL);
	if (again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	return call(&e, timeout_ms, end);
}

static unsigned want;

static bool
has_ended(void)
{
	return ended >= want;
}

static bool
ends(unsigned n)
{
	want = n;
	return run_until(loop, has_ended);
}

/* What the broker heard, and what it does with it. */
static struct {
	unsigned n;
	uint8_t id[16][16];
	enum env_verb verb[16];
	uint64_t ttl[16], count[16];
	enum { SILENT, OK, REP, ERR, PARTS } answer;
} heard;

static void
on_heard(struct fake *f, const struct env *e)
{
	unsigned i = heard.n++ % 16;

	memcpy(heard.id[i], e->id, 16);
	heard.verb[i] = e->verb;
	heard.ttl[i] = env_u(e, ENV_M_TTL, 0);
	heard.count[i] = env_u(e, ENV_M_N, 0);
	if (heard.answer == OK)
		fake_answer(f, ENV_OK, e->id);
	else if (heard.answer == REP)
		fake_answer(f, ENV_REP, e->id);
	else if (heard.answer == ERR)
		fake_err(f, e->id, ERR_NO_WORKERS, "nobody serves this");
}

static unsigned want_heard;

static bool
has_heard(void)
{
	return heard.n >= want_heard;
}

static bool
hears(unsigned n)
{
	want_heard = n;
	return run_until(loop, has_heard);
}

static bool
is_up(void)
{
	return link_is_up(link_);
}

static void
fresh(void)
{
	ended = 0;
	ended_inside = false;
	heard.n = 0;
	heard.answer = SILENT;
}

static uint64_t generation;

static bool
has_new_session(void)
{
	return link_generation(link_) > generation && link_is_up(link_);
}

static void
restart(void)
{
	generation = link_generation(link_);
	fake_stop(&broker);
	fake_start(&broker);
	CHECK(run_until(loop, has_new_session));
}

static void
test_answer(void)
{
	struct end pub, req;

	fresh();
	heard.answer = OK;
	CHECK(call_topic(ENV_PUB, "a.b", false, 0, &pub) == ERR_OK);
	CHECK(client_pending(client) == 1);
	CHECK(ends(1));
	CHECK(pub.ends == 1 && pub.verb == ENV_OK);
	heard.answer = REP;
	CHECK(call_topic(ENV_REQ, "a.b", false, 4000, &req) == ERR_OK);
	CHECK(ends(2));
	CHECK(req.ends == 1 && req.verb == ENV_REP);
	CHECK(heard.ttl[1] == 4000);
	CHECK(!ended_inside);
	CHECK(client_pending(client) == 0);
	CHECK(client_pending_bytes(client) == 0);
}

static void
test_error(void)
{
	struct end req;

	fresh();
	heard.answer = ERR;
	CHECK(call_topic(ENV_REQ, "a.b", false, 0, &req) == ERR_OK);
	CHECK(ends(1));
	CHECK(req.ends == 1 && req.verb == ENV_ERR && req.code == ERR_NO_WORKERS);
	CHECK_STR(req.text, "nobody serves this");
	CHECK(heard.ttl[0] == DEFAULT_TTL_MS);
}

static void
test_deadline(void)
{
	uint64_t late = client_stats(client).late;
	struct end req, pub;

	fresh();
	CHECK(call_topic(ENV_REQ, "a.b", false, 20, &req) == ERR_OK);
	CHECK(call_topic(ENV_PUB, "a.b", false, 20, &pub) == ERR_OK);
	CHECK(ends(2));
	CHECK(req.ends == 1 && req.code == ERR_TIMEOUT);
	CHECK(pub.ends == 1 && pub.code == ERR_TIMEOUT);
	CHECK(hears(3));
	CHECK(heard.verb[2] == ENV_CANCEL);
	CHECK(memcmp(heard.id[2], heard.id[0], 16) == 0);
	/* An answer after the end finds nobody. */
	fake_answer(&broker, ENV_REP, heard.id[0]);
	heard.answer = OK;
	CHECK(call_topic(ENV_PUB, "a.b", false, 0, &pub) == ERR_OK);
	CHECK(ends(3));
	CHECK(req.ends == 1);
	CHECK(client_stats(client).late == late + 1);
}

static void
test_refusals(void)
{
	struct end first, end;
	struct env e;
	uint8_t *big = calloc(1, LIMIT_FRAME + 16);
	struct buf body;

	fresh();
	CHECK(call_topic(ENV_PUB, "a..b", false, 0, &end) == ERR_BAD_TOPIC);
	CHECK(call_topic(ENV_PUB, "a.>", false, 0, &end) == ERR_BAD_TOPIC);
	CHECK(call_topic(ENV_REQ, "", false, 0, &end) == ERR_BAD_TOPIC);
	CHECK(call_topic(ENV_SUB, "a.>.b", false, 0, &end) == ERR_BAD_TOPIC);

	buf_init(&body, LIMIT_FRAME + 1024);
	mp_put_bin(&body, span_of(big, LIMIT_FRAME - 8));
	env_init(&e, ENV_PUB, span_str("a.b"), NULL);
	e.body = buf_span(&body);
	CHECK(call(&e, 0, &end) == ERR_TOO_BIG);
	buf_reset(&body);
	mp_put_bin(
	    &body, span_of(big, MAX_PENDING)); /* alone over the bound: waiting would not help */
	e.body = buf_span(&body);
	CHECK(call(&e, 0, &end) == ERR_TOO_BIG);

	env_init(&e, ENV_PUB, span_str("a.b"), NULL);
	CHECK(call(&e, 0, &first) == ERR_OK);
	CHECK(e.id[6] >> 4 == 7); /* a UUIDv7, written back */
	CHECK(call(&e, 0, &end) == ERR_CONFLICT);
	CHECK(hears(1));
	fake_answer(&broker, ENV_OK, e.id);
	CHECK(ends(1));
	CHECK(call(&e, 0, &first) == ERR_OK); /* no longer pending: the broker judges */
	CHECK(hears(2));
	fake_answer(&broker, ENV_OK, e.id);
	CHECK(ends(2));
	CHECK(end.ends == 0);
	buf_fini(&body);
	free(big);
}

static void
test_the_bound_is_reached(void)
{
	static struct end end[64];
	uint64_t busy = client_stats(client).refused_busy;
	uint8_t bytes[16 * 1024] = {0};
	struct buf body;
	unsigned n = 0;
	enum err err = ERR_OK;

	fresh();
	buf_init(&body, sizeof bytes + 64);
	mp_put_bin(&body, span_of(bytes, sizeof bytes));
	while (n < 64 && err == ERR_OK) {
		struct env e;

		env_init(&e, ENV_PUB, span_str("a.b"), NULL);
		e.body = buf_span(&body);
		err = call(&e, 0, &end[n]);
		n += err == ERR_OK;
	}
	CHECK(err == ERR_BUSY);
	CHECK(n > 10 && n < 16);
	CHECK(client_pending_bytes(client) <= MAX_PENDING);
	CHECK(client_stats(client).refused_busy == busy + 1);
	/* A restart sends all of them again, under the ids they had. */
	CHECK(hears(n));
	heard.n = 0;
	heard.answer = OK;
	restart();
	CHECK(ends(n));
	CHECK(heard.n == n);
	for (unsigned i = 0; i < n; i++)
		if (end[i].ends != 1 || end[i].verb != ENV_OK ||
		    memcmp(heard.id[i], end[i].id, 16) != 0)
			CHECK(!"sent again once, in the old order, and answered");
	CHECK(client_pending_bytes(client) == 0);
	buf_fini(&body);
}

static void
test_resend(void)
{
	struct end pub, batch, once, again;
	uint8_t id[4][16];

	fresh();
	CHECK(call_topic(ENV_PUB, "a.b", false, 0, &pub) == ERR_OK);
	CHECK(call_topic(ENV_REQ, "a.b", false, 20000, &once) == ERR_OK);
	CHECK(call_topic(ENV_BATCH, "", false, 0, &batch) == ERR_OK);
	CHECK(call_topic(ENV_REQ, "a.b", true, 20000, &again) == ERR_OK);
	CHECK(hears(4));
	memcpy(id, heard.id, sizeof id);
	CHECK(heard.ttl[3] == 20000);
	heard.n = 0;
	restart();
	CHECK(ends(1));
	CHECK(once.ends == 1 && once.code == ERR_WORKER_LOST);
	CHECK(hears(3));
	CHECK(heard.verb[0] == ENV_PUB && memcmp(heard.id[0], id[0], 16) == 0);
	CHECK(heard.verb[1] == ENV_BATCH && memcmp(heard.id[1], id[2], 16) == 0);
	CHECK(heard.verb[2] == ENV_REQ && memcmp(heard.id[2], id[3], 16) == 0);
	CHECK(heard.ttl[2] > 0 && heard.ttl[2] < 20000); /* what is left */
	for (unsigned i = 0; i < 3; i++)
		fake_answer(&broker, i < 2 ? ENV_OK : ENV_REP, heard.id[i]);
	CHECK(ends(4));
	CHECK(pub.ends == 1 && batch.ends == 1 && again.ends == 1 && once.ends == 1);
	CHECK(pub.verb == ENV_OK && batch.verb == ENV_OK && again.verb == ENV_REP);
}

static bool
is_down(void)
{
	return !link_is_up(link_);
}

/* Calls made while there is no broker wait in order, and keep their deadline. */
static void
test_waiting(void)
{
	struct end a, b, late, sub;

	fresh();
	broker.mute = true;
	CHECK(run_until(loop, is_down));
	heard.n = 0;
	CHECK(call_topic(ENV_PUB, "a.a", false, 0, &a) == ERR_OK);
	CHECK(call_topic(ENV_REQ, "a.late", true, 10, &late) == ERR_OK);
	CHECK(call_topic(ENV_REQ, "a.b", false, 20000, &b) == ERR_OK);
	CHECK(call_topic(ENV_SUB, "a.>", false, 0, &sub) == ERR_OK);
	CHECK(ends(1));
	CHECK(late.ends == 1 && late.code == ERR_BUSY); /* certainly not executed */
	CHECK_STR(late.text, "not sent: there was no connection to the broker in time");
	CHECK(heard.n == 0);
	broker.mute = false;
	heard.answer = OK;
	CHECK(run_until(loop, is_up));
	CHECK(ends(4));
	CHECK(heard.n == 3);
	CHECK(heard.verb[0] == ENV_PUB && heard.verb[1] == ENV_REQ && heard.verb[2] == ENV_SUB);
	CHECK(heard.ttl[1] < 20000);
	CHECK(a.ends == 1 && b.ends == 1 && sub.ends == 1);
}

static void
test_cancel(void)
{
	struct end req;
	struct env e;

	fresh();
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	CHECK(call(&e, 0, &req) == ERR_OK);
	CHECK(hears(1));
	client_cancel(client, e.id);
	CHECK(req.ends == 0); /* not from inside */
	client_cancel(client, e.id);
	CHECK(ends(1));
	CHECK(req.ends == 1 && req.code == ERR_GONE);
	CHECK(hears(2));
	CHECK(heard.verb[1] == ENV_CANCEL && memcmp(heard.id[1], e.id, 16) == 0);
}

static void
send_part(const uint8_t id[16], unsigned n, bool more)
{
	struct env e;

	env_init(&e, ENV_REP, span_str(""), id);
	if (more)
		env_set_u(&e, ENV_M_MORE, 1);
	env_set_u(&e, ENV_M_PART, n);
	fake_send_env(&broker, &e);
}

static struct end stream;

static bool
has_two_parts(void)
{
	return stream.parts >= 2;
}

static void
test_stream(void)
{
	struct env e;

	fresh();
	stream = (struct end){.ends = 0};
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	env_set_u(&e, ENV_M_WINDOW, 2);
	CHECK(client_stream(client, &e, 20000, on_part, on_done, &stream) == ERR_OK);
	CHECK(hears(1));
	send_part(e.id, 0, true);
	send_part(e.id, 1, true);
	CHECK(run_until(loop, has_two_parts));
	CHECK(stream.ends == 0);
	client_more(client, e.id, 2);
	CHECK(hears(2));
	CHECK(heard.verb[1] == ENV_MORE && heard.count[1] == 2);
	CHECK(memcmp(heard.id[1], e.id, 16) == 0);
	send_part(e.id, 2, true);
	send_part(e.id, 3, false);
	CHECK(ends(1));
	CHECK(stream.ends == 1 && stream.parts == 3 && stream.verb == ENV_REP);
}

/* The reader is slow: time stands still for the stream until it asks for more. */
static void
test_a_slow_reader_is_no_timeout(void)
{
	struct end other;
	struct env e;

	fresh();
	stream = (struct end){.ends = 0};
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	env_set_u(&e, ENV_M_WINDOW, 2);
	CHECK(client_stream(client, &e, 40, on_part, on_done, &stream) == ERR_OK);
	CHECK(hears(1));
	send_part(e.id, 0, true);
	send_part(e.id, 1, true);
	CHECK(run_until(loop, has_two_parts));
	CHECK(call_topic(ENV_REQ, "a.b", false, 120, &other) == ERR_OK);
	CHECK(ends(1));
	CHECK(other.code == ERR_TIMEOUT && stream.ends == 0);
	client_more(client, e.id, 1); /* now it is the other side's turn */
	CHECK(ends(2));
	CHECK(stream.ends == 1 && stream.code == ERR_TIMEOUT);
	CHECK(hears(5)); /* two REQ, MORE, and a CANCEL for each */
}

static void
test_parts_nobody_takes(void)
{
	struct end req;
	struct env e;

	fresh();
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	CHECK(call(&e, 20000, &req) == ERR_OK);
	CHECK(hears(1));
	send_part(e.id, 0, true);
	CHECK(ends(1));
	CHECK(req.ends == 1 && req.code == ERR_UPSTREAM);
	CHECK(hears(2));
	CHECK(heard.verb[1] == ENV_CANCEL);
}

/* A stream that has begun is not begun again, whatever it said. */
static void
test_a_begun_stream_is_not_repeated(void)
{
	struct env e;

	fresh();
	stream = (struct end){.parts = 1};
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	CHECK(client_stream(client, &e, 20000, on_part, on_done, &stream) == ERR_OK);
	CHECK(hears(1));
	send_part(e.id, 0, true);
	CHECK(run_until(loop, has_two_parts));
	heard.n = 0;
	restart();
	CHECK(ends(1));
	CHECK(stream.ends == 1 && stream.code == ERR_WORKER_LOST);
	CHECK(heard.n == 0);
}

static struct end chain[3];

static void
on_chain(void *arg, const struct env *e)
{
	struct end *end = arg;

	on_done(arg, e);
	if (end < &chain[2])
		CHECK(client_call(client, &(struct env){.verb = ENV_PUB, .topic = span_str("a.b")},
			  0, on_chain, end + 1) == ERR_OK);
}

static void
test_a_callback_may_call(void)
{
	struct env e;

	fresh();
	heard.answer = OK;
	memset(chain, 0, sizeof chain);
	env_init(&e, ENV_PUB, span_str("a.b"), NULL);
	CHECK(client_call(client, &e, 0, on_chain, &chain[0]) == ERR_OK);
	CHECK(ends(3));
	CHECK(chain[0].ends == 1 && chain[1].ends == 1 && chain[2].ends == 1);
}

static void
on_teardown(void *arg, const struct env *e)
{
	struct end again;

	on_done(arg, e);
	CHECK(call_topic(ENV_PUB, "a.b", false, 0, &again) == ERR_DRAINING);
}

static void
test_teardown(void)
{
	struct end req = {.ends = 0}, pub = {.ends = 0}, cancelled = {.ends = 0};
	struct env e;

	fresh();
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	CHECK(client_call(client, &e, 0, on_teardown, &req) == ERR_OK);
	env_init(&e, ENV_PUB, span_str("a.b"), NULL);
	CHECK(client_call(client, &e, 0, on_done, &pub) == ERR_OK);
	env_init(&e, ENV_REQ, span_str("a.b"), NULL);
	CHECK(client_call(client, &e, 0, on_done, &cancelled) == ERR_OK);
	CHECK(hears(3));
	client_cancel(client, e.id);
	client_free(client);
	CHECK(req.ends == 1 && req.code == ERR_DRAINING);
	CHECK(pub.ends == 1 && pub.code == ERR_DRAINING);
	CHECK(cancelled.ends == 1 && cancelled.code == ERR_GONE);
}

int
main(void)
{
	sock_process_init();
	loop = loop_new();
	fake_init(&broker, loop, "client");
	broker.on = on_heard;
	link_ = link_new(loop, broker.endpoint);
	client = client_new(link_, MAX_PENDING);
	CHECK(run_until(loop, is_up));
	test_answer();
	test_error();
	test_deadline();
	test_refusals();
	test_the_bound_is_reached();
	broker.feature = "pack";
	test_resend();
	test_waiting();
	test_cancel();
	test_stream();
	test_a_slow_reader_is_no_timeout();
	test_parts_nobody_takes();
	test_a_begun_stream_is_not_repeated();
	test_a_callback_may_call();
	test_teardown();
	link_free(link_);
	fake_stop(&broker);
	loop_free(loop);
	return check_done();
}

/* A broker gone mad: real frames with some bytes changed, cut or repeated.  Whatever comes, every
 * call ends once, nothing stays in hand, and the link still works afterwards. */
#include <stdlib.h>

#include "base/log.h"
#include "proto/worker.h"
#include "tests/unit/check.h"
#include "tests/unit/fake_broker.h"

#define FRAMES 30000
#define SEEDS 12

static struct fake broker;
static struct loop *loop;
static struct link *link_;
static struct client *client;
static struct worker *worker;
static uint64_t rng = 88172645463325252u;
static struct buf seed[SEEDS];
static unsigned nseeds;
static unsigned calls, ends, parts, msgs;
static uint8_t call_id[16];

static uint64_t
next(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng;
}

static void
add_seed(const struct env *e)
{
	struct buf *b = &seed[nseeds++];

	buf_init(b, LIMIT_FRAME);
	if (env_encode(e, b) != ERR_OK)
		CHECK(!"encoded");
}

static void
add_msg(bool event, uint64_t n)
{
	uint8_t id[16] = {3, (uint8_t)n};
	struct env inner, head;
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	env_init(&inner, event ? ENV_PUB : ENV_REQ, span_str("t.x"), id);
	env_set_s(&inner, ENV_M_KEY, span_str("k"));
	inner.body = span_str("\x81\xa1k\x2a");
	if (env_encode(&inner, &b) != ERR_OK)
		CHECK(!"encoded");
	env_init(&head, ENV_MSG, span_str("t.x"), id);
	if (event) {
		env_set_s(&head, ENV_M_GROUP, span_str("g"));
		env_set_u(&head, ENV_M_SEQ, n);
		env_set_u(&head, ENV_M_TRY, 1);
	} else {
		env_set_u(&head, ENV_M_LEFT, 1000);
	}
	head.body = buf_span(&b);
	add_seed(&head);
	buf_fini(&b);
}

static void
add_seeds(void)
{
	static const uint8_t request_id[16] = {3, 9};
	struct env e;
	struct pack p;

	add_msg(true, 7);
	add_msg(true, 8);
	add_msg(false, 9);
	env_init(&e, ENV_CANCEL, span_str(""), request_id);
	add_seed(&e);
	env_init(&e, ENV_MORE, span_str(""), request_id);
	env_set_u(&e, ENV_M_N, 3);
	add_seed(&e);
	env_init(&e, ENV_OK, span_str(""), call_id);
	env_set_u(&e, ENV_M_SEQ, 12);
	add_seed(&e);
	env_init(&e, ENV_REP, span_str(""), call_id);
	env_set_u(&e, ENV_M_MORE, 1);
	add_seed(&e);
	env_init(&e, ENV_PING, span_str(""), call_id);
	add_seed(&e);
	buf_init(&seed[nseeds], LIMIT_HEADER);
	if (env_encode_err(&seed[nseeds++], call_id, ERR_CONFLICT, "no") != ERR_OK)
		CHECK(!"encoded");
	pack_init(&p);
	for (unsigned i = 0; i < 5; i++)
		pack_add(&p, buf_span(&seed[i]));
	buf_init(&seed[nseeds], LIMIT_FRAME);
	buf_put(&seed[nseeds++], pack_frame(&p).p, pack_frame(&p).n);
	pack_fini(&p);
}

static void call(void);

static void
on_done(void *arg, const struct env *e)
{
	(void)arg;
	(void)e;
	ends++;
	call();
}

static void
on_part(void *arg, const struct env *e)
{
	(void)arg;
	parts++;
	if (next() % 4 == 0)
		client_more(client, e->id, 1);
	else if (next() % 16 == 0)
		client_cancel(client, e->id);
}

static void
call(void)
{
	struct env e;

	env_init(&e, next() % 2 ? ENV_REQ : ENV_PUB, span_str("a.b"), call_id);
	if (client_stream(client, &e, 60000, on_part, on_done, NULL) == ERR_OK)
		calls++;
}

static struct worker_msg *held;

static void
finish(struct worker_msg *m)
{
	struct env rep;

	env_init(&rep, ENV_REP, span_str(""), NULL);
	switch (next() % 8) {
	case 0: worker_ack(m); break;
	case 1: worker_nak(m, 5, "x"); break;
	case 2: worker_reject(m, NULL); break;
	case 3: worker_drop(m); break;
	case 4: worker_fail(m, ERR_INVALID, "x"); break;
	case 5: worker_fail_detail(m, ERR_INVALID, span_str("\x80")); break;
	case 6:
		worker_part(m, &rep);
		worker_extend(m, 10);
		worker_reply(m, &rep);
		break;
	default: worker_reply(m, &rep); break;
	}
}

static void
on_msg(void *arg, struct worker_msg *m)
{
	(void)arg;
	msgs++;
	if (held == NULL && next() % 2) {
		held = m;
		return;
	}
	finish(m);
}

static void
on_cancel(void *arg, struct worker_msg *m)
{
	(void)arg;
	if (m == held) {
		held = NULL;
		finish(m);
	}
}

static const uint8_t last_ping[16] = {77};
static bool through;

static void
on_heard(struct fake *f, const struct env *e)
{
	if (e->verb == ENV_SUB)
		fake_answer(f, ENV_OK, e->id);
	through |= e->verb == ENV_PONG && memcmp(e->id, last_ping, 16) == 0;
}

static bool
is_live(void)
{
	return worker_is_live(worker);
}

static void
send_mutant(void)
{
	const struct buf *s = &seed[next() % nseeds];
	uint8_t bytes[2048];
	size_t n = s->n < sizeof bytes ? s->n : sizeof bytes;

	memcpy(bytes, s->p, n);
	for (uint64_t i = next() % 3; i > 0; i--)
		bytes[next() % n] = (uint8_t)next();
	if (next() % 8 == 0)
		n = next() % n;
	fake_send(&broker, span_of(bytes, n));
}

static struct timer flood;
static unsigned sent;

/* A few at a time, so that neither side's queue is what is tested. */
static void
on_flood(struct timer *t)
{
	for (unsigned i = 0; i < 100 && sent < FRAMES; i++, sent++)
		send_mutant();
	if (held && next() % 4 == 0) {
		struct worker_msg *m = held;

		held = NULL;
		finish(m);
	}
	if (sent < FRAMES)
		loop_timer(loop, t, loop_now(loop));
}

static bool
is_sent(void)
{
	return sent >= FRAMES;
}

/* A PONG that finds the queue full is not kept, so it is asked for more than once. */
static bool
is_through(void)
{
	static unsigned looks;
	struct env e;

	if (!through && looks++ % 100 == 0) {
		env_init(&e, ENV_PING, span_str(""), last_ping);
		fake_send_env(&broker, &e);
	}
	return through;
}

int
main(void)
{
	sock_process_init();
	log_init("test", LOG_ERROR);
	call_id[0] = 42;
	loop = loop_new();
	fake_init(&broker, loop, "hostile");
	broker.on = on_heard;
	broker.feature = "pack";
	link_ = link_new(loop, broker.endpoint);
	client = client_new(link_, 1 << 20);
	worker = worker_new(client);
	(void)worker_sub(
	    worker, &(struct worker_sub_spec){
			.pattern = "t.>", .group = "g", .msg = on_msg, .cancel = on_cancel});
	(void)worker_sub(
	    worker, &(struct worker_sub_spec){
			.pattern = "t.*", .serve = true, .msg = on_msg, .cancel = on_cancel});
	(void)worker_sub(worker, &(struct worker_sub_spec){.pattern = "t.>", .msg = on_msg});
	CHECK(run_until(loop, is_live));
	add_seeds();
	call();
	flood.fn = on_flood;
	loop_timer(loop, &flood, loop_now(loop));
	CHECK(run_until(loop, is_sent));
	CHECK(run_until(loop, is_through)); /* it still answers */
	CHECK(link_bad_frames(link_) > 1000);
	CHECK(msgs > 1000);
	CHECK(calls > 100 && parts > 100);
	printf("# %u calls, %u parts, %u deliveries, %llu bad frames\n", calls, parts, msgs,
	    (unsigned long long)link_bad_frames(link_));
	client_end(client);
	CHECK(ends == calls);
	if (held)
		finish(held);
	CHECK(worker_in_hand(worker) == 0);
	worker_free(worker);
	client_free(client);
	link_free(link_);
	fake_stop(&broker);
	loop_free(loop);
	for (unsigned i = 0; i < nseeds; i++)
		buf_fini(&seed[i]);
	return check_done();
}

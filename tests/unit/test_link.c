#include <stdlib.h>

#include "proto/link.h"
#include "tests/unit/check.h"
#include "tests/unit/fake_broker.h"

static struct fake broker;
static struct link *link_;
static struct loop *loop;
static unsigned ups, downs, ins, readies;
static char trail[64];
static size_t ntrail;
static uint64_t ack_seen; /* `n` of the MOREs that came through */

static void
mark(char c)
{
	if (ntrail + 1 < sizeof trail)
		trail[ntrail++] = c;
	trail[ntrail] = '\0';
}

static void
on_up(void *arg)
{
	(void)arg;
	ups++;
	mark('u');
}

static void
on_down(void *arg)
{
	(void)arg;
	downs++;
	mark('d');
}

static void
on_in(void *arg, const struct env *e, struct span frame)
{
	(void)arg;
	(void)frame;
	ins++;
	if (e->verb == ENV_MORE)
		ack_seen = ack_seen * 10 + env_u(e, ENV_M_N, 0);
}

static void
on_ready(void *arg)
{
	(void)arg;
	readies++;
}

static bool
is_up(void)
{
	return link_is_up(link_);
}

static bool
is_down(void)
{
	return !link_is_up(link_);
}

static unsigned want_ins, want_ups;

static bool
has_ins(void)
{
	return ins >= want_ins;
}

static bool
has_ups(void)
{
	return ups >= want_ups;
}

static uint64_t want_bad;

static bool
has_bad(void)
{
	return link_bad_frames(link_) >= want_bad;
}

static void
put_more(struct buf *out, uint64_t n)
{
	static const uint8_t id[16] = {9};
	struct env e;

	env_init(&e, ENV_MORE, span_str(""), id);
	env_set_u(&e, ENV_M_N, n);
	if (env_encode(&e, out) != ERR_OK)
		CHECK(!"encoded");
}

static int
send_more(uint64_t n)
{
	struct buf b;
	int rc;

	buf_init(&b, LIMIT_HEADER);
	put_more(&b, n);
	rc = link_send(link_, buf_span(&b));
	buf_fini(&b);
	return rc;
}

static void
test_comes_up(void)
{
	CHECK(!link_is_up(link_));
	CHECK(send_more(1) == -1); /* down: nothing is queued */
	CHECK(run_until(loop, is_up));
	CHECK(ups == 1);
	CHECK(downs == 0);
	CHECK(link_generation(link_) == 1);
	CHECK(broker.n[ENV_MORE] == 0);
}

static uint64_t got_n;
static unsigned got;

static void
count_more(struct fake *f, const struct env *e)
{
	(void)f;
	got += e->verb == ENV_MORE;
	if (e->verb == ENV_MORE)
		got_n = got_n * 10 + env_u(e, ENV_M_N, 0);
}

static bool
got_three(void)
{
	return got >= 3;
}

static void
test_sends_one_by_one_without_pack(void)
{
	got = 0;
	got_n = 0;
	broker.on = count_more;
	CHECK(send_more(1) == 0 && send_more(2) == 0 && send_more(3) == 0);
	CHECK(run_until(loop, got_three));
	CHECK(got_n == 123);
	CHECK(broker.n[ENV_PACK] == 0);
}

static void
test_unpacks(void)
{
	struct pack p;
	struct buf b;

	ins = 0;
	pack_init(&p);
	buf_init(&b, LIMIT_HEADER);
	for (uint64_t i = 1; i <= 3; i++) {
		buf_reset(&b);
		put_more(&b, i);
		pack_add(&p, buf_span(&b));
	}
	ack_seen = 0;
	fake_send(&broker, pack_frame(&p));
	want_ins = 3;
	CHECK(run_until(loop, has_ins));
	CHECK(ack_seen == 123);
	CHECK(link_bad_frames(link_) == 0);
	pack_fini(&p);
	buf_fini(&b);
}

/* Bytes that are no envelope, a PACK of what is none, a PACK in a PACK, a message of two frames. */
static void
test_garbage_is_counted(void)
{
	static const uint8_t deep[] = {0x95, 0x01, 0xdd, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t id[16] = {1};
	struct buf b, list;
	struct env e;

	buf_init(&b, LIMIT_FRAME);
	buf_init(&list, LIMIT_FRAME);
	fake_send(&broker, span_str(""));
	fake_send(&broker, span_str("garbage"));
	fake_send(&broker, span_of(deep, sizeof deep));

	env_init(&e, ENV_PACK, span_str(""), id);
	mp_put_u64(&list, 7);
	e.body = buf_span(&list);
	fake_send_env(&broker, &e); /* 4: the body is no array */

	CHECK(env_encode(&e, &b) == ERR_OK);
	buf_reset(&list);
	mp_put_array(&list, 2);
	mp_put_bin(&list, buf_span(&b));
	mp_put_bin(&list, span_str("junk"));
	e.body = buf_span(&list);
	fake_send_env(&broker, &e); /* 5, 6: a PACK in a PACK, and junk */

	CHECK(
	    zmq_send(zsock_resolve(broker.router), broker.peer, broker.peer_n, ZMQ_SNDMORE) != -1);
	CHECK(zmq_send(zsock_resolve(broker.router), "one", 3, ZMQ_SNDMORE) != -1);
	CHECK(zmq_send(zsock_resolve(broker.router), "two", 3, 0) != -1); /* 7 */

	env_init(
	    &e, ENV_PONG, span_str(""), id); /* of no PING of ours: ignored, and no epoch in it */
	fake_send_env(&broker, &e);

	want_bad = 7;
	CHECK(run_until(loop, has_bad));
	ins = 0;
	want_ins = 1;
	env_init(&e, ENV_OK, span_str(""), id);
	fake_send_env(&broker, &e);
	CHECK(run_until(loop, has_ins)); /* and all goes on */
	CHECK(link_bad_frames(link_) == 7);
	CHECK(link_is_up(link_));
	CHECK(ups == 1 && downs == 0);
	buf_fini(&list);
	buf_fini(&b);
}

static bool
has_pong(void)
{
	return broker.n[ENV_PONG] > 0;
}

static void
test_answers_a_ping(void)
{
	static const uint8_t id[16] = {5};
	struct env e;

	env_init(&e, ENV_PING, span_str(""), id);
	fake_send_env(&broker, &e);
	CHECK(run_until(loop, has_pong));
	CHECK(broker.n[ENV_PONG] == 1);
}

static void
test_broker_restart(void)
{
	ntrail = 0;
	fake_stop(&broker);
	broker.feature = "pack";
	fake_start(&broker);
	want_ups = 2;
	CHECK(run_until(loop, has_ups));
	CHECK_STR(trail, "du");
	CHECK(link_generation(link_) == 2);
	CHECK(link_is_up(link_));
}

static void
test_packs_when_the_broker_takes_them(void)
{
	got = 0;
	got_n = 0;
	CHECK(send_more(1) == 0 && send_more(2) == 0 && send_more(3) == 0);
	CHECK(run_until(loop, got_three));
	CHECK(got_n == 123);
	CHECK(broker.n[ENV_PACK] == 1);
}

static bool
got_one(void)
{
	return got >= 1;
}

static void
test_one_alone_is_not_packed(void)
{
	got = 0;
	CHECK(send_more(1) == 0);
	CHECK(run_until(loop, got_one));
	CHECK(broker.n[ENV_PACK] == 1);
}

static unsigned pubs, pub_wrong;

static void
count_pub(struct fake *f, const struct env *e)
{
	(void)f;
	/* The id holds the number, the body n bytes: order and content survive packs and their
	 * limits. */
	pub_wrong += e->verb != ENV_PUB || e->id[0] != pubs % 251;
	pubs++;
}

#define PUBS 600

static bool
got_pubs(void)
{
	return pubs >= PUBS;
}

static void
test_order_over_packs(void)
{
	uint8_t *body = calloc(1, 100000);
	struct buf b;
	struct env e;
	unsigned refused = 0;

	pubs = pub_wrong = 0;
	broker.on = count_pub;
	buf_init(&b, LIMIT_FRAME);
	for (unsigned i = 0; i < PUBS; i++) {
		static const size_t size[] = {10, 70000, 3000, 60000, 100};
		struct buf raw;

		buf_init(&raw, LIMIT_FRAME);
		mp_put_bin(&raw, span_of(body, size[i % 5]));
		env_init(&e, ENV_PUB, span_str("a.b"), NULL);
		e.id[0] = (uint8_t)(i % 251);
		e.body = buf_span(&raw);
		buf_reset(&b);
		refused += env_encode(&e, &b) != ERR_OK;
		refused += link_send(link_, buf_span(&b)) != 0;
		buf_fini(&raw);
	}
	CHECK(refused == 0);
	CHECK(run_until(loop, got_pubs));
	CHECK(pub_wrong == 0);
	buf_fini(&b);
	free(body);
	broker.on = count_more;
}

/* The connection stands, but nobody answers: that is what a stuck or dead broker looks like. */
static void
test_silence_is_loss(void)
{
	ntrail = 0;
	broker.mute = true;
	CHECK(run_until(loop, is_down));
	CHECK_STR(trail, "d");
	CHECK(send_more(1) == -1);
	broker.mute = false;
	want_ups = ups + 1;
	CHECK(run_until(loop, has_ups));
	CHECK_STR(trail, "du");
	CHECK(link_generation(link_) == 3);
}

static bool
is_ready(void)
{
	return readies > 0 && link_is_up(link_);
}

/* More than the socket takes: link_send says no, `ready` says when. */
static void
test_full(void)
{
	unsigned sent = 0;

	readies = 0;
	got = 0;
	broker.feature = NULL;
	fake_stop(&broker);
	fake_start(&broker);
	want_ups = ups + 1;
	CHECK(run_until(loop, has_ups));
	loop_sock_end(loop, broker.router); /* a broker that does not read */
	while (sent < 10000000 && send_more(1) == 0)
		sent++;
	CHECK(sent > 100 && sent < 10000000);
	CHECK(send_more(1) == -1);
	(void)loop_sock(loop, broker.router, fake_readable, &broker);
	CHECK(run_until(loop, is_ready));
	CHECK(got > 0);
}

int
main(void)
{
	const struct link_ops ops = {.up = on_up, .down = on_down, .in = on_in, .ready = on_ready};

	sock_process_init();
	loop = loop_new();
	fake_init(&broker, loop, "link");
	link_ = link_new(loop, broker.endpoint);
	link_listen(link_, &ops);
	test_comes_up();
	test_sends_one_by_one_without_pack();
	test_unpacks();
	test_garbage_is_counted();
	test_answers_a_ping();
	test_broker_restart();
	test_packs_when_the_broker_takes_them();
	test_one_alone_is_not_packed();
	test_order_over_packs();
	test_silence_is_loss();
	test_full();
	link_free(link_);
	fake_stop(&broker);
	loop_free(loop);
	return check_done();
}

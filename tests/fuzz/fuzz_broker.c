/* Any bytes from two peers to a whole broker: its loop, ROUTER and cores, with a journal in memory.
 * Input: [peer:1][length:2, little-endian][frame], again and again.  The broker must go on
 * answering PINGs, and whatever it sends must be an envelope. */
#include <errno.h>
#include <sodium.h>
#include <stdio.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/broker.h"
#include "proto/env.h"
#include "proto/sock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PEERS = 2, AGAIN_MS = 20, HANGS_MS = 20000 };

struct rig {
	struct loop *loop;
	struct broker *broker;
	zsock_t *peer[PEERS];
	bool answered[PEERS];
	struct timer again;
	int64_t began_ms;
};

static const uint8_t last_id[16] = "the last PING..";

static void
say(struct rig *r, int i, struct span frame)
{
	struct span none = {NULL, 0};

	INVARIANT(sock_send(r->peer[i], none, frame) == 0 || zmq_errno() == EAGAIN);
}

static void
ping(struct rig *r, int i)
{
	struct env e;
	struct buf b;

	buf_init(&b, LIMIT_HEADER);
	env_init(&e, ENV_PING, span_str(""), last_id);
	INVARIANT(env_encode(&e, &b) == ERR_OK);
	say(r, i, buf_span(&b));
	buf_fini(&b);
}

static void
look(struct span frame, bool *answered)
{
	struct env e;

	INVARIANT(env_decode(&e, frame, false, NULL) == ERR_OK);
	if (e.verb == ENV_PONG && memcmp(e.id, last_id, 16) == 0)
		*answered = true;
}

static void
on_peer(void *arg)
{
	struct rig *r = arg;
	zmq_msg_t m;

	zmq_msg_init(&m);
	for (int i = 0; i < PEERS; i++) {
		while (zmq_msg_recv(&m, zsock_resolve(r->peer[i]), ZMQ_DONTWAIT) >= 0)
			look(span_of(zmq_msg_data(&m), zmq_msg_size(&m)), &r->answered[i]);
	}
	zmq_msg_close(&m);
	if (r->answered[0] && r->answered[1])
		loop_stop(r->loop);
}

/* A peer that was just given up is a new one with its next word. */
static void
on_again(struct timer *t)
{
	struct rig *r = LIST_ITEM(t, struct rig, again);

	INVARIANT(loop_now(r->loop) - r->began_ms < HANGS_MS);
	for (int i = 0; i < PEERS; i++) {
		if (!r->answered[i])
			ping(r, i);
	}
	loop_timer(r->loop, &r->again, loop_now(r->loop) + AGAIN_MS);
}

static void
open_rig(struct rig *r)
{
	static unsigned n;
	char endpoint[64];
	const struct broker_conf conf = {.bind = endpoint,
	    .feed = "",
	    .max_bytes = 64u << 20,
	    .peer_bytes = 8u << 20,
	    .retain_ms = 3600000,
	    .retain_bytes = 64 << 20,
	    .drain_ms = 100};

	snprintf(endpoint, sizeof endpoint, "inproc://fuzz-%u", n++);
	r->loop = loop_new();
	r->broker = broker_new(r->loop, journal_open_mem(), &conf);
	INVARIANT(r->broker != NULL);
	for (int i = 0; i < PEERS; i++) {
		r->peer[i] = sock_dealer(endpoint, NULL);
		INVARIANT(r->peer[i] != NULL && loop_sock(r->loop, r->peer[i], on_peer, r) == 0);
	}
	r->again.fn = on_again;
	r->began_ms = loop_now(r->loop);
	loop_timer(r->loop, &r->again, r->began_ms + AGAIN_MS);
}

static void
close_rig(struct rig *r)
{
	loop_timer_clear(r->loop, &r->again);
	for (int i = 0; i < PEERS; i++) {
		loop_sock_end(r->loop, r->peer[i]);
		zsock_destroy(&r->peer[i]);
	}
	broker_free(r->broker);
	loop_free(r->loop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool ready;
	struct rig r = {0};

	if (!ready) {
		INVARIANT(sodium_init() >= 0);
		log_init("fuzz", LOG_NOTHING);
		sock_process_init();
		ready = true;
	}
	open_rig(&r);
	for (size_t at = 0; at + 3 <= size;) {
		int i = data[at] % PEERS;
		size_t n = data[at + 1] | (size_t)data[at + 2] << 8;

		at += 3;
		n = n < size - at ? n : size - at;
		say(&r, i, span_of(data + at, n));
		at += n;
	}
	for (int i = 0; i < PEERS; i++)
		ping(&r, i);
	(void)loop_run(r.loop);
	close_rig(&r);
	return 0;
}

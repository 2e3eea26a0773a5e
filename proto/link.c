#include "proto/link.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/uuid.h"
#include "proto/mp.h"
#include "proto/pack.h"
#include "proto/sock.h"

#define LISTENERS 8
#define DRAIN 256
#define DRAIN_US 10000  /* timers and the other sockets want their share */
#define RETRY_FULL_MS 5 /* the socket's queue was full */
#define EAGER_MS 100
#define PING_AGAIN_MS 250 /* while down: a PING went out and no PONG came */
#define BARRED_MS 1000    /* refused for good: how long until the next try */
#define CLOSED_MOST 4     /* handshakes closed without a word, one after another: for good */

struct link {
	struct loop *loop;
	char *endpoint;
	zsock_t *sock, *monitor;
	struct link_ops ops[LISTENERS];
	unsigned nops;
	struct timer tick, full;
	int64_t tick_at, opened_ms, ping_at, heard_ms;
	int64_t news_ms; /* the connection came or went */
	bool up;
	bool suspect; /* up, but the connection went away: nothing but PING until a PONG */
	bool wanted;  /* link_send said no: `ready` is owed */
	bool barred;  /* refused for good: this socket is closed, the next one waits */
	const char *refused;
	unsigned closed; /* handshakes in a row */
	bool packs;      /* the broker takes PACK */
	struct pack out;
	/* PINGs are numbered: a PONG left over from a connection before is known as such. */
	uint8_t ping_id[16];
	uint64_t pings, ponged;
	uint8_t epoch[16];
	uint64_t session;
	uint64_t generation, bad;
	struct buf scratch;
	struct log_limit bad_lines, refused_lines;
};

static void on_readable(void *arg);
static void on_monitor(void *arg);
static void handle(struct link *k, struct span frame, bool inside);

static void
close_sock(struct link *k)
{
	if (k->sock)
		loop_sock_end(k->loop, k->sock);
	if (k->monitor)
		loop_sock_end(k->loop, k->monitor);
	sock_destroy_pair(&k->sock, &k->monitor);
}

static void
open_sock(struct link *k, int64_t now)
{
	close_sock(k);
	k->opened_ms = k->news_ms = now;
	k->ping_at = now;
	k->ponged = k->pings;
	k->sock = sock_dealer(k->endpoint, &k->monitor);
	if (k->sock == NULL)
		return;
	(void)loop_sock(k->loop, k->sock, on_readable, k);
	if (k->monitor)
		(void)loop_sock(k->loop, k->monitor, on_monitor, k);
}

static void
set_down(struct link *k, const char *reason)
{
	k->up = false;
	pack_reset(&k->out);
	loop_timer_clear(k->loop, &k->full);
	log_warn("bus_down", LOG_S("endpoint", k->endpoint), LOG_S("reason", reason));
	for (unsigned i = 0; i < k->nops; i++) {
		if (k->ops[i].down)
			k->ops[i].down(k->ops[i].arg);
	}
}

static void
set_up(struct link *k, const uint8_t epoch[16], uint64_t session)
{
	memcpy(k->epoch, epoch, 16);
	k->session = session;
	k->generation++;
	k->up = true;
	k->wanted = false;
	log_info("bus_up", LOG_S("endpoint", k->endpoint), LOG_ID("epoch", epoch),
	    LOG_U("session", session));
	for (unsigned i = 0; i < k->nops && k->up; i++) {
		if (k->ops[i].up)
			k->ops[i].up(k->ops[i].arg);
	}
}

static int
send_ping(struct link *k)
{
	uint64_t n = k->pings + 1;
	struct env e;

	for (unsigned i = 0; i < 8; i++)
		k->ping_id[8 + i] = (uint8_t)(n >> (56 - 8 * i));
	env_init(&e, ENV_PING, span_str(""), k->ping_id);
	buf_reset(&k->scratch);
	if (env_encode(&e, &k->scratch) != ERR_OK ||
	    sock_send(k->sock, (struct span){NULL, 0}, buf_span(&k->scratch)) != 0)
		return -1;
	k->pings = n;
	return 0;
}

/* The number in a PONG's id; 0: not for a PING of ours. */
static uint64_t
pong_number(const struct link *k, const uint8_t id[16])
{
	uint64_t n = 0;

	if (memcmp(id, k->ping_id, 8) != 0)
		return 0;
	for (unsigned i = 8; i < 16; i++)
		n = n << 8 | id[i];
	return n;
}

/* Is "pack" in the array of names? */
static bool
takes_packs(const struct env *e)
{
	struct span list = env_s(e, ENV_M_FEATURES);
	struct mp_r r;
	bool found = false;

	if (list.p == NULL || mp_scan(list, LIMIT_NEST, LIMIT_HEADER_ELEMENTS) == 0)
		return false;
	mp_r_init(&r, list);
	for (unsigned n = mp_array(&r); n > 0 && !r.bad; n--)
		found |= span_is(mp_str(&r, 64), "pack");
	return found && !r.bad;
}

static void
on_pong(struct link *k, const struct env *e)
{
	uint64_t n = pong_number(k, e->id), session = env_u(e, ENV_M_SESSION, 0);
	struct span epoch = env_s(e, ENV_M_EPOCH);

	if (n <= k->ponged || n > k->pings)
		return;
	if (epoch.n != 16) {
		k->bad++;
		return;
	}
	k->ponged = n;
	k->suspect = false;
	k->packs = takes_packs(e);
	if (k->up && session == k->session && memcmp(epoch.p, k->epoch, 16) == 0)
		return;
	if (k->up)
		set_down(k, "the broker has a new record of us");
	set_up(k, epoch.p, session);
}

static void
bad_frame(struct link *k, size_t n, const char *why)
{
	k->bad++;
	if (log_allow(&k->bad_lines, loop_now(k->loop), 5)) {
		log_warn("bad_frame", LOG_S("why", why), LOG_U("bytes", n),
		    LOG_U("suppressed", k->bad_lines.last));
	}
}

/* The broker asks whether our loop runs. */
static void
answer_ping(struct link *k, const uint8_t id[16])
{
	struct env e;

	env_init(&e, ENV_PONG, span_str(""), id);
	buf_reset(&k->scratch);
	if (env_encode(&e, &k->scratch) != ERR_OK ||
	    sock_send(k->sock, (struct span){NULL, 0}, buf_span(&k->scratch)) != 0)
		log_debug("pong_not_sent");
}

static void
handle_pack(struct link *k, struct span body)
{
	struct mp_r r;

	if (mp_scan(body, 2, LIMIT_PACK) != body.n) {
		bad_frame(k, body.n, "the body of a PACK is no array of bin");
		return;
	}
	mp_r_init(&r, body);
	for (unsigned n = mp_array(&r); n > 0; n--) {
		struct span inner = mp_bin(&r, LIMIT_FRAME_RX);

		if (r.bad)
			break;
		handle(k, inner, true);
	}
	if (!mp_done(&r))
		bad_frame(k, body.n, "the body of a PACK is no array of bin");
}

static void
handle(struct link *k, struct span frame, bool inside)
{
	const char *why = NULL;
	struct env e;

	if (frame.n > LIMIT_FRAME_RX + LIMIT_PACK) {
		bad_frame(k, frame.n, "too big");
		return;
	}
	if (env_decode(&e, frame, false, &why) != ERR_OK) {
		bad_frame(k, frame.n, why);
		return;
	}
	k->heard_ms = loop_now(k->loop);
	if (e.verb == ENV_PONG) {
		for (unsigned i = 0; i < k->nops; i++) {
			if (k->ops[i].pong)
				k->ops[i].pong(k->ops[i].arg, e.id);
		}
		on_pong(k, &e);
		return;
	}
	if (e.verb == ENV_PING) {
		answer_ping(k, e.id);
		return;
	}
	if (e.verb == ENV_PACK) {
		if (inside) {
			bad_frame(k, frame.n, "a PACK inside a PACK");
		} else {
			handle_pack(k, e.body);
		}
		return;
	}
	for (unsigned i = 0; i < k->nops; i++) {
		if (k->ops[i].in)
			k->ops[i].in(k->ops[i].arg, &e, frame);
	}
}

static void
on_readable(void *arg)
{
	struct link *k = arg;
	int64_t until_us = clock_mono_us() + DRAIN_US;

	for (unsigned i = 0; i < DRAIN && k->sock && clock_mono_us() < until_us; i++) {
		void *z = zsock_resolve(k->sock);
		zmq_msg_t msg;
		bool many;

		zmq_msg_init(&msg);
		if (zmq_msg_recv(&msg, z, ZMQ_DONTWAIT) == -1) {
			zmq_msg_close(&msg);
			return;
		}
		many = zmq_msg_more(&msg);
		if (!many)
			handle(k, span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)), false);
		while (zmq_msg_more(&msg) && zmq_msg_recv(&msg, z, ZMQ_DONTWAIT) != -1)
			continue;
		zmq_msg_close(&msg);
		if (many)
			bad_frame(k, 0, "more than one frame in a message");
	}
}

/* When to try again what needs a connection: soon after news of one, else the monitor will tell. */
static int64_t
again_at(const struct link *k, int64_t now)
{
	if (now - k->news_ms < EAGER_MS)
		return now + 5;
	return now + (k->monitor ? 250 : 25);
}

static int64_t
tick_down(struct link *k, int64_t now)
{
	if (k->barred) {
		k->barred = false;
		close_sock(k);
		return now + BARRED_MS;
	}
	if (k->sock == NULL || (now - k->opened_ms > PEER_LOST_MS && k->pings > k->ponged))
		open_sock(k, now);
	if (k->sock == NULL)
		return now + 1000;
	if (now >= k->ping_at && send_ping(k) == 0)
		k->ping_at = now + PING_AGAIN_MS;
	return again_at(k, now);
}

static int64_t
tick_up(struct link *k, int64_t now)
{
	if (now - k->tick_at > PING_EVERY_MS) {
		/* This process stood still: what the broker said meanwhile is still to be read. */
		k->heard_ms = now - PEER_LOST_MS + PING_EVERY_MS;
		k->ping_at = now;
	}
	if (now - k->heard_ms > PEER_LOST_MS) {
		set_down(k, "no PONG");
		open_sock(k, now);
		return now;
	}
	if (!(zsock_events(k->sock) & ZMQ_POLLOUT)) {
		/* Disconnected (ZMQ_IMMEDIATE), or full: PING comes first when that is over. */
		k->suspect = true;
		k->ping_at = now;
		return again_at(k, now);
	}
	if (now >= k->ping_at && send_ping(k) == 0)
		k->ping_at = now + (k->suspect ? PING_AGAIN_MS : PING_EVERY_MS);
	return k->ping_at > now ? k->ping_at : again_at(k, now);
}

static void
on_tick(struct timer *t)
{
	struct link *k = LIST_ITEM(t, struct link, tick);
	int64_t now = loop_now(k->loop);

	k->tick_at = k->up ? tick_up(k, now) : tick_down(k, now);
	loop_timer(k->loop, &k->tick, k->tick_at);
}

static const char *
refused_text(const struct sock_event *e)
{
	if (strcmp(e->why, "key_not_known") == 0)
		return "the broker does not know this key";
	if (strcmp(e->why, "one_side_has_keys") == 0) {
		return sock_has_key() ? "the broker has no keys: connect without --key"
				      : "the broker asks for a key: --key and --broker-key";
	}
	if (strcmp(e->why, "closed_by_peer") == 0) {
		return sock_has_key() ? "the broker ends the handshake: has it keys, and is "
					"--broker-key its key?"
				      : "the broker ends the handshake: it may ask for a key, "
					"--key and --broker-key";
	}
	return e->why;
}

static void
on_refused(struct link *k, const struct sock_event *e)
{
	bool final = e->final;

	/* Who closes first wins: a wrong key, or none, may be told by no more than the end. */
	k->closed = strcmp(e->why, "closed_by_peer") == 0 ? k->closed + 1 : 0;
	if (k->closed >= CLOSED_MOST) {
		k->closed = 0;
		final = true;
	}
	k->refused = refused_text(e);
	if (log_allow(&k->refused_lines, loop_now(k->loop), 1)) {
		log_warn("handshake_failed", LOG_S("endpoint", k->endpoint),
		    LOG_S("reason", e->why), LOG_S("meaning", k->refused),
		    LOG_U("suppressed", k->refused_lines.last));
	}
	if (!final)
		return;
	k->barred = true;
	if (k->up)
		set_down(k, k->refused);
	for (unsigned i = 0; i < k->nops; i++) {
		if (k->ops[i].refused)
			k->ops[i].refused(k->ops[i].arg, k->refused);
	}
}

/* A connection came or went: PING as soon as there is one, nothing but PING until a PONG to that.
 */
static void
on_monitor(void *arg)
{
	struct link *k = arg;
	struct sock_event e;
	bool news = false;

	while (sock_event(k->monitor, &e)) {
		news = true;
		if (e.news == SOCK_REFUSED)
			on_refused(k, &e);
		if (e.news == SOCK_READY) {
			k->refused = NULL;
			k->closed = 0;
		}
	}
	if (!news)
		return;
	k->suspect = k->up;
	k->ponged = k->pings;
	k->ping_at = k->news_ms = k->tick_at = loop_now(k->loop);
	loop_timer(k->loop, &k->tick, k->tick_at);
}

static int
send_now(struct link *k, struct span frame)
{
	if (!k->suspect && sock_send(k->sock, (struct span){NULL, 0}, frame) == 0)
		return 0;
	if (!timer_is_set(&k->full))
		loop_timer(k->loop, &k->full, loop_now(k->loop) + RETRY_FULL_MS);
	return -1;
}

static int
flush(struct link *k)
{
	if (pack_count(&k->out) > 0 && send_now(k, pack_frame(&k->out)) != 0)
		return -1;
	pack_reset(&k->out);
	return 0;
}

static void
on_turn_end(void *arg)
{
	struct link *k = arg;

	if (k->up && !timer_is_set(&k->full))
		(void)flush(k);
}

static void
on_full(struct timer *t)
{
	struct link *k = LIST_ITEM(t, struct link, full);

	if (!k->up)
		return;
	if (k->suspect) {
		loop_timer(k->loop, &k->full, loop_now(k->loop) + RETRY_FULL_MS);
		return;
	}
	if (flush(k) != 0 || !k->wanted)
		return;
	k->wanted = false;
	for (unsigned i = 0; i < k->nops; i++) {
		if (k->ops[i].ready)
			k->ops[i].ready(k->ops[i].arg);
	}
}

static int
no(struct link *k)
{
	k->wanted = true;
	if (k->up && !timer_is_set(&k->full))
		loop_timer(k->loop, &k->full, loop_now(k->loop) + RETRY_FULL_MS);
	return -1;
}

int
link_send(struct link *k, struct span frame)
{
	bool first;

	/* After a refusal the order is kept by who was refused: nobody overtakes. */
	if (!k->up || k->suspect || timer_is_set(&k->full))
		return no(k);
	if (!k->packs || !pack_takes(frame.n)) {
		if (flush(k) != 0 || send_now(k, frame) != 0)
			return no(k);
		return 0;
	}
	if (!pack_has_room(&k->out, frame.n) && flush(k) != 0)
		return no(k);
	first = pack_count(&k->out) == 0;
	pack_add(&k->out, frame);
	if (first)
		loop_later(k->loop, on_turn_end, k);
	return 0;
}

struct link *
link_new(struct loop *l, const char *endpoint)
{
	struct link *k = xcalloc(1, sizeof *k);

	k->loop = l;
	k->endpoint = xstrdup(endpoint);
	k->tick_at = loop_now(l);
	buf_init(&k->scratch, LIMIT_HEADER);
	pack_init(&k->out);
	uuid_v7(k->ping_id, clock_real_ms());
	k->tick.fn = on_tick;
	k->full.fn = on_full;
	loop_timer(l, &k->tick, k->tick_at);
	return k;
}

void
link_free(struct link *k)
{
	if (k == NULL)
		return;
	loop_timer_clear(k->loop, &k->tick);
	loop_timer_clear(k->loop, &k->full);
	loop_later_cancel(k->loop, k);
	close_sock(k);
	pack_fini(&k->out);
	buf_fini(&k->scratch);
	free(k->endpoint);
	free(k);
}

void
link_listen(struct link *k, const struct link_ops *ops)
{
	INVARIANT(k->nops < LISTENERS);
	k->ops[k->nops++] = *ops;
}

void
link_unlisten(struct link *k, const void *arg)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < k->nops; i++) {
		if (k->ops[i].arg != arg)
			k->ops[kept++] = k->ops[i];
	}
	k->nops = kept;
}

bool
link_is_up(const struct link *k)
{
	return k->up;
}

const char *
link_refused(const struct link *k)
{
	return k->refused;
}

struct loop *
link_loop(struct link *k)
{
	return k->loop;
}

uint64_t
link_generation(const struct link *k)
{
	return k->generation;
}

uint64_t
link_bad_frames(const struct link *k)
{
	return k->bad;
}

/* One publisher and PEERS subscribers, who are the same for every server (bench/lib/wire.h): a
 * fan-out is done when as many deliveries came as there are subscribers.
 *   feed ENDPOINT --name FEED  the broker: PUB live.bench on the bus, subscribers at FEED
 *   many ENDPOINT --name FEED  the same, of subscribers that take PACK
 *   xpub ENDPOINT              an XPUB in this process, published to directly
 *   nats ENDPOINT
 * and
 *   idle ENDPOINT              PEERS connections to the bus that PING each second; says "ready" */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/die.h"
#include "bench/lib/load.h"
#include "bench/lib/wire.h"
#include "proto/env.h"
#include "proto/mp.h"
#include "proto/pack.h"

#define TOPIC "live.bench"
#define PROBE_US 20000
#define OPEN_US 30000000

struct fan {
	struct lane *l;
	struct wire *readers;
	void (*publish)(struct fan *f, unsigned n);
	void *s; /* the publisher: a ZeroMQ socket, */
	int fd;  /* or a connection to NATS */
	struct pack out;
	struct buf frame, value;
	uint8_t *body;
	uint64_t got, reported, made;
	int64_t ping_us;
};

static void
put(struct fan *f, const struct env *e)
{
	buf_reset(&f->frame);
	INVARIANT(env_encode(e, &f->frame) == ERR_OK);
	pack_add(&f->out, buf_span(&f->frame));
}

static void
ping_now_and_then(struct fan *f)
{
	struct env e;

	if (clock_mono_us() - f->ping_us < 1000000)
		return;
	f->ping_us = clock_mono_us();
	buf_reset(&f->value);
	mp_put_array(&f->value, 1);
	mp_put_cstr(&f->value, "pack");
	env_init(&e, ENV_PING, span_str(""), NULL);
	env_set_s(&e, ENV_M_FEATURES, buf_span(&f->value));
	put(f, &e);
}

static void
publish_bus(struct fan *f, unsigned n)
{
	struct span all;

	ping_now_and_then(f);
	for (; n > 0; n--) {
		struct env e;
		uint8_t id[16] = {1};

		f->made++;
		memcpy(id + 8, &f->made, sizeof f->made);
		load_payload(f->l, f->body);
		buf_reset(&f->value);
		mp_put_bin(&f->value, span_of(f->body, f->l->conf->size));
		env_init(&e, ENV_PUB, span_str(TOPIC), id);
		e.body = buf_span(&f->value);
		put(f, &e);
	}
	if (pack_count(&f->out) == 0)
		return;
	all = pack_frame(&f->out);
	INVARIANT(zmq_send(f->s, all.p, all.n, 0) >= 0);
	pack_reset(&f->out);
}

static void
publish_xpub(struct fan *f, unsigned n)
{
	for (; n > 0; n--) {
		load_payload(f->l, f->body);
		zmq_send(f->s, TOPIC, sizeof TOPIC - 1, ZMQ_SNDMORE);
		zmq_send(f->s, f->body, f->l->conf->size, 0);
	}
}

static void
publish_nats(struct fan *f, unsigned n)
{
	buf_reset(&f->frame);
	for (; n > 0; n--) {
		load_payload(f->l, f->body);
		buf_printf(&f->frame, "PUB " TOPIC " %zu\r\n", f->l->conf->size);
		buf_put(&f->frame, f->body, f->l->conf->size);
		buf_puts(&f->frame, "\r\n");
	}
	wire_write_all(f->fd, buf_span(&f->frame));
}

/* The OKs and PONGs of the broker, the subscriptions an XPUB hears of. */
static void
drain(struct fan *f)
{
	zmq_msg_t m;

	if (f->s == NULL)
		return;
	zmq_msg_init(&m);
	while (zmq_msg_recv(&m, f->s, ZMQ_DONTWAIT) >= 0) {
		struct env e;

		if (f->publish != publish_bus)
			continue;
		INVARIANT(env_decode(&e, span_of(zmq_msg_data(&m), zmq_msg_size(&m)), false,
			      NULL) == ERR_OK);
		if (e.verb == ENV_ERR)
			die(1, "the broker said %s", err_name(env_err_code(&e)));
	}
	zmq_msg_close(&m);
}

/* Every subscription is in place when everybody has had a probe. */
static void
await_all(struct fan *f)
{
	int64_t begun = clock_mono_us(), probed = 0;

	while (wire_reached(f->readers) < f->l->conf->peers) {
		if (clock_mono_us() - probed > PROBE_US) {
			f->publish(f, 1);
			probed = clock_mono_us();
		}
		(void)wire_read(f->readers, 5);
		drain(f);
		if (clock_mono_us() - begun > OPEN_US)
			die(1, "only %u subscribers were reached", wire_reached(f->readers));
	}
	while (wire_read(f->readers, 100) > 0)
		;
}

static struct fan *
fan_new(struct lane *l)
{
	struct fan *f = xcalloc(1, sizeof *f);

	f->l = l;
	pack_init(&f->out);
	buf_init(&f->frame, 1 << 24);
	buf_init(&f->value, 1 << 20);
	f->body = xcalloc(1, l->conf->size);
	return f;
}

static void
open_readers(struct fan *f, enum wire_kind kind, const char *at, const char *topic)
{
	struct load_conf c = {.endpoint = at};
	int port;
	const char *host = load_host(&c, &port);

	f->readers = wire_open(kind, host, port, f->l->conf->peers, topic);
}

static void *
open_zmq(struct fan *f, int type, bool bind)
{
	int zero = 0;
	void *ctx = zmq_ctx_new();

	zmq_ctx_set(ctx, ZMQ_MAX_SOCKETS, 8192);
	f->s = zmq_socket(ctx, type);
	zmq_setsockopt(f->s, ZMQ_LINGER, &zero, sizeof zero);
	zmq_setsockopt(f->s, ZMQ_SNDHWM, &zero, sizeof zero);
	zmq_setsockopt(f->s, ZMQ_RCVHWM, &zero, sizeof zero);
	if ((bind ? zmq_bind : zmq_connect)(f->s, f->l->conf->endpoint) != 0)
		die(1, "%s: %s", f->l->conf->endpoint, zmq_strerror(zmq_errno()));
	return f->s;
}

static void *
open_bus(struct lane *l, enum wire_kind kind, const char *topic)
{
	struct fan *f = fan_new(l);

	open_zmq(f, ZMQ_DEALER, false);
	f->publish = publish_bus;
	open_readers(f, kind, l->conf->name, topic);
	await_all(f);
	return f;
}

static void *
open_feed(struct lane *l)
{
	return open_bus(l, WIRE_SUB, TOPIC);
}

static void *
open_many(struct lane *l)
{
	return open_bus(l, WIRE_FEED, "+" TOPIC);
}

static void *
open_xpub(struct lane *l)
{
	struct fan *f = fan_new(l);

	open_zmq(f, ZMQ_XPUB, true);
	f->publish = publish_xpub;
	open_readers(f, WIRE_SUB, l->conf->endpoint, TOPIC);
	await_all(f);
	return f;
}

static void *
open_nats(struct lane *l)
{
	struct fan *f = fan_new(l);
	int port;
	const char *host = load_host(l->conf, &port);

	f->fd = wire_nats(host, port);
	f->publish = publish_nats;
	open_readers(f, WIRE_NATS, l->conf->endpoint, TOPIC);
	await_all(f);
	return f;
}

static void
send_fan(void *x, unsigned n)
{
	struct fan *f = x;

	f->publish(f, n);
}

static unsigned
take_fan(void *x)
{
	struct fan *f = x;
	uint64_t whole;

	f->got += wire_read(f->readers, 100);
	drain(f);
	whole = f->got / f->l->conf->peers - f->reported;
	f->reported += whole;
	return (unsigned)whole;
}

static void
idle(struct lane *l)
{
	struct fan *f = fan_new(l);
	struct wire *w;
	struct env e;
	int port;
	const char *host = load_host(l->conf, &port);

	w = wire_open(WIRE_DEALER, host, port, l->conf->peers, NULL);
	env_init(&e, ENV_PING, span_str(""), NULL);
	buf_put(&f->value, "\0", 2); /* the header of a ZMTP frame: a short one, its size */
	INVARIANT(env_encode(&e, &f->value) == ERR_OK);
	INVARIANT(f->value.n - 2 < 256);
	f->value.p[1] = (uint8_t)(f->value.n - 2);
	for (bool said = false;;) {
		int64_t next = clock_mono_us() + 1000000;

		wire_write(w, buf_span(&f->value));
		while (clock_mono_us() < next) {
			(void)wire_read(w, 20);
			if (!said && wire_reached(w) == l->conf->peers) {
				puts("ready");
				fflush(stdout);
				said = true;
			}
		}
	}
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "feed", .open = open_feed, .send = send_fan, .take = take_fan},
	    {.name = "many", .open = open_many, .send = send_fan, .take = take_fan},
	    {.name = "xpub", .open = open_xpub, .send = send_fan, .take = take_fan},
	    {.name = "nats", .open = open_nats, .send = send_fan, .take = take_fan},
	    {.name = "idle", .run = idle},
	};

	return load_main(argc, argv, modes, sizeof modes / sizeof modes[0]);
}

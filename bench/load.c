/* Load for the bench: the same clients against plain zmq_proxy, against the broker, and a plain
 *file with fdatasync. load proxy  ENDPOINT CLIENTS WINDOW SECONDS   request/reply through
 *zmq_proxy, both ends of it in here load req    ENDPOINT CLIENTS WINDOW SECONDS   REQ bench.echo at
 *the broker (bin/echo serves it) load pub    ENDPOINT CLIENTS WINDOW SECONDS   durable PUB until OK
 *	load file   PATH     1       WINDOW SECONDS   WINDOW records of 200 bytes, then fdatasync
 * Prints one line: operations a second, p50 and p99 in µs. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/env.h"
#include "proto/mp.h"

#define BODY 128
#define BUCKETS 100000 /* of 10 µs */

struct client {
	pthread_t thread;
	unsigned long done, made;
	unsigned latency[BUCKETS];
	unsigned n;
};

static struct {
	const char *mode, *endpoint;
	unsigned clients, window;
	int64_t end_us;
	void *ctx;
} run;

static void
note(struct client *c, int64_t sent_us)
{
	int64_t b = (clock_mono_us() - sent_us) / 10;

	c->latency[b < BUCKETS ? b : BUCKETS - 1]++;
	c->done++;
}

/* The id holds when it was sent: an answer tells its own age. */
static size_t
make_frame(struct client *c, uint8_t *out, size_t size)
{
	static const uint8_t body[BODY];
	uint8_t id[16];
	int64_t now = clock_mono_us();
	struct buf b;
	struct env e;
	size_t n;

	memset(id, (int)c->n, sizeof id);
	for (int i = 0; i < 8; i++) /* big-endian, as a UUIDv7 begins with its time */
		id[i] = (uint8_t)((uint64_t)now >> (56 - 8 * i));
	memcpy(id + 8, &c->made, 6); /* two of one microsecond must differ, or they are one request */
	c->made++;
	buf_init(&b, size);
	if (strcmp(run.mode, "proxy") == 0) {
		buf_put(&b, id, sizeof id);
		buf_put(&b, body, BODY);
	} else {
		struct buf value;

		buf_init(&value, 1024);
		mp_put_bin(&value, span_of(body, BODY));
		env_init(&e, strcmp(run.mode, "pub") == 0 ? ENV_PUB : ENV_REQ,
		    span_str("bench.echo"), id);
		e.body = buf_span(&value);
		INVARIANT(env_encode(&e, &b) == ERR_OK);
		buf_fini(&value);
	}
	n = b.n;
	memcpy(out, b.p, n);
	buf_fini(&b);
	return n;
}

static void
send_one(struct client *c, void *s)
{
	uint8_t frame[1024];
	size_t n = make_frame(c, frame, sizeof frame);

	INVARIANT(zmq_send(s, frame, n, 0) >= 0);
}

static void
ping(void *s)
{
	struct buf b;
	struct env e;

	env_init(&e, ENV_PING, span_str(""), NULL);
	buf_init(&b, 1024);
	INVARIANT(env_encode(&e, &b) == ERR_OK);
	zmq_send(s, b.p, b.n, 0);
	buf_fini(&b);
}

static int64_t
sent_us(const uint8_t *id)
{
	uint64_t t = 0;

	for (int i = 0; i < 8; i++)
		t = t << 8 | id[i];
	return (int64_t)t;
}

/* 1 when the frame was the answer to one of ours. */
static int
take_answer(struct client *c, zmq_msg_t *m)
{
	const uint8_t *p = zmq_msg_data(m);
	int64_t sent;

	if (strcmp(run.mode, "proxy") != 0) {
		struct env e;

		INVARIANT(env_decode(&e, span_of(p, zmq_msg_size(m)), false, NULL) == ERR_OK);
		if (e.verb == ENV_PONG)
			return 0;
		if (e.verb != ENV_OK && e.verb != ENV_REP)
			die(1, "the broker said %s", err_name(env_err_code(&e)));
		sent = sent_us(e.id);
	} else {
		sent = sent_us(p);
	}
	note(c, sent);
	return 1;
}

static void *
client_main(void *arg)
{
	struct client *c = arg;
	void *s = zmq_socket(run.ctx, ZMQ_DEALER);
	bool bus = strcmp(run.mode, "proxy") != 0;
	int linger = 0, hwm = 0;
	int64_t ping_us = 0, now;
	zmq_msg_t m;

	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(s, ZMQ_SNDHWM, &hwm, sizeof hwm);
	zmq_setsockopt(s, ZMQ_RCVHWM, &hwm, sizeof hwm);
	INVARIANT(zmq_connect(s, run.endpoint) == 0);
	for (unsigned i = 0; i < run.window; i++)
		send_one(c, s);
	zmq_msg_init(&m);
	while ((now = clock_mono_us()) < run.end_us) {
		zmq_pollitem_t item = {s, 0, ZMQ_POLLIN, 0};
		int answered = 0;

		if (bus && now - ping_us > 1000000) {
			ping(s);
			ping_us = now;
		}
		zmq_poll(&item, 1, 100);
		for (int i = 0; i < 256 && zmq_msg_recv(&m, s, ZMQ_DONTWAIT) >= 0; i++)
			answered += take_answer(c, &m);
		for (; answered > 0; answered--)
			send_one(c, s);
	}
	zmq_msg_close(&m);
	zmq_close(s);
	return NULL;
}

static void *
proxy_worker(void *arg)
{
	void *s = zmq_socket(run.ctx, ZMQ_DEALER);
	int linger = 0, hwm = 0;
	zmq_msg_t id, body;

	(void)arg;
	zmq_setsockopt(s, ZMQ_LINGER, &linger, sizeof linger);
	zmq_setsockopt(s, ZMQ_SNDHWM, &hwm, sizeof hwm);
	zmq_setsockopt(s, ZMQ_RCVHWM, &hwm, sizeof hwm);
	INVARIANT(zmq_connect(s, "tcp://127.0.0.1:5599") == 0);
	zmq_msg_init(&id);
	zmq_msg_init(&body);
	while (zmq_msg_recv(&id, s, 0) >= 0 && zmq_msg_recv(&body, s, 0) >= 0) {
		zmq_msg_send(&id, s, ZMQ_SNDMORE);
		zmq_msg_send(&body, s, 0);
	}
	zmq_close(s);
	return NULL;
}

static void *
proxy_main(void *arg)
{
	void *front = zmq_socket(run.ctx, ZMQ_ROUTER), *back = zmq_socket(run.ctx, ZMQ_DEALER);
	int hwm = 0, linger = 0;

	(void)arg;
	for (int i = 0; i < 2; i++) {
		zmq_setsockopt(i ? back : front, ZMQ_SNDHWM, &hwm, sizeof hwm);
		zmq_setsockopt(i ? back : front, ZMQ_RCVHWM, &hwm, sizeof hwm);
		zmq_setsockopt(i ? back : front, ZMQ_LINGER, &linger, sizeof linger);
	}
	INVARIANT(
	    zmq_bind(front, run.endpoint) == 0 && zmq_bind(back, "tcp://127.0.0.1:5599") == 0);
	zmq_proxy(front, back, NULL);
	zmq_close(front);
	zmq_close(back);
	return NULL;
}

static void
file_load(struct client *c)
{
	static const uint8_t record[200];
	int fd = open(run.endpoint, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
	off_t at = 0;

	INVARIANT(fd >= 0 && posix_fallocate(fd, 0, 64 << 20) == 0);
	while (clock_mono_us() < run.end_us) {
		int64_t t = clock_mono_us();

		for (unsigned i = 0; i < run.window; i++, at = (at + 200) % (60 << 20))
			INVARIANT(pwrite(fd, record, sizeof record, at) == sizeof record);
		INVARIANT(fdatasync(fd) == 0);
		for (unsigned i = 0; i < run.window; i++)
			note(c, t);
	}
	close(fd);
	unlink(run.endpoint);
}

static void
report(struct client *clients, double seconds)
{
	unsigned long total = 0, seen = 0;
	unsigned p50 = 0, p99 = 0;

	for (unsigned i = 0; i < run.clients; i++)
		total += clients[i].done;
	for (unsigned b = 0; b < BUCKETS; b++) {
		for (unsigned i = 0; i < run.clients; i++)
			seen += clients[i].latency[b];
		if (p50 == 0 && seen * 2 >= total)
			p50 = b * 10 + 5;
		if (p99 == 0 && seen * 100 >= total * 99)
			p99 = b * 10 + 5;
	}
	printf("%.0f %u %u\n", (double)total / seconds, p50, p99);
}

int
main(int argc, char **argv)
{
	struct client *clients;
	int64_t n, window, seconds;
	pthread_t t;

	if (argc != 6 || str_i64(span_str(argv[3]), 1, 64, &n) != 0 ||
	    str_i64(span_str(argv[4]), 1, 65536, &window) != 0 ||
	    str_i64(span_str(argv[5]), 1, 600, &seconds) != 0) {
		fputs("usage: load proxy|req|pub|file ENDPOINT CLIENTS WINDOW SECONDS\n", stderr);
		return 2;
	}
	run.mode = argv[1];
	run.endpoint = argv[2];
	run.clients = (unsigned)n;
	run.window = (unsigned)window;
	run.ctx = zmq_ctx_new();
	clients = xcalloc(run.clients, sizeof *clients);
	run.end_us = clock_mono_us() + seconds * 1000000;
	if (strcmp(run.mode, "file") == 0) {
		run.clients = 1;
		file_load(clients);
		report(clients, (double)seconds);
		return 0;
	}
	if (strcmp(run.mode, "proxy") == 0) {
		pthread_create(&t, NULL, proxy_main, NULL);
		for (int i = 0; i < 2; i++)
			pthread_create(&t, NULL, proxy_worker, NULL);
	}
	for (unsigned i = 0; i < run.clients; i++) {
		clients[i].n = i;
		pthread_create(&clients[i].thread, NULL, client_main, &clients[i]);
	}
	for (unsigned i = 0; i < run.clients; i++)
		pthread_join(clients[i].thread, NULL);
	report(clients, (double)seconds);
	/* zmq_proxy does not end; the process does. */
	fflush(stdout);
	_exit(0);
}

/* Taxiway by bare DEALERs that speak proto/PROTOCOL.md, PACK included, as the other peers' loads
 * speak theirs.  (`taxi bench` measures the client library.)
 *   req     REQ of topic NAME, which bench/echo serves
 *   pub     durable PUB to bench.NAME.0, until OK
 *   consume SUB `many` as group NAME-0, every envelope acked
 *   groups  make COUNT durable groups NAME-0, NAME-1, … of bench.NAME.0, bench.NAME.1, … */
#include <endian.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/die.h"
#include "bench/lib/load.h"
#include "proto/env.h"
#include "proto/mp.h"
#include "proto/pack.h"

enum ids { IDS_CLOCK, IDS_UUID7, IDS_RANDOM };

struct peer {
	struct lane *l;
	enum ids ids;
	uint64_t random; /* state of the generator */
	void *s;
	zmq_msg_t m;
	struct pack out;
	struct buf value, frame; /* the body as msgpack; a frame being made */
	uint8_t *payload;
	char topic[128], group[96];
	uint64_t made;
	int64_t ping_us;
	enum env_verb verb;
	struct buf seqs; /* to ack, as msgpack integers */
	unsigned answered;
};

/* splitmix64: fast, and no two peers alike. */
static uint64_t
random_u64(struct peer *p)
{
	uint64_t z = p->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* What the index of known ids sees.  In order to the microsecond, which is as good as it can be; in
 * order to the millisecond, as the client library's; or in none, as an Idempotency-Key's. */
static uint64_t
id_front(struct peer *p, int64_t now_us)
{
	switch (p->ids) {
	case IDS_CLOCK: return (uint64_t)now_us;
	case IDS_UUID7: return (uint64_t)clock_real_ms() << 16 | 0x7000 | random_u64(p) >> 52;
	case IDS_RANDOM: return random_u64(p);
	}
	return 0;
}

/* An answer tells its own age: after the front comes when it was sent (32 bits of µs), which of its
 * lane it is, and the lane. */
static void
id_make(struct peer *p, int64_t now_us, uint8_t id[16])
{
	uint64_t front = htobe64(id_front(p, now_us));
	uint64_t back = (uint64_t)now_us << 32 | (p->made++ & 0x3fffff) << 10 | (p->l->n & 0x3ff);

	back = htobe64(back);
	memcpy(id, &front, sizeof front);
	memcpy(id + sizeof front, &back, sizeof back);
}

static int64_t
id_sent_us(const uint8_t id[16])
{
	int64_t now = clock_mono_us();
	uint64_t back;

	memcpy(&back, id + 8, sizeof back);
	return now - (int64_t)(uint32_t)((uint64_t)now - (be64toh(back) >> 32));
}

static enum ids
ids_of(const char *name)
{
	if (strcmp(name, "clock") == 0)
		return IDS_CLOCK;
	if (strcmp(name, "uuid7") == 0)
		return IDS_UUID7;
	if (strcmp(name, "random") != 0)
		die(2, "--ids: clock, uuid7 or random");
	return IDS_RANDOM;
}

static void
flush(struct peer *p)
{
	struct span f;

	if (pack_count(&p->out) == 0)
		return;
	f = pack_frame(&p->out);
	INVARIANT(zmq_send(p->s, f.p, f.n, 0) >= 0);
	pack_reset(&p->out);
}

static void
put(struct peer *p, const struct env *e)
{
	struct span f;

	buf_reset(&p->frame);
	INVARIANT(env_encode(e, &p->frame) == ERR_OK);
	f = buf_span(&p->frame);
	if (pack_takes(f.n)) {
		if (!pack_has_room(&p->out, f.n))
			flush(p);
		pack_add(&p->out, f);
		return;
	}
	flush(p);
	INVARIANT(zmq_send(p->s, f.p, f.n, 0) >= 0);
}

static void
ping(struct peer *p)
{
	struct buf features;
	struct env e;
	int64_t now = clock_mono_us();

	if (now - p->ping_us < 1000000)
		return;
	p->ping_us = now;
	buf_init(&features, 64);
	mp_put_array(&features, 1);
	mp_put_cstr(&features, "pack");
	env_init(&e, ENV_PING, span_str(""), NULL);
	env_set_s(&e, ENV_M_FEATURES, buf_span(&features));
	put(p, &e);
	flush(p);
	buf_fini(&features);
}

static void *
peer_new(struct lane *l, enum env_verb verb)
{
	static void *ctx;
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	struct peer *p = xcalloc(1, sizeof *p);
	int zero = 0;

	pthread_mutex_lock(&once);
	if (ctx == NULL)
		ctx = zmq_ctx_new();
	pthread_mutex_unlock(&once);
	p->l = l;
	p->verb = verb;
	p->ids = ids_of(l->conf->ids);
	p->random = (uint64_t)clock_real_us() + ((uint64_t)l->n << 48);
	p->s = zmq_socket(ctx, ZMQ_DEALER);
	zmq_setsockopt(p->s, ZMQ_LINGER, &zero, sizeof zero);
	zmq_setsockopt(p->s, ZMQ_SNDHWM, &zero, sizeof zero);
	zmq_setsockopt(p->s, ZMQ_RCVHWM, &zero, sizeof zero);
	INVARIANT(zmq_connect(p->s, l->conf->endpoint) == 0);
	zmq_msg_init(&p->m);
	pack_init(&p->out);
	buf_init(&p->value, LIMIT_FRAME);
	buf_init(&p->frame, LIMIT_FRAME);
	buf_init(&p->seqs, LIMIT_FRAME);
	p->payload = xcalloc(1, l->conf->size);
	snprintf(p->topic, sizeof p->topic, verb == ENV_REQ ? "%s" : "bench.%s.0", l->conf->name);
	snprintf(p->group, sizeof p->group, "%s-0", l->conf->name);
	ping(p);
	return p;
}

static void
one_answer(struct peer *p, const struct env *e)
{
	struct span text;

	switch ((int)e->verb) {
	case ENV_PONG: return;
	case ENV_OK:
	case ENV_REP:
		if (p->verb == ENV_ACK) /* the SUB's own */
			return;
		load_note(p->l, id_sent_us(e->id));
		p->answered++;
		return;
	case ENV_MSG:
		mp_put_u64(&p->seqs, env_u(e, ENV_M_SEQ, 0));
		p->answered++;
		return;
	case ENV_ERR:
		text = env_err_text(e);
		die(1, "the broker said %s: %.*s", err_name(env_err_code(e)), (int)text.n,
		    (const char *)text.p);
	default: die(1, "unexpected %s", env_verb_name(e->verb));
	}
}

/* A frame, or the frames of a PACK. */
static void
one_frame(struct peer *p, struct span f)
{
	struct env e;
	struct mp_r r;
	struct span inner;

	INVARIANT(env_decode(&e, f, false, NULL) == ERR_OK);
	if (e.verb != ENV_PACK) {
		one_answer(p, &e);
		return;
	}
	mp_r_init(&r, e.body);
	for (unsigned n = mp_array(&r); n > 0; n--) {
		struct env one;

		inner = mp_bin(&r, LIMIT_FRAME_RX);
		INVARIANT(env_decode(&one, inner, false, NULL) == ERR_OK);
		one_answer(p, &one);
	}
	INVARIANT(mp_done(&r));
}

static unsigned
take(void *x)
{
	struct peer *p = x;
	zmq_pollitem_t item = {p->s, 0, ZMQ_POLLIN, 0};

	p->answered = 0;
	ping(p);
	zmq_poll(&item, 1, 100);
	while (p->answered < 4096 && zmq_msg_recv(&p->m, p->s, ZMQ_DONTWAIT) >= 0)
		one_frame(p, span_of(zmq_msg_data(&p->m), zmq_msg_size(&p->m)));
	return p->answered;
}

static void
send_calls(void *x, unsigned n)
{
	struct peer *p = x;
	int64_t now = clock_mono_us();

	for (; n > 0; n--) {
		struct env e;
		uint8_t id[16];

		id_make(p, now, id);
		load_payload(p->l, p->payload);
		buf_reset(&p->value);
		mp_put_bin(&p->value, span_of(p->payload, p->l->conf->size));
		env_init(&e, p->verb, span_str(p->topic), id);
		e.body = buf_span(&p->value);
		put(p, &e);
	}
	flush(p);
}

static void *
open_req(struct lane *l)
{
	return peer_new(l, ENV_REQ);
}

static void *
open_pub(struct lane *l)
{
	return peer_new(l, ENV_PUB);
}

/* SUB and wait for its OK. */
static void
subscribe(struct peer *p, const char *pattern, const char *group, unsigned credit)
{
	struct env e;

	env_init(&e, ENV_SUB, span_str(pattern), (const uint8_t *)"benchbenchbench");
	env_set_s(&e, ENV_M_GROUP, span_str(group));
	if (credit > 0) {
		env_set_u(&e, ENV_M_CREDIT, credit);
		env_set_u(&e, ENV_M_MANY, 1);
	}
	put(p, &e);
}

static void *
open_consume(struct lane *l)
{
	struct peer *p = peer_new(l, ENV_ACK);

	subscribe(p, p->topic, p->group, l->conf->window);
	flush(p);
	return p;
}

static void
send_acks(void *x, unsigned n)
{
	struct peer *p = x;
	struct buf seqs;
	struct env e;

	buf_init(&seqs, LIMIT_FRAME);
	if (p->seqs.n > 0) {
		unsigned ints = 0;
		struct mp_r r;

		mp_r_init(&r, buf_span(&p->seqs));
		while (mp_peek(&r) != MP_NONE)
			(void)mp_u64(&r, UINT64_MAX), ints++;
		mp_put_array(&seqs, ints);
		buf_put(&seqs, p->seqs.p, p->seqs.n);
		env_init(&e, ENV_ACK, span_str(""), NULL);
		env_set_s(&e, ENV_M_GROUP, span_str(p->group));
		e.body = buf_span(&seqs);
		put(p, &e);
		flush(p);
		buf_reset(&p->seqs);
	}
	(void)n;
	buf_fini(&seqs);
}

/* A peer may have only so many subscriptions, so it is another one every so often. */
static void
make_groups(struct lane *l)
{
	uint64_t i = 0;

	while (i < l->conf->count) {
		struct peer *p = peer_new(l, ENV_SUB);
		unsigned asked = 0, answered = 0;

		for (; asked < 256 && i < l->conf->count; asked++, i++) {
			snprintf(p->topic, sizeof p->topic, "bench.%s.%llu", l->conf->name,
			    (unsigned long long)i);
			snprintf(p->group, sizeof p->group, "%s-%llu", l->conf->name,
			    (unsigned long long)i);
			subscribe(p, p->topic, p->group, 0);
		}
		flush(p);
		while (answered < asked)
			answered += take(p);
		zmq_close(p->s);
	}
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "req", .open = open_req, .send = send_calls, .take = take, .own_times = true},
	    {.name = "pub", .open = open_pub, .send = send_calls, .take = take, .own_times = true},
	    {.name = "consume",
		.open = open_consume,
		.send = send_acks,
		.take = take,
		.is_receiver = true},
	    {.name = "groups", .run = make_groups},
	};

	return load_main(argc, argv, modes, sizeof modes / sizeof modes[0]);
}

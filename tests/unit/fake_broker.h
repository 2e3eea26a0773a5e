#ifndef TESTS_UNIT_FAKE_BROKER_H
#define TESTS_UNIT_FAKE_BROKER_H
/* The broker's end of the bus for tests of the client's end: a ROUTER on the loop under test that
 * answers PING and hands everything else to the test.  It knows no topics, groups or journal. */
#include <poll.h>
#include <stdio.h>
#include <unistd.h>
#include "proto/env.h"
#include "proto/loop.h"
#include "proto/mp.h"
#include "proto/pack.h"
#include "proto/sock.h"

struct fake {
	struct loop *loop;
	zsock_t *router;
	char endpoint[64];
	uint8_t epoch[16];
	uint64_t session;
	bool mute;           /* PINGs are not answered */
	const char *feature; /* in PONG; NULL: none */
	uint8_t peer[64];    /* who spoke last */
	size_t peer_n;
	unsigned n[ENV_VERB_COUNT]; /* frames that came, those in a PACK too */
	void (*on)(struct fake *f, const struct env *e);
	bool (*ping)(struct fake *f, const uint8_t id[16]); /* true: the test answers it */
	void *arg;
};

static inline void
fake_send(struct fake *f, struct span frame)
{
	if (sock_send(f->router, span_of(f->peer, f->peer_n), frame) != 0)
		printf("# fake broker could not send: %s\n", zmq_strerror(zmq_errno()));
}

static inline void
fake_send_env(struct fake *f, const struct env *e)
{
	struct buf b;

	buf_init(&b, LIMIT_FRAME_RX);
	if (env_encode(e, &b) != ERR_OK)
		printf("# fake broker could not encode\n");
	fake_send(f, buf_span(&b));
	buf_fini(&b);
}

static inline void
fake_answer(struct fake *f, enum env_verb verb, const uint8_t id[16])
{
	struct env e;

	env_init(&e, verb, span_str(""), id);
	fake_send_env(f, &e);
}

static inline void
fake_err(struct fake *f, const uint8_t id[16], enum err code, const char *text)
{
	struct buf b;

	buf_init(&b, LIMIT_HEADER);
	if (env_encode_err(&b, id, code, text) != ERR_OK)
		printf("# fake broker could not encode\n");
	fake_send(f, buf_span(&b));
	buf_fini(&b);
}

static inline void
fake_pong(struct fake *f, const uint8_t id[16])
{
	struct buf features;
	struct env e;

	buf_init(&features, 256);
	env_init(&e, ENV_PONG, span_str(""), id);
	env_set_s(&e, ENV_M_EPOCH, span_of(f->epoch, 16));
	env_set_u(&e, ENV_M_SESSION, f->session);
	if (f->feature) {
		mp_put_array(&features, 2);
		mp_put_cstr(&features, "something-new");
		mp_put_cstr(&features, f->feature);
		env_set_s(&e, ENV_M_FEATURES, buf_span(&features));
	}
	fake_send_env(f, &e);
	buf_fini(&features);
}

static inline void
fake_handle(struct fake *f, struct span frame)
{
	const char *why = "";
	struct env e;

	if (env_decode(&e, frame, true, &why) != ERR_OK) {
		printf("# fake broker got a bad frame of %zu bytes: %s\n", frame.n, why);
		return;
	}
	f->n[e.verb]++;
	if (e.verb == ENV_PING) {
		if (!f->mute && (f->ping == NULL || !f->ping(f, e.id)))
			fake_pong(f, e.id);
	} else if (e.verb == ENV_PACK) {
		struct mp_r r;

		mp_r_init(&r, e.body);
		for (unsigned n = mp_array(&r); n > 0; n--)
			fake_handle(f, mp_bin(&r, LIMIT_FRAME));
	} else if (f->on) {
		f->on(f, &e);
	}
}

static inline void
fake_readable(void *arg)
{
	struct fake *f = arg;

	while (f->router) {
		void *z = zsock_resolve(f->router);
		int n = zmq_recv(z, f->peer, sizeof f->peer, ZMQ_DONTWAIT);
		zmq_msg_t msg;

		if (n == -1)
			return;
		f->peer_n = (size_t)n;
		zmq_msg_init(&msg);
		if (zmq_msg_recv(&msg, z, 0) != -1)
			fake_handle(f, span_of(zmq_msg_data(&msg), zmq_msg_size(&msg)));
		zmq_msg_close(&msg);
	}
}

/* As a broker that starts: a new epoch, nothing known of anybody. */
static inline void
fake_start(struct fake *f)
{
	const char *endpoint = f->endpoint;

	f->epoch[15]++;
	f->session += 7;
	f->peer_n = 0;
	/* A socket that was closed lets go of its address a moment later, in libzmq's thread. */
	for (unsigned i = 0; i < 400 && f->router == NULL; i++) {
		f->router = sock_router(&endpoint, 1);
		if (f->router == NULL)
			(void)poll(NULL, 0, 5);
	}
	if (f->router)
		(void)loop_sock(f->loop, f->router, fake_readable, f);
}

static inline void
fake_stop(struct fake *f)
{
	if (f->router)
		loop_sock_end(f->loop, f->router);
	zsock_destroy(&f->router);
}

static inline void
fake_init(struct fake *f, struct loop *l, const char *name)
{
	*f = (struct fake){.loop = l};
	/* A name in the abstract space: no file to leave behind, and the same one after a restart.
	 */
	(void)snprintf(f->endpoint, sizeof f->endpoint, "ipc://@taxi-%s-%d", name, (int)getpid());
	fake_start(f);
}

/* A delivery: the header, then the sender's frame. */
static inline void
fake_deliver(struct fake *f, const struct env *head, struct span inner)
{
	struct env e = *head;

	e.verb = ENV_MSG;
	e.body = inner;
	fake_send_env(f, &e);
}

/* Run the loop until done() or a generous bound; whether done() came true. */
struct until {
	struct loop *loop;
	struct timer poll;
	bool (*done)(void);
	int64_t by_ms;
	bool came;
};

static inline void
until_poll(struct timer *t)
{
	struct until *u = (struct until *)(void *)((char *)t - offsetof(struct until, poll));

	u->came = u->done();
	if (u->came || loop_now(u->loop) >= u->by_ms)
		loop_stop(u->loop);
	else
		loop_timer(u->loop, &u->poll, loop_now(u->loop) + 1);
}

static inline bool
run_until(struct loop *l, bool (*done)(void))
{
	struct until u = {.loop = l, .done = done, .by_ms = loop_now(l) + 30000};

	u.poll.fn = until_poll;
	loop_timer(l, &u.poll, loop_now(l));
	(void)loop_run(l);
	loop_timer_clear(l, &u.poll);
	return u.came;
}

#endif

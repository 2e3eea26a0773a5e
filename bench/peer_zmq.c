/* Plain libzmq, the limit of what is built on it.
 *   proxy FRONT --name BACK   zmq_proxy between a ROUTER and a DEALER
 *   serve BACK                a worker that answers with what it was asked
 *   req   FRONT               clients: DEALER, one frame, `window` outstanding */
#include <zmq.h>

#include "base/die.h"
#include "bench/lib/load.h"

static void *
open_socket(int type, const char *endpoint, bool bind)
{
	static void *ctx;
	static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
	int zero = 0;
	void *s;

	pthread_mutex_lock(&once);
	if (ctx == NULL)
		ctx = zmq_ctx_new();
	pthread_mutex_unlock(&once);
	s = zmq_socket(ctx, type);
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
	zmq_setsockopt(s, ZMQ_SNDHWM, &zero, sizeof zero);
	zmq_setsockopt(s, ZMQ_RCVHWM, &zero, sizeof zero);
	if ((bind ? zmq_bind(s, endpoint) : zmq_connect(s, endpoint)) != 0)
		die(1, "%s: %s", endpoint, zmq_strerror(zmq_errno()));
	return s;
}

static void
proxy(struct lane *l)
{
	zmq_proxy(open_socket(ZMQ_ROUTER, l->conf->endpoint, true),
	    open_socket(ZMQ_DEALER, l->conf->name, true), NULL);
}

static void
serve(struct lane *l)
{
	void *s = open_socket(ZMQ_DEALER, l->conf->endpoint, false);
	zmq_msg_t id, body;

	zmq_msg_init(&id);
	zmq_msg_init(&body);
	while (zmq_msg_recv(&id, s, 0) >= 0 && zmq_msg_recv(&body, s, 0) >= 0) {
		zmq_msg_send(&id, s, ZMQ_SNDMORE);
		zmq_msg_send(&body, s, 0);
	}
}

struct client {
	struct lane *l;
	void *s;
	zmq_msg_t m;
};

static void *
client_open(struct lane *l)
{
	struct client *c = xcalloc(1, sizeof *c);

	c->l = l;
	c->s = open_socket(ZMQ_DEALER, l->conf->endpoint, false);
	zmq_msg_init(&c->m);
	return c;
}

static void
client_send(void *x, unsigned n)
{
	struct client *c = x;

	for (; n > 0; n--) {
		zmq_msg_t m;

		zmq_msg_init_size(&m, c->l->conf->size);
		load_payload(c->l, zmq_msg_data(&m));
		INVARIANT(zmq_msg_send(&m, c->s, 0) >= 0);
	}
}

static unsigned
client_take(void *x)
{
	struct client *c = x;
	zmq_pollitem_t item = {c->s, 0, ZMQ_POLLIN, 0};
	unsigned n = 0;

	zmq_poll(&item, 1, 100);
	while (n < 256 && zmq_msg_recv(&c->m, c->s, ZMQ_DONTWAIT) >= 0) {
		load_note(c->l, load_payload_us(zmq_msg_data(&c->m)));
		n++;
	}
	return n;
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "proxy", .run = proxy},
	    {.name = "serve", .run = serve},
	    {.name = "req",
		.open = client_open,
		.send = client_send,
		.take = client_take,
		.own_times = true},
	};

	return load_main(argc, argv, modes, sizeof modes / sizeof modes[0]);
}

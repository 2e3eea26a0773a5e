#include "broker/zap.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "proto/sock.h"

enum { REQUESTS_A_TURN = 256, FRAMES = 9, FRAME_MAX = 256 };

/* Routing id and a delimiter of the socket's; then version, request id, domain, address, routing id
 * of the asking socket, mechanism, and what the mechanism has: for CURVE the public key. */
enum { F_PEER, F_DELIMITER, F_VERSION, F_ID, F_DOMAIN, F_ADDRESS, F_SOCKET, F_MECHANISM, F_KEY };

struct frame {
	size_t n;
	uint8_t p[FRAME_MAX];
};

struct zap {
	struct loop *loop;
	zsock_t *sock;
	zap_fn *fn;
	void *arg;
	struct frame in[FRAMES];
};

/* The frames of one request; how many there were, 0: nothing to read.  One that is too long, or one
 * too many, makes more than FRAMES. */
static unsigned
receive(struct zap *z)
{
	void *s = zsock_resolve(z->sock);
	unsigned n = 0;
	uint8_t rest[FRAME_MAX] = {0};
	int got, more = 1;
	size_t size = sizeof(more);

	while (more != 0) {
		bool fits = n < FRAMES;

		got = zmq_recv(s, fits ? z->in[n].p : rest, FRAME_MAX, ZMQ_DONTWAIT);
		if (got == -1)
			return 0;
		if (fits)
			z->in[n].n = (size_t)got;
		n = got > FRAME_MAX ? FRAMES + 1 : n + 1;
		if (zmq_getsockopt(s, ZMQ_RCVMORE, &more, &size) != 0)
			return 0;
	}
	return n;
}

static bool
is(const struct frame *f, const char *text)
{
	return f->n == strlen(text) && memcmp(f->p, text, f->n) == 0;
}

static void
copy(char *out, size_t size, const struct frame *f)
{
	size_t n = f->n < size - 1 ? f->n : size - 1;

	memcpy(out, f->p, n);
	out[n] = '\0';
}

static bool
judge(struct zap *z, unsigned n, char user[ZAP_USER])
{
	struct zap_request q;

	if (n != FRAMES || !is(&z->in[F_VERSION], "1.0") || !is(&z->in[F_MECHANISM], "CURVE") ||
	    z->in[F_KEY].n != sizeof(q.key)) {
		log_error("zap_unreadable", LOG_U("frames", n));
		return false;
	}
	copy(q.domain, sizeof(q.domain), &z->in[F_DOMAIN]);
	copy(q.address, sizeof(q.address), &z->in[F_ADDRESS]);
	memcpy(q.key, z->in[F_KEY].p, sizeof(q.key));
	return z->fn(z->arg, &q, user);
}

static int
put(struct zap *z, const void *p, size_t n, bool more)
{
	return zmq_send(zsock_resolve(z->sock), p, n, ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0));
}

static void
answer(struct zap *z, bool yes, const char *user)
{
	if (put(z, z->in[F_PEER].p, z->in[F_PEER].n, true) == -1 || put(z, "", 0, true) == -1 ||
	    put(z, "1.0", 3, true) == -1 || put(z, z->in[F_ID].p, z->in[F_ID].n, true) == -1 ||
	    put(z, yes ? "200" : "400", 3, true) == -1 ||
	    put(z, yes ? "OK" : "no", 2, true) == -1 || put(z, user, strlen(user), true) == -1 ||
	    put(z, "", 0, false) == -1)
		log_error("zap_unanswered", LOG_S("reason", zmq_strerror(zmq_errno())));
}

static void
on_request(void *arg)
{
	struct zap *z = arg;
	unsigned n;

	for (int i = 0; i < REQUESTS_A_TURN && (n = receive(z)) > 0; i++) {
		char user[ZAP_USER] = "";
		bool yes = judge(z, n, user);

		if (n > F_ID)
			answer(z, yes, yes ? user : "");
	}
}

struct zap *
zap_new(struct loop *l, zap_fn *fn, void *arg)
{
	zsock_t *s = sock_zap();
	struct zap *z;

	if (s == NULL)
		return NULL;
	z = xcalloc(1, sizeof(*z));
	*z = (struct zap){.loop = l, .sock = s, .fn = fn, .arg = arg};
	if (loop_sock(l, s, on_request, z) == 0)
		return z;
	zsock_destroy(&z->sock);
	free(z);
	return NULL;
}

void
zap_free(struct zap *z)
{
	if (z == NULL)
		return;
	loop_sock_end(z->loop, z->sock);
	zsock_destroy(&z->sock);
	free(z);
}

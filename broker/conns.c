#include "broker/conns.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "base/die.h"
#include "base/log.h"
#include "proto/sock.h"

enum { EVENTS_A_TURN = 1024, FD_MOST = 1 << 20 };

struct conns {
	struct broker *b;
	zsock_t *monitor, *sock;
	const char *what;
	unsigned most, n;
	uint64_t *open; /* by descriptor */
	uint32_t *held; /* conns_charge, by descriptor */
	size_t words;
	struct log_limit refused_lines, full_lines;
};

static bool
is_open(const struct conns *c, int fd)
{
	size_t word = (size_t)fd / 64;

	return fd >= 0 && word < c->words && (c->open[word] >> (unsigned)fd % 64 & 1) != 0;
}

static void
set_open(struct conns *c, int fd)
{
	size_t word = (size_t)fd / 64;

	if (fd < 0 || fd >= FD_MOST || is_open(c, fd))
		return;
	if (word >= c->words) {
		c->open = xrealloc(c->open, (word + 64) * sizeof(*c->open));
		memset(c->open + c->words, 0, (word + 64 - c->words) * sizeof(*c->open));
		c->held = xrealloc(c->held, (word + 64) * 64 * sizeof(*c->held));
		c->words = word + 64;
	}
	c->open[word] |= UINT64_C(1) << (unsigned)fd % 64;
	c->held[fd] = 0;
	c->n++;
}

static void
set_gone(struct conns *c, int fd)
{
	if (!is_open(c, fd))
		return;
	c->open[(size_t)fd / 64] &= ~(UINT64_C(1) << (unsigned)fd % 64);
	c->n--;
}

/* libzmq sees the end of its stream and lets the connection go.  Should the number be another's by
 * now, it is another connection, which heals, or no socket at all, which shutdown refuses. */
static void
cut(int fd)
{
	(void)shutdown(fd, SHUT_RDWR);
}

static void
on_accepted(struct conns *c, int fd, bool tcp)
{
	set_open(c, fd);
	if (c->most == 0 || c->n <= c->most + (tcp ? 0 : CONNS_LOCAL))
		return;
	c->b->drops[DROP_CONNECTIONS]++;
	if (log_allow(&c->full_lines, broker_now(c->b), 1)) {
		log_warn("connections_full", LOG_S("socket", c->what), LOG_U("limit", c->most),
		    LOG_U("suppressed", c->full_lines.last));
	}
	cut(fd);
}

static void
on_event(void *arg)
{
	struct conns *c = arg;
	struct sock_event e;

	for (int i = 0; i < EVENTS_A_TURN && sock_event(c->monitor, &e); i++) {
		if (e.news == SOCK_ACCEPTED) {
			on_accepted(c, e.fd, e.tcp);
		} else if (e.news == SOCK_GONE) {
			set_gone(c, e.fd);
		} else if (e.news == SOCK_REFUSED) {
			c->b->drops[DROP_HANDSHAKE]++;
			if (log_allow(&c->refused_lines, broker_now(c->b), 2)) {
				log_warn("handshake_failed", LOG_S("socket", c->what),
				    LOG_S("reason", e.why),
				    LOG_U("suppressed", c->refused_lines.last));
			}
		}
	}
}

struct conns *
conns_new(struct broker *b, zsock_t *s, const char *what, unsigned most)
{
	struct conns *c;
	zsock_t *monitor = sock_monitor(s);

	if (monitor == NULL)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	*c = (struct conns){.b = b, .monitor = monitor, .sock = s, .what = what, .most = most};
	if (loop_sock(b->loop, monitor, on_event, c) != 0) {
		zsock_destroy(&c->monitor);
		free(c);
		return NULL;
	}
	return c;
}

void
conns_free(struct conns *c)
{
	if (c == NULL)
		return;
	loop_sock_end(c->b->loop, c->monitor);
	(void)zmq_socket_monitor(zsock_resolve(c->sock), NULL, 0);
	zsock_destroy(&c->monitor);
	free(c->open);
	free(c->held);
	free(c);
}

unsigned
conns_open(const struct conns *c)
{
	return c != NULL ? c->n : 0;
}

void
conns_cut(struct conns *c, int fd)
{
	if (c != NULL && is_open(c, fd))
		cut(fd);
}

bool
conns_charge(struct conns *c, int fd, int64_t n, uint32_t most)
{
	bool was;

	if (c == NULL || !is_open(c, fd))
		return true;
	was = c->held[fd] > most;
	if (n < 0) {
		c->held[fd] -= c->held[fd] < -n ? c->held[fd] : (uint32_t)-n;
	} else if (!was) {
		c->held[fd] += (uint32_t)n;
	}
	if (was || c->held[fd] <= most)
		return true;
	cut(fd);
	return false;
}

void
conns_cut_all(struct conns *c)
{
	for (size_t fd = 0; c != NULL && fd < c->words * 64; fd++)
		conns_cut(c, (int)fd);
}

#include "bench/lib/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/die.h"
#include "proto/mp.h"

#define MORE 1
#define LONG 2
#define COMMAND 4

/* What comes next: a frame; the start of a PACK, header and count; one of the frames in it. */
enum at { FRAME, PACK, BIN };

struct conn {
	int fd;
	enum at at;
	uint32_t bins; /* still to come of a PACK */
	bool reached;
	size_t skip;   /* bytes of no interest to come */
	size_t head_n; /* of a header that came in part: ZMTP's 2 or 9 bytes, NATS's line */
	bool counts;   /* the end of what is skipped is the end of a message */
	uint8_t head[512];
};

struct wire {
	enum wire_kind kind;
	int epoll;
	unsigned n, reached;
	struct conn *conn;
	uint64_t messages;
};

static int
dial(const char *host, int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd == -1 || inet_pton(AF_INET, host, &a.sin_addr) != 1 ||
	    connect(fd, (struct sockaddr *)&a, sizeof a) == -1)
		die(1, "connect %s:%d: %s", host, port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return fd;
}

void
wire_write_all(int fd, struct span bytes)
{
	while (bytes.n > 0) {
		ssize_t n = write(fd, bytes.p, bytes.n);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			die(1, "write: %s", strerror(errno));
		if (n > 0)
			bytes = span_of(bytes.p + n, bytes.n - (size_t)n);
	}
}

static void
read_exactly(int fd, uint8_t *to, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, to, n);

		if (got <= 0)
			die(1, "the server hung up: %s", got < 0 ? strerror(errno) : "end of file");
		to += got;
		n -= (size_t)got;
	}
}

static int
open_nats(const char *host, int port, const char *topic)
{
	char text[256], c = 0;
	int fd = dial(host, port), n;

	while (c != '\n') /* INFO {…} */
		read_exactly(fd, (uint8_t *)&c, 1);
	n = snprintf(text, sizeof text, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
	wire_write_all(fd, span_of(text, (size_t)n));
	if (topic != NULL) {
		n = snprintf(text, sizeof text, "SUB %s 1\r\n", topic);
		wire_write_all(fd, span_of(text, (size_t)n));
	}
	return fd;
}

int
wire_nats(const char *host, int port)
{
	return open_nats(host, port, NULL);
}

/* Greeting and READY of both sides, then the subscription. */
static int
open_zmtp(const char *host, int port, const char *type, const char *topic)
{
	uint8_t out[64] = {0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0, 'N', 'U', 'L', 'L'}, in[256];
	int fd = dial(host, port);
	size_t type_n = strlen(type), n = 0;

	wire_write_all(fd, span_of(out, sizeof out));
	read_exactly(fd, in, 64);
	out[n++] = COMMAND;
	out[n++] = (uint8_t)(6 + 12 + 4 + type_n);
	memcpy(out + n, "\5READY\13Socket-Type\0\0\0", 21);
	n += 21;
	out[n++] = (uint8_t)type_n;
	memcpy(out + n, type, type_n);
	wire_write_all(fd, span_of(out, n + type_n));
	read_exactly(fd, in, 2);
	if (in[0] != COMMAND)
		die(1, "%s:%d: no READY came", host, port);
	read_exactly(fd, in + 2, in[1]);
	if (topic != NULL) {
		n = strlen(topic);
		memcpy(in, (uint8_t[]){0, (uint8_t)(n + 1), 1}, 3);
		memcpy(in + 3, topic, n);
		wire_write_all(fd, span_of(in, n + 3));
	}
	return fd;
}

struct wire *
wire_open(enum wire_kind kind, const char *host, int port, unsigned n, const char *topic)
{
	struct wire *w = xcalloc(1, sizeof *w);

	w->kind = kind;
	w->n = n;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->conn = xcalloc(n, sizeof *w->conn);
	for (unsigned i = 0; i < n; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &w->conn[i]};
		struct conn *c = &w->conn[i];

		c->fd = kind == WIRE_NATS     ? open_nats(host, port, topic)
			: kind == WIRE_DEALER ? open_zmtp(host, port, "DEALER", NULL)
					      : open_zmtp(host, port, "SUB", topic);
		fcntl(c->fd, F_SETFL, O_NONBLOCK);
		INVARIANT(epoll_ctl(w->epoll, EPOLL_CTL_ADD, c->fd, &ev) == 0);
	}
	return w;
}

static void
count(struct wire *w, struct conn *c)
{
	w->messages++;
	w->reached += !c->reached;
	c->reached = true;
	c->counts = false;
}

/* The header of a ZMTP frame, once whole. */
static void
zmtp_byte(struct wire *w, struct conn *c, uint8_t b)
{
	size_t size = 0;

	c->head[c->head_n++] = b;
	if (c->head_n < (c->head[0] & LONG ? 9 : 2))
		return;
	for (size_t i = 1; i < c->head_n; i++)
		size = size << 8 | c->head[i];
	c->head_n = 0;
	c->counts = (c->head[0] & (MORE | COMMAND)) == 0;
	c->skip = size;
	if (c->counts && w->kind == WIRE_FEED)
		c->at = PACK;
	if (size == 0 && c->counts)
		count(w, c);
}

/* The start of a PACK is n bytes long; 0: it is not whole.  Only one that was split by two reads
 * is gathered in `head` and tried byte by byte. */
static size_t
pack_start(struct conn *c, const uint8_t *p, size_t n)
{
	struct mp_r r;

	mp_r_init(&r, span_of(p, n));
	(void)mp_raw(&r);
	c->bins = mp_array(&r);
	if (c->bins == 0)
		return 0;
	c->at = BIN;
	c->skip = 0;
	c->head_n = 0;
	c->counts = false;
	return (size_t)(r.p - p);
}

static size_t
pack_bytes(struct conn *c, const uint8_t *p, size_t n)
{
	size_t k = c->head_n == 0 ? pack_start(c, p, n) : 0;

	if (k > 0)
		return k;
	INVARIANT(c->head_n < sizeof c->head);
	c->head[c->head_n++] = *p;
	(void)pack_start(c, c->head, c->head_n);
	return 1;
}

/* How long the next frame in a PACK is. */
static void
bin_byte(struct conn *c, uint8_t b)
{
	c->head[c->head_n++] = b;
	if (c->head_n <= 1u << (c->head[0] & 3)) /* c4, c5, c6: a size of 1, 2, 4 bytes */
		return;
	for (size_t i = 1; i < c->head_n; i++)
		c->skip = c->skip << 8 | c->head[i];
	c->head_n = 0;
	c->counts = true;
	if (--c->bins == 0)
		c->at = FRAME;
}

/* A line of NATS: "MSG subject sid size", or one that does not matter but PING. */
static void
nats_byte(struct conn *c, uint8_t b)
{
	uint8_t *p = c->head;
	size_t size = 0;

	if (c->head_n < sizeof c->head)
		p[c->head_n++] = b;
	if (b != '\n')
		return;
	if (memcmp(p, "PING", 4) == 0)
		wire_write_all(c->fd, span_str("PONG\r\n"));
	if (memcmp(p, "-ERR", 4) == 0)
		die(1, "nats: %.*s", (int)c->head_n, (const char *)p);
	if (memcmp(p, "MSG ", 4) == 0) {
		size_t at = c->head_n - 2;

		while (at > 0 && p[at - 1] != ' ')
			at--;
		for (; at < c->head_n - 2; at++)
			size = size * 10 + (size_t)(p[at] - '0');
		c->skip = size + 2;
		c->counts = true;
	}
	c->head_n = 0;
}

static void
take(struct wire *w, struct conn *c, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t k = c->skip < n ? c->skip : n;

		if (k > 0 && c->at != PACK) {
			c->skip -= k;
			p += k;
			n -= k;
			if (c->skip == 0 && c->counts)
				count(w, c);
			continue;
		}
		k = 1;
		if (w->kind == WIRE_NATS) {
			nats_byte(c, *p);
		} else if (c->at == PACK) {
			k = pack_bytes(c, p, n);
		} else if (c->at == BIN) {
			bin_byte(c, *p);
		} else {
			zmtp_byte(w, c, *p);
		}
		p += k;
		n -= k;
	}
}

uint64_t
wire_read(struct wire *w, int ms)
{
	static uint8_t bytes[1 << 16];
	struct epoll_event ev[256];
	uint64_t before = w->messages;
	int n = epoll_wait(w->epoll, ev, 256, ms);

	for (int i = 0; i < n; i++) {
		struct conn *c = ev[i].data.ptr;
		ssize_t got = read(c->fd, bytes, sizeof bytes);

		if (got == 0 || (got < 0 && errno != EAGAIN))
			die(1, "the server hung up");
		if (got > 0)
			take(w, c, bytes, (size_t)got);
	}
	return w->messages - before;
}

unsigned
wire_reached(const struct wire *w)
{
	return w->reached;
}

void
wire_write(struct wire *w, struct span bytes)
{
	for (unsigned i = 0; i < w->n; i++)
		wire_write_all(w->conn[i].fd, bytes);
}

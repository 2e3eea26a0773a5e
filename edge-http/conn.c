#include "edge-http/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "edge-http/http.h"
#include "edge-http/intake.h"

#define KEEPALIVE_MS 60000
#define MIN_RATE 4096 /* bytes a second of a body, once its timeout is used up */
#define LINGER_MS 2000
#define LINGER_MAX 64
#define LINGER_BYTES (64u * 1024 * 1024)

/* A socket that was answered and closed for libmicrohttpd while the client still sends.  Closing it
 * at once would reset it, and the client would lose the answer: read on for a moment (RFC
 * 9112, 9.6). */
struct leftover {
	struct list node;
	struct shard *sh;
	struct loop_fd *watch;
	int fd;
	int64_t deadline_ms;
	size_t bytes;
};

static void
leftover_end(struct leftover *g)
{
	list_remove(&g->node);
	g->sh->nlingering--;
	loop_fd_end(g->watch);
	(void)close(g->fd);
	free(g);
}

static void
on_leftover(void *arg, short revents)
{
	static _Thread_local uint8_t sink[64 * 1024];
	struct leftover *g = arg;
	ssize_t n = recv(g->fd, sink, sizeof sink, MSG_DONTWAIT);

	(void)revents;
	if (n > 0)
		g->bytes += (size_t)n;
	if (n == 0 || (n == -1 && errno != EAGAIN && errno != EINTR) || g->bytes > LINGER_BYTES)
		leftover_end(g);
}

static void
leftover_begin(struct conn *c)
{
	struct shard *sh = c->sh;
	struct leftover *g;
	int fd;

	if (sh->nlingering >= LINGER_MAX || sh->draining)
		return;
	fd = dup(c->fd);
	if (fd == -1)
		return;
	(void)shutdown(fd, SHUT_WR);
	g = xcalloc(1, sizeof *g);
	*g = (struct leftover){.sh = sh, .fd = fd, .deadline_ms = loop_now(sh->loop) + LINGER_MS};
	g->watch = loop_fd(sh->loop, fd, ZMQ_POLLIN, on_leftover, g);
	list_push_back(&sh->lingering, &g->node);
	sh->nlingering++;
}

void
conn_lingering_end(struct shard *sh)
{
	struct leftover *g;

	LIST_EACH (g, &sh->lingering, struct leftover, node)
		leftover_end(g);
}

static void
conn_start(struct shard *sh, struct MHD_Connection *mhd, void **ctx)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct conn *c = xcalloc(1, sizeof *c);

	c->sh = sh;
	c->fd = info ? info->connect_fd : -1;
	c->fresh = true;
	c->look = true;
	c->deadline_ms = loop_now(sh->loop) + sh->edge->conf.header_timeout_ms;
	list_push_back(&sh->conns, &c->node);
	metrics_add(sh->m, METRICS_CONNECTIONS, 1);
	*ctx = c;
}

void
conn_notify(
    void *arg, struct MHD_Connection *mhd, void **ctx, enum MHD_ConnectionNotificationCode code)
{
	struct shard *sh = arg;
	struct conn *c = *ctx;

	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		conn_start(sh, mhd, ctx);
		return;
	}
	if (c == NULL)
		return;
	/* a query that does not fit its memory: libmicrohttpd ends without a word of the request */
	if (c->req)
		http_end(c->req, MHD_REQUEST_TERMINATED_WITH_ERROR);
	if (c->linger)
		leftover_begin(c);
	list_remove(&c->node);
	metrics_add(sh->m, METRICS_CONNECTIONS, -1);
	/* at its limit libmicrohttpd stopped to listen, and looks again only when it is run */
	shard_kick(sh);
	free(c);
	*ctx = NULL;
}

struct conn *
conn_of(struct MHD_Connection *mhd)
{
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

	return info ? info->socket_context : NULL;
}

void
conn_header_begins(struct conn *c, struct http_req *r)
{
	const struct edge_conf *conf = &c->sh->edge->conf;

	c->req = r;
	if (!c->fresh) /* of a fresh one the time runs since it was opened */
		c->deadline_ms = loop_now(c->sh->loop) + conf->header_timeout_ms;
}

void
conn_body_begins(struct conn *c)
{
	c->body_since_ms = loop_now(c->sh->loop);
	c->waits_since_ms = 0;
	conn_body_moved(c, 0);
}

void
conn_body_moved(struct conn *c, uint64_t received)
{
	int64_t now = loop_now(c->sh->loop);

	if (c->waits_since_ms) /* that was our time, not the client's */
		c->body_since_ms += now - c->waits_since_ms;
	c->waits_since_ms = 0;
	c->over = false;
	c->deadline_ms = c->body_since_ms + c->sh->edge->conf.body_timeout_ms +
			 (int64_t)(received * 1000 / MIN_RATE);
}

void
conn_waits(struct conn *c)
{
	c->waits_since_ms = loop_now(c->sh->loop);
	c->deadline_ms = 0;
}

void
conn_idles(struct conn *c)
{
	c->req = NULL;
	c->fresh = false;
	c->look = true;
	c->deadline_ms = loop_now(c->sh->loop) + KEEPALIVE_MS;
}

void
conn_end(struct conn *c)
{
	c->ended = true;
	c->deadline_ms = 0;
	c->ended_ms = 0;
	(void)shutdown(c->fd, SHUT_RDWR);
	shard_kick(c->sh);
}

void
conn_refuse(struct conn *c, int status, const char *reason, struct span json)
{
	const struct http_req *r = c->req;
	struct buf b;

	if (c->ended)
		return;
	buf_init(&b, 64u * 1024);
	buf_printf(&b,
	    "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %zu\r\n"
	    "Connection: close\r\n",
	    status, reason, json.n);
	if (r && http_request_id(r))
		buf_printf(&b, "X-Request-Id: %s\r\ntraceparent: %s\r\n", r->root_text, r->trace);
	buf_puts(&b, "\r\n");
	buf_put(&b, json.p, json.n);
	/* nothing else was sent on this connection since its last answer, so there is room for this
	 * little */
	if (!b.failed && send(c->fd, b.p, b.n, MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
		log_debug("refusal_not_sent", LOG_I("status", status), LOG_ERRNO());
	buf_fini(&b);
	c->linger = true;
	c->ended = true;
	c->deadline_ms = 0;
	c->ended_ms = loop_now(c->sh->loop);
	(void)shutdown(
	    c->fd, SHUT_WR); /* both sides would be a reset at the next byte that comes */
	shard_kick(c->sh);
}

static void
too_slow(struct conn *c)
{
	struct problem p = problem_of_status(408);
	bool body = c->req && http_reads_body(c->req);
	struct buf json;

	if (c->req == NULL && !c->fresh) {
		conn_end(c);
		return;
	}
	metrics_add(c->sh->m, body ? METRICS_SLOW_BODY : METRICS_SLOW_HEADER, 1);
	p.detail = span_str(body ? "the request body did not come in time"
				 : "the request header did not come in time");
	if (c->req)
		intake_identify(c->req);
	p.instance = c->req ? http_request_id(c->req) : NULL;
	buf_init(&json, 4096);
	problem_put(&p, &json);
	conn_refuse(c, 408, "Request Timeout", buf_span(&json));
	buf_fini(&json);
}

static bool
is_at_end(const struct conn *c)
{
	uint8_t byte;

	return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

/* An end that comes in one packet with the last byte is no event of its own, and libmicrohttpd,
 * which waits for edges, does not see it: look here.  Once where nothing is under way; inside a
 * request as long as it is received, and twice, for the bytes before the end may be about to be
 * read. */
static bool
is_over(struct conn *c)
{
	bool was = c->over;

	if (c->req == NULL) {
		if (!c->look)
			return false;
		c->look = c->fresh;
		return is_at_end(c);
	}
	c->over = !c->req->suspended && c->req->phase < HTTP_READY && is_at_end(c);
	return c->over && was;
}

void
conn_sweep(struct shard *sh, int64_t now_ms)
{
	struct leftover *g;
	struct conn *c;

	LIST_EACH (c, &sh->conns, struct conn, node) {
		if (c->ended) {
			if (c->ended_ms && now_ms - c->ended_ms >= LINGER_MS)
				conn_end(c);
			continue;
		}
		if ((c->req == NULL && sh->draining) || is_over(c)) {
			conn_end(c);
		} else if (c->deadline_ms && now_ms >= c->deadline_ms) {
			too_slow(c);
		}
	}
	LIST_EACH (g, &sh->lingering, struct leftover, node) {
		if (now_ms >= g->deadline_ms)
			leftover_end(g);
	}
}

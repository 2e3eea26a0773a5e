#ifndef EDGE_HTTP_CONN_H
#define EDGE_HTTP_CONN_H
/* TCP connections as the edge sees them beside libmicrohttpd, which knows idle time but no
 * deadline: a client that sends a byte now and then is never idle.  A sweep each 250 ms ends who is
 * over time, and notices clients that went away while their request waits. */
#include "base/list.h"
#include "base/span.h"
#include "edge-http/shard.h"

struct http_req;

struct conn {
	struct list node;
	struct shard *sh;
	int fd;
	int64_t deadline_ms; /* of the header or body being received, or of idling; 0: none */
	int64_t body_since_ms, waits_since_ms;
	bool look;        /* kept alive since the last sweep: has the client closed its side? */
	bool over;        /* so it seemed at the last sweep, inside a request */
	bool fresh;       /* nothing was answered on it yet */
	int64_t ended_ms; /* when, if `ended` and libmicrohttpd has not let go of it yet */
	bool ended;       /* a response was written past libmicrohttpd, or it is being closed */
	bool linger;      /* unread input may follow: reset it only later, or the answer is lost */
	struct http_req *req;
};

/* For MHD_OPTION_NOTIFY_CONNECTION; arg is the shard. */
void conn_notify(
    void *arg, struct MHD_Connection *mhd, void **ctx, enum MHD_ConnectionNotificationCode code);
struct conn *conn_of(struct MHD_Connection *mhd);

void conn_header_begins(struct conn *c, struct http_req *r);
void conn_body_begins(struct conn *c);
void conn_body_moved(struct conn *c, uint64_t received);
void conn_waits(struct conn *c); /* for us: no deadline */
void conn_idles(struct conn *c); /* kept alive, no request */

/* Answer with this problem where libmicrohttpd cannot, because the request is not yet read, and
 * end. */
void conn_refuse(struct conn *c, int status, const char *reason, struct span json);
void conn_end(struct conn *c); /* without a word */

/* One round over every connection. */
void conn_sweep(struct shard *sh, int64_t now_ms);
void conn_lingering_end(struct shard *sh);

#endif

#ifndef EDGE_HTTP_HTTP_H
#define EDGE_HTTP_HTTP_H
/* One HTTP request from its first line to its last byte out.  libmicrohttpd calls in; the body is
 * collected, the connection waits while the bus works (wait.h), until the answer is there.
 *
 * A request lives until libmicrohttpd says it is completed.  Whoever works for it in the meantime
 * sets `job`, and is told through job_end when the request ends first. */
#include "base/uuid.h"
#include "edge-http/answer.h"
#include "edge-http/body.h"
#include "edge-http/conn.h"
#include "edge-http/request.h"
#include "edge-http/shard.h"
#include "edge-http/target.h"

struct stream;

enum http_phase {
	HTTP_HEADER,  /* the header is being read */
	HTTP_BODY,    /* so is the body */
	HTTP_DISCARD, /* the answer is ready; what is left of the body is read and dropped */
	HTTP_READY,   /* all was read, and the answer is ready */
	HTTP_QUEUED,  /* the answer is libmicrohttpd's */
};

/* What the edge reads of a header; absent is {NULL, 0}.  Borrowed from libmicrohttpd. */
struct http_head {
	struct span host, origin, site, type, coding, accept_coding, key, request_id, trace,
	    order_key;
	struct span te, length, expect;
	unsigned nhost, nlength, nte, nkey;
	bool proxied, upgrade, bad_name;
};

struct http_req {
	struct shard *sh;
	struct conn *conn;
	struct MHD_Connection *mhd;
	struct list node; /* in shard.waiting while it waits */
	struct list miss; /* in a list of announce, while the routes are loaded for it */
	enum http_phase phase;
	bool suspended;  /* it waits: wait.h */
	uint8_t asked;   /* how often in vain; 0: libmicrohttpd does not ask */
	bool unread;     /* of the body something is still to come */
	bool looked;     /* the routes were loaded again for it */
	bool must_close; /* where the request ends is doubtful */
	int64_t started_us, waits_since_ms;

	struct buf raw; /* the request target as it was sent */
	struct target target;
	const char *method;
	bool head;
	struct http_head h;
	uint8_t root[16], id[16]; /* request id; id of the REQ or PUB */
	char root_text[UUID_TEXT + 1], trace[REQUEST_TRACE + 1];
	uint8_t dig[DIGEST_BYTES];
	bool keyed;

	struct routes *table; /* a reference, as long as op is used */
	const struct route *route;
	const struct routes_op *op;
	struct span value[ROUTES_PARAMS];
	struct buf scratch; /* holds the values */
	struct metrics_slot *slot;

	struct body body;
	bool as_json; /* else a whole body becomes bin */
	size_t held, discarded;
	struct buf payload; /* the body in msgpack */
	bool has_payload;
	uint64_t stored, chunks; /* of a stream: lines and requests that were answered well */

	struct answer answer;  /* status 0: not yet */
	struct stream *stream; /* an answer that comes in parts */
	uint64_t out;

	void *job;
	void (*job_end)(void *job);
};

/* libmicrohttpd's callbacks; cls is the shard. */
void *http_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result http_on_access(void *cls, struct MHD_Connection *mhd, const char *url,
    const char *method, const char *version, const char *data, size_t *n, void **ctx);
/* What libmicrohttpd has let go of. */
void http_end(struct http_req *r, enum MHD_RequestTerminationCode how);
void http_on_completed(
    void *cls, struct MHD_Connection *mhd, void **ctx, enum MHD_RequestTerminationCode how);

/* libmicrohttpd has just found a Content-Length it cannot read, and is about to answer with two
 * headers (0.9.75): answer before it does. */
void http_refuse_length(struct shard *sh);
/* Or a query of more parts than its memory holds: such a request it ends without a word. */
void http_refuse_query(struct shard *sh);

/* Fill the answer with a problem.  `detail` is copied into it; NULL for none. */
void http_fail(struct http_req *r, enum err code, const char *detail);
/* The same status, though trying again later helps. */
void http_fail_later(struct http_req *r, enum err code, const char *detail);
void http_fail_status(struct http_req *r, int status, const char *detail);
/* The answer has been filled by a job: send it. */
void http_answered(struct http_req *r);
/* The chunk of lines was answered well: read on. */
void http_continue(struct http_req *r);
/* The routes are as new as can be: match again. */
void http_look_again(struct http_req *r);

bool http_reads_body(const struct http_req *r);
const char *http_request_id(const struct http_req *r); /* NULL: not known yet */

void http_free_spare(struct shard *sh);

#endif

#ifndef EDGE_HTTP_REQUEST_H
#define EDGE_HTTP_REQUEST_H
/* From an HTTP request to the body, id and trace of a REQ (PROTOCOL.md, Announcements).  Pure:
 * randomness is an argument. */
#include "edge-http/routes.h"
#include "proto/digest.h"
#include "proto/faults.h"

#define REQUEST_TRACE 55 /* characters of a traceparent */
#define REQUEST_KEY_MAX 255

enum request_say {
	REQUEST_OK,
	REQUEST_UNREADABLE, /* the query has a broken escape: 400 */
	REQUEST_INVALID,    /* f says which parameter: 422 */
	REQUEST_TOO_BIG,
};

struct request_in {
	const struct routes_op *op;
	const struct span *value; /* path parameters by place, decoded */
	struct span query;        /* raw */
	struct span body;         /* msgpack; {NULL, 0}: none was sent */
	/* A chunk of a stream instead of a body: `lines` msgpack values back to back. */
	bool is_chunk, last;
	struct span lines;
	unsigned nlines;
	uint64_t chunk;
	uint64_t first; /* number of its first line in the stream, from 0 */
	uint8_t of[16]; /* id of the request as a whole */
};

/* Append the body of the REQ to out. */
enum request_say request_body(const struct request_in *in, struct buf *out, struct faults *f);

/* v8(principal, method, path, key), and v8(request id, chunk). */
void request_key_id(uint8_t id[16], const char *method, struct span path, struct span key);
void request_chunk_id(uint8_t id[16], const uint8_t of[16], uint64_t chunk);
/* What makes a repeat the same request: method, target and body. */
void request_digest(
    uint8_t dig[DIGEST_BYTES], const char *method, struct span target, struct span body);

/* The traceparent to send on: the incoming trace when it is valid, else one whose trace id is the
 * request's; always a new span. */
void request_trace(struct span incoming, const uint8_t root[16], const uint8_t span_id[8],
    char out[REQUEST_TRACE + 1]);

#endif

#ifndef EDGE_HTTP_CALL_H
#define EDGE_HTTP_CALL_H
/* A request's calls to the bus: one REQ, one PUB, or a REQ for each chunk of a stream.  Each
 * function either fills the answer at once (a refusal) or takes on the request's job, which ends in
 * http_answered or http_continue. */
#include "edge-http/http.h"

/* The body is whole: decode it, then the built-in or the announced operation. */
void call_run(struct http_req *r);
/* The chunk in r->body.lines. */
void call_chunk(struct http_req *r, bool last);
/* REQ to `topic` with the body as it is; PUB. */
void call_request(struct http_req *r, struct span topic, int64_t ttl_ms, struct span body);
void call_publish(struct http_req *r, struct span topic, struct span body);
/* The client is gone: cancel at the bus, where that can be. */
void call_abandon(struct http_req *r);

#endif

#ifndef EDGE_HTTP_REPLY_H
#define EDGE_HTTP_REPLY_H
/* From an answer to libmicrohttpd's response, compressed where the client takes that. */
#include "edge-http/http.h"

/* Hands r->answer (its body is given away) or r->stream to libmicrohttpd.  MHD_NO: close the
 * connection. */
enum MHD_Result reply_queue(struct http_req *r);

/* An answer in parts: what has come and is not sent. */
struct stream {
	struct http_req *r;
	struct buf q;
	size_t at;      /* of q, already sent */
	unsigned parts; /* in q, whose window is not given back */
	bool ended, failed, starved;
	uint8_t id[16]; /* of the call */
};

struct stream *reply_stream_new(struct http_req *r, const uint8_t id[16]);
void reply_stream_free(struct stream *s); /* NULL is fine */
/* One part's body: bin and str as they are, anything else as a line of JSON. */
void reply_stream_put(struct stream *s, struct span body);
/* No more parts; `failed`: the client must see that some are missing. */
void reply_stream_end(struct stream *s, bool failed);

#endif

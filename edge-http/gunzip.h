#ifndef EDGE_HTTP_GUNZIP_H
#define EDGE_HTTP_GUNZIP_H
/* Content-Encoding: gzip of a request body, a bounded piece at a time: what comes out is never more
 * than the room given, however little went in.  Members one after another are one body (RFC
 * 1952, 2.2). */
#include <zlib.h>
#include "base/span.h"

enum gunzip_say {
	GUNZIP_MORE, /* needs more input */
	GUNZIP_ROOM, /* the room is full: take it and call again, if need be without input */
	GUNZIP_BAD,  /* not gzip, or damaged */
};

struct gunzip {
	z_stream z;
	bool open, between; /* between members: an end is allowed here */
	uint64_t in, out;
};

int gunzip_init(struct gunzip *g) __attribute__((warn_unused_result));
void gunzip_fini(struct gunzip *g);
/* Reads from *in, which moves on, writes up to `room` bytes to `to`, their number to *n. */
enum gunzip_say gunzip_feed(struct gunzip *g, struct span *in, uint8_t *to, size_t room, size_t *n);
/* The body has ended: was it whole? */
bool gunzip_is_whole(const struct gunzip *g);

#endif

#ifndef EDGE_HTTP_BODY_H
#define EDGE_HTTP_BODY_H
/* A request body on its way in: inflated if need be, collected up to a limit, or cut into chunks of
 * lines. Pure: bytes in, decisions out; what it holds is bounded whatever comes. */
#include "edge-http/gunzip.h"
#include "edge-http/ndjson.h"

enum body_kind {
	BODY_NONE,  /* nobody wants it */
	BODY_WHOLE, /* collected in `bytes` */
	BODY_LINES, /* cut by `lines` */
};

enum body_say {
	BODY_MORE,  /* all was taken */
	BODY_CHUNK, /* lines: a chunk is full; send it, body_next, go on with what was not taken */
	BODY_DONE,  /* only body_end: complete; of lines, the chunk is the last */
	BODY_TOO_BIG, /* over the limit */
	BODY_GZIP,    /* not gzip, damaged or cut short */
	BODY_LINE,    /* lines: a line is no JSON; see lines->line and lines->error */
	BODY_LONG,    /* lines: a line is too long */
};

struct body {
	enum body_kind kind;
	bool zipped;
	size_t max; /* of a whole body, after inflating */
	struct buf bytes;
	struct ndjson *lines;
	struct gunzip gz;
	struct buf plain; /* inflated, and not yet taken by lines */
	size_t plain_at;
	uint64_t in; /* bytes as they came */
};

/* 0, or -1: zlib has no memory. */
int body_init(struct body *b, enum body_kind kind, bool zipped, size_t max)
    __attribute__((warn_unused_result));
void body_fini(struct body *b); /* harmless on a zeroed struct */
enum body_say body_feed(struct body *b, struct span in, size_t *taken);
enum body_say body_end(struct body *b);
void body_next(struct body *b); /* the chunk was sent */
/* Bytes of memory that depend on the client. */
size_t body_held(const struct body *b);

#endif

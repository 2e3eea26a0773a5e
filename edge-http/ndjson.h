#ifndef EDGE_HTTP_NDJSON_H
#define EDGE_HTTP_NDJSON_H
/* Cuts a stream of JSON lines into chunks of at most 1 MiB of text and 4,096 lines, each line
 * turned into msgpack.  Where it cuts depends on the lines alone, never on how they arrived, so a
 * repeat gets the same chunks.  Pure; bounded memory: one chunk and one line.
 *
 * feed until it says FULL; send `lines` with last = false, ndjson_next, feed on.  At the end of the
 * body ndjson_end; FULL as before, DONE: send what is left with last = true. */
#include "base/buf.h"
#include "base/span.h"
#include "proto/json.h"

#define NDJSON_CHUNK_BYTES (1024u * 1024)
#define NDJSON_CHUNK_LINES 4096u

enum ndjson_say {
	NDJSON_MORE, /* all was taken */
	NDJSON_FULL, /* the chunk is complete and another line is there */
	NDJSON_DONE, /* only ndjson_end: the chunk is the last */
	NDJSON_BAD,  /* line `line` is no JSON: `error` */
	NDJSON_LONG, /* line `line` is over NDJSON_CHUNK_BYTES */
};

struct ndjson {
	struct buf lines; /* msgpack values back to back */
	unsigned nlines;
	size_t bytes;    /* of text in the chunk */
	uint64_t chunk;  /* its number, from 0 */
	uint64_t line;   /* number of the line read last, from 1 */
	struct buf part; /* of a line that is not complete, or waits for the next chunk */
	bool waiting;    /* `part` is complete and waits */
	struct json_error error;
};

void ndjson_init(struct ndjson *n);
void ndjson_fini(struct ndjson *n);
/* *taken is how much of `in` was used: all of it unless FULL, BAD or LONG. */
enum ndjson_say ndjson_feed(struct ndjson *n, struct span in, size_t *taken);
enum ndjson_say ndjson_end(struct ndjson *n);
void ndjson_next(struct ndjson *n);

#endif

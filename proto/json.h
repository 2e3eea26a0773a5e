#ifndef PROTO_JSON_H
#define PROTO_JSON_H
/* JSON text <-> msgpack, key order and numbers kept: an integer stays an integer (the whole range of
 * int64 and uint64), 1.0 stays a float, a float is written in the shortest form that reads back the same.
 * bin has no JSON form and is written as base64 text; ext is refused. */
#include "base/buf.h"
#include "base/span.h"

struct json_error {
	int line, column; /* 1-based; 0 when not about a place in the text */
	char text[160];
};

/* One JSON value, nothing after it but white space, nesting <= LIMIT_NEST, no duplicate keys, UTF-8
 * (RFC 8259), at most LIMIT_BODY_ELEMENTS values; a NUL in a key is refused, in a string it is kept.
 * Appends msgpack to out; 0, or -1 with err filled (err may be NULL) and nothing appended. */
int json_to_mp(struct span text, struct buf *out, struct json_error *err) __attribute__((warn_unused_result));

/* Appends JSON for the one msgpack object in `body` (empty or absent is null).  `indent` 0 is compact.
 * NaN and infinities are written as null.  0, or -1 and nothing appended: not msgpack within the
 * limits, holds an ext or a map key that is no str, or out failed. */
int json_from_mp(struct span body, struct buf *out, int indent) __attribute__((warn_unused_result));

/* Appends a JSON string literal with its quotes; a byte that is no UTF-8 becomes U+FFFD. */
void json_put_str(struct buf *out, struct span s);

#endif

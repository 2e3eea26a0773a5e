#ifndef PROTO_DOC_H
#define PROTO_DOC_H
/* A decoded body: msgpack-c objects, scanned first.  Objects and their strings belong to the doc;
 * the strings also borrow from the bytes it was parsed from, which must outlive it. */
#include <msgpack.h>
#include "base/span.h"

struct doc {
	msgpack_zone *zone;
	msgpack_object root; /* nil when the body is absent */
};

/* 0, or -1: not one whole msgpack object within the limits.  doc_fini is harmless after either. */
int doc_parse(struct doc *d, struct span body) __attribute__((warn_unused_result));
void doc_fini(struct doc *d);

/* The value under `key` of a map; NULL when o is no map, or has no such key (the last one wins). */
const msgpack_object *doc_get(const msgpack_object *o, const char *key);
/* The string under `key`; {NULL, 0} when absent or no str. */
struct span doc_str(const msgpack_object *o, const char *key);
/* Never NULL: one of no elements when it is not an array. */
const msgpack_object_array *doc_list(const msgpack_object *o, const char *key);
/* The integer under `key`, or `def` when absent or no integer that an int64 holds. */
int64_t doc_i64(const msgpack_object *o, const char *key, int64_t def);
bool doc_bool(const msgpack_object *o, const char *key, bool def);

static inline struct span
doc_span(const msgpack_object *o)
{
	return o && o->type == MSGPACK_OBJECT_STR ? span_of(o->via.str.ptr, o->via.str.size)
						  : (struct span){NULL, 0};
}

const char *doc_type_name(
    const msgpack_object *o); /* "object", "array", "string"… as JSON says it */

#endif

#include "proto/doc.h"

#include "proto/limits.h"
#include "proto/mp.h"

enum { CHUNK_LEAST = 128, CHUNK_A_BYTE = 8 };

/* What a body of n bytes is likely to need at once: msgpack-c's 8 KiB for each are more work for
 * malloc than the parsing is. */
static size_t
chunk_of(size_t n)
{
	return n < (MSGPACK_ZONE_CHUNK_SIZE - CHUNK_LEAST) / CHUNK_A_BYTE
		   ? CHUNK_LEAST + CHUNK_A_BYTE * n
		   : MSGPACK_ZONE_CHUNK_SIZE;
}

int
doc_parse(struct doc *d, struct span body)
{
	size_t off = 0;

	*d = (struct doc){.zone = NULL, .root = {.type = MSGPACK_OBJECT_NIL}};
	if (body.n == 0)
		return 0;
	if (mp_scan(body, LIMIT_NEST, LIMIT_BODY_ELEMENTS) != body.n)
		return -1;
	d->zone = msgpack_zone_new(chunk_of(body.n));
	/* After the scan only memory can fail; msgpack-c's NOMEM also means nesting over its stack,
	 * so neither is worth more than an answer to the peer. */
	if (d->zone != NULL &&
	    msgpack_unpack((const char *)body.p, body.n, &off, d->zone, &d->root) ==
		MSGPACK_UNPACK_SUCCESS &&
	    off == body.n)
		return 0;
	doc_fini(d);
	return -1;
}

void
doc_fini(struct doc *d)
{
	if (d->zone != NULL)
		msgpack_zone_free(d->zone);
	*d = (struct doc){.zone = NULL, .root = {.type = MSGPACK_OBJECT_NIL}};
}

const msgpack_object *
doc_get(const msgpack_object *o, const char *key)
{
	if (o == NULL || o->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = o->via.map.size; i > 0; i--) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i - 1];

		if (kv->key.type == MSGPACK_OBJECT_STR && span_is(doc_span(&kv->key), key))
			return &kv->val;
	}
	return NULL;
}

struct span
doc_str(const msgpack_object *o, const char *key)
{
	return doc_span(doc_get(o, key));
}

const msgpack_object_array *
doc_list(const msgpack_object *o, const char *key)
{
	static const msgpack_object_array none;
	const msgpack_object *v = doc_get(o, key);

	return v != NULL && v->type == MSGPACK_OBJECT_ARRAY ? &v->via.array : &none;
}

int64_t
doc_i64(const msgpack_object *o, const char *key, int64_t def)
{
	const msgpack_object *v = doc_get(o, key);

	if (v == NULL)
		return def;
	if (v->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return v->via.i64;
	if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER && v->via.u64 <= INT64_MAX)
		return (int64_t)v->via.u64;
	return def;
}

bool
doc_bool(const msgpack_object *o, const char *key, bool def)
{
	const msgpack_object *v = doc_get(o, key);

	return v != NULL && v->type == MSGPACK_OBJECT_BOOLEAN ? v->via.boolean : def;
}

const char *
doc_type_name(const msgpack_object *o)
{
	if (o == NULL)
		return "absent";
	switch (o->type) {
	case MSGPACK_OBJECT_NIL: return "null";
	case MSGPACK_OBJECT_BOOLEAN: return "boolean";
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: return "integer";
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: return "number";
	case MSGPACK_OBJECT_STR: return "string";
	case MSGPACK_OBJECT_ARRAY: return "array";
	case MSGPACK_OBJECT_MAP: return "object";
	case MSGPACK_OBJECT_BIN: return "bytes";
	case MSGPACK_OBJECT_EXT: return "extension";
	}
	return "unknown";
}

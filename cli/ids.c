#include "cli/ids.h"

#include "base/uuid.h"
#include "proto/mp.h"

static bool
is_id(const msgpack_object_kv *kv)
{
	struct span k = doc_span(&kv->key);

	return kv->val.type == MSGPACK_OBJECT_BIN && kv->val.via.bin.size == 16 &&
	       (span_is(k, "id") || span_is(k, "root") || span_is(k, "epoch"));
}

void
ids_put(struct buf *out, const msgpack_object *o)
{
	char text[UUID_TEXT + 1];

	if (o->type == MSGPACK_OBJECT_ARRAY) {
		mp_put_array(out, o->via.array.size);
		for (uint32_t i = 0; i < o->via.array.size; i++)
			ids_put(out, &o->via.array.ptr[i]);
		return;
	}
	if (o->type != MSGPACK_OBJECT_MAP) {
		mp_put_object(out, o);
		return;
	}
	mp_put_map(out, o->via.map.size);
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];

		mp_put_object(out, &kv->key);
		if (is_id(kv)) {
			mp_put_cstr(out, uuid_text((const uint8_t *)kv->val.via.bin.ptr, text));
		} else {
			ids_put(out, &kv->val);
		}
	}
}

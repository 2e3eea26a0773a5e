#include "cli/fields.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/fmt.h"
#include "cli/when.h"

const uint8_t *
fields_id(const msgpack_object *o, const char *key)
{
	const msgpack_object *v = doc_get(o, key);

	return v != NULL && v->type == MSGPACK_OBJECT_BIN && v->via.bin.size == 16
		   ? (const uint8_t *)v->via.bin.ptr
		   : NULL;
}

void
fields_cell_str(struct table *t, const msgpack_object *o, const char *key)
{
	table_span(t, doc_str(o, key));
}

void
fields_cell_count(struct table *t, const msgpack_object *o, const char *key)
{
	int64_t n = doc_i64(o, key, 0);

	table_cell(t, "%s", fmt_count(n > 0 ? (uint64_t)n : 0).s);
}

void
fields_cell_age(struct table *t, const msgpack_object *o, const char *key)
{
	int64_t ms = doc_i64(o, key, 0);

	table_cell(t, "%s", ms > 0 ? fmt_age(ms).s : "-");
}

void
fields_cell_id(struct table *t, const msgpack_object *o, const char *key)
{
	const uint8_t *id = fields_id(o, key);

	if (id != NULL) {
		table_cell(t, "%s", fmt_id(id).s);
	} else {
		fields_cell_str(t, o, key);
	}
}

void
fields_cell_time(struct table *t, const msgpack_object *o, const char *key)
{
	struct span s = doc_str(o, key);
	struct when w;
	char text[64];

	if (str_copy(text, sizeof text, s) && when_parse(text, 0, &w) == 0 && w.kind == WHEN_TIME) {
		table_cell(t, "%s", fmt_time(w.n).s);
	} else {
		table_span(t, s);
	}
}

static bool
ends_in(struct span s, const char *end)
{
	size_t n = strlen(end);

	return s.n > n && memcmp(s.p + s.n - n, end, n) == 0;
}

static void
put_integer(struct table *t, struct span key, int64_t n)
{
	if (ends_in(key, "Ms") && n > 0) {
		table_cell(t, "%" PRId64 "  (%s)", n, fmt_age(n).s);
	} else {
		table_cell(t, "%" PRId64, n);
	}
}

static void
put_value(struct table *t, struct span key, const msgpack_object *v)
{
	switch (v->type) {
	case MSGPACK_OBJECT_STR: table_span(t, doc_span(v)); break;
	case MSGPACK_OBJECT_BOOLEAN: table_cell(t, "%s", v->via.boolean ? "true" : "false"); break;
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: put_integer(t, key, v->via.i64); break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: table_cell(t, "%g", v->via.f64); break;
	case MSGPACK_OBJECT_BIN:
		if (v->via.bin.size == 16) {
			table_cell(t, "%s", fmt_id((const uint8_t *)v->via.bin.ptr).s);
		} else {
			table_cell(t, "(%" PRIu32 " bytes)", v->via.bin.size);
		}
		break;
	case MSGPACK_OBJECT_NIL: table_cell(t, "-"); break;
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP:
	case MSGPACK_OBJECT_EXT: table_cell(t, "?"); break;
	}
}

void
fields_put(struct table *t, const char *prefix, const msgpack_object *o)
{
	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
		const msgpack_object *v = &o->via.map.ptr[i].val;
		struct span k = doc_span(&o->via.map.ptr[i].key);
		char name[256];

		snprintf(name, sizeof name, "%s%s%.*s", prefix, prefix[0] ? "." : "", (int)k.n,
		    (const char *)k.p);
		if (v->type == MSGPACK_OBJECT_MAP) {
			fields_put(t, name, v);
			continue;
		}
		if (v->type == MSGPACK_OBJECT_ARRAY || v->type == MSGPACK_OBJECT_EXT)
			continue;
		table_cell(t, "%s", name);
		put_value(t, k, v);
	}
}

void
fields_print(const msgpack_object *o)
{
	struct table t;

	table_init(&t, "");
	t.columns = 2;
	fields_put(&t, "", o);
	table_print(&t, NULL);
}

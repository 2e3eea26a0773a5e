#include "edge-http/fragment.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "edge-http/media.h"
#include "edge-http/text.h"
#include "proto/doc.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { PARAMS_MAX = 64, TYPES_MAX = 16, REF_STEPS = 8, PATHS_MAX = 1024 };

/* One operation being read. */
struct reading {
	const msgpack_object *api, *op;
	struct routes_op *out;
	const char *why; /* sticky: the first rule that is broken */
};

static void
fail(struct reading *rd, const char *why)
{
	if (rd->why == NULL)
		rd->why = why;
}

/* "a~1b" of a JSON pointer against the key "a/b". */
static bool
token_is(struct span token, struct span key)
{
	size_t i = 0, k = 0;

	for (; i < token.n && k < key.n; i++, k++) {
		uint8_t c = token.p[i];

		if (c == '~' && i + 1 < token.n)
			c = token.p[++i] == '1' ? '/' : '~';
		if (c != key.p[k])
			return false;
	}
	return i == token.n && k == key.n;
}

static const msgpack_object *
child(const msgpack_object *o, struct span token)
{
	if (o->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		if (token_is(token, doc_span(&o->via.map.ptr[i].key)))
			return &o->via.map.ptr[i].val;
	}
	return NULL;
}

const msgpack_object *
fragment_resolve(const msgpack_object *api, const msgpack_object *o)
{
	for (int step = 0; o && step < REF_STEPS; step++) {
		struct span ref = doc_str(o, "$ref"), head;

		if (ref.p == NULL)
			return o;
		head = text_cut(&ref, '/');
		if (!span_is(head, "#"))
			return NULL;
		for (o = api; o && ref.n;)
			o = child(o, text_cut(&ref, '/'));
	}
	return NULL;
}

static enum routes_type
type_of(struct span name)
{
	if (span_is(name, "integer"))
		return ROUTES_INT;
	if (span_is(name, "number"))
		return ROUTES_NUM;
	return span_is(name, "boolean") ? ROUTES_BOOL : ROUTES_STR;
}

/* `type` may be a list such as ["integer", "null"]. */
static enum routes_type
schema_type(const msgpack_object *schema)
{
	const msgpack_object *t = doc_get(schema, "type");

	if (t && t->type == MSGPACK_OBJECT_ARRAY) {
		for (uint32_t i = 0; i < t->via.array.size; i++) {
			if (!span_is(doc_span(&t->via.array.ptr[i]), "null"))
				return type_of(doc_span(&t->via.array.ptr[i]));
		}
		return ROUTES_STR;
	}
	return type_of(doc_span(t));
}

static int
place_of(const struct route *r, struct span name)
{
	int place = 0;

	for (unsigned i = 0; i < r->nseg; i++) {
		if (r->seg[i].name == NULL)
			continue;
		if (span_is(name, r->seg[i].name))
			return place;
		place++;
	}
	return -1;
}

static struct routes_param *
param_find(struct routes_op *op, struct span name)
{
	for (size_t i = 0; i < op->nparams; i++) {
		if (span_is(name, op->params[i].name))
			return &op->params[i];
	}
	return NULL;
}

static struct routes_param *
param_new(struct reading *rd, struct span name, int place)
{
	struct routes_op *op = rd->out;
	struct routes_param *p;

	if (op->nparams == PARAMS_MAX) {
		fail(rd, "more than 64 parameters");
		return NULL;
	}
	op->params = xrealloc(op->params, (op->nparams + 1) * sizeof(op->params[0]));
	p = &op->params[op->nparams++];
	*p = (struct routes_param){.name = span_dup(name), .place = place, .required = place >= 0};
	buf_init(&p->def, LIMIT_DESC);
	return p;
}

/* The operation's own parameters are read before the path's, so the first of a name counts. */
static void
param_read(struct reading *rd, const msgpack_object *o)
{
	const msgpack_object *p = fragment_resolve(rd->api, o), *schema, *def;
	struct span name = doc_str(p, "name"), in = doc_str(p, "in");
	struct routes_param *out;
	int place = -1;

	if (name.n == 0 || in.n == 0) {
		fail(rd, "a parameter needs `name` and `in`, or a $ref to one that has them");
		return;
	}
	if (span_is(in, "header")) {
		rd->out->keyed |= text_is(name, "Idempotency-Key");
		return;
	}
	if (span_is(in, "path")) {
		place = place_of(rd->out->route, name);
		if (place < 0)
			return;
	} else if (!span_is(in, "query")) {
		return;
	}
	if (param_find(rd->out, name))
		return;
	out = param_new(rd, name, place);
	if (out == NULL)
		return;
	schema = fragment_resolve(rd->api, doc_get(p, "schema"));
	out->type = schema_type(schema);
	out->required |= doc_bool(p, "required", false);
	def = doc_get(schema, "default");
	if (def)
		mp_put_object(&out->def, def);
}

static void
params_read(struct reading *rd, const msgpack_object *list)
{
	if (list == NULL)
		return;
	if (list->type != MSGPACK_OBJECT_ARRAY) {
		fail(rd, "`parameters` is no list");
		return;
	}
	for (uint32_t i = 0; i < list->via.array.size; i++)
		param_read(rd, &list->via.array.ptr[i]);
}

/* What the template names and nobody declared is a string. */
static void
params_implied(struct reading *rd)
{
	const struct route *r = rd->out->route;

	for (unsigned i = 0; i < r->nseg; i++) {
		struct span name = span_str(r->seg[i].name);
		const struct routes_param *have = name.p ? param_find(rd->out, name) : NULL;

		if (name.p && have == NULL) {
			(void)param_new(rd, name, place_of(r, name));
		} else if (have && have->place < 0) {
			fail(rd, "a query parameter has the name of a path parameter");
		}
	}
}

static void
body_read(struct reading *rd)
{
	const msgpack_object *declared = doc_get(rd->op, "requestBody");
	const msgpack_object *b = fragment_resolve(rd->api, declared), *content;
	struct routes_op *op = rd->out;

	if (declared == NULL)
		return;
	content = doc_get(b, "content");
	if (content == NULL || content->type != MSGPACK_OBJECT_MAP || content->via.map.size == 0 ||
	    content->via.map.size > TYPES_MAX) {
		fail(rd, "a requestBody needs `content` with 1 to 16 media types");
		return;
	}
	op->body_declared = true;
	op->body_required = doc_bool(b, "required", false);
	op->types = xcalloc(content->via.map.size, sizeof(op->types[0]));
	for (uint32_t i = 0; i < content->via.map.size; i++) {
		struct span t = media_type(doc_span(&content->via.map.ptr[i].key));

		if (t.n == 0) {
			fail(rd, "a media type of the requestBody is none");
		} else {
			op->types[op->ntypes++] = span_dup(t);
		}
	}
}

static int
status_of(const msgpack_object *responses)
{
	int64_t n;

	if (responses == NULL || responses->type != MSGPACK_OBJECT_MAP)
		return 200;
	for (uint32_t i = 0; i < responses->via.map.size; i++) {
		if (str_i64(doc_span(&responses->via.map.ptr[i].key), 200, 299, &n) == 0)
			return (int)n;
	}
	return 200;
}

static bool
has_type(const struct routes_op *op, const char *type)
{
	for (size_t i = 0; i < op->ntypes; i++) {
		if (text_is(span_str(op->types[i]), type))
			return true;
	}
	return false;
}

static void
names_check(struct reading *rd)
{
	static const char *const of_stream[] = {"lines", "chunk", "last", "first", "of"};
	struct routes_op *op = rd->out;
	bool body = op->body_declared || op->method != ROUTES_GET;

	if (op->nparams == 0)
		return;
	if (body && param_find(op, span_str("body")))
		fail(rd, "a parameter is called `body`, where the request body goes");
	for (size_t i = 0; op->stream && i < sizeof of_stream / sizeof *of_stream; i++) {
		if (param_find(op, span_str(of_stream[i])))
			fail(rd, "a parameter of a stream is called like what comes with a chunk");
	}
}

static void
way_read(struct reading *rd, const msgpack_object *way)
{
	struct routes_op *op = rd->out;
	struct span topic = doc_str(way, "topic");

	op->ttl_ms = doc_i64(way, "ttl", DEFAULT_TTL_MS);
	op->again = op->method == ROUTES_GET || doc_bool(way, "again", false);
	op->safe = op->method == ROUTES_GET && doc_bool(way, "safe", false);
	op->stream = doc_bool(way, "stream", false);
	if (!topic_is_valid(topic) || topic_is_sys(topic)) {
		fail(rd, "x-taxiway.topic is no topic that a service may serve");
	} else {
		op->topic = span_dup(topic);
	}
	if (op->ttl_ms < 1 || op->ttl_ms > LIMIT_TTL_MS)
		fail(rd, "x-taxiway.ttl is not within 1 and 3600000 ms");
}

static const char *
op_read(const msgpack_object *api, const msgpack_object *item, const msgpack_object *o,
    struct routes_op *op)
{
	struct reading rd = {.api = api, .op = o, .out = op};

	way_read(&rd, doc_get(o, "x-taxiway"));
	params_read(&rd, doc_get(o, "parameters"));
	params_read(&rd, doc_get(item, "parameters"));
	params_implied(&rd);
	body_read(&rd);
	names_check(&rd);
	op->status = status_of(doc_get(o, "responses"));
	if (op->stream && !has_type(op, "application/x-ndjson"))
		fail(&rd, "x-taxiway.stream without application/x-ndjson in the requestBody");
	return rd.why;
}

static void
item_add(struct route *r, const struct fragment *f, const msgpack_object *item, struct notes *notes)
{
	for (uint32_t i = 0; i < item->via.map.size; i++) {
		const msgpack_object_kv *kv = &item->via.map.ptr[i];
		char name[16], label[320];
		struct routes_op *op;
		const char *why;
		int m;

		if (!str_copy(name, sizeof name, doc_span(&kv->key)))
			continue;
		m = routes_method_of(name);
		if (m < 0 || doc_get(&kv->val, "x-taxiway") == NULL)
			continue;
		op = routes_op(r, (enum routes_method)m);
		if (op == NULL) /* another fragment of the same service and version has it */
			continue;
		op->src = &kv->val;
		op->item = item;
		op->fragment = f->index;
		why = op_read(f->api, item, &kv->val, op);
		if (why) {
			snprintf(
			    label, sizeof label, "%s %s", routes_method_name(op->method), r->path);
			notes_add(notes, f->service, label, why);
			routes_drop_op(op);
		}
	}
}

/* No empty path, none that is cut, no NUL inside. */
static bool
path_copy(char *dst, size_t size, struct span s)
{
	return str_copy(dst, size, s) && s.n > 0 && strlen(dst) == s.n;
}

void
fragment_add(struct routes *t, const struct fragment *f, fragment_may_fn *may, void *arg,
    struct notes *notes)
{
	const msgpack_object *paths = doc_get(f->api, "paths");

	if (paths == NULL || paths->type != MSGPACK_OBJECT_MAP)
		return;
	if (paths->via.map.size > PATHS_MAX)
		notes_add(notes, f->service, "paths", "only the first 1024 paths count");
	for (uint32_t i = 0; i < paths->via.map.size && i < PATHS_MAX; i++) {
		const msgpack_object *item = &paths->via.map.ptr[i].val;
		char path[256];
		const char *why = "a path is text of 1 to 255 bytes";
		struct route *r = NULL;

		if (item->type != MSGPACK_OBJECT_MAP)
			continue;
		if (path_copy(path, sizeof path, doc_span(&paths->via.map.ptr[i].key))) {
			if (!f->builtin && routes_is_reserved(path)) {
				why = "the path belongs to the edge itself";
			} else if (may == NULL || may(arg, f->service, path, &why)) {
				r = routes_path(t, path, f->service, &why);
			}
		}
		if (r) {
			item_add(r, f, item, notes);
		} else if (why) {
			notes_add(notes, f->service, path, why);
		}
	}
}

#include "edge-http/registry.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/doc.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/topic.h"

enum { NAME_MAX_BYTES = 64, PATH_MAX_BYTES = 255 };

/* One description.  Two processes of a service give the same, and then it is here once. */
struct entry {
	char name[NAME_MAX_BYTES + 1];
	struct span version;
	const msgpack_object *api; /* as announced: text or map; NULL: none */
	bool live, shown;
	struct buf mp; /* the text, converted */
	struct doc doc;
	const msgpack_object *map; /* the fragment, when it could be read */
};

struct claim {
	UT_hash_handle hh; /* by shape */
	char *shape, *path, *name;
};

struct registry {
	struct buf body;
	struct doc doc;
	struct entry *v;
	size_t n;
	char **processes; /* topics of their statistics */
	size_t nprocesses;
	struct claim *claims; /* one a shape */
	struct notes notes;   /* of reading: fragments that are no JSON */
	char why[160];
};

static int
by_service(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	int d = strcmp(a->name, b->name);

	if (d == 0)
		d = registry_version_cmp(b->version, a->version);
	if (d == 0)
		d = (int)b->live - (int)a->live;
	/* the same service and version with two fragments: any order will do, as long as it stays
	 */
	if (d == 0 && doc_span(a->api).p && doc_span(b->api).p) {
		struct span x = doc_span(a->api), y = doc_span(b->api);

		d = memcmp(x.p, y.p, x.n < y.n ? x.n : y.n);
	}
	return d;
}

static bool
same_api(const struct entry *a, const struct entry *b)
{
	if (a->api == NULL || b->api == NULL)
		return a->api == b->api;
	return msgpack_object_equal(*a->api, *b->api);
}

/* `live` is a flag, or how many workers are. */
static bool
is_live(const msgpack_object *o)
{
	return doc_bool(o, "live", false) || doc_i64(o, "live", 0) > 0;
}

static void
entry_add(struct registry *r, const msgpack_object *o)
{
	const msgpack_object *desc = doc_get(o, "desc");
	struct span name = doc_str(desc, "name");
	struct entry *e = &r->v[r->n];

	if (!str_is_name(name, NAME_MAX_BYTES))
		return;
	*e = (struct entry){.version = doc_str(desc, "version"), .live = is_live(o)};
	(void)str_copy(e->name, sizeof e->name, name);
	e->api = doc_get(desc, "api");
	if (e->api && e->api->type == MSGPACK_OBJECT_NIL)
		e->api = NULL;
	buf_init(&e->mp, LIMIT_FRAME);
	for (size_t i = 0; i < r->n; i++) {
		struct entry *have = &r->v[i];

		if (strcmp(have->name, e->name) == 0 && span_eq(have->version, e->version) &&
		    same_api(have, e)) {
			have->live |= e->live;
			return;
		}
	}
	r->n++;
}

static int
by_text(const void *pa, const void *pb)
{
	return strcmp(*(char *const *)pa, *(char *const *)pb);
}

/* Every process of the house serves its statistics under a topic of its own. */
static void
process_add(struct registry *r, const msgpack_object *o)
{
	struct span pattern = doc_str(o, "pattern");

	if (is_live(o) && span_is(topic_token(pattern, 0), "sys") &&
	    span_is(topic_token(pattern, 1), "stats") && topic_token(pattern, 3).p != NULL)
		r->processes[r->nprocesses++] = span_dup(pattern);
}

/* Of a service, the highest version that is live, or the highest of all when none is. */
static void
choose(struct registry *r)
{
	for (size_t i = 0; i < r->n;) {
		size_t end = i, best;

		while (end < r->n && strcmp(r->v[end].name, r->v[i].name) == 0)
			end++;
		for (best = i; best < end && !r->v[best].live;)
			best++;
		if (best == end)
			best = i;
		for (size_t k = i; k < end; k++) {
			r->v[k].shown =
			    r->v[k].live == r->v[best].live &&
			    registry_version_cmp(r->v[k].version, r->v[best].version) == 0;
		}
		i = end;
	}
}

static void
api_read(struct registry *r, struct entry *e)
{
	struct json_error err;
	char why[256];

	if (e->api == NULL || !e->shown)
		return;
	if (e->api->type == MSGPACK_OBJECT_MAP) {
		e->map = e->api;
		return;
	}
	if (e->api->type != MSGPACK_OBJECT_STR) {
		notes_add(&r->notes, e->name, "api", "`api` is neither text nor a map");
		return;
	}
	if (json_to_mp(doc_span(e->api), &e->mp, &err) != 0) {
		snprintf(why, sizeof why, "`api` is no JSON: line %d, column %d: %s", err.line,
		    err.column, err.text);
		notes_add(&r->notes, e->name, "api", why);
		return;
	}
	if (doc_parse(&e->doc, buf_span(&e->mp)) == 0)
		e->map = &e->doc.root;
}

/* NULL when the path is no template; else the caller frees it. */
static char *
shape_of(const char *path)
{
	struct buf shape;
	const char *why;
	char *text = NULL;

	buf_init(&shape, LIMIT_HEADER);
	if (routes_shape(path, &shape, &why) == 0)
		text = xstrdup(buf_cstr(&shape));
	buf_fini(&shape);
	return text;
}

static struct claim *
/* NOLINTNEXTLINE(readability-function-size): uthash */
claim_find(const struct registry *r, const char *shape)
{
	struct claim *c = NULL;

	if (shape != NULL)
		HASH_FIND(hh, r->claims, shape, strlen(shape), c);
	return c;
}

static struct claim *
claim_of(const struct registry *r, const char *path)
{
	char *shape = shape_of(path);
	struct claim *c = claim_find(r, shape);

	free(shape);
	return c;
}

/* Takes the shape. */
static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
claim_add(struct registry *r, char *shape, const char *path, const char *owner)
{
	struct claim *c = xcalloc(1, sizeof *c);

	c->shape = shape;
	c->path = xstrdup(path);
	c->name = xstrdup(owner);
	HASH_ADD_KEYPTR(hh, r->claims, c->shape, strlen(c->shape), c);
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
claims_free(struct registry *r)
{
	struct claim *c, *tmp;

	HASH_ITER (hh, r->claims, c, tmp) {
		HASH_DEL(r->claims, c); /* NOLINT(clang-analyzer-*): uthash */
		free(c->shape);
		free(c->path);
		free(c->name);
		free(c);
	}
}

/* Two services may have claimed one shape under two parameter names, in one instant: the path that
 * sorts first counts, so that every edge says the same. */
void
registry_claimed(struct registry *r, const char *path, const char *owner)
{
	char *shape = shape_of(path);
	struct claim *c = claim_find(r, shape);

	if (shape && c == NULL) {
		claim_add(r, shape, path, owner);
		return;
	}
	free(shape);
	if (c == NULL || strcmp(c->path, path) <= 0)
		return;
	free(c->path);
	free(c->name);
	c->path = xstrdup(path);
	c->name = xstrdup(owner);
}

static void
claims_read(struct registry *r, const msgpack_object *list)
{
	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY)
		return;
	for (uint32_t i = 0; i < list->via.array.size; i++) {
		char path[PATH_MAX_BYTES + 1], name[NAME_MAX_BYTES + 1];
		struct span p = doc_str(&list->via.array.ptr[i], "path");

		if (str_copy(path, sizeof path, p) && strlen(path) == p.n && p.n > 0 &&
		    str_copy(name, sizeof name, doc_str(&list->via.array.ptr[i], "name")) &&
		    name[0])
			registry_claimed(r, path, name);
	}
}

struct registry *
registry_read(struct span body)
{
	struct registry *r = xcalloc(1, sizeof *r);
	const msgpack_object *list;

	buf_init(&r->body, LIMIT_FRAME);
	buf_put(&r->body, body.p, body.n);
	if (r->body.failed || doc_parse(&r->doc, buf_span(&r->body)) != 0)
		goto fail;
	list = doc_get(&r->doc.root, "services");
	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY)
		goto fail;
	r->v = xcalloc(list->via.array.size + 1u, sizeof(r->v[0]));
	r->processes = xcalloc(list->via.array.size + 1u, sizeof(r->processes[0]));
	for (uint32_t i = 0; i < list->via.array.size; i++) {
		entry_add(r, &list->via.array.ptr[i]);
		process_add(r, &list->via.array.ptr[i]);
	}
	if (r->n)
		qsort(r->v, r->n, sizeof(r->v[0]), by_service);
	if (r->nprocesses)
		qsort(r->processes, r->nprocesses, sizeof(r->processes[0]), by_text);
	choose(r);
	for (size_t i = 0; i < r->n; i++)
		api_read(r, &r->v[i]);
	claims_read(r, doc_get(&r->doc.root, "claims"));
	return r;
fail:
	registry_free(r);
	return NULL;
}

void
registry_free(struct registry *r)
{
	if (r == NULL)
		return;
	for (size_t i = 0; i < r->n; i++) {
		doc_fini(&r->v[i].doc);
		buf_fini(&r->v[i].mp);
	}
	claims_free(r);
	notes_fini(&r->notes);
	free(r->v);
	for (size_t i = 0; i < r->nprocesses; i++)
		free(r->processes[i]);
	free(r->processes);
	doc_fini(&r->doc);
	buf_fini(&r->body);
	free(r);
}

const char *
registry_process(const struct registry *r, size_t i)
{
	return i < r->nprocesses ? r->processes[i] : NULL;
}

unsigned
registry_wants(struct registry *r, registry_want_fn *fn, void *arg)
{
	struct routes *t = routes_new();
	struct notes notes;
	unsigned n = 0;

	notes_init(&notes);
	for (size_t i = 0; i < r->n; i++) {
		struct fragment f = {.service = r->v[i].name, .api = r->v[i].map};

		if (f.api)
			fragment_add(t, &f, NULL, NULL, &notes);
	}
	for (size_t i = 0; i < t->n; i++) {
		if (!routes_has_ops(t->v[i]) || claim_of(r, t->v[i]->path))
			continue;
		fn(arg, t->v[i]->path, t->v[i]->service);
		n++;
	}
	notes_fini(&notes);
	routes_unref(t);
	return n;
}

static bool
may(void *arg, const char *service, const char *path, const char **why)
{
	struct registry *r = arg;
	const struct claim *c = claim_of(r, path);

	if (c == NULL) { /* no template, or not claimed this time: the next load tries again */
		struct buf shape;

		buf_init(&shape, LIMIT_HEADER);
		if (routes_shape(path, &shape, why) == 0)
			*why = "the path could not be claimed yet";
		buf_fini(&shape);
		return false;
	}
	if (strcmp(c->name, service) == 0)
		return true;
	snprintf(r->why, sizeof r->why, "the path belongs to %s", c->name);
	*why = r->why;
	return false;
}

static void
orphans_add(struct registry *r, struct routes *t)
{
	for (const struct claim *c = r->claims; c != NULL; c = c->hh.next) {
		const char *why;
		struct route *route = NULL;

		if (!routes_is_reserved(c->path))
			route = routes_path(t, c->path, c->name, &why);
		if (route && !routes_has_ops(route))
			route->orphan = true;
	}
}

void
registry_build(struct registry *r, const struct registry_own *own, struct registry_built *out)
{
	struct openapi_fragment *frags = xcalloc(r->n + 1, sizeof(frags[0]));
	const struct routes *tables[2] = {own->routes};
	size_t n = 1;

	out->routes = routes_new();
	notes_init(&out->notes);
	buf_init(&out->openapi, OPENAPI_MAX);
	for (size_t i = 0; i < r->notes.kept; i++) {
		notes_add(
		    &out->notes, r->notes.v[i].service, r->notes.v[i].path, r->notes.v[i].why);
	}
	frags[0] = (struct openapi_fragment){"edge-http", own->api, true};
	for (size_t i = 0; i < r->n; i++) {
		struct fragment f = {
		    .service = r->v[i].name, .api = r->v[i].map, .index = (unsigned)n};

		if (f.api == NULL)
			continue;
		fragment_add(out->routes, &f, may, r, &out->notes);
		frags[n++] = (struct openapi_fragment){f.service, f.api, false};
	}
	orphans_add(r, out->routes);
	routes_seal(out->routes);
	tables[1] = out->routes;
	if (openapi_write(tables, 2, frags, n, &out->openapi) != 0) {
		buf_reset(&out->openapi);
		notes_add(
		    &out->notes, "edge-http", "/openapi.json", "the merged document is too big");
	}
	routes_forget(out->routes);
	free(frags);
}

void
registry_built_fini(struct registry_built *b)
{
	routes_unref(b->routes);
	b->routes = NULL;
	buf_fini(&b->openapi);
	notes_fini(&b->notes);
}

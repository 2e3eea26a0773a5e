#include "edge-http/openapi.h"

#include <stdlib.h>

#include "base/die.h"
#include "proto/doc.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

struct component {
	struct span kind, name;
	unsigned frag;
	const msgpack_object *o;
	char *as;    /* its name in the merged document */
	bool shared; /* the same as the one before: not written again */
};

struct writer {
	const struct openapi_fragment *frags;
	struct component *c;
	size_t nc, cap;
	const struct route **r;
	size_t nr;
	struct span *ids; /* operationIds already used */
	size_t nids;
	struct buf mp;
};

static int
span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	if (d != 0)
		return d;
	return a.n < b.n ? -1 : a.n > b.n;
}

static int
by_name(const void *pa, const void *pb)
{
	const struct component *a = pa, *b = pb;
	int d = span_cmp(a->kind, b->kind);

	if (d == 0)
		d = span_cmp(a->name, b->name);
	return d ? d : (int)a->frag - (int)b->frag;
}

static void
component_add(
    struct writer *w, unsigned frag, const msgpack_object *kind, const msgpack_object_kv *kv)
{
	if (kv->key.type != MSGPACK_OBJECT_STR)
		return;
	if (w->nc == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 32;
		w->c = xrealloc(w->c, w->cap * sizeof(w->c[0]));
	}
	w->c[w->nc++] = (struct component){
	    .kind = doc_span(kind), .name = doc_span(&kv->key), .frag = frag, .o = &kv->val};
}

static void
components_collect(struct writer *w, size_t nfrags)
{
	for (unsigned f = 0; f < nfrags; f++) {
		const msgpack_object *kinds = doc_get(w->frags[f].api, "components");

		if (kinds == NULL || kinds->type != MSGPACK_OBJECT_MAP)
			continue;
		for (uint32_t k = 0; k < kinds->via.map.size; k++) {
			const msgpack_object_kv *kind = &kinds->via.map.ptr[k];

			if (kind->key.type != MSGPACK_OBJECT_STR ||
			    kind->val.type != MSGPACK_OBJECT_MAP)
				continue;
			for (uint32_t i = 0; i < kind->val.via.map.size; i++)
				component_add(w, f, &kind->key, &kind->val.via.map.ptr[i]);
		}
	}
	if (w->nc)
		qsort(w->c, w->nc, sizeof(w->c[0]), by_name);
}

static bool
same_name(const struct component *a, const struct component *b)
{
	return span_eq(a->kind, b->kind) && span_eq(a->name, b->name);
}

static void
components_name(struct writer *w)
{
	const struct component *first = NULL;

	for (size_t i = 0; i < w->nc; i++) {
		struct component *c = &w->c[i];

		if (first == NULL || !same_name(first, c)) {
			first = c;
			c->as = span_dup(c->name);
		} else if (msgpack_object_equal(*first->o, *c->o)) {
			c->as = span_dup(c->name);
			c->shared = true;
		} else {
			c->as = xasprintf("%s.%.*s", w->frags[c->frag].service, (int)c->name.n,
			    (const char *)c->name.p);
		}
	}
}

/* "#/components/<kind>/<name>" of this fragment under its new name; NULL when the name stays. */
static const struct component *
renamed(const struct writer *w, unsigned frag, struct span ref)
{
	static const char head[] = "#/components/";
	const size_t n = sizeof head - 1;
	const uint8_t *slash;
	struct component key = {.frag = frag};
	const struct component *c;

	if (w->nc == 0 || ref.n <= n || memcmp(ref.p, head, n) != 0)
		return NULL;
	slash = memchr(ref.p + n, '/', ref.n - n);
	if (slash == NULL)
		return NULL;
	key.kind = span_of(ref.p + n, (size_t)(slash - ref.p) - n);
	key.name = span_of(slash + 1, (size_t)(ref.p + ref.n - slash - 1));
	c = bsearch(&key, w->c, w->nc, sizeof(w->c[0]), by_name);
	return c && !span_is(c->name, c->as) ? c : NULL;
}

static void
put(struct writer *w, const msgpack_object *o, unsigned frag)
{
	if (o->type == MSGPACK_OBJECT_ARRAY) {
		mp_put_array(&w->mp, o->via.array.size);
		for (uint32_t i = 0; i < o->via.array.size; i++)
			put(w, &o->via.array.ptr[i], frag);
		return;
	}
	if (o->type != MSGPACK_OBJECT_MAP) {
		mp_put_object(&w->mp, o);
		return;
	}
	mp_put_map(&w->mp, o->via.map.size);
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];
		const struct component *c = NULL;

		mp_put_object(&w->mp, &kv->key);
		if (span_is(doc_span(&kv->key), "$ref"))
			c = renamed(w, frag, doc_span(&kv->val));
		if (c) {
			char *ref = xasprintf(
			    "#/components/%.*s/%s", (int)c->kind.n, (const char *)c->kind.p, c->as);

			mp_put_cstr(&w->mp, ref);
			free(ref);
		} else {
			put(w, &kv->val, frag);
		}
	}
}

static bool
id_is_used(struct writer *w, struct span id)
{
	for (size_t i = 0; i < w->nids; i++) {
		if (span_eq(w->ids[i], id))
			return true;
	}
	w->ids[w->nids++] = id;
	return false;
}

static bool
is_skipped(const struct writer *w, const struct routes_op *op, struct span key)
{
	return w->frags[op->fragment].builtin && span_is(key, "x-taxiway");
}

/* The operation with the service as its tag, where it has none, and an operationId nobody else has.
 */
static void
put_op(struct writer *w, const struct routes_op *op)
{
	const msgpack_object_map *m = &op->src->via.map;
	const char *service = w->frags[op->fragment].service;
	bool tagged = doc_get(op->src, "tags") != NULL;
	size_t n = 0;

	for (uint32_t i = 0; i < m->size; i++)
		n += !is_skipped(w, op, doc_span(&m->ptr[i].key));
	mp_put_map(&w->mp, n + !tagged);
	for (uint32_t i = 0; i < m->size; i++) {
		struct span key = doc_span(&m->ptr[i].key), id = doc_span(&m->ptr[i].val);

		if (is_skipped(w, op, key))
			continue;
		mp_put_object(&w->mp, &m->ptr[i].key);
		if (span_is(key, "operationId") && id.p && id_is_used(w, id)) {
			char *text = xasprintf("%s.%.*s", service, (int)id.n, (const char *)id.p);

			mp_put_cstr(&w->mp, text);
			free(text);
		} else {
			put(w, &m->ptr[i].val, op->fragment);
		}
	}
	if (!tagged) {
		mp_put_cstr(&w->mp, "tags");
		mp_put_array(&w->mp, 1);
		mp_put_cstr(&w->mp, service);
	}
}

static void
put_path(struct writer *w, const struct route *r)
{
	static const char *const kept[] = {"description", "parameters", "summary"};
	static const char *const lower[] = {"get", "post", "put", "patch", "delete"};
	const struct routes_op *first = NULL;
	size_t n = 0;

	for (int m = 0; m < ROUTES_METHODS; m++) {
		n += r->ops[m] != NULL;
		if (first == NULL)
			first = r->ops[m];
	}
	if (first == NULL)
		return;
	for (size_t k = 0; k < 3; k++)
		n += doc_get(first->item, kept[k]) != NULL;
	mp_put_cstr(&w->mp, r->path);
	mp_put_map(&w->mp, n);
	for (size_t k = 0; k < 3; k++) {
		const msgpack_object *v = doc_get(first->item, kept[k]);

		if (v == NULL)
			continue;
		mp_put_cstr(&w->mp, kept[k]);
		put(w, v, first->fragment);
	}
	for (int m = 0; m < ROUTES_METHODS; m++) {
		if (r->ops[m] == NULL)
			continue;
		mp_put_cstr(&w->mp, lower[m]);
		put_op(w, r->ops[m]);
	}
}

static int
by_path(const void *pa, const void *pb)
{
	const struct route *a = *(const struct route *const *)pa,
			   *b = *(const struct route *const *)pb;

	return strcmp(a->path, b->path);
}

static void
put_paths(struct writer *w, const struct routes *const *tables, size_t ntables)
{
	size_t total = 0;

	for (size_t t = 0; t < ntables; t++)
		total += tables[t]->n;
	w->r = xcalloc(total + 1, sizeof(struct route *));
	w->ids = xcalloc(total * ROUTES_METHODS + 1, sizeof(w->ids[0]));
	for (size_t t = 0; t < ntables; t++) {
		for (size_t i = 0; i < tables[t]->n; i++) {
			if (routes_has_ops(tables[t]->v[i]))
				w->r[w->nr++] = tables[t]->v[i];
		}
	}
	if (w->nr)
		qsort(w->r, w->nr, sizeof(struct route *), by_path);
	mp_put_cstr(&w->mp, "paths");
	mp_put_map(&w->mp, w->nr);
	for (size_t i = 0; i < w->nr; i++)
		put_path(w, w->r[i]);
}

static void
put_kind(struct writer *w, struct span kind, size_t from, size_t to)
{
	size_t n = 0;

	for (size_t i = from; i < to; i++)
		n += !w->c[i].shared;
	mp_put_str(&w->mp, kind);
	mp_put_map(&w->mp, n);
	for (size_t i = from; i < to; i++) {
		if (w->c[i].shared)
			continue;
		mp_put_cstr(&w->mp, w->c[i].as);
		put(w, w->c[i].o, w->c[i].frag);
	}
}

/* In the order of their old names, which the lookup of references needs: a renamed component stands
 * beside its namesake. */
static void
put_components(struct writer *w)
{
	size_t kinds = 0;

	for (size_t i = 0; i < w->nc; i++)
		kinds += i == 0 || !span_eq(w->c[i].kind, w->c[i - 1].kind);
	mp_put_cstr(&w->mp, "components");
	mp_put_map(&w->mp, kinds);
	for (size_t i = 0; i < w->nc;) {
		size_t to = i;

		while (to < w->nc && span_eq(w->c[to].kind, w->c[i].kind))
			to++;
		put_kind(w, w->c[i].kind, i, to);
		i = to;
	}
}

int
openapi_write(const struct routes *const *tables, size_t ntables,
    const struct openapi_fragment *frags, size_t nfrags, struct buf *out)
{
	struct writer w = {.frags = frags};
	int rc;

	buf_init(&w.mp, OPENAPI_MAX);
	components_collect(&w, nfrags);
	components_name(&w);
	mp_put_map(&w.mp, 4);
	mp_put_cstr(&w.mp, "openapi");
	mp_put_cstr(&w.mp, "3.1.0");
	mp_put_cstr(&w.mp, "info");
	mp_put_map(&w.mp, 2);
	mp_put_cstr(&w.mp, "title");
	mp_put_cstr(&w.mp, "Taxiway");
	mp_put_cstr(&w.mp, "version");
	mp_put_cstr(&w.mp, TAXI_VERSION);
	put_paths(&w, tables, ntables);
	put_components(&w);
	rc = w.mp.failed ? -1 : json_from_mp(buf_span(&w.mp), out, 0);
	for (size_t i = 0; i < w.nc; i++)
		free(w.c[i].as);
	free(w.c);
	free(w.r);
	free(w.ids);
	buf_fini(&w.mp);
	return rc;
}

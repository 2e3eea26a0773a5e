#include "edge-http/routes.h"

#include <stdlib.h>
#include <strings.h>

#include "base/die.h"
#include "edge-http/target.h"
#include "edge-http/text.h"

static const char *const METHODS[ROUTES_METHODS] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

int
routes_method_of(const char *name)
{
	for (int i = 0; i < ROUTES_METHODS; i++) {
		if (strcasecmp(name, METHODS[i]) == 0)
			return i;
	}
	return -1;
}

const char *
routes_method_name(enum routes_method m)
{
	return METHODS[m];
}

static void
op_free(struct routes_op *op)
{
	if (op == NULL)
		return;
	for (size_t i = 0; i < op->nparams; i++) {
		free(op->params[i].name);
		buf_fini(&op->params[i].def);
	}
	for (size_t i = 0; i < op->ntypes; i++)
		free(op->types[i]);
	free(op->params);
	free(op->types);
	free(op->topic);
	free(op);
}

static void
seg_free(struct routes_seg *s)
{
	free(s->head);
	free(s->name);
	free(s->tail);
	*s = (struct routes_seg){0};
}

static void
route_free(struct route *r)
{
	for (unsigned i = 0; i < r->nseg; i++)
		seg_free(&r->seg[i]);
	for (int m = 0; m < ROUTES_METHODS; m++)
		op_free(r->ops[m]);
	free(r->path);
	free(r->shape);
	free(r->service);
	free(r);
}

struct routes *
routes_new(void)
{
	struct routes *t = xcalloc(1, sizeof *t);

	t->refs = 1;
	return t;
}

struct routes *
routes_ref(struct routes *t)
{
	t->refs++;
	return t;
}

/* NOLINTNEXTLINE(readability-function-size): uthash */
static void
forget_shapes(struct routes *t)
{
	HASH_CLEAR(hh, t->by_shape);
}

void
routes_unref(struct routes *t)
{
	if (t == NULL || --t->refs > 0)
		return;
	forget_shapes(t);
	for (size_t i = 0; i < t->n; i++)
		route_free(t->v[i]);
	free(t->v);
	free(t);
}

/* One segment of a template into head, name, tail.  0, or -1. */
static int
seg_parse(struct span s, struct routes_seg *seg)
{
	const uint8_t *open = s.n ? memchr(s.p, '{', s.n) : NULL, *shut, *end = s.p + s.n;

	if (open == NULL) {
		if (s.n && memchr(s.p, '}', s.n))
			return -1;
		seg->head = span_dup(s);
		return 0;
	}
	shut = memchr(open, '}', (size_t)(end - open));
	if (shut == NULL || shut == open + 1 || memchr(open + 1, '{', (size_t)(end - open - 1)) ||
	    memchr(shut + 1, '}', (size_t)(end - shut - 1)))
		return -1;
	seg->head = span_dup(span_of(s.p, (size_t)(open - s.p)));
	seg->name = span_dup(span_of(open + 1, (size_t)(shut - open - 1)));
	seg->tail = span_dup(span_of(shut + 1, (size_t)(end - shut - 1)));
	return 0;
}

static bool
is_repeated(const struct route *r, const char *name)
{
	for (unsigned i = 0; name && i < r->nseg; i++) {
		if (r->seg[i].name && strcmp(r->seg[i].name, name) == 0)
			return true;
	}
	return false;
}

static int
template_parse(struct route *r, const char *path, const char **why)
{
	struct span rest = span_str(path);
	struct routes_seg *seg;

	*why = "a path begins with / and has neither ? nor #";
	if (path[0] != '/' || strpbrk(path, "?# \t"))
		return -1;
	(void)text_cut(&rest, '/');
	for (bool more = true; more;) {
		struct span s = text_cut(&rest, '/');

		more = s.p + s.n < (const uint8_t *)path + strlen(path);
		*why = "a path has at most 32 segments and 16 parameters";
		if (r->nseg == ROUTES_SEGMENTS)
			return -1;
		seg = &r->seg[r->nseg];
		*why = "a segment holds at most one {parameter}, and each has its own name";
		if (seg_parse(s, seg) != 0 || is_repeated(r, seg->name))
			goto fail;
		r->nseg++;
		r->nparams += seg->name != NULL;
	}
	*why = "a path has at most 32 segments and 16 parameters";
	return r->nparams <= ROUTES_PARAMS ? 0 : -1;
fail:
	seg_free(seg);
	return -1;
}

static char *
shape_of(const struct route *r)
{
	struct buf b;
	char *s;

	buf_init(&b, 64u * 1024);
	for (unsigned i = 0; i < r->nseg; i++) {
		buf_putc(&b, '/');
		buf_puts(&b, r->seg[i].head);
		if (r->seg[i].name) {
			buf_puts(&b, "{}");
			buf_puts(&b, r->seg[i].tail);
		}
	}
	s = xstrdup(buf_cstr(&b));
	buf_fini(&b);
	return s;
}

static struct route *
route_new(const char *path, const char *service, const char **why)
{
	struct route *r = xcalloc(1, sizeof *r);

	r->path = xstrdup(path);
	r->service = xstrdup(service);
	if (template_parse(r, path, why) != 0) {
		route_free(r);
		return NULL;
	}
	r->shape = shape_of(r);
	return r;
}

int
routes_shape(const char *path, struct buf *out, const char **why)
{
	struct route *r = route_new(path, "", why);

	if (r == NULL)
		return -1;
	buf_puts(out, r->shape);
	route_free(r);
	return out->failed ? -1 : 0;
}

struct route *
/* NOLINTNEXTLINE(readability-function-size): uthash */
routes_path(struct routes *t, const char *path, const char *service, const char **why)
{
	struct route *r = route_new(path, service, why), *have;

	if (r == NULL)
		return NULL;
	HASH_FIND(hh, t->by_shape, r->shape, strlen(r->shape), have);
	if (have != NULL) {
		route_free(r);
		*why = "another service has this path";
		if (strcmp(have->service, service) != 0)
			return NULL;
		*why = "the same path is announced with other parameter names";
		return strcmp(have->path, path) == 0 ? have : NULL;
	}
	if (t->n == t->cap) {
		t->cap = t->cap ? t->cap * 2 : 16;
		t->v = xrealloc(t->v, t->cap * sizeof(struct route *));
	}
	t->v[t->n++] = r;
	HASH_ADD_KEYPTR(hh, t->by_shape, r->shape, strlen(r->shape), r);
	return r;
}

struct routes_op *
routes_op(struct route *r, enum routes_method m)
{
	struct routes_op *op;

	if (r->ops[m])
		return NULL;
	op = xcalloc(1, sizeof *op);
	op->route = r;
	op->method = m;
	r->ops[m] = op;
	return op;
}

void
routes_drop_op(struct routes_op *op)
{
	op->route->ops[op->method] = NULL;
	op_free(op);
}

/* How open a segment is: literal 0, text around a parameter 1, a parameter alone 2. */
static int
openness(const struct routes_seg *s)
{
	if (s->name == NULL)
		return 0;
	return s->head[0] || s->tail[0] ? 1 : 2;
}

static int
by_specific(const void *pa, const void *pb)
{
	const struct route *a = *(const struct route *const *)pa,
			   *b = *(const struct route *const *)pb;

	if (a->nseg != b->nseg)
		return a->nseg < b->nseg ? -1 : 1;
	for (unsigned i = 0; i < a->nseg; i++) {
		int d = openness(&a->seg[i]) - openness(&b->seg[i]);

		if (d == 0 && a->seg[i].name) { /* longer surroundings first */
			d = (int)strlen(b->seg[i].head) + (int)strlen(b->seg[i].tail) -
			    (int)strlen(a->seg[i].head) - (int)strlen(a->seg[i].tail);
		}
		if (d != 0)
			return d;
	}
	return strcmp(a->path, b->path);
}

bool
routes_has_ops(const struct route *r)
{
	for (int m = 0; m < ROUTES_METHODS; m++) {
		if (r->ops[m])
			return true;
	}
	return false;
}

void
routes_seal(struct routes *t)
{
	size_t kept = 0;

	forget_shapes(t);
	for (size_t i = 0; i < t->n; i++) {
		struct route *r = t->v[i];

		if (!routes_has_ops(r) && !r->orphan) {
			route_free(r);
			continue;
		}
		t->v[kept++] = r;
	}
	t->n = kept;
	if (t->n)
		qsort(t->v, t->n, sizeof(struct route *), by_specific);
}

void
routes_forget(struct routes *t)
{
	for (size_t i = 0; i < t->n; i++) {
		for (int m = 0; m < ROUTES_METHODS; m++) {
			if (t->v[i]->ops[m])
				t->v[i]->ops[m]->src = t->v[i]->ops[m]->item = NULL;
		}
	}
}

/* The segments of a request's path, decoded into scratch.  Their number, or -1. */
static int
split(struct span path, struct buf *scratch, struct span seg[ROUTES_SEGMENTS])
{
	size_t at[ROUTES_SEGMENTS + 1];
	const uint8_t *end = path.p + path.n;
	int n = 0;

	if (path.n == 0 || path.p[0] != '/')
		return -1;
	(void)text_cut(&path, '/');
	for (bool more = true; more; n++) {
		struct span s = text_cut(&path, '/');

		more = s.p + s.n < end;
		if (n == ROUTES_SEGMENTS)
			return -1;
		at[n] = scratch->n;
		if (target_decode(s, false, scratch) != 0)
			return -1;
	}
	at[n] = scratch->n;
	for (int i = 0; i < n; i++)
		seg[i] = span_of(buf_span(scratch).p + at[i], at[i + 1] - at[i]);
	return n;
}

static bool
seg_match(const struct routes_seg *t, struct span s, struct span *value)
{
	size_t h, e;

	if (t->name == NULL)
		return span_is(s, t->head);
	h = strlen(t->head);
	e = strlen(t->tail);
	if (s.n <= h + e || memcmp(s.p, t->head, h) != 0 || memcmp(s.p + s.n - e, t->tail, e) != 0)
		return false;
	*value = span_of(s.p + h, s.n - h - e);
	return true;
}

static bool
route_match(const struct route *r, const struct span *seg, struct span *value)
{
	unsigned k = 0;

	for (unsigned i = 0; i < r->nseg; i++) {
		if (!seg_match(&r->seg[i], seg[i], &value[k]))
			return false;
		k += r->seg[i].name != NULL;
	}
	return true;
}

void
routes_match(const struct routes *t, enum routes_method m, struct span path, struct buf *scratch,
    struct routes_match *out)
{
	struct span seg[ROUTES_SEGMENTS], value[ROUTES_PARAMS + 1];
	int n = split(path, scratch, seg);

	*out = (struct routes_match){.bad = n < 0};
	for (size_t i = 0; n > 0 && i < t->n; i++) {
		const struct route *r = t->v[i];

		if (r->nseg != (unsigned)n || !route_match(r, seg, value))
			continue;
		out->route = r;
		out->op = m < ROUTES_METHODS ? r->ops[m] : NULL;
		memcpy(out->value, value, sizeof(out->value));
		return;
	}
}

void
routes_allow(const struct route *r, struct buf *out)
{
	static const struct {
		enum routes_method m;
		const char *text;
	} order[] = {{ROUTES_DELETE, "DELETE, "}, {ROUTES_GET, "GET, HEAD, "},
	    {ROUTES_PATCH, "PATCH, "}, {ROUTES_POST, "POST, "}, {ROUTES_PUT, "PUT, "}};

	for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
		if (r->ops[order[i].m])
			buf_puts(out, order[i].text);
	}
	buf_puts(out, "OPTIONS");
}

bool
routes_is_reserved(const char *path)
{
	static const char *const own[] = {"/", "/healthz", "/readyz", "/version", "/metrics",
	    "/openapi.json", "/ws", "/bus", "/ui"};
	size_t n = strcspn(path + (path[0] == '/'), "/") + (path[0] == '/');

	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
		if (strlen(own[i]) == n && strncmp(own[i], path, n) == 0)
			return i > 0 || path[n] == '\0';
	}
	return false;
}

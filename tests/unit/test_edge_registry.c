/* sys.services in; table, document, claims and notes out. */
#include "edge-http/registry.h"
#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static const char OWN[] =
    "{\"paths\":{\"/healthz\":{\"get\":{\"operationId\":\"health\",\"x-taxiway\":"
    "{\"topic\":\"edge-http.healthz\"}}}},"
    "\"components\":{\"schemas\":{\"Problem\":{\"type\":\"object\"}}}}";

static const char SERVICES[] =
    "{\"services\":["
    "{\"pattern\":\"b.>\",\"live\":true,\"desc\":{\"name\":\"beta\",\"version\":\"1.10.0\",\"api\":"
    " {\"paths\":{\"/b\":{\"get\":{\"operationId\":\"list\",\"x-taxiway\":{\"topic\":\"b.new\"},"
    "   \"responses\":{\"200\":{\"$ref\":\"#/components/responses/R\"}}}},"
    "  \"/taken/{id}\":{\"get\":{\"x-taxiway\":{\"topic\":\"b.taken\"}}},"
    "  \"/metrics\":{\"get\":{\"x-taxiway\":{\"topic\":\"b.m\"}}}},"
    "  "
    "\"components\":{\"schemas\":{\"Problem\":{\"type\":\"object\"},\"Row\":{\"type\":\"string\"}},"
    "   \"responses\":{\"R\":{\"schema\":{\"$ref\":\"#/components/schemas/Row\"}}}}}}},"
    "{\"pattern\":\"b.>\",\"live\":true,\"desc\":{\"name\":\"beta\",\"version\":\"1.9.0\",\"api\":"
    " {\"paths\":{\"/old\":{\"get\":{\"x-taxiway\":{\"topic\":\"b.old\"}}}}}}},"
    "{\"pattern\":\"b.>\",\"live\":false,\"desc\":{\"name\":\"beta\",\"version\":\"2.0.0\",\"api\":"
    " {\"paths\":{\"/dead\":{\"get\":{\"x-taxiway\":{\"topic\":\"b.dead\"}}}}}}},"
    "{\"pattern\":\"a.>\",\"live\":2,\"desc\":{\"name\":\"alpha\",\"version\":\"1\",\"api\":"
    " \"{\\\"paths\\\":{\\\"/"
    "a\\\":{\\\"post\\\":{\\\"operationId\\\":\\\"list\\\",\\\"x-taxiway\\\":"
    "{\\\"topic\\\":\\\"a.x\\\"}}}},\\\"components\\\":{\\\"schemas\\\":{\\\"Row\\\":{\\\"type\\\":"
    "\\\"integer\\\"}}}}\"}},"
    "{\"pattern\":\"a.>\",\"live\":true,\"desc\":{\"name\":\"alpha\",\"version\":\"1\",\"api\":"
    "null}},"
    "{\"pattern\":\"g\",\"live\":true,\"desc\":{\"name\":\"gamma\",\"version\":\"1\",\"api\":\"{"
    "oops\"}},"
    "{\"pattern\":\"h\",\"live\":true,\"desc\":{\"name\":\"no name!\",\"version\":\"1\"}},"
    "{\"pattern\":\"sys.stats.beta.4\",\"live\":true,\"desc\":null},"
    "{\"pattern\":\"sys.stats.beta.3\",\"live\":false,\"desc\":null},"
    "{\"pattern\":\"sys.stats.alpha.17\",\"live\":true,\"desc\":null},"
    "{\"pattern\":\"sys.stats.alpha\",\"live\":true,\"desc\":null},"
    "{\"pattern\":\"i\",\"live\":true,\"desc\":null}],"
    "\"claims\":[{\"path\":\"/a\",\"name\":\"alpha\"},{\"path\":\"/taken/{x}\",\"name\":\"omega\"},"
    "{\"path\":\"/gone/{id}\",\"name\":\"omega\"},{\"path\":\"/healthz\",\"name\":\"omega\"}]}";

static struct buf wanted;

static void
want(void *arg, const char *path, const char *service)
{
	buf_printf(arg, "%s=%s ", path, service);
}

static const char *
topic(const struct routes *t, const char *path)
{
	static struct buf scratch = {.max = 1000};
	struct routes_match m;
	const char *said = "(none)";

	buf_reset(&scratch);
	routes_match(t, ROUTES_GET, span_str(path), &scratch, &m);
	if (m.route && m.route->orphan)
		said = "(orphan)";
	else if (m.route)
		said = m.op ? m.op->topic : "(method)";
	buf_fini(&scratch);
	return said;
}

static bool
noted(const struct notes *ns, const char *service, const char *path, const char *why)
{
	for (size_t i = 0; i < ns->kept; i++)
		if (strcmp(ns->v[i].service, service) == 0 && strcmp(ns->v[i].path, path) == 0 &&
		    strncmp(ns->v[i].why, why, strlen(why)) == 0)
			return true;
	return false;
}

static void
document(struct buf *json)
{
	struct edge_doc d;
	const msgpack_object *o = edge_doc_init(&d, buf_cstr(json)), *paths, *schemas, *op;

	CHECK(span_is(doc_str(o, "openapi"), "3.1.0"));
	paths = doc_get(o, "paths");
	CHECK(paths && paths->via.map.size == 3);
	CHECK(doc_get(paths, "/a") && doc_get(paths, "/b") && doc_get(paths, "/healthz"));
	CHECK(strstr(buf_cstr(json), "edge-http.healthz") == NULL);
	op = doc_get(doc_get(paths, "/a"), "post");
	CHECK(span_is(doc_str(op, "operationId"), "list"));
	CHECK(span_is(doc_str(doc_get(op, "x-taxiway"), "topic"), "a.x"));
	CHECK(doc_get(op, "tags") != NULL);
	op = doc_get(doc_get(paths, "/b"), "get");
	CHECK(span_is(doc_str(op, "operationId"), "beta.list"));
	schemas = doc_get(doc_get(o, "components"), "schemas");
	CHECK(schemas && schemas->via.map.size == 3);
	CHECK(span_is(doc_str(doc_get(schemas, "Row"), "type"), "integer"));
	CHECK(span_is(doc_str(doc_get(schemas, "beta.Row"), "type"), "string"));
	op = doc_get(doc_get(doc_get(o, "components"), "responses"), "R");
	CHECK(span_is(doc_str(doc_get(op, "schema"), "$ref"), "#/components/schemas/beta.Row"));
	edge_doc_fini(&d);
}

static void
whole(const struct registry_own *own)
{
	struct registry_built b, again;
	struct edge_doc d;
	struct registry *r;

	(void)edge_doc_init(&d, SERVICES);
	r = registry_read(buf_span(&d.mp));
	edge_doc_fini(&d);
	CHECK(r != NULL);
	CHECK_STR(registry_process(r, 0), "sys.stats.alpha.17");
	CHECK_STR(registry_process(r, 1), "sys.stats.beta.4");
	CHECK(registry_process(r, 2) == NULL);
	CHECK(registry_wants(r, want, &wanted) == 1);
	CHECK_STR(buf_cstr(&wanted), "/b=beta ");
	registry_build(r, own, &b);
	CHECK_STR(topic(b.routes, "/b"), "(none)");
	CHECK(noted(&b.notes, "beta", "/b", "the path could not be claimed yet"));
	registry_built_fini(&b);
	registry_claimed(r, "/b", "beta");
	registry_build(r, own, &b);
	CHECK_STR(topic(b.routes, "/a"), "(method)");
	CHECK_STR(topic(b.routes, "/b"), "b.new");
	CHECK_STR(topic(b.routes, "/old"), "(none)");
	CHECK_STR(topic(b.routes, "/dead"), "(none)");
	CHECK_STR(topic(b.routes, "/taken/1"), "(orphan)");
	CHECK_STR(topic(b.routes, "/gone/1"), "(orphan)");
	CHECK_STR(topic(b.routes, "/healthz"), "(none)");
	CHECK(b.notes.n == 3);
	CHECK(noted(&b.notes, "beta", "/taken/{id}", "the path belongs to omega"));
	CHECK(noted(&b.notes, "beta", "/metrics", "the path belongs to the edge itself"));
	CHECK(noted(&b.notes, "gamma", "api", "`api` is no JSON: line 1, column"));
	document(&b.openapi);
	registry_build(r, own, &again);
	CHECK(span_eq(buf_span(&b.openapi), buf_span(&again.openapi)));
	registry_built_fini(&b);
	registry_built_fini(&again);
	registry_free(r);
}

static void
claims(void)
{
	struct edge_doc d;
	struct registry *r;

	(void)edge_doc_init(&d, "{\"services\":[],\"claims\":[]}");
	r = registry_read(buf_span(&d.mp));
	edge_doc_fini(&d);
	CHECK(r != NULL);
	registry_free(r);
	(void)edge_doc_init(&d, "{\"claims\":[]}");
	CHECK(registry_read(buf_span(&d.mp)) == NULL);
	edge_doc_fini(&d);
	CHECK(registry_read(span_str("\xc1")) == NULL);
	CHECK(registry_read((struct span){NULL, 0}) == NULL);
}

static int
cmp(const char *a, const char *b)
{
	int x = registry_version_cmp(span_str(a), span_str(b)),
	    y = registry_version_cmp(span_str(b), span_str(a));

	return (x > 0) - (x < 0) == (y < 0) - (y > 0) ? (x > 0) - (x < 0) : 99;
}

static void
versions(void)
{
	CHECK(cmp("1.2.3", "1.2.3") == 0);
	CHECK(cmp("1.10.0", "1.9.0") == 1);
	CHECK(cmp("1.0.0", "1.0.0-rc.1") == 1);
	CHECK(cmp("1.0.0-rc.2", "1.0.0-rc.10") == -1);
	CHECK(cmp("1.0.0-alpha", "1.0.0-1") == 1);
	CHECK(cmp("1.0", "1.0.1") == -1);
	CHECK(cmp("1.0.0+a", "1.0.0+b") == 0);
	CHECK(cmp("dev", "0.0.1") == -1);
	CHECK(cmp("dev", "eev") == -1);
	CHECK(cmp("", "dev") == -1);
	CHECK(cmp("", "") == 0);
}

int
main(void)
{
	struct edge_doc d;
	struct registry_own own = {.api = edge_doc_init(&d, OWN)};
	struct fragment f = {.service = "edge-http", .api = own.api, .builtin = true};
	struct routes *t = routes_new();
	struct notes notes;

	notes_init(&notes);
	buf_init(&wanted, 1000);
	fragment_add(t, &f, NULL, NULL, &notes);
	routes_seal(t);
	CHECK(notes.n == 0 && t->n == 1);
	own.routes = t;
	whole(&own);
	claims();
	versions();
	routes_unref(t);
	edge_doc_fini(&d);
	buf_fini(&wanted);
	return check_done();
}

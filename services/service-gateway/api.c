#include "services/service-gateway/api.h"

#include <stdio.h>

#include "proto/mp.h"

static void
put_pair(struct buf *b, const char *key, const char *value)
{
	mp_put_cstr(b, key);
	mp_put_cstr(b, value);
}

static void
put_text(struct buf *b, const msgpack_object *o, const char *key, const char *otherwise)
{
	struct span s = doc_str(o, key);

	mp_put_str(b, s.p ? s : span_str(otherwise));
}

/* x-taxiway: where the edge sends it. */
static void
put_route(struct buf *b, const char *topic, int64_t ttl, bool again)
{
	mp_put_cstr(b, "x-taxiway");
	mp_put_map(b, 3);
	put_pair(b, "topic", topic);
	mp_put_cstr(b, "ttl");
	mp_put_i64(b, ttl);
	mp_put_cstr(b, "again");
	mp_put_bool(b, again);
}

/* {"200": {description, content: {application/json: {schema}}}} */
static void
put_responses(struct buf *b, const char *description, const msgpack_object *schema)
{
	mp_put_cstr(b, "responses");
	mp_put_map(b, 1);
	mp_put_cstr(b, "200");
	mp_put_map(b, 2);
	put_pair(b, "description", description);
	mp_put_cstr(b, "content");
	mp_put_map(b, 1);
	mp_put_cstr(b, "application/json");
	mp_put_map(b, schema ? 1 : 0);
	if (schema) {
		mp_put_cstr(b, "schema");
		mp_put_object(b, schema);
	}
}

/* The properties of a GET method's request are its query parameters.  Whether one is required is
 * left to the schema, so that every fault is found in one place. */
static void
put_parameters(struct buf *b, const struct catalogue_method *m)
{
	const msgpack_object *props = doc_get(m->request, "properties");
	uint32_t n = props && props->type == MSGPACK_OBJECT_MAP ? props->via.map.size : 0;

	mp_put_cstr(b, "parameters");
	mp_put_array(b, n);
	for (uint32_t i = 0; i < n; i++) {
		mp_put_map(b, 4);
		mp_put_cstr(b, "name");
		mp_put_object(b, &props->via.map.ptr[i].key);
		put_pair(b, "in", "query");
		mp_put_cstr(b, "description");
		put_text(b, &props->via.map.ptr[i].val, "description", "");
		mp_put_cstr(b, "schema");
		mp_put_object(b, &props->via.map.ptr[i].val);
	}
}

static void
put_request_body(struct buf *b, const struct catalogue_method *m)
{
	mp_put_cstr(b, "requestBody");
	mp_put_map(b, 2);
	mp_put_cstr(b, "required");
	mp_put_bool(b, true);
	mp_put_cstr(b, "content");
	mp_put_map(b, 1);
	mp_put_cstr(b, "application/json");
	mp_put_map(b, 1);
	mp_put_cstr(b, "schema");
	mp_put_object(b, m->request);
}

static void
put_method_path(struct buf *b, const struct catalogue_service *s, const struct catalogue_method *m)
{
	char text[256];

	snprintf(
	    text, sizeof text, "/services/%s/v%lld/%s", s->name, (long long)s->version, m->name);
	mp_put_cstr(b, text);
	mp_put_map(b, 1);
	mp_put_cstr(b, m->get ? "get" : "post");
	mp_put_map(b, 5);
	snprintf(text, sizeof text, "%s_v%lld_%s", s->name, (long long)s->version, m->name);
	put_pair(b, "operationId", text);
	mp_put_cstr(b, "summary");
	put_text(b, m->def, "summary", m->name);
	snprintf(text, sizeof text, "service.%s.v%lld.%s", s->name, (long long)s->version, m->name);
	put_route(b, text, m->deadline_ms, m->repeatable);
	if (m->get) {
		put_parameters(b, m);
	} else {
		put_request_body(b, m);
	}
	put_responses(b,
	    "The provider's answer; X-Provider and X-Attempts say whose and after how many tries",
	    doc_get(m->def, "answer"));
}

static void
put_plain_path(
    struct buf *b, const char *path, const char *operation, const char *topic, const char *summary)
{
	mp_put_cstr(b, path);
	mp_put_map(b, 1);
	mp_put_cstr(b, "get");
	mp_put_map(b, 4);
	put_pair(b, "operationId", operation);
	put_pair(b, "summary", summary);
	put_route(b, topic, 2000, true);
	put_responses(b, summary, NULL);
}

void
api_put_openapi(const struct catalogue_service *first, struct buf *out)
{
	const struct catalogue_service *s;
	size_t paths = 1;
	char path[128], operation[128], topic[128];

	for (s = first; s != NULL; s = s->next)
		paths += s->nmethods + 1u;
	mp_put_map(out, 2);
	put_pair(out, "openapi", "3.1.0");
	mp_put_cstr(out, "paths");
	mp_put_map(out, paths);
	put_plain_path(out, "/services/_schema", "listServices", "services.schema",
	    "Every service with its methods and request schemas");
	for (s = first; s != NULL; s = s->next) {
		long long v = (long long)s->version;

		snprintf(path, sizeof path, "/services/%s/v%lld", s->name, v);
		snprintf(operation, sizeof operation, "describe_%s_v%lld", s->name, v);
		snprintf(topic, sizeof topic, "services.describe.%s.v%lld", s->name, v);
		put_plain_path(out, path, operation, topic,
		    "One service with its methods and request schemas");
		for (unsigned i = 0; i < s->nmethods; i++)
			put_method_path(out, s, &s->methods[i]);
	}
}

static void
put_method(struct buf *b, const struct catalogue_method *m)
{
	mp_put_cstr(b, m->name);
	mp_put_map(b, 5);
	put_pair(b, "name", m->name);
	mp_put_cstr(b, "summary");
	put_text(b, m->def, "summary", m->name);
	put_pair(b, "http_method", m->get ? "GET" : "POST");
	mp_put_cstr(b, "repeatable");
	mp_put_bool(b, m->repeatable);
	mp_put_cstr(b, "request_schema");
	mp_put_object(b, m->request);
}

void
api_put_service(const struct catalogue_service *s, struct buf *out)
{
	mp_put_map(out, 5);
	put_pair(out, "name", s->name);
	mp_put_cstr(out, "version");
	mp_put_i64(out, s->version);
	mp_put_cstr(out, "verbose_name");
	put_text(out, &s->doc.root, "title", s->name);
	mp_put_cstr(out, "methods");
	mp_put_map(out, s->nmethods);
	for (unsigned i = 0; i < s->nmethods; i++)
		put_method(out, &s->methods[i]);
	mp_put_cstr(out, "providers");
	mp_put_array(out, s->nproviders);
	for (unsigned i = 0; i < s->nproviders; i++)
		mp_put_cstr(out, s->providers[i].name);
}

void
api_put_schema(const struct catalogue_service *first, struct buf *out)
{
	size_t n = 0;

	for (const struct catalogue_service *s = first; s != NULL; s = s->next)
		n++;
	mp_put_array(out, n);
	for (const struct catalogue_service *s = first; s != NULL; s = s->next)
		api_put_service(s, out);
}

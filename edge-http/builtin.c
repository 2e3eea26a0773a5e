#include "edge-http/builtin.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "edge-http/call.h"
#include "edge-http/http.h"
#include "edge-http/scrape.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "proto/topic.h"

/* edge-http/api.json, linked in. */
extern const char api_json[];

void
builtin_init(struct builtin *b)
{
	struct fragment f = {.service = "edge-http", .builtin = true};
	struct json_error err;
	struct notes notes;

	buf_init(&b->mp, LIMIT_DESC);
	notes_init(&notes);
	b->routes = routes_new();
	if (json_to_mp(span_str(api_json), &b->mp, &err) != 0 ||
	    doc_parse(&b->doc, buf_span(&b->mp)) != 0)
		die(EXIT_NORESTART, "api.json, line %d: %s", err.line, err.text);
	f.api = &b->doc.root;
	fragment_add(b->routes, &f, NULL, NULL, &notes);
	INVARIANT(notes.n == 0);
	routes_seal(b->routes);
	notes_fini(&notes);
}

void
builtin_fini(struct builtin *b)
{
	routes_unref(b->routes);
	doc_fini(&b->doc);
	buf_fini(&b->mp);
}

struct registry_own
builtin_own(const struct builtin *b)
{
	return (struct registry_own){.routes = b->routes, .api = &b->doc.root};
}

static void
answer_text(struct http_req *r, int status, const char *json)
{
	struct answer *a = &r->answer;

	a->status = status;
	(void)str_copy(a->type, sizeof a->type, span_str("application/json"));
	buf_puts(&a->body, json);
}

static void
healthz(struct http_req *r)
{
	answer_text(r, 200, "{\"status\":\"alive\"}\n");
}

static void
version(struct http_req *r)
{
	answer_text(r, 200, "{\"name\":\"edge-http\",\"version\":\"" TAXI_VERSION "\"}\n");
}

static void
metrics(struct http_req *r)
{
	scrape(r);
}

static void
openapi(struct http_req *r)
{
	if (r->sh->routes == NULL) {
		http_fail(
		    r, ERR_BUSY, "the routes are not loaded yet: no answer from the broker so far");
		return;
	}
	answer_text(r, 200, "");
	buf_put(&r->answer.body, r->sh->openapi.p, r->sh->openapi.n);
	buf_putc(&r->answer.body, '\n');
}

static void
put_check(struct buf *b, const char *name, bool ok, bool warning, const char *detail)
{
	buf_printf(b, "{\"name\":\"%s\",\"ok\":%s", name, ok ? "true" : "false");
	if (warning)
		buf_puts(b, ",\"warning\":true");
	if (detail) {
		buf_puts(b, ",\"detail\":");
		json_put_str(b, span_str(detail));
	}
	buf_putc(b, '}');
}

static void
readyz(struct http_req *r)
{
	const struct shard *sh = r->sh;
	bool up = shard_bus_is_up(sh), loaded = sh->routes != NULL;
	bool ready = up && loaded && !sh->draining;
	struct buf *b = &r->answer.body;

	answer_text(r, ready ? 200 : 503, "{\"status\":");
	buf_printf(b, "\"%s\",\"checks\":[", ready ? "ready" : "not ready");
	put_check(b, "bus", up, false, up ? NULL : "the broker does not answer");
	buf_putc(b, ',');
	put_check(b, "routes", loaded, false, loaded ? NULL : "no answer of sys.services so far");
	buf_putc(b, ',');
	put_check(
	    b, "draining", !sh->draining, false, sh->draining ? "the process is ending" : NULL);
	for (size_t i = 0; i < sh->notes.kept; i++) {
		const struct note *n = &sh->notes.v[i];
		char *text = xasprintf("%s: %s: %s", n->service, n->path, n->why);

		buf_putc(b, ',');
		put_check(b, "announcement", false, true, text);
		free(text);
	}
	buf_puts(b, "]}\n");
}

static struct span
payload(const struct http_req *r)
{
	return r->has_payload ? buf_span(&r->payload) : (struct span){NULL, 0};
}

static void
publish(struct http_req *r)
{
	struct span topic = r->value[0];

	if (!topic_is_valid(topic)) {
		http_fail(
		    r, ERR_BAD_TOPIC, "a topic is 1 to 16 tokens of [A-Za-z0-9_-] joined by dots");
	} else if (topic_is_sys(topic)) {
		http_fail(r, ERR_DENIED, "sys.* is the broker's own");
	} else {
		call_publish(r, topic, payload(r));
	}
}

/* What only looks.  The last three also under a process's name. */
static bool
is_readable(struct span topic)
{
	static const char *const names[] = {
	    "services", "groups", "peers", "cursor", "ping", "info", "stats"};
	struct span what = topic_token(topic, 1);

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		if (!span_is(what, names[i]))
			continue;
		return topic_token(topic, 2).p == NULL ||
		       (i >= 4 && topic_token(topic, 3).p == NULL);
	}
	return false;
}

static void
request(struct http_req *r)
{
	struct request_in in = {.op = r->op, .value = r->value, .query = r->target.query};
	struct span topic = r->value[0];
	struct faults f;
	struct doc d = {0};
	struct buf map;
	int64_t ttl = 0;

	if (!topic_is_valid(topic)) {
		http_fail(
		    r, ERR_BAD_TOPIC, "a topic is 1 to 16 tokens of [A-Za-z0-9_-] joined by dots");
		return;
	}
	if (topic_is_sys(topic) && !is_readable(topic)) {
		http_fail(r, ERR_DENIED, "of sys.* only what reads may be asked for here");
		return;
	}
	faults_init(&f);
	buf_init(&map, LIMIT_FRAME);
	if (request_body(&in, &map, &f) == REQUEST_OK && doc_parse(&d, buf_span(&map)) == 0)
		ttl = doc_i64(&d.root, "ttl", 0);
	if (ttl >= 1 && ttl <= LIMIT_TTL_MS) {
		call_request(r, topic, ttl, payload(r));
	} else {
		http_fail(r, ERR_INVALID, "/ttl: expected an integer within 1 and 3600000");
	}
	doc_fini(&d);
	buf_fini(&map);
	faults_fini(&f);
}

static const struct {
	const char *topic;
	void (*run)(struct http_req *r);
	bool open, shows_routes;
} OPS[] = {
    {"edge-http.healthz", healthz, true, false},
    {"edge-http.readyz", readyz, true, false},
    {"edge-http.version", version, true, false},
    {"edge-http.openapi", openapi, false, true},
    {"edge-http.metrics", metrics, false, false},
    {"edge-http.publish", publish, false, false},
    {"edge-http.request", request, false, false},
};

/* -1: api.json names what has no code. */
static int
find(const struct routes_op *op)
{
	for (size_t i = 0; i < sizeof OPS / sizeof OPS[0]; i++) {
		if (strcmp(op->topic, OPS[i].topic) == 0)
			return (int)i;
	}
	return -1;
}

void
builtin_run(struct http_req *r)
{
	int i = find(r->op);

	if (i >= 0) {
		OPS[i].run(r);
	} else {
		http_fail(r, ERR_INTERNAL, "an operation of api.json has no code");
	}
}

bool
builtin_is_open(const struct routes_op *op)
{
	int i = find(op);

	return i >= 0 && OPS[i].open;
}

bool
builtin_shows_routes(const struct routes_op *op)
{
	int i = find(op);

	return i >= 0 && OPS[i].shows_routes;
}

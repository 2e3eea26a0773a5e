/* Targets, templates, and fragments: which operation a request means. */
#include "edge-http/fragment.h"
#include "edge-http/target.h"
#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static struct buf scratch;

static const char API[] =
    "{\"paths\":{"
    "\"/triggers\":{\"post\":{\"x-taxiway\":{\"topic\":\"ct.create\",\"ttl\":1500},"
    "  \"parameters\":[{\"$ref\":\"#/components/parameters/Key\"}],"
    "  \"requestBody\":{\"$ref\":\"#/components/requestBodies/T~1x\"},"
    "  \"responses\":{\"400\":{},\"202\":{},\"200\":{}}},"
    " \"get\":{\"x-taxiway\":{\"topic\":\"ct.list\",\"safe\":true},\"parameters\":["
    "  {\"name\":\"limit\",\"in\":\"query\",\"schema\":{\"$ref\":\"#/components/schemas/Limit\"}},"
    "  "
    "{\"name\":\"since\",\"in\":\"query\",\"required\":true,\"schema\":{\"type\":[\"null\","
    "\"number\"]}},"
    "  {\"name\":\"X-Else\",\"in\":\"header\"}]}},"
    "\"/triggers/{uuid}\":{\"parameters\":[{\"name\":\"uuid\",\"in\":\"path\",\"required\":true}],"
    "  \"get\":{\"x-taxiway\":{\"topic\":\"ct.get\"}},\"delete\":{\"summary\":\"not routed\"}},"
    "\"/triggers/all\":{\"get\":{\"x-taxiway\":{\"topic\":\"ct.all\"}}},"
    "\"/s/{s}/v{n}/{m}\":{\"get\":{\"x-taxiway\":{\"topic\":\"gw.call\"},"
    "  \"parameters\":[{\"name\":\"n\",\"in\":\"path\",\"schema\":{\"type\":\"integer\"}}]}},"
    "\"/s/{s}/{x}/{m}\":{\"put\":{\"x-taxiway\":{\"topic\":\"gw.put\"}}},"
    "\"/healthcheck/\":{\"get\":{\"x-taxiway\":{\"topic\":\"gw.health\"}}},"
    "\"/lines\":{\"post\":{\"x-taxiway\":{\"topic\":\"gw.lines\",\"stream\":true},\"requestBody\":"
    "  {\"required\":true,\"content\":{\"application/x-ndjson\":{},\"application/json\":{}}}}}},"
    "\"components\":{\"parameters\":{\"Key\":{\"name\":\"idempotency-key\",\"in\":\"header\"}},"
    "\"requestBodies\":{\"T/x\":{\"required\":true,\"content\":{\"application/json\":{}}}},"
    "\"schemas\":{\"Limit\":{\"type\":\"integer\",\"default\":50}}}}";

static void
targets(void)
{
	struct target t;
	struct span rest, name, value;

	CHECK(target_split(span_str("/a/b?x=1&y"), &t) == 0);
	CHECK(span_is(t.path, "/a/b") && span_is(t.query, "x=1&y") && t.authority.p == NULL);
	CHECK(target_split(span_str("/a"), &t) == 0 && t.query.p == NULL);
	CHECK(target_split(span_str("/a?"), &t) == 0 && t.query.p != NULL && t.query.n == 0);
	CHECK(target_split(span_str("HTTP://h:1/a?b"), &t) == 0);
	CHECK(span_is(t.authority, "h:1") && span_is(t.path, "/a") && span_is(t.query, "b"));
	CHECK(target_split(span_str("http://h"), &t) == 0 && span_is(t.path, "/"));
	CHECK(target_split(span_str("http://h?q=1"), &t) == 0 && span_is(t.query, "q=1"));
	CHECK(target_split(span_str("*"), &t) == 0 && span_is(t.path, "*"));
	CHECK(target_split(span_str("http:///a"), &t) == -1);
	CHECK(target_split(span_str("a"), &t) == -1);
	CHECK(target_split(span_str(""), &t) == -1);
	CHECK(target_split(span_str("/a#b"), &t) == -1);
	CHECK(target_split(span_str("/a b"), &t) == -1);
	CHECK(target_split(span_str("/a\tb"), &t) == -1);

	rest = span_str("&a=1&&b&c=x=y");
	CHECK(target_next(&rest, &name, &value) && span_is(name, "a") && span_is(value, "1"));
	CHECK(target_next(&rest, &name, &value) && span_is(name, "b") && value.n == 0);
	CHECK(target_next(&rest, &name, &value) && span_is(name, "c") && span_is(value, "x=y"));
	CHECK(!target_next(&rest, &name, &value));
}

static void
long_queries(void)
{
	char text[TARGET_PAIRS + 1];

	memset(text, '&', sizeof text);
	CHECK(!target_is_long((struct span){NULL, 0}));
	CHECK(!target_is_long(span_of(text, TARGET_PAIRS - 1)));
	CHECK(target_is_long(span_of(text, TARGET_PAIRS)));
}

static const char *
decode(const char *raw, bool form)
{
	buf_reset(&scratch);
	return target_decode(span_str(raw), form, &scratch) == 0 ? buf_cstr(&scratch) : "(refused)";
}

static void
escapes(void)
{
	CHECK_STR(decode("a%20b+c", false), "a b+c");
	CHECK_STR(decode("a%20b+c", true), "a b c");
	CHECK_STR(decode("%2f%2F", false), "//");
	CHECK_STR(decode("%c3%a9", false), "\xc3\xa9");
	CHECK_STR(decode("%c3", false), "(refused)");
	CHECK_STR(decode("%00", false), "(refused)");
	CHECK_STR(decode("%0a", false), "(refused)");
	CHECK_STR(decode("%", false), "(refused)");
	CHECK_STR(decode("%4", false), "(refused)");
	CHECK_STR(decode("%zz", false), "(refused)");
}

static struct routes *
table(struct edge_doc *d, struct notes *notes, const char *json)
{
	struct fragment f = {.service = "ct", .api = edge_doc_init(d, json)};
	struct routes *t = routes_new();

	notes_init(notes);
	fragment_add(t, &f, NULL, NULL, notes);
	routes_seal(t);
	return t;
}

static struct routes_match m;

static const char *
topic(const struct routes *t, enum routes_method method, const char *path)
{
	buf_reset(&scratch);
	routes_match(t, method, span_str(path), &scratch, &m);
	if (m.bad)
		return "(bad)";
	if (m.route == NULL)
		return "(none)";
	return m.op ? m.op->topic : "(method)";
}

static void
matching(const struct routes *t)
{
	struct buf allow;

	CHECK_STR(topic(t, ROUTES_POST, "/triggers"), "ct.create");
	CHECK_STR(topic(t, ROUTES_GET, "/triggers"), "ct.list");
	CHECK_STR(topic(t, ROUTES_GET, "/triggers/all"), "ct.all");
	CHECK_STR(topic(t, ROUTES_GET, "/triggers/a%2Fl"), "ct.get");
	CHECK(span_is(m.value[0], "a/l"));
	CHECK_STR(topic(t, ROUTES_DELETE, "/triggers/1"), "(method)");
	CHECK_STR(topic(t, ROUTES_METHODS, "/triggers/1"), "(method)");
	CHECK_STR(topic(t, ROUTES_GET, "/triggers/"), "(none)");
	CHECK_STR(topic(t, ROUTES_GET, "/triggers/1/2"), "(none)");
	CHECK_STR(topic(t, ROUTES_GET, "/"), "(none)");
	CHECK_STR(topic(t, ROUTES_GET, "/s/mail/v12/send"), "gw.call");
	CHECK(span_is(m.value[0], "mail") && span_is(m.value[1], "12") &&
	      span_is(m.value[2], "send"));
	CHECK_STR(topic(t, ROUTES_PUT, "/s/mail/w/send"), "gw.put");
	CHECK_STR(topic(t, ROUTES_GET, "/s/mail/v/send"), "(method)");
	CHECK_STR(topic(t, ROUTES_GET, "/healthcheck/"), "gw.health");
	CHECK_STR(topic(t, ROUTES_GET, "/healthcheck"), "(none)");
	CHECK_STR(topic(t, ROUTES_GET, "/a%"), "(bad)");
	CHECK_STR(topic(t, ROUTES_GET, "*"), "(bad)");
	CHECK_STR(topic(t, ROUTES_GET,
		      "/1/2/3/4/5/6/7/8/9/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s/t/u/v/w/x"),
	    "(bad)");
	(void)topic(t, ROUTES_GET, "/triggers");
	buf_init(&allow, 100);
	routes_allow(m.route, &allow);
	CHECK_STR(buf_cstr(&allow), "GET, HEAD, POST, OPTIONS");
	buf_fini(&allow);
}

static void
operations(const struct routes *t)
{
	const struct routes_op *op;
	struct buf json;

	(void)topic(t, ROUTES_POST, "/triggers");
	op = m.op;
	CHECK(op->ttl_ms == 1500 && op->status == 202 && op->keyed && !op->again && !op->safe);
	CHECK(op->body_declared && op->body_required && op->ntypes == 1);
	CHECK(op->nparams == 0);
	(void)topic(t, ROUTES_GET, "/triggers");
	op = m.op;
	CHECK(op->again && op->safe && op->status == 200 && op->ttl_ms == 5000 && !op->keyed);
	CHECK(op->nparams == 2);
	CHECK(op->params[0].type == ROUTES_INT && op->params[0].place == -1 &&
	      !op->params[0].required);
	buf_init(&json, 100);
	CHECK_STR(edge_json(&json, buf_span(&op->params[0].def)), "50");
	buf_fini(&json);
	CHECK(op->params[1].type == ROUTES_NUM && op->params[1].required);
	(void)topic(t, ROUTES_GET, "/s/a/v1/b");
	CHECK(
	    m.op->nparams == 3 && m.op->params[0].place == 1 && m.op->params[0].type == ROUTES_INT);
	CHECK(m.op->params[1].place == 0 && m.op->params[1].required);
	(void)topic(t, ROUTES_POST, "/lines");
	CHECK(m.op->stream && m.op->ntypes == 2);
}

static const struct {
	const char *json, *why;
} REFUSED[] = {
    {"{\"paths\":{\"/healthz\":{}}}", "the path belongs to the edge itself"},
    {"{\"paths\":{\"/\":{}}}", "the path belongs to the edge itself"},
    {"{\"paths\":{\"/bus/{x}\":{}}}", "the path belongs to the edge itself"},
    {"{\"paths\":{\"/ui/a\":{}}}", "the path belongs to the edge itself"},
    {"{\"paths\":{\"x\":{}}}", "a path begins with / and has neither ? nor #"},
    {"{\"paths\":{\"/a?b\":{}}}", "a path begins with / and has neither ? nor #"},
    {"{\"paths\":{\"/{a}{b}\":{}}}",
	"a segment holds at most one {parameter}, and each has its own name"},
    {"{\"paths\":{\"/{a}/{a}\":{}}}",
	"a segment holds at most one {parameter}, and each has its own name"},
    {"{\"paths\":{\"/{a\":{}}}",
	"a segment holds at most one {parameter}, and each has its own name"},
    {"{\"paths\":{\"/x/{a}\":{\"get\":{\"x-taxiway\":{\"topic\":\"a\"}}},\"/x/{b}\":{}}}",
	"the same path is announced with other parameter names"},
    {"{\"paths\":{\"/x\":{\"get\":{\"x-taxiway\":{\"topic\":\"sys.stats\"}}}}}",
	"x-taxiway.topic is no topic that a service may serve"},
    {"{\"paths\":{\"/x\":{\"get\":{\"x-taxiway\":{\"topic\":\"a.*\"}}}}}",
	"x-taxiway.topic is no topic that a service may serve"},
    {"{\"paths\":{\"/x\":{\"get\":{\"x-taxiway\":{}}}}}",
	"x-taxiway.topic is no topic that a service may serve"},
    {"{\"paths\":{\"/x\":{\"get\":{\"x-taxiway\":{\"topic\":\"a\",\"ttl\":0}}}}}",
	"x-taxiway.ttl is not within 1 and 3600000 ms"},
    {"{\"paths\":{\"/x\":{\"post\":{\"x-taxiway\":{\"topic\":\"a\",\"stream\":true}}}}}",
	"x-taxiway.stream without application/x-ndjson in the requestBody"},
    {"{\"paths\":{\"/{body}\":{\"post\":{\"x-taxiway\":{\"topic\":\"a\"}}}}}",
	"a parameter is called `body`, where the request body goes"},
    {"{\"paths\":{\"/x\":{\"get\":{\"x-taxiway\":{\"topic\":\"a\"},\"parameters\":[{\"$ref\":\"#/"
     "no\"}]}}}}",
	"a parameter needs `name` and `in`, or a $ref to one that has them"},
    {"{\"paths\":{\"/x\":{\"get\":{\"x-taxiway\":{\"topic\":\"a\"},\"parameters\":[{\"$ref\":\"#/"
     "p\"}]}}},"
     "\"p\":{\"$ref\":\"#/p\"}}",
	"a parameter needs `name` and `in`, or a $ref to one that has them"},
    {"{\"paths\":{\"/x\":{\"post\":{\"x-taxiway\":{\"topic\":\"a\"},\"requestBody\":{}}}}}",
	"a requestBody needs `content` with 1 to 16 media types"},
};

static void
refusals(void)
{
	for (size_t i = 0; i < sizeof REFUSED / sizeof REFUSED[0]; i++) {
		struct edge_doc d;
		struct notes notes;
		struct routes *t = table(&d, &notes, REFUSED[i].json);

		CHECK(notes.n == 1);
		CHECK_STR(notes.kept ? notes.v[0].why : "", REFUSED[i].why);
		notes_fini(&notes);
		routes_unref(t);
		edge_doc_fini(&d);
	}
}

int
main(void)
{
	struct edge_doc d;
	struct notes notes;
	struct routes *t;

	buf_init(&scratch, 1 << 16);
	targets();
	long_queries();
	escapes();
	t = table(&d, &notes, API);
	CHECK(notes.n == 0);
	for (size_t i = 0; i < notes.kept; i++)
		printf("# %s: %s\n", notes.v[i].path, notes.v[i].why);
	edge_doc_fini(&d);
	CHECK(t->n == 7);
	matching(t);
	operations(t);
	routes_unref(t);
	refusals();
	buf_fini(&scratch);
	return check_done();
}

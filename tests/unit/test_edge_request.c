/* From a request to the body and ids of a REQ, and back from REP and ERR to HTTP. */
#include "edge-http/answer.h"
#include "edge-http/fragment.h"
#include "edge-http/request.h"
#include "proto/mp.h"
#include "tests/unit/check.h"
#include "tests/unit/edge.h"

static const char API[] =
    "{\"paths\":{\"/a/{id}\":{\"post\":{\"x-taxiway\":{\"topic\":\"t\"},\"parameters\":["
    "{\"name\":\"id\",\"in\":\"path\",\"schema\":{\"type\":\"integer\"}},"
    "{\"name\":\"n\",\"in\":\"query\",\"schema\":{\"type\":\"number\"}},"
    "{\"name\":\"b\",\"in\":\"query\",\"schema\":{\"type\":\"boolean\"}},"
    "{\"name\":\"s\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}},"
    "{\"name\":\"next-id\",\"in\":\"query\",\"schema\":{\"default\":[7]}},"
    "{\"name\":\"must/be\",\"in\":\"query\",\"required\":true}]}},"
    "\"/plain\":{\"post\":{\"x-taxiway\":{\"topic\":\"p\"}}}}}";

static struct edge_doc api;
static struct routes *t;
static struct buf out, text;
static struct faults faults;

static enum request_say
build(const char *path, const char *query, const char *body)
{
	struct routes_match m;
	struct buf scratch, mp;
	struct request_in in;
	enum request_say say;

	buf_init(&scratch, 1000);
	buf_init(&mp, 1000);
	buf_reset(&out);
	faults_fini(&faults);
	faults_init(&faults);
	routes_match(t, ROUTES_POST, span_str(path), &scratch, &m);
	if (body)
		CHECK(json_to_mp(span_str(body), &mp, NULL) == 0);
	in = (struct request_in){.op = m.op, .value = m.value, .query = span_str(query)};
	if (body)
		in.body = buf_span(&mp);
	say = request_body(&in, &out, &faults);
	buf_fini(&scratch);
	buf_fini(&mp);
	return say;
}

static const char *
fault_text(void)
{
	struct buf mp;
	const char *json;

	buf_init(&mp, 10000);
	faults_put(&faults, &mp);
	json = edge_json(&text, buf_span(&mp));
	buf_fini(&mp);
	return json;
}

static void
bodies(void)
{
	CHECK(build("/plain", NULL, "{\"a\":[1,1.0]}") == REQUEST_OK);
	CHECK_STR(edge_json(&text, buf_span(&out)), "{\"a\":[1,1.0]}");
	CHECK(build("/plain", "x=1", NULL) == REQUEST_OK);
	CHECK(out.n == 0);
	CHECK(build("/a/9007199254740993", "must%2Fbe=x&n=1.50&b=true&s=a+b%26c&else=1", "[1]") ==
	      REQUEST_OK);
	CHECK_STR(edge_json(&text, buf_span(&out)),
	    "{\"id\":9007199254740993,\"n\":1.5,\"b\":true,\"s\":\"a "
	    "b&c\",\"next-id\":[7],\"must/be\":\"x\","
	    "\"body\":[1]}");
	CHECK(build("/a/-3", "must/be=&n=4&next-id=x", NULL) == REQUEST_OK);
	CHECK_STR(edge_json(&text, buf_span(&out)),
	    "{\"id\":-3,\"n\":4,\"next-id\":\"x\",\"must/be\":\"\"}");
	CHECK(build("/a/1", "must/be=%zz", NULL) == REQUEST_UNREADABLE);
	CHECK(build("/a/x", "n=1e999&b=yes&s=1&s=2", NULL) == REQUEST_INVALID);
	CHECK(faults.n == 5);
	CHECK(strstr(fault_text(), "{\"pointer\":\"/id\",\"detail\":\"expected an integer\"}") !=
	      NULL);
	CHECK(
	    strstr(fault_text(), "{\"pointer\":\"/n\",\"detail\":\"expected a number\"}") != NULL);
	CHECK(strstr(fault_text(), "{\"pointer\":\"/b\",\"detail\":\"expected true or false\"}") !=
	      NULL);
	CHECK(strstr(fault_text(), "{\"pointer\":\"/s\",\"detail\":\"given more than once\"}") !=
	      NULL);
	CHECK(
	    strstr(fault_text(), "{\"pointer\":\"/must~1be\",\"detail\":\"is required\"}") != NULL);
}

static void
chunks(void)
{
	struct routes_match m;
	struct buf scratch;
	struct request_in in = {.is_chunk = true,
	    .last = true,
	    .chunk = 3,
	    .first = 12288,
	    .of = {0x80},
	    .lines = span_of("\x01\xc3", 2),
	    .nlines = 2};

	buf_init(&scratch, 1000);
	routes_match(t, ROUTES_POST, span_str("/plain"), &scratch, &m);
	in.op = m.op;
	buf_reset(&out);
	faults_fini(&faults);
	faults_init(&faults);
	CHECK(request_body(&in, &out, &faults) == REQUEST_OK);
	CHECK_STR(edge_json(&text, buf_span(&out)),
	    "{\"lines\":[1,true],\"chunk\":3,\"last\":true,\"first\":12288,"
	    "\"of\":\"80000000-0000-0000-0000-000000000000\"}");
	buf_fini(&scratch);
}

static void
ids(void)
{
	uint8_t a[16], b[16], x[32], y[32];

	request_key_id(a, "POST", span_str("/x"), span_str("k"));
	request_key_id(b, "POST", span_str("/x"), span_str("k"));
	CHECK(memcmp(a, b, 16) == 0);
	CHECK((a[6] >> 4) == 8);
	request_key_id(b, "POST", span_str("/xk"), span_str(""));
	CHECK(memcmp(a, b, 16) != 0);
	request_key_id(b, "PUT", span_str("/x"), span_str("k"));
	CHECK(memcmp(a, b, 16) != 0);
	request_chunk_id(x, a, 1);
	request_chunk_id(y, a, 2);
	CHECK(memcmp(x, y, 16) != 0);
	request_digest(x, "POST", span_str("/x?a"), span_str("b"));
	request_digest(y, "POST", span_str("/x?"), span_str("ab"));
	CHECK(memcmp(x, y, 32) != 0);
}

static void
traces(void)
{
	static const uint8_t root[16] = {1, 2, 3}, span[8] = {0xab, 0xcd};
	static const char in[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
	char got[REQUEST_TRACE + 1];

	request_trace(span_str(in), root, span, got);
	CHECK_STR(got, "00-4bf92f3577b34da6a3ce929d0e0e4736-abcd000000000000-00");
	request_trace((struct span){NULL, 0}, root, span, got);
	CHECK_STR(got, "00-01020300000000000000000000000000-abcd000000000000-01");
	request_trace(
	    span_str("00-00000000000000000000000000000000-00f067aa0ba902b7-00"), root, span, got);
	CHECK(strncmp(got, "00-010203", 9) == 0);
	request_trace(
	    span_str("ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"), root, span, got);
	CHECK(strncmp(got, "00-010203", 9) == 0);
	request_trace(
	    span_str("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-x"), root, span, got);
	CHECK(strncmp(got, "00-010203", 9) == 0);
	request_trace(
	    span_str("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-x"), root, span, got);
	CHECK(strncmp(got, "00-4bf92f", 9) == 0);
	request_trace(
	    span_str("00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"), root, span, got);
	CHECK(strncmp(got, "00-010203", 9) == 0);
}

/* A map {"Location": "/x", "Connection": "close", "Bad": "a\nb"} as meta `headers`. */
static void
put_headers(struct buf *b)
{
	mp_put_map(b, 3);
	mp_put_cstr(b, "Location");
	mp_put_cstr(b, "/x");
	mp_put_cstr(b, "Connection");
	mp_put_cstr(b, "close");
	mp_put_cstr(b, "Bad");
	mp_put_cstr(b, "a\nb");
}

static void
replies(void)
{
	static const uint8_t id[16] = {0};
	struct answer a;
	struct env e;
	struct buf h, b;

	answer_init(&a, 1 << 20);
	buf_init(&h, 1000);
	buf_init(&b, 1000);
	env_init(&e, ENV_REP, (struct span){NULL, 0}, id);
	put_headers(&h);
	env_set_s(&e, ENV_M_HEADERS, buf_span(&h));
	CHECK(json_to_mp(span_str("{\"a\":1}"), &b, NULL) == 0);
	e.body = buf_span(&b);
	answer_rep(&a, &e, 202);
	CHECK(a.status == 202);
	CHECK_STR(a.type, "application/json");
	CHECK_STR(buf_cstr(&a.body), "{\"a\":1}\n");
	CHECK(a.nh == 1);
	CHECK_STR(a.nh ? a.h[0].name : "", "Location");

	env_set_u(&e, ENV_M_STATUS, 201);
	env_set_s(&e, ENV_M_TYPE, span_str("text/csv"));
	buf_reset(&b);
	mp_put_bin(&b, span_str("a,b\n"));
	e.body = buf_span(&b);
	answer_rep(&a, &e, 202);
	CHECK(a.status == 201);
	CHECK_STR(a.type, "text/csv");
	CHECK_STR(buf_cstr(&a.body), "a,b\n");

	e.has = 0;
	e.body = (struct span){NULL, 0};
	answer_rep(&a, &e, 200);
	CHECK_STR(buf_cstr(&a.body), "null\n");
	answer_rep(&a, &e, 204);
	CHECK(a.status == 204 && a.body.n == 0);
	e.body = span_str("\xc1");
	answer_rep(&a, &e, 200);
	CHECK(a.status == 502);
	CHECK_STR(a.type, "application/problem+json");
	answer_fini(&a);
	buf_fini(&h);
	buf_fini(&b);
}

static void
errors(void)
{
	static const uint8_t id[16] = {0};
	static const char want[] =
	    "{\"type\":\"urn:taxiway:error:INVALID\",\"title\":\"The content breaks its schema\","
	    "\"status\":422,\"detail\":\"bad\",\"instance\":\"i\",\"retryable\":false,\"retry\":"
	    "\"never\","
	    "\"code\":\"INVALID\",\"errors\":[{\"pointer\":\"/x\"}],\"stored\":5}\n";
	static const struct answer_about plain = {.instance = "i", .stored = -1},
					 keyed = {.instance = "i", .keyed = true, .stored = -1},
					 stream = {.instance = "i", .stored = 4096};
	struct answer a;
	struct env e;
	struct buf d;

	answer_init(&a, 1 << 20);
	buf_init(&d, 1000);
	env_init(&e, ENV_ERR, (struct span){NULL, 0}, id);
	env_set_s(&e, ENV_M_CODE, span_str("INVALID"));
	CHECK(json_to_mp(
		  span_str("{\"detail\":\"bad\",\"errors\":[{\"pointer\":\"/x\"}],\"stored\":5,"
			   "\"status\":200}"),
		  &d, NULL) == 0);
	env_set_s(&e, ENV_M_DETAIL, buf_span(&d));
	answer_err(&a, &e, &plain);
	CHECK(a.status == 422);
	CHECK_STR(buf_cstr(&a.body), want);
	CHECK(a.nh == 0);
	answer_err(&a, &e, &stream);
	CHECK(strstr(buf_cstr(&a.body), "\"stored\":4096,\"errors\":[{\"pointer\":\"/x\"}]}") !=
	      NULL);
	buf_reset(&d);
	CHECK(
	    json_to_mp(
		span_str("{\"detail\":\"x\",\"headers\":{\"Retry-After\":\"7\",\"Date\":\"no\"}}"),
		&d, NULL) == 0);
	env_set_s(&e, ENV_M_DETAIL, buf_span(&d));
	env_set_s(&e, ENV_M_CODE, span_str("BUSY"));
	answer_err(&a, &e, &plain);
	CHECK(
	    a.nh == 1 && strcmp(a.h[0].name, "Retry-After") == 0 && strcmp(a.h[0].value, "7") == 0);
	CHECK(strstr(buf_cstr(&a.body), "headers") == NULL);
	e.has = 0;
	env_set_s(&e, ENV_M_CODE, span_str("NO_WORKERS"));
	answer_err(&a, &e, &plain);
	CHECK(a.status == 503 && a.nh == 1);
	CHECK_STR(a.nh ? a.h[0].name : "", "Retry-After");
	CHECK(strstr(buf_cstr(&a.body), "\"retryable\":true") != NULL);
	env_set_s(&e, ENV_M_CODE, span_str("CONFLICT"));
	answer_err(&a, &e, &plain);
	CHECK(a.status == 409);
	answer_err(&a, &e, &keyed);
	CHECK(a.status == 422);
	env_set_s(&e, ENV_M_CODE, span_str("WHAT"));
	answer_err(&a, &e, &keyed);
	CHECK(a.status == 500);
	answer_fini(&a);
	buf_fini(&d);
}

int
main(void)
{
	struct fragment f = {.service = "s"};
	struct notes notes;

	buf_init(&out, 1 << 20);
	buf_init(&text, 1 << 20);
	faults_init(&faults);
	notes_init(&notes);
	t = routes_new();
	f.api = edge_doc_init(&api, API);
	fragment_add(t, &f, NULL, NULL, &notes);
	routes_seal(t);
	CHECK(notes.n == 0);
	bodies();
	chunks();
	ids();
	traces();
	replies();
	errors();
	edge_doc_fini(&api);
	routes_unref(t);
	faults_fini(&faults);
	buf_fini(&out);
	buf_fini(&text);
	return check_done();
}

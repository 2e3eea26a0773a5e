/* What a trigger may be: fields, canonical body, topic. */
#include "tests/unit/check.h"

#include <stdio.h>

#include "base/uuid.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "services/control-tower/trigger.h"

static const uint8_t ID[16] = {0x01, 0x8f, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16};

struct attempt {
	struct buf mp;
	struct doc doc;
	struct faults faults;
	struct trigger t;
	int rc;
};

static void
try_mp(struct attempt *a, const uint8_t *id)
{
	struct trigger_sent sent;

	trigger_sent_init(&sent, id, span_str("trigger.a.v1._.P"));
	faults_init(&a->faults);
	a->rc = doc_parse(&a->doc, buf_span(&a->mp));
	if (a->rc == 0)
		a->rc = trigger_read(&a->t, &a->doc.root, id ? &sent : NULL, &a->faults);
	trigger_sent_fini(&sent);
}

static void
try_json(struct attempt *a, const char *json, const uint8_t *id)
{
	buf_init(&a->mp, 1 << 20);
	if (json_to_mp(span_str(json), &a->mp, NULL) != 0)
		printf("# not JSON: %s\n", json);
	try_mp(a, id);
}

static void
end(struct attempt *a)
{
	doc_fini(&a->doc);
	faults_fini(&a->faults);
	buf_fini(&a->mp);
}

static int
accepts(const char *json)
{
	struct attempt a;

	try_json(&a, json, NULL);
	int ok = a.rc == 0;
	if (!ok)
		printf("# %s\n", a.faults.first);
	end(&a);
	return ok;
}

/* Refused with exactly the faults at these pointers, in any order; " "-separated. */
static int
refuses(const char *json, const char *pointers)
{
	struct attempt a;
	unsigned want = 1, found = 0;
	struct mp_r r;

	try_json(&a, json, NULL);
	for (const char *p = pointers; *p; p++)
		want += *p == ' ';
	mp_r_init(&r, buf_span(&a.faults.items));
	for (unsigned i = 0; i < a.faults.kept; i++) {
		char padded[600], needle[300];

		(void)mp_map(&r);
		(void)mp_str(&r, 99);
		struct span p = mp_str(&r, 256);
		(void)mp_str(&r, 99);
		(void)mp_str(&r, 999);
		snprintf(padded, sizeof padded, " %s ", pointers);
		snprintf(needle, sizeof needle, " %.*s ", (int)p.n, (const char *)p.p);
		if (strstr(padded, needle) != NULL)
			found++;
		else
			printf("# unexpected %s\n", needle);
	}
	int ok = a.rc == -1 && a.faults.n == want && found == want;
	if (!ok)
		printf("# rc %d, %u faults, first %s\n", a.rc, a.faults.n, a.faults.first);
	end(&a);
	return ok;
}

static void
api_versions(void)
{
	static const char *const good[] = {"OT-2/v1alpha1", "A/V2beta", "a/v10", "a/v109x",
	    "OT-2/v1alpha1/Spark1", "ChiBio/v1alpha1/ChioBio1", "x/v1/_", "x/v1/a-b_c"};
	static const char *const bad[] = {"", "/", "x", "x/", "x/v", "ChiBio/v0", "x/v01", "/v1",
	    "OT_2/v1", "a b/v1", "x/v1 junk", "x/1", "x/v1/", "x/v1//d", "x/v1/d/e", "x/v1/d.e",
	    "x/v1\n", "\xc3\xa9/v1", "x/w1", "x/v1-a"};
	char longest[80];

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		check_at(trigger_is_api_version(span_str(good[i])), good[i], __FILE__, __LINE__);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check_at(!trigger_is_api_version(span_str(bad[i])), "a bad apiVersion is refused",
		    __FILE__, (int)i);
	memset(longest, 'a', sizeof longest);
	memcpy(longest + 64, "/v1", 4);
	CHECK(trigger_is_api_version(span_str(longest)));
	memcpy(longest + 64, "a/v1", 5);
	CHECK(!trigger_is_api_version(span_str(longest)));
	CHECK(!trigger_is_api_version(span_of("x/v1\0", 5)));
	CHECK(!trigger_is_api_version(span_of(NULL, 0)));
}

static void
protocols(void)
{
	CHECK(trigger_is_protocol(span_str("PlateTransfer")));
	CHECK(trigger_is_protocol(span_str("Od600Measure")));
	CHECK(trigger_is_protocol(span_str("X")));
	CHECK(!trigger_is_protocol(span_str("plateTransfer")));
	CHECK(!trigger_is_protocol(span_str("Plate-Transfer")));
	CHECK(!trigger_is_protocol(span_str("Plate_Transfer")));
	CHECK(!trigger_is_protocol(span_str("")));
}

static void
fields(void)
{
	CHECK(accepts("{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":{\"v\":1}}"));
	CHECK(accepts(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":{\"rows\":1,\"columns\":2},"
	    "\"spec\":[{\"v\":1},{}]}"));
	CHECK(accepts(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":{\"rows\":100,\"columns\":100},"
	    "\"spec\":[{}],\"metadata\":{\"source\":\"s\",\"spec\":[{\"r\":1}]}}"));
	CHECK(accepts(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":{\"v\":1},\"metadata\":{}}"));
	CHECK(refuses("{}", "/apiVersion /protocol /spec"));
	CHECK(refuses("[]", ""));
	CHECK(refuses("{\"apiVersion\":1,\"protocol\":\"p\",\"spec\":3,\"extra\":4,\"a/b~\":5}",
	    "/apiVersion /protocol /spec /extra /a~1b~0"));
	CHECK(refuses("{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":{}}", "/spec"));
	CHECK(
	    refuses("{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":[{\"v\":1}]}", "/plate"));
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":{\"v\":1},\"uuid\":\"x\"}",
	    "/uuid"));
	CHECK(refuses("{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":{\"v\":1},"
		      "\"metadata\":{\"source\":\"\",\"spec\":[{}],\"sauce\":1}}",
	    "/metadata/source /metadata/spec /metadata/sauce"));
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"spec\":{\"v\":1},\"metadata\":null}",
	    "/metadata"));
}

static void
plates(void)
{
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":{\"rows\":1,\"columns\":2},"
	    "\"spec\":[{},1,{}]}",
	    "/spec /spec/1"));
	CHECK(refuses("{\"apiVersion\":\"a/"
		      "v1\",\"protocol\":\"P\",\"plate\":{\"rows\":1,\"columns\":2},\"spec\":[]}",
	    "/spec"));
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":{\"rows\":1,\"columns\":2},"
	    "\"spec\":{\"v\":1}}",
	    "/spec"));
	CHECK(refuses("{\"apiVersion\":\"a/"
		      "v1\",\"protocol\":\"P\",\"plate\":{\"rows\":0,\"columns\":1.5,\"x\":1},"
		      "\"spec\":[{}]}",
	    "/plate/rows /plate/columns /plate/x"));
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":{\"rows\":101,\"columns\":100},"
	    "\"spec\":[{}]}",
	    "/plate"));
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":[],\"spec\":[{}]}", "/plate"));
	CHECK(refuses(
	    "{\"apiVersion\":\"a/v1\",\"protocol\":\"P\",\"plate\":{\"rows\":1,\"columns\":2},"
	    "\"spec\":[{},{}],\"metadata\":{\"spec\":[{}]}}",
	    "/metadata/spec"));
}

/* What JSON cannot say, only msgpack can send. */
static void
not_json(void)
{
	struct attempt a;

	buf_init(&a.mp, 4096);
	mp_put_map(&a.mp, 3);
	mp_put_cstr(&a.mp, "apiVersion");
	mp_put_cstr(&a.mp, "a/v1");
	mp_put_cstr(&a.mp, "protocol");
	mp_put_cstr(&a.mp, "P");
	mp_put_cstr(&a.mp, "spec");
	mp_put_map(&a.mp, 3);
	mp_put_cstr(&a.mp, "nan");
	mp_put_double(&a.mp, __builtin_nan(""));
	mp_put_u64(&a.mp, 7);
	mp_put_nil(&a.mp);
	mp_put_str(&a.mp, span_of("k\0", 2));
	mp_put_nil(&a.mp);
	try_mp(&a, NULL);
	CHECK(a.rc == -1);
	CHECK(a.faults.n == 3);
	CHECK(strncmp(a.faults.first, "/spec/nan:", 10) == 0);
	end(&a);
}

static void
duplicates(void)
{
	struct attempt a;

	buf_init(&a.mp, 4096);
	mp_put_map(&a.mp, 4);
	for (int i = 0; i < 2; i++) {
		mp_put_cstr(&a.mp, "apiVersion");
		mp_put_cstr(&a.mp, i ? "a/v1" : "b/v1");
	}
	mp_put_cstr(&a.mp, "protocol");
	mp_put_cstr(&a.mp, "P");
	mp_put_cstr(&a.mp, "spec");
	mp_put_map(&a.mp, 1);
	mp_put_cstr(&a.mp, "v");
	mp_put_bool(&a.mp, true);
	try_mp(&a, NULL);
	CHECK(a.rc == -1);
	CHECK(strncmp(a.faults.first, "/apiVersion:", 12) == 0);
	end(&a);
}

static void
uuids(void)
{
	struct attempt a;

	try_json(&a,
	    "{\"uuid\":\"018F0304-0506-7008-800A-0B0C0D0E0F10\",\"apiVersion\":\"a/"
	    "v1\",\"protocol\":\"P\","
	    "\"spec\":{\"v\":1}}",
	    ID);
	CHECK(a.rc == 0);
	end(&a);
	try_json(&a,
	    "{\"uuid\":\"018f0304-0506-7008-800a-0b0c0d0e0f11\",\"apiVersion\":\"a/"
	    "v1\",\"protocol\":\"P\","
	    "\"spec\":{\"v\":1}}",
	    ID);
	CHECK(a.rc == -1);
	end(&a);
}

static const char *
topic_of(const char *json, char out[300])
{
	struct attempt a;
	struct buf b;

	buf_init(&b, 1024);
	try_json(&a, json, NULL);
	snprintf(out, 300, "%s",
	    a.rc == 0 && trigger_put_topic(&a.t, &b) == 0 ? buf_cstr(&b) : a.faults.first);
	end(&a);
	buf_fini(&b);
	return out;
}

static void
topics(void)
{
	char t[300], json[400], device[65] = "";

	CHECK_STR(
	    topic_of("{\"apiVersion\":\"OT-2/v1alpha1/Spark1\",\"protocol\":\"PlateTransfer\","
		     "\"spec\":{\"v\":1}}",
		t),
	    "trigger.OT-2.v1alpha1.Spark1.PlateTransfer");
	CHECK_STR(
	    topic_of(
		"{\"apiVersion\":\"data-store/v1\",\"protocol\":\"Ingest\",\"spec\":{\"v\":1}}", t),
	    "trigger.data-store.v1._.Ingest");
	CHECK_STR(topic_of("{\"apiVersion\":\"a/v1/_\",\"protocol\":\"P\",\"spec\":{\"v\":1}}", t),
	    "trigger.a.v1._5F.P");
	memset(device, '_', 64);
	snprintf(json, sizeof json,
	    "{\"apiVersion\":\"%s/v1/%s\",\"protocol\":\"Pppppppppppp\",\"spec\":{\"v\":1}}",
	    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", device);
	CHECK(strncmp(topic_of(json, t), "/apiVersion:", 12) == 0);
}

/* The canonical body of a checked one, as JSON. */
static const char *
body_of(const char *json, struct span spec, char out[1000])
{
	struct attempt a;
	struct buf b, text;

	buf_init(&b, 4096);
	buf_init(&text, 4096);
	try_json(&a, json, NULL);
	trigger_put_body(&a.t, ID, "here", spec, &b);
	if (json_from_mp(buf_span(&b), &text, 0) != 0)
		printf("# no JSON\n");
	snprintf(out, 1000, "%s", buf_cstr(&text));
	end(&a);
	buf_fini(&b);
	buf_fini(&text);
	return out;
}

#define HEAD                                                                     \
	"{\"uuid\":\"018f0304-0506-7008-800a-0b0c0d0e0f10\",\"apiVersion\":\"a/" \
	"v1\",\"protocol\":\"P\","

static void
bodies(void)
{
	static const uint8_t spec[] = {0x81, 0xa1, 'e', 0xa2, '/', 't'};
	char b[1000];

	CHECK_STR(body_of("{\"spec\":{\"z\":9007199254740993,\"a\":1.0},\"protocol\":\"P\","
			  "\"apiVersion\":\"a/v1\"}",
		      span_of(spec, sizeof spec), b),
	    HEAD "\"spec\":{\"z\":9007199254740993,\"a\":1.0},\"metadata\":{\"source\":\"here\","
		 "\"spec\":{\"e\":\"/t\"}}}");
	CHECK_STR(body_of("{\"spec\":[{}],\"plate\":{\"columns\":3,\"rows\":2},\"protocol\":\"P\","
			  "\"apiVersion\":\"a/v1\",\"metadata\":{\"spec\":{\"k\":1}}}",
		      span_of(spec, sizeof spec), b),
	    HEAD "\"plate\":{\"rows\":2,\"columns\":3},\"spec\":[{}],\"metadata\":{\"source\":"
		 "\"here\",\"spec\":{\"k\":1}}}");
	CHECK_STR(body_of("{\"spec\":{\"v\":1},\"protocol\":\"P\",\"apiVersion\":\"a/v1\","
			  "\"metadata\":{\"source\":\"own\"}}",
		      span_of(spec, sizeof spec), b),
	    HEAD "\"spec\":{\"v\":1},\"metadata\":{\"source\":\"own\"}}");
	CHECK_STR(body_of("{\"spec\":{\"v\":1},\"protocol\":\"P\",\"apiVersion\":\"a/v1\"}",
		      span_of(NULL, 0), b),
	    HEAD "\"spec\":{\"v\":1},\"metadata\":{\"source\":\"here\"}}");
}

int
main(void)
{
	api_versions();
	protocols();
	fields();
	plates();
	not_json();
	duplicates();
	uuids();
	topics();
	bodies();
	return check_done();
}

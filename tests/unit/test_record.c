/* From envelopes to rows. */
#include "tests/unit/check.h"

#include "base/uuid.h"
#include "proto/json.h"
#include "services/control-tower/record.h"
#include "store/pg.h"

#define UUID "018f0304-0506-7008-800a-0b0c0d0e0f10"

static struct buf columns[RECORD_COLUMNS_MAX];
static char why[RECORD_WHY];

static int
add(const struct record_kind *k, const char *topic, const char *json)
{
	struct buf mp;
	struct env e;
	uint8_t id[16];

	buf_init(&mp, 1 << 16);
	if (uuid_parse(span_str(UUID), id) != 0 || json_to_mp(span_str(json), &mp, NULL) != 0)
		return -2;
	env_init(&e, ENV_PUB, span_str(topic), id);
	e.body = buf_span(&mp);
	why[0] = '\0';
	int rc = k->add(columns, &e, 7, 1795246784123456, why);
	buf_fini(&mp);
	return rc;
}

static void
each(void (*fn)(struct buf *b))
{
	for (int i = 0; i < RECORD_COLUMNS_MAX; i++)
		fn(&columns[i]);
}

static void
triggers(void)
{
	CHECK(add(&record_triggers, "trigger.a.v1._.P",
		  "{\"apiVersion\":\"a/"
		  "v1\",\"protocol\":\"P\",\"spec\":{\"z\":1.0,\"a\":\"\\\"\"}}") == 0);
	CHECK(add(&record_triggers, "trigger.a.v1._.P",
		  "{\"apiVersion\":\"a/"
		  "v1\",\"protocol\":\"P\",\"plate\":{\"rows\":2,\"columns\":3},\"spec\":[{}],"
		  "\"metadata\":{\"source\":\"s\"},\"uuid\":\"" UUID "\"}") == 0);
	CHECK(add(&record_triggers, "trigger.a.v1._.P",
		  "{\"apiVersion\":\"a/v1\",\"protocol\":\"p\",\"spec\":{\"a\":1}}") == -1);
	CHECK(strncmp(why, "invalid: /protocol: ", 20) == 0);
	CHECK(add(&record_triggers, "trigger.a.v1._.P", "null") == -1);
	each(pg_array_end);
	CHECK_STR(buf_cstr(&columns[0]), "{\"" UUID "\",\"" UUID "\"}");
	CHECK_STR(buf_cstr(&columns[1]), "{\"7\",\"7\"}");
	CHECK_STR(buf_cstr(&columns[5]), "{NULL,\"2\"}");
	CHECK_STR(buf_cstr(&columns[6]), "{NULL,\"3\"}");
	CHECK_STR(
	    buf_cstr(&columns[7]), "{\"{\\\"z\\\":1.0,\\\"a\\\":\\\"\\\\\\\"\\\"}\",\"[{}]\"}");
	CHECK_STR(buf_cstr(&columns[8]), "{NULL,\"{\\\"source\\\":\\\"s\\\"}\"}");
	CHECK_STR(buf_cstr(&columns[9]), "{NULL,\"s\"}");
	CHECK_STR(buf_cstr(&columns[10]), "{\"18\",\"18\"}");
	CHECK_STR(buf_cstr(&columns[11]), "{\"1795246784123456\",\"1795246784123456\"}");
}

/* A column is nothing but these texts, or NULLs. */
static void
holds(unsigned column, const char *want, int line)
{
	pg_array_end(&columns[column]);
	check_at(strcmp(buf_cstr(&columns[column]), want) == 0, want, __FILE__, line);
}
#define HOLDS(column, want) holds((column), (want), __LINE__)

static void
refused(const char *topic, const char *json, const char *want, int line)
{
	check_at(add(&record_triggers, topic, json) == -1 && strncmp(why, want, strlen(want)) == 0,
	    want, __FILE__, line);
	if (strncmp(why, want, strlen(want)) != 0)
		printf("# got %s\n", why);
}
#define REFUSED(topic, json, want) refused((topic), (json), (want), __LINE__)

/* The topic says what a body leaves out, and a body may not say otherwise. */
static void
triggers_of_topics(void)
{
	const char *bare = "{\"spec\":{\"n\":1}}";

	CHECK(add(&record_triggers, "trigger.OT-2.v1alpha1.Spark1.PlateTransfer", bare) == 0);
	CHECK(add(&record_triggers, "trigger.a.v1._.P", bare) == 0);
	CHECK(add(&record_triggers, "trigger.a.v1._5F.P",
		  "{\"protocol\":\"P\",\"spec\":{\"n\":1}}") == 0);
	CHECK(add(&record_triggers, "trigger.a.v1.b_5Fc.P",
		  "{\"apiVersion\":\"a/v1/b_c\",\"spec\":{\"n\":1}}") == 0);
	REFUSED("trigger.a.v1._.P", "{\"apiVersion\":\"a/v2\",\"spec\":{\"n\":1}}",
	    "invalid: /apiVersion: is not what the topic says");
	REFUSED("trigger.a.v1.b.P", "{\"apiVersion\":\"a/v1\",\"spec\":{\"n\":1}}",
	    "invalid: /apiVersion: is not what the topic says");
	REFUSED("trigger.a.v1._.P", "{\"protocol\":\"Q\",\"spec\":{\"n\":1}}",
	    "invalid: /protocol: is not what the topic says");
	REFUSED("trigger.a.v1._.P", "{\"apiVersion\":7,\"spec\":{\"n\":1}}",
	    "invalid: /apiVersion: expected a string");
	REFUSED("trigger.a.w1._.P", bare, "invalid: /apiVersion: expected <name>/v<number>");
	REFUSED("trigger.a.v1._.p", bare, "invalid: /protocol: expected PascalCase");
	REFUSED("trigger.a.v1._.P.more", bare, "invalid: /protocol: is required");
	REFUSED("trigger.a", bare, "invalid: /protocol: is required");
	REFUSED("trigger.a.v1._x.P", bare, "invalid: /protocol: is required");
	REFUSED("trigger.a.v1._.P", "{}", "invalid: /spec: is required");
	HOLDS(3, "{\"OT-2/v1alpha1/Spark1\",\"a/v1\",\"a/v1/_\",\"a/v1/b_c\"}");
	HOLDS(4, "{\"PlateTransfer\",\"P\",\"P\",\"P\"}");
}

static void
events(void)
{
	CHECK(add(&record_events, "status." UUID, "{\"status\":\"progress\",\"detail\":[1]}") == 0);
	CHECK(add(&record_events, "status." UUID,
		  "{\"status\":\"failed\",\"by\":\"w\",\"at\":\"2026-01-01T00:00:00Z\",\"uuid\":"
		  "\"" UUID "\"}") == 0);
	CHECK(add(&record_events, "status.x", "{\"status\":\"failed\"}") == -1);
	CHECK_STR(why, "invalid: the topic is not status.<uuid>");
	CHECK(add(&record_events, "status." UUID, "{\"status\":\"fine\"}") == -1);
	CHECK(strncmp(why, "invalid: /status: ", 18) == 0);
	each(pg_array_end);
	CHECK_STR(buf_cstr(&columns[3]), "{\"progress\",\"failed\"}");
	CHECK_STR(buf_cstr(&columns[4]), "{NULL,\"w\"}");
	CHECK_STR(buf_cstr(&columns[5]), "{\"2026-11-21T07:39:44.123Z\",\"2026-01-01T00:00:00Z\"}");
	CHECK_STR(buf_cstr(&columns[6]), "{\"[1]\",NULL}");
	CHECK_STR(buf_cstr(&columns[7]), "{\"running\",\"failed\"}");
	CHECK_STR(buf_cstr(&columns[8]), "{\"2\",\"3\"}");
}

int
main(void)
{
	for (int i = 0; i < RECORD_COLUMNS_MAX; i++)
		buf_init(&columns[i], 1 << 16);
	triggers();
	each(buf_reset);
	triggers_of_topics();
	each(buf_reset);
	events();
	each(buf_fini);
	return check_done();
}

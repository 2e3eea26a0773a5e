/* What the receipts tables get of an envelope, and what a report says. */
#include <stdlib.h>
#include "proto/doc.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "services/data-gateway/bisect.h"
#include "services/data-gateway/groups.h"
#include "services/data-gateway/record.h"
#include "services/data-gateway/report.h"
#include "services/data-gateway/tcache.h"
#include "tests/unit/check.h"

#define UUID "01890a5d-ac96-774b-bcce-b302099a8057"
#define DEAD "0d0e0a0d-0000-8000-8000-000000000001"

typedef enum record_end record_fn(const struct record_from *e, struct buf *out, const char **why);

static struct buf body;

static struct span
mp(const char *json)
{
	buf_init(&body, 1 << 20);
	if (json_to_mp(span_str(json), &body, NULL) != 0)
		printf("# no JSON: %s\n", json);
	return buf_span(&body);
}

/* The object, or "skip", or "bad: why". */
static const char *
recorded(record_fn *fn, const char *id, struct span b)
{
	static char out[8000];
	uint8_t bytes[16];
	struct record_from from = {.id = bytes, .body = b, .seq = 7, .now_ms = 1700000000000};
	struct buf json;
	const char *why;

	CHECK(uuid_parse(span_str(id), bytes) == 0);
	buf_init(&json, sizeof out - 1);
	switch (fn(&from, &json, &why)) {
	case RECORD_OK: snprintf(out, sizeof out, "%s", buf_cstr(&json)); break;
	case RECORD_SKIP: snprintf(out, sizeof out, "skip"); break;
	case RECORD_BAD: snprintf(out, sizeof out, "bad: %s", why); break;
	}
	buf_fini(&json);
	buf_fini(&body);
	return out;
}

static void
receipts(void)
{
	/* a version 7 says itself when it was made */
	CHECK_STR(recorded(record_receipt, UUID, mp("{\"uuid\":\"" UUID "\",\"rows\":[1,2]}")),
	    "{ \"receipt\":\"" UUID "\",\"parent\":\"" UUID "\",\"uuid\":\"" UUID
	    "\",\"rows\":2,\"seq\":7,"
	    "\"at\":\"2023-06-30T03:34:18.518Z\"}");
	/* any other is taken as it is seen, and so is one from the future */
	CHECK_STR(recorded(record_receipt, DEAD,
		      mp("{\"uuid\":\"" UUID "\",\"of\":\"" UUID
			 "\",\"part\":3,\"last\":false,\"rows\":[1]}")),
	    "{ \"receipt\":\"" DEAD "\",\"parent\":\"" UUID
	    "\",\"part\":3,\"last\":false,\"uuid\":\"" UUID "\",\"rows\":1,"
	    "\"seq\":7,\"at\":\"2023-11-14T22:13:20.000Z\"}");
	CHECK_STR(recorded(record_receipt, "ffffffff-ffff-7fff-bfff-ffffffffffff", mp("7")),
	    "{ "
	    "\"receipt\":\"ffffffff-ffff-7fff-bfff-ffffffffffff\",\"parent\":\"ffffffff-ffff-7fff-"
	    "bfff-ffffffffffff\","
	    "\"rows\":0,\"seq\":7,\"at\":\"2023-11-14T22:13:20.000Z\"}");
}

static void
deliveries(void)
{
	CHECK_STR(recorded(record_delivery, DEAD,
		      mp("{\"receipt\":\"" UUID "\",\"destination\":\"postgres\",\"state\":"
						"\"pending\",\"rows\":2,\"attempts\":1,"
			 "\"lastError\":\"a \\u0000 "
			 "\\\"b\\\"\",\"nextAttemptAt\":\"x\",\"at\":\"y\",\"extra\":1}")),
	    "{ \"receipt\":\"" UUID
	    "\",\"destination\":\"postgres\",\"state\":\"pending\",\"rows\":2,\"attempts\":1,"
	    "\"lastError\":\"a   \\\"b\\\"\",\"nextAttemptAt\":\"x\",\"at\":\"y\",\"seq\":7}");
	CHECK_STR(recorded(record_delivery, DEAD,
		      mp("{\"receipt\":\"" UUID
			 "\",\"destination\":\"p\",\"state\":\"lost\",\"at\":\"y\"}")),
	    "bad: expected {receipt, destination, state: delivered | pending | dead, at, …}");
	CHECK_STR(recorded(record_delivery, DEAD, mp("[]")),
	    "bad: expected {receipt, destination, state: delivered | pending | dead, at, …}");
	CHECK_STR(recorded(record_delivery, DEAD, span_of("\xc1", 1)),
	    "bad: expected one msgpack object");
}

static void
dead_letters(void)
{
	CHECK_STR(recorded(record_dead, DEAD,
		      mp("{\"group\":\"pusher-csv-file\",\"seq\":3,\"id\":\"" UUID
			 "\",\"topic\":\"rows.in\",\"reason\":\"no\",\"tries\":8}")),
	    "{ \"receipt\":\"" UUID "\",\"destination\":\"csv-file\",\"state\":\"dead\","
				    "\"attempts\":8,\"lastError\":\"no\",\"seq\":7}");
	CHECK_STR(recorded(record_dead, DEAD,
		      mp("{\"group\":\"pusher-\",\"id\":\"" UUID "\",\"topic\":\"rows.in\"}")),
	    "skip");
	CHECK_STR(recorded(record_dead, DEAD,
		      mp("{\"group\":\"mine\",\"id\":\"" UUID "\",\"topic\":\"rows.in\"}")),
	    "skip");
	CHECK_STR(recorded(record_dead, DEAD,
		      mp("{\"group\":\"pusher-x\",\"id\":\"" UUID "\",\"topic\":\"rows.out\"}")),
	    "skip");
	CHECK_STR(recorded(record_dead, DEAD,
		      mp("{\"group\":\"pusher-x\",\"id\":1,\"topic\":\"rows.in\"}")),
	    "bad: expected the id of the dead envelope");
	/* the id may be bytes */
	buf_init(&body, 1000);
	mp_put_map(&body, 3);
	mp_put_cstr(&body, "group");
	mp_put_cstr(&body, "pusher-x");
	mp_put_cstr(&body, "topic");
	mp_put_cstr(&body, "rows.in");
	mp_put_cstr(&body, "id");
	mp_put_bin(
	    &body, span_of("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10", 16));
	CHECK(strstr(recorded(record_dead, DEAD, buf_span(&body)),
		  "\"receipt\":\"01020304-0506-0708-090a-0b0c0d0e0f10\"") != NULL);
}

/* A long error is cut between characters, so that what is recorded is still UTF-8. */
static void
long_error(void)
{
	char json[6000];
	size_t n = (size_t)snprintf(json, sizeof json,
	    "{\"receipt\":\"" UUID
	    "\",\"destination\":\"p\",\"state\":\"dead\",\"at\":\"y\",\"lastError\":\"x");
	const char *out;
	struct buf again;

	for (int i = 0; i < 1500; i++)
		n += (size_t)snprintf(json + n, sizeof json - n, "é");
	snprintf(json + n, sizeof json - n, "\"}");
	out = recorded(record_delivery, DEAD, mp(json));
	buf_init(&again, 10000);
	CHECK(json_to_mp(span_str(out), &again, NULL) == 0);
	CHECK(strlen(out) > 1900 && strlen(out) < 2300);
	buf_fini(&again);
}

static void
reports(void)
{
	struct report r = {.destination = "postgres",
	    .uuid = UUID,
	    .state = REPORT_DELIVERED,
	    .rows = 2,
	    .attempts = 1,
	    .at_ms = 1700000000000};
	uint8_t id[16], id2[16], dig[32], dig2[32];
	struct buf out, json;

	buf_init(&out, 1000);
	buf_init(&json, 1000);
	CHECK(uuid_parse(span_str(DEAD), r.receipt) == 0);
	report_put(&r, &out);
	CHECK(json_from_mp(buf_span(&out), &json, 0) == 0);
	CHECK_STR(buf_cstr(&json),
	    "{\"receipt\":\"" DEAD "\",\"uuid\":\"" UUID
	    "\",\"destination\":\"postgres\",\"state\":\"delivered\",\"rows\":2,"
	    "\"attempts\":1,\"at\":\"2023-11-14T22:13:20.000Z\"}");
	/* what is reported can be recorded */
	CHECK(strncmp(recorded(record_delivery, DEAD, buf_span(&out)), "bad", 3) != 0);

	report_id(id, dig, "pusher-x", 1, 2, REPORT_DELIVERED);
	report_id(id2, dig2, "pusher-x", 1, 2, REPORT_DELIVERED);
	CHECK(memcmp(id, id2, 16) == 0 && memcmp(dig, dig2, 32) == 0 && id[6] >> 4 == 8);
	report_id(id2, dig2, "pusher-x", 1, 2, REPORT_DEAD);
	CHECK(memcmp(id, id2, 16) != 0);
	report_id(id2, dig2, "pusher-x", 12, 2, REPORT_DELIVERED);
	CHECK(memcmp(id, id2, 16) != 0);
	CHECK(report_backoff_ms(1) == 1000 && report_backoff_ms(4) == 8000 &&
	      report_backoff_ms(7) == 60000);
	CHECK(report_backoff_ms(1000) == 300000 && report_backoff_ms(0) == 1000);
	buf_fini(&json);
	buf_fini(&out);
}

/* One bad one in n: found, with all others done, in order, in no more than 2 log n + 1 tries
 * beside. */
static void
halving(void)
{
	for (size_t n = 1; n <= 70; n++) {
		for (size_t bad = 0; bad <= n; bad++) { /* bad == n: none */
			size_t lo, hi, next = 0, tries = 0, found = n;
			struct bisect b;
			int wrong = 0;

			bisect_init(&b, n);
			while (bisect_next(&b, &lo, &hi) && tries++ < 1000) {
				wrong += lo != next;
				if (bad >= lo && bad < hi) {
					if (!bisect_refused(&b)) {
						found = lo;
						next = hi;
					}
				} else {
					bisect_done(&b);
					next = hi;
				}
			}
			if (wrong || found != bad || next != n || tries > 16)
				CHECK(false);
		}
	}
	CHECK(true);
}

static void
cache(void)
{
	struct tcache *c = tcache_new(2, 100);
	uint8_t a[16] = {1}, b[16] = {2}, d[16] = {3};
	struct trigger *t, *kept;

	CHECK(tcache_get(c, a, 0) == NULL);
	kept = tcache_put(c, a, span_of("abc", 3), 0);
	tcache_release(tcache_put(c, b, (struct span){NULL, 0}, 0));
	t = tcache_get(c, a, INT64_MAX - 1); /* what is known stays */
	CHECK(t == kept && t->body.n == 3);
	tcache_release(t);
	t = tcache_get(c, b, TCACHE_NONE_MS - 1);
	CHECK(t != NULL && t->body.p == NULL);
	tcache_release(t);
	CHECK(tcache_get(c, b, TCACHE_NONE_MS) == NULL);
	tcache_release(tcache_put(c, b, span_of("x", 1), 0));
	tcache_release(tcache_put(c, d, span_of("y", 1), 0)); /* a goes, b stays */
	CHECK(tcache_get(c, a, 0) == NULL);
	CHECK(memcmp(kept->body.p, "abc", 3) == 0); /* who holds it keeps it */
	tcache_release(kept);
	t = tcache_get(c, b, 0);
	CHECK(t != NULL);
	tcache_release(t);
	{
		static const uint8_t big[200];

		t = tcache_put(c, a, span_of(big, 200), 0); /* too big to be kept, not to be had */
		CHECK(t->body.n == 200);
		tcache_release(t);
		CHECK(tcache_get(c, a, 0) == NULL);
		tcache_release(tcache_put(c, a, span_of(big, 99), 0));
		tcache_release(tcache_put(c, d, span_of(big, 2), 0)); /* bytes push a out */
		CHECK(tcache_get(c, a, 0) == NULL);
	}
	tcache_free(c);
}

static void
groups(void)
{
	struct groups g;

	CHECK(
	    groups_read(&g,
		mp("{\"head\":10,\"groups\":["
		   "{\"group\":\"data-gateway.receipts\",\"pattern\":\"rows.in\",\"next\":1,"
		   "\"floor\":9},"
		   "{\"group\":\"data-gateway.deliveries\",\"pattern\":\"delivery.>\",\"floor\":10}"
		   ","
		   "{\"group\":\"data-gateway.dead\",\"pattern\":\"sys.dead\",\"floor\":10},"
		   "{\"group\":\"pusher-a\",\"pattern\":\"rows.in\",\"state\":\"active\",\"from\":"
		   "1,\"floor\":4,\"dropped\":0},"
		   "{\"group\":\"pusher-b\",\"pattern\":\"rows.in\",\"state\":\"paused-owed\","
		   "\"from\":5,\"floor\":4,\"dropped\":2},"
		   "{\"group\":\"pusher-c\",\"pattern\":\"rows.*\",\"next\":5,\"floor\":4},"
		   "{\"group\":\"other\",\"pattern\":\"rows.in\",\"next\":5,\"floor\":4}]}")) == 0);
	CHECK(g.head == 10 && g.has_recorder && g.recorded_to == 9 && g.reported);
	CHECK_STR(buf_cstr(&g.destinations),
	    "[ {\"name\":\"a\",\"start\":1,\"floor\":4,\"paused\":false,\"dropped\":0},"
	    "{\"name\":\"b\",\"start\":5,\"floor\":4,\"paused\":true,\"dropped\":2}]");
	groups_fini(&g);
	buf_fini(&body);
	CHECK(groups_read(&g, mp("{\"head\":11,\"groups\":[{\"group\":\"data-gateway.deliveries\","
				 "\"floor\":10}]}")) == 0);
	CHECK(!g.has_recorder && !g.reported);
	CHECK_STR(buf_cstr(&g.destinations), "[]");
	groups_fini(&g);
	buf_fini(&body);
	CHECK(groups_read(&g, mp("{\"groups\":[]}")) == -1);
	groups_fini(&g);
	buf_fini(&body);
}

int
main(void)
{
	receipts();
	deliveries();
	dead_letters();
	long_error();
	reports();
	halving();
	cache();
	groups();
	return check_done();
}

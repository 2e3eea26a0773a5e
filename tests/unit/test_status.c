/* States of a trigger, page cursors, labels and times. */
#include "tests/unit/check.h"

#include "base/uuid.h"
#include "proto/json.h"
#include "services/control-tower/cursor.h"
#include "services/control-tower/plain.h"
#include "services/control-tower/status.h"

static const uint8_t ID[16] = {0x01, 0x8f, 3, 4, 5, 6, 0x70, 8, 0x80, 10, 11, 12, 13, 14, 15, 16};

struct attempt {
	struct buf mp;
	struct doc doc;
	struct faults faults;
	struct status s;
	int rc;
};

static int
try_json(struct attempt *a, const char *json, const uint8_t *uuid)
{
	buf_init(&a->mp, 1 << 16);
	faults_init(&a->faults);
	a->rc = json_to_mp(span_str(json), &a->mp, NULL) | doc_parse(&a->doc, buf_span(&a->mp));
	if (a->rc == 0)
		a->rc = status_read(&a->s, &a->doc.root, uuid, &a->faults);
	return a->rc;
}

static void
end(struct attempt *a)
{
	doc_fini(&a->doc);
	faults_fini(&a->faults);
	buf_fini(&a->mp);
}

static void
statuses(void)
{
	struct attempt a;

	CHECK(try_json(
		  &a, "{\"status\":\"progress\",\"by\":\"w1\",\"detail\":{\"pct\":5}}", NULL) == 0);
	CHECK_STR(a.s.name, "progress");
	CHECK_STR(a.s.state, "running");
	CHECK(a.s.rank == 2);
	CHECK(span_is(a.s.by, "w1"));
	CHECK(a.s.detail != NULL && a.s.detail->type == MSGPACK_OBJECT_MAP);
	end(&a);
	CHECK(try_json(&a, "{\"status\":\"done\",\"by\":7,\"at\":\"x\",\"uuid\":1,\"z\":0}",
		  NULL) == -1);
	CHECK(a.faults.n == 5);
	end(&a);
	CHECK(try_json(&a,
		  "{\"status\":\"failed\",\"at\":\"2026-11-21T07:39:44Z\",\"pct\":1,"
		  "\"uuid\":\"018f0304-0506-7008-800a-0b0c0d0e0f10\"}",
		  ID) == 0);
	CHECK(a.s.rank == STATUS_RANK_END);
	CHECK(a.s.by.p == NULL);
	end(&a);
	CHECK(try_json(&a,
		  "{\"status\":\"failed\",\"uuid\":\"018f0304-0506-7008-800a-0b0c0d0e0f11\"}",
		  ID) == -1);
	end(&a);
	CHECK(try_json(&a, "{\"status\":\"failed\",\"at\":\"yesterday\"}", ID) == -1);
	end(&a);
	CHECK(status_is_state(span_str("accepted")));
	CHECK(status_is_state(span_str("expired")));
	CHECK(!status_is_state(span_str("progress")));
	CHECK(!status_is_state(span_of(NULL, 0)));
}

static void
bodies(void)
{
	struct attempt a;
	struct buf mp, text;

	buf_init(&mp, 4096);
	buf_init(&text, 4096);
	CHECK(try_json(&a, "{\"status\":\"running\",\"detail\":[1]}", NULL) == 0);
	status_put_body(&a.s, ID, "someone", "2026-11-21T07:39:44.123Z", &mp);
	CHECK(json_from_mp(buf_span(&mp), &text, 0) == 0);
	CHECK_STR(buf_cstr(&text), "{\"uuid\":\"018f0304-0506-7008-800a-0b0c0d0e0f10\",\"status\":"
				   "\"running\",\"by\":\"someone\","
				   "\"at\":\"2026-11-21T07:39:44.123Z\",\"detail\":[1]}");
	end(&a);
	buf_fini(&mp);
	buf_fini(&text);
}

static void
topics(void)
{
	uint8_t id[16];

	CHECK(status_topic_uuid(span_str("status.018f0304-0506-7008-800a-0b0c0d0e0f10"), id) == 0);
	CHECK(memcmp(id, ID, 16) == 0);
	CHECK(
	    status_topic_uuid(span_str("status.018f0304-0506-7008-800a-0b0c0d0e0f10.x"), id) == -1);
	CHECK(status_topic_uuid(span_str("status.018f0304"), id) == -1);
	CHECK(status_topic_uuid(span_str("status"), id) == -1);
}

static void
cursors(void)
{
	struct cursor c = {.at_us = INT64_C(1795246784123456)}, back;
	char text[CURSOR_TEXT];

	memcpy(c.uuid, ID, 16);
	CHECK(strlen(cursor_text(&c, text)) == CURSOR_TEXT - 1);
	CHECK(cursor_parse(span_str(text), &back) == 0);
	CHECK(back.at_us == c.at_us && memcmp(back.uuid, ID, 16) == 0);
	c.at_us = -5;
	CHECK(cursor_parse(span_str(cursor_text(&c, text)), &back) == 0 && back.at_us == -5);
	text[3] = 'g';
	CHECK(cursor_parse(span_str(text), &back) == -1);
	text[3] = 'a';
	text[0] = 'z';
	CHECK(cursor_parse(span_str(text), &back) == -1);
	CHECK(cursor_parse(span_str("a00"), &back) == -1);
	CHECK(cursor_parse(span_of(NULL, 0), &back) == -1);
}

static void
times(void)
{
	static const char *const good[] = {"2026-11-21T07:39:44Z", "2026-11-21T07:39:44.123456789z",
	    "2026-11-21 07:39:44.1+05:30", "2026-11-21T23:59:60-00:00"};
	static const char *const bad[] = {"", "now", "2026-11-21", "2026-11-21T07:39:44",
	    "2026-13-21T07:39:44Z", "2026-11-21T24:39:44Z", "2026-11-21T07:39:44.Z",
	    "2026-11-21T07:39:44.0123456789Z", "2026-11-21T07:39:44+5:30", "2026-11-21T07:39:44Zx",
	    "0000-11-21T07:39:44Z", "2026-11-21T07:39:44+05:30 "};

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		check_at(plain_is_time(span_str(good[i])), good[i], __FILE__, __LINE__);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		check_at(!plain_is_time(span_str(bad[i])), bad[i], __FILE__, __LINE__);
	CHECK(!plain_is_time(span_of("2026-11-21T07:39:44\0", 20)));
	CHECK(plain_is_label(span_str("caf\xc3\xa9 1"), 255));
	CHECK(!plain_is_label(span_of("a\0b", 3), 255));
	CHECK(!plain_is_label(span_str("abc"), 2));
}

int
main(void)
{
	statuses();
	bodies();
	topics();
	cursors();
	times();
	return check_done();
}

/* taxi top and taxi doctor: what they make of answers of the broker. */
#include "tests/unit/check.h"

#include "cli/doctor.h"
#include "cli/top.h"
#include "proto/json.h"

struct body {
	struct buf b;
	struct doc d;
};

static const msgpack_object *
body(struct body *x, const char *json)
{
	buf_init(&x->b, 65536);
	if (json_to_mp(span_str(json), &x->b, NULL) != 0 || doc_parse(&x->d, buf_span(&x->b)) != 0)
		return NULL;
	return &x->d.root;
}

static void
body_fini(struct body *x)
{
	doc_fini(&x->d);
	buf_fini(&x->b);
}

static bool
shows(const struct top *t, unsigned width, unsigned height, const char *what)
{
	struct buf b;
	bool yes;

	buf_init(&b, 65536);
	top_render(t, width, height, &b);
	yes = strstr(buf_cstr(&b), what) != NULL;
	buf_fini(&b);
	return yes;
}

/* Lines of it, and whether any is wider. */
static unsigned
lines(const struct top *t, unsigned width, unsigned height, bool *wider)
{
	struct buf b;
	unsigned n = 0;
	size_t from = 0;

	buf_init(&b, 65536);
	top_render(t, width, height, &b);
	*wider = false;
	for (size_t i = 0; i < b.n; i++) {
		if (b.p[i] != '\n')
			continue;
		*wider |= table_width(span_of(b.p + from, i - from)) > width;
		from = i + 1;
		n++;
	}
	buf_fini(&b);
	return n;
}

static void
look(struct top *t, const char *stats, const char *groups, const char *peers, int64_t at_us)
{
	struct body s, g, p;

	*t = (struct top){.at_us = at_us};
	top_read(t, body(&s, stats), body(&g, groups), body(&p, peers), 10000);
	body_fini(&s);
	body_fini(&g);
	body_fini(&p);
}

static void
top_rates(void)
{
	struct top a, b;

	look(&a, "{\"head\":100,\"counters\":{\"received\":10}}",
	    "{\"groups\":[{\"group\":\"x\",\"owed\":5,\"acked\":10},{\"group\":\"y\",\"owed\":0,"
	    "\"acked\":50}]}",
	    "{\"peers\":[]}", 0);
	look(&b,
	    "{\"head\":300,\"version\":\"1\",\"counters\":{\"received\":5},\"drops\":{\"a\":2,\"b\":3}}",
	    "{\"groups\":[{\"group\":\"y\",\"owed\":0,\"acked\":50},{\"group\":\"x\",\"owed\":15,"
	    "\"acked\":30,\"oldestMs\":2500},{\"group\":\"new\",\"owed\":1,\"acked\":9}]}",
	    "{\"peers\":[{\"session\":1,\"inFlight\":1,\"sinceMs\":4000},{\"session\":2,\"inFlight\":"
	    "9},{\"session\":3,\"bytes\":5,\"inFlight\":1}]}",
	    2000000);
	top_compare(&b, &a);
	CHECK(b.broker.stored > 99.9 && b.broker.stored < 100.1);
	CHECK(b.broker.in <= 0); /* the counter went back: started anew */
	CHECK(b.broker.drops == 5);
	CHECK_STR(b.groups[0].name, "x");
	CHECK(b.groups[0].out > 9.9 && b.groups[0].out < 10.1);
	CHECK(b.groups[0].in > 14.9 && b.groups[0].in < 15.1);
	CHECK_STR(b.groups[1].name, "new");
	CHECK(b.groups[1].out <= 0); /* seen for the first time: no rate yet */
	CHECK(b.peers[0].session == 2 && b.peers[1].session == 3 && b.peers[2].session == 1);
	CHECK(b.peers[2].since_ms == 6000);
	CHECK(shows(&b, 0, 0, "2.5s"));
	top_fini(&a);
	top_fini(&b);
}

static void
top_fits(void)
{
	struct buf groups;
	struct top t;
	bool wider;

	buf_init(&groups, 65536);
	buf_puts(&groups, "{\"groups\":[");
	for (int i = 0; i < 60; i++)
		buf_printf(&groups,
		    "%s{\"group\":\"a-name-that-is-rather-long-%d\",\"pattern\":\"rows.in.and.more.>\","
		    "\"state\":\"paused-owed\",\"owed\":123456,\"oldestMs\":99999,\"acked\":12345678}",
		    i ? "," : "", i);
	buf_puts(&groups, "]}");
	look(&t, "{\"version\":\"0.1.0\",\"head\":123456789,\"uptimeMs\":99999999}",
	    buf_cstr(&groups),
	    "{\"peers\":[{\"session\":1},{\"session\":2},{\"session\":3},{\"session\":4}]}", 1);
	CHECK(lines(&t, 80, 24, &wider) <= 24);
	CHECK(!wider);
	CHECK(shows(&t, 80, 24, "more groups"));
	CHECK(lines(&t, 120, 50, &wider) <= 50 && !wider);
	CHECK(lines(&t, 0, 0, &wider) > 64);
	top_fini(&t);
	buf_fini(&groups);
	/* Nothing there, or nothing that can be read. */
	look(&t, "[]", "{\"groups\":7}", "null", 1);
	CHECK(t.ngroups == 0 && t.npeers == 0);
	CHECK(lines(&t, 80, 24, &wider) <= 24);
	top_fini(&t);
}

/* ---- doctor ---- */

static enum doctor_verdict
verdict(struct doctor *d, const char *says)
{
	enum doctor_verdict v = doctor_worst(d);

	CHECK(d->n > 0 && strstr(d->v[0].text, says) != NULL);
	/* Whatever is not well says what to do. */
	CHECK(v == DOCTOR_OK || d->v[0].advice[0] != '\0');
	doctor_fini(d);
	return v;
}

static void
doctor_groups(void)
{
	struct doctor d = {NULL, 0};
	struct body x;

	doctor_judge_groups(&d,
	    body(&x, "{\"groups\":[{\"group\":\"a\",\"state\":\"active\",\"owed\":9,\"workers\":1}]}"));
	CHECK(verdict(&d, "none behind") == DOCTOR_OK);
	body_fini(&x);
	doctor_judge_groups(&d,
	    body(&x, "{\"groups\":[{\"group\":\"a\",\"state\":\"idle\",\"owed\":9,\"workers\":0}]}"));
	CHECK(verdict(&d, "nobody works") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_groups(
	    &d, body(&x, "{\"groups\":[{\"group\":\"a\",\"state\":\"paused-owed\",\"owed\":9}]}"));
	CHECK(verdict(&d, "paused-owed") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_groups(&d,
	    body(&x,
		"{\"groups\":[{\"group\":\"a\",\"state\":\"active\",\"owed\":9,\"workers\":1,\"oldestMs\":"
		"700000}]}"));
	CHECK(verdict(&d, "lags 11m40s") == DOCTOR_CRITICAL);
	body_fini(&x);
	doctor_judge_groups(&d,
	    body(&x, "{\"groups\":[{\"group\":\"a\",\"state\":\"active\",\"blocked\":true}]}"));
	CHECK(verdict(&d, "blocked") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_groups(&d, NULL);
	CHECK(verdict(&d, "0 groups") == DOCTOR_OK);
}

static void
doctor_disk(void)
{
	struct doctor d = {NULL, 0};
	struct doctor_before none = {NULL, 0};
	struct body x, y;

	doctor_judge_disk(&d,
	    body(&x, "{\"bytes\":{\"diskFree\":100000000000,\"diskSize\":200000000000,\"file\":5000}}"),
	    &none);
	CHECK(verdict(&d, "93 GiB free of 186 GiB") == DOCTOR_OK);
	/* 50 GB in an hour: full within two. */
	doctor_judge_disk(&d,
	    body(&y,
		"{\"bytes\":{\"diskFree\":100000000000,\"diskSize\":200000000000,\"file\":50000005000}}"),
	    &(struct doctor_before){&x.d.root, 3600000});
	CHECK(verdict(&d, "+47 GiB in the last 1h00m") == DOCTOR_WARNING);
	body_fini(&x);
	body_fini(&y);
	doctor_judge_disk(&d,
	    body(&x, "{\"bytes\":{\"diskFree\":1000000,\"diskSize\":200000000000}}"), &none);
	CHECK(verdict(&d, "977 KiB free") == DOCTOR_CRITICAL);
	body_fini(&x);
	doctor_judge_disk(&d, NULL, &none);
	CHECK(verdict(&d, "does not say") == DOCTOR_OK);
}

static void
doctor_drops(void)
{
	struct doctor d = {NULL, 0};
	struct body x, y, z;
	const msgpack_object *now =
	    body(&x, "{\"epoch\":\"e\",\"drops\":{\"peer_gone\":50,\"too_big\":3,\"denied\":1}}");

	doctor_judge_drops(&d, now, &(struct doctor_before){NULL, 0});
	CHECK(verdict(&d, "since the broker started: too_big 3, denied 1") == DOCTOR_WARNING);
	doctor_judge_drops(&d, now,
	    &(struct doctor_before){
		body(&y, "{\"epoch\":\"e\",\"drops\":{\"too_big\":3,\"denied\":1}}"), 1000});
	CHECK(verdict(&d, "none that matter since the last look") == DOCTOR_OK);
	/* Another process counts from nothing. */
	doctor_judge_drops(&d, now,
	    &(struct doctor_before){body(&z, "{\"epoch\":\"f\",\"drops\":{\"too_big\":3}}"), 1000});
	CHECK(verdict(&d, "too_big 3") == DOCTOR_WARNING);
	body_fini(&x);
	body_fini(&y);
	body_fini(&z);
}

static void
doctor_others(void)
{
	struct doctor d = {NULL, 0};
	struct body x, y;

	doctor_judge_answer(&d, 210);
	CHECK(verdict(&d, "210us") == DOCTOR_OK);
	doctor_judge_answer(&d, 300000);
	CHECK(verdict(&d, "300.0ms") == DOCTOR_WARNING);
	doctor_judge_versions(&d, "1", body(&x, "{\"version\":\"1\"}"),
	    body(&y,
		"{\"services\":[{\"desc\":{\"name\":\"old\",\"version\":\"0.9\",\"pid\":1}},{\"desc\":"
		"{\"name\":\"yours\",\"version\":\"7\"}}]}"));
	CHECK(d.n == 1);
	CHECK(verdict(&d, "old is 0.9") == DOCTOR_WARNING);
	doctor_judge_versions(&d, "2", &x.d.root, NULL);
	CHECK(verdict(&d, "taxi is 2, the broker 1") == DOCTOR_WARNING);
	body_fini(&x);
	body_fini(&y);
	doctor_judge_store(&d, body(&x, "{\"head\":5,\"counters\":{\"store_failed\":1}}"));
	CHECK(verdict(&d, "nothing is stored") == DOCTOR_CRITICAL);
	body_fini(&x);
	doctor_judge_commits(&d, body(&x, "{\"latency\":{\"fsyncUs\":{\"p50\":900,\"p99\":200000}}}"));
	CHECK(verdict(&d, "900us (p50), 200.0ms (p99)") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_memory(&d, body(&x, "{\"bytes\":{\"limit\":1000,\"committing\":950}}"));
	CHECK(verdict(&d, "950 B") == DOCTOR_CRITICAL);
	body_fini(&x);
	doctor_judge_dead(&d, body(&x, "{\"items\":[{\"group\":\"g\",\"reason\":\"r\"}],\"next\":1}"));
	CHECK(verdict(&d, "1 and more; one is of g: r") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_peers(&d, body(&x, "{\"peers\":[{\"session\":7,\"bytes\":9999999}]}"));
	CHECK(verdict(&d, "session 7") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_drain(&d, body(&x, "{\"draining\":true}"));
	CHECK(verdict(&d, "refuses") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_keys(&d, body(&x, "{\"on\":true,\"who\":[]}"), "tcp://h:1");
	CHECK(verdict(&d, "nobody is allowed") == DOCTOR_WARNING);
	body_fini(&x);
	doctor_judge_clock(&d, -5000);
	CHECK(verdict(&d, "5.0s behind") == DOCTOR_WARNING);
	doctor_judge_files(&d, 950, 1000);
	CHECK(verdict(&d, "950 of 1000") == DOCTOR_CRITICAL);
}

static void
doctor_report(void)
{
	struct doctor d = {NULL, 0};
	struct buf b;
	struct body x;

	buf_init(&b, 4096);
	doctor_add(&d, DOCTOR_OK, "a", "unused", "fine");
	doctor_add(&d, DOCTOR_WARNING, "b", "do \"this\"", "not %s", "fine");
	doctor_text(&d, &b);
	CHECK(strstr(buf_cstr(&b), "ok       a  fine\nWARNING  b  not fine\n            -> do") != NULL);
	CHECK(strstr(buf_cstr(&b), "warning: 1 ok, 1 warning, 0 critical") != NULL);
	buf_reset(&b);
	doctor_json(&d, "now", "bus", &b);
	CHECK(body(&x, buf_cstr(&b)) != NULL);
	CHECK(span_is(doc_str(&x.d.root, "verdict"), "warning"));
	body_fini(&x);
	buf_fini(&b);
	doctor_fini(&d);
}

int
main(void)
{
	top_rates();
	top_fits();
	doctor_groups();
	doctor_disk();
	doctor_drops();
	doctor_others();
	doctor_report();
	return check_done();
}

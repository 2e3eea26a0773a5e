/* Times, ages and places in the journal as people write them. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <time.h>

#include "cli/when.h"

static const int64_t now = 1795259481442; /* 2026-11-21T11:11:21.442Z */

static bool
is(const char *text, enum when_kind kind, int64_t n)
{
	struct when w;

	return when_parse(text, now, &w) == 0 && w.kind == kind && w.n == n;
}

static bool
is_bad(const char *text)
{
	struct when w;

	return when_parse(text, now, &w) == -1;
}

static void
durations(void)
{
	CHECK(when_duration("250ms") == 250);
	CHECK(when_duration("90s") == 90000);
	CHECK(when_duration("1h30m") == 5400000);
	CHECK(when_duration("2d") == 172800000);
	CHECK(when_duration("1w2d") == 9 * 86400000);
	CHECK(when_duration("0s") == 0);
	CHECK(when_duration("") == -1);
	CHECK(when_duration("90") == -1);
	CHECK(when_duration("h") == -1);
	CHECK(when_duration("-1h") == -1);
	CHECK(when_duration("1hm") == -1);
	CHECK(when_duration("1y") == -1);
	CHECK(when_duration("99999999999s") == -1);
}

static void
places(void)
{
	CHECK(is("new", WHEN_NEW, 0));
	CHECK(is("all", WHEN_ALL, 0));
	CHECK(is("1200", WHEN_SEQ, 1200));
	CHECK(is("-1h", WHEN_TIME, now - 3600000));
	CHECK(is("-1500ms", WHEN_TIME, now - 1500));
	CHECK(is_bad("0"));
	CHECK(is_bad("-"));
	CHECK(is_bad("-12"));
	CHECK(is_bad("soon"));
	CHECK(is_bad(""));
	CHECK(is_bad("99999999999999999999"));
}

static void
instants(void)
{
	CHECK(is("2026-11-21T11:11:21.442Z", WHEN_TIME, now));
	CHECK(is("2026-11-21T12:11:21.442+01:00", WHEN_TIME, now));
	CHECK(is("2026-11-21t05:41:21.442-05:30", WHEN_TIME, now));
	CHECK(is("2026-11-21T11:11:21.4429999Z", WHEN_TIME, now));
	CHECK(is("2026-11-21T11:11:21Z", WHEN_TIME, now - 442));
	CHECK(is("2026-11-21T11:11Z", WHEN_TIME, now - 21442));
	/* Local time: here two hours and a quarter ahead. */
	CHECK(is("2026-11-21T13:26:21.442", WHEN_TIME, now));
	CHECK(is("2026-11-21", WHEN_TIME, 1795212000000 - 900000));
	CHECK(is_bad("2026-11-21T11:11:21.442Zx"));
	CHECK(is_bad("2026-13-21"));
	CHECK(is_bad("2026-11-32"));
	CHECK(is_bad("2026-11-21T24:00Z"));
	CHECK(is_bad("2026-11-21T11:60Z"));
	CHECK(is_bad("2026-11-21T11:11:21."));
	CHECK(is_bad("2026-11-21T11:11:21+1"));
	CHECK(is_bad("26-11-21"));
}

static void
on_the_bus(void)
{
	struct buf b;

	buf_init(&b, 64);
	when_put(&(struct when){WHEN_ALL, 0}, &b);
	CHECK(b.n == 4 && memcmp(b.p, "\xa3"
				      "all",
			      4) == 0);
	buf_reset(&b);
	when_put(&(struct when){WHEN_SEQ, 7}, &b);
	CHECK(b.n == 6 && memcmp(b.p, "\x81\xa3seq\x07", 6) == 0);
	buf_reset(&b);
	when_put(&(struct when){WHEN_TIME, 7}, &b);
	CHECK(b.n == 7 && memcmp(b.p, "\x81\xa4time\x07", 7) == 0);
	buf_fini(&b);
}

int
main(void)
{
	(void)setenv("TZ", "<+0215>-02:15", 1);
	tzset();
	durations();
	places();
	instants();
	on_the_bus();
	return check_done();
}

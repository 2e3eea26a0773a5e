/* What the command line prints: figures, tables, lines. */
#include "tests/unit/check.h"

#include <stdlib.h>
#include <time.h>

#include "cli/fmt.h"
#include "cli/line.h"
#include "cli/map.h"
#include "cli/table.h"

static void
figures(void)
{
	CHECK_STR(fmt_time(1795259481442).s, "2026-11-21T13:26:21.442+02:15");
	CHECK_STR(fmt_time(0).s, "-");
	CHECK_STR(fmt_age(870).s, "870ms");
	CHECK_STR(fmt_age(1250).s, "1.2s");
	CHECK_STR(fmt_age(45999).s, "45s");
	CHECK_STR(fmt_age(200000).s, "3m20s");
	CHECK_STR(fmt_age(7500000).s, "2h05m");
	CHECK_STR(fmt_age(273600000).s, "3d04h");
	CHECK_STR(fmt_age(-5).s, "0ms");
	CHECK_STR(fmt_us(277).s, "277us");
	CHECK_STR(fmt_us(1400).s, "1.4ms");
	CHECK_STR(fmt_us(2000000).s, "2.0s");
	CHECK_STR(fmt_bytes(0).s, "0 B");
	CHECK_STR(fmt_bytes(1023).s, "1023 B");
	CHECK_STR(fmt_bytes(1536).s, "1.5 KiB");
	CHECK_STR(fmt_bytes((UINT64_C(1) << 30) - 1).s, "1.0 GiB");
	CHECK_STR(fmt_bytes(UINT64_MAX).s, "16384 PiB");
	CHECK_STR(fmt_count(99999).s, "99999");
	CHECK_STR(fmt_count(123456).s, "123k");
	CHECK_STR(fmt_count(4500000).s, "4.5M");
	CHECK_STR(fmt_rate(0).s, "0");
	CHECK_STR(fmt_rate(0.42).s, "0.4");
	CHECK_STR(fmt_rate(12.2).s, "12");
	CHECK_STR(fmt_rate(3140).s, "3.1k");
}

static const char *
rendered(const struct table *t, unsigned width)
{
	static char out[2048];
	struct buf b;

	buf_init(&b, sizeof out - 1);
	table_render(t, width, &b);
	memcpy(out, buf_cstr(&b), b.n + 1);
	buf_fini(&b);
	return out;
}

static void
tables(void)
{
	struct table t;

	table_init(&t, "~NAME >OWED STATE");
	table_cell(&t, "%s", "müller");
	table_cell(&t, "%d", 7);
	table_cell(&t, "%s", "idle");
	table_cell(&t, "%s", "a-rather-long-name");
	table_cell(&t, "%d", 12345);
	table_cell(&t, "%s", "");
	CHECK_STR(rendered(&t, 0), "NAME                 OWED  STATE\n"
				   "müller                  7  idle\n"
				   "a-rather-long-name  12345\n");
	CHECK_STR(rendered(&t, 24), "NAME         OWED  STATE\n"
				    "müller          7  idle\n"
				    "a-rather-…  12345\n");
	/* What may not be shortened stays whole, and so many characters stay in any case. */
	CHECK_STR(rendered(&t, 1), "NAME       OWED  STATE\n"
				   "müller        7  idle\n"
				   "a-rathe…  12345\n");
	table_fini(&t);
}

static void
hostile_cells(void)
{
	struct table t;

	table_init(&t, "A B");
	table_span(&t, span_str("\033[2J\r\n\x7f"));
	table_span(&t, span_str("\xc2\x9b"
				"31m\xff"));
	CHECK(strpbrk(rendered(&t, 0), "\033\r\x7f") == NULL);
	CHECK(strstr(rendered(&t, 0), "?[2J???") != NULL);
	CHECK(strstr(rendered(&t, 0), "\xc2\x9b") == NULL);
	table_fini(&t);
}

static void
widths(void)
{
	struct buf b;

	CHECK(table_width(span_str("")) == 0);
	CHECK(table_width(span_str("äöü")) == 3);
	CHECK(table_width(span_str("a\xff"
				   "b")) == 3);
	buf_init(&b, 64);
	table_put_cut(&b, span_str("äöüx"), 3);
	CHECK_STR(buf_cstr(&b), "äö…");
	buf_reset(&b);
	table_put_cut(&b, span_str("äöü"), 3);
	CHECK_STR(buf_cstr(&b), "äöü");
	buf_fini(&b);
}

static const char *
line(const struct line *l, enum line_style style, size_t width)
{
	static char out[2048];
	struct buf b;

	buf_init(&b, sizeof out - 1);
	line_put(l, style, width, &b);
	memcpy(out, buf_cstr(&b), b.n + 1);
	buf_fini(&b);
	return out;
}

static void
lines(void)
{
	/* a UUIDv7 of 2026-11-21T11:11:21.442Z */
	static const uint8_t id[16] = {0x01, 0xa1, 0xfd, 0xcd, 0xbd, 0x62, 0x7d, 0x8f, 0x88, 0xbf,
	    0x9e, 0xda, 0xee, 0xe9, 0xbe, 0x1a};
	static const uint8_t v4[16] = {1, 2, 3, 4, 5, 6, 0x47, 8, 0x89};
	struct line l = {
	    .at_ms = line_at(id, 1795260000000),
	    .topic = span_str("rows.in"),
	    .id = id,
	    .body = span_of("\x81\xa1n\x01", 4),
	};

	CHECK(l.at_ms == 1795259481442);
	CHECK(line_at(v4, 77) == 77);
	CHECK_STR(line(&l, LINE_TEXT, 0),
	    "2026-11-21T13:26:21.442+02:15  rows.in  eee9be1a  {\"n\":1}\n");
	CHECK_STR(line(&l, LINE_TEXT, 40), "2026-11-21T13:26:21.442+02:15  rows.in …\n");
	CHECK_STR(line(&l, LINE_RAW, 0), "{\"n\":1}\n");
	l.seq = 7;
	l.try = 2;
	l.key = span_str("k\"1");
	l.group = span_str("g");
	CHECK_STR(line(&l, LINE_LONG, 9),
	    "2026-11-21T13:26:21.442+02:15  rows.in  01a1fdcd-bd62-7d8f-88bf-9edaeee9be1a  seq 7  "
	    "key \"k\\\"1\"  (try 2)  {\"n\":1}\n");
	CHECK_STR(line(&l, LINE_JSON, 9),
	    "{\"topic\":\"rows.in\",\"id\":\"01a1fdcd-bd62-7d8f-88bf-9edaeee9be1a\",\"seq\":7,"
	    "\"at\":\"2026-11-21T13:26:21.442+02:15\",\"key\":\"k\\\"1\",\"group\":\"g\",\"try\":2,"
	    "\"body\":{\"n\":1}}\n");
	/* U+009B begins a sequence on a terminal; JSON for programs keeps it. */
	l.body = span_of("\xa4"
			 "a\xc2\x9b"
			 "m",
	    5);
	CHECK(strstr(line(&l, LINE_TEXT, 0), "\xc2\x9b") == NULL);
	CHECK(strstr(line(&l, LINE_JSON, 0), "\xc2\x9b") != NULL);
	l.body = span_of("\xa2hi", 3);
	CHECK_STR(line(&l, LINE_RAW, 0), "hi\n");
	l.body = (struct span){NULL, 0};
	CHECK(strstr(line(&l, LINE_JSON, 0), "\"body\":null}") != NULL);
}

static void
maps(void)
{
	struct map m;
	struct span s;

	map_init(&m);
	map_str(&m, "a", "b");
	map_bool(&m, "c", true);
	s = map_span(&m);
	CHECK(s.n == 10 && memcmp(s.p,
			       "\xde\0\x02\xa1"
			       "a\xa1"
			       "b\xa1"
			       "c\xc3",
			       10) == 0);
	map_fini(&m);
}

int
main(void)
{
	(void)setenv("TZ", "<+0215>-02:15", 1);
	tzset();
	figures();
	tables();
	hostile_cells();
	widths();
	lines();
	maps();
	return check_done();
}

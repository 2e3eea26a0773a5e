#include "cli/when.h"

#include <time.h>

#include "base/str.h"
#include "proto/mp.h"

int64_t
when_duration(const char *text)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000},
	    {"w", 604800000}};
	int64_t sum = 0, n;

	if (*text == '\0')
		return -1;
	while (*text) {
		size_t digits = strspn(text, "0123456789"), letters, u;

		if (str_i64(span_of(text, digits), 0, 1000000000, &n) != 0)
			return -1;
		text += digits;
		letters = strspn(text, "mshdw");
		for (u = 0; u < sizeof units / sizeof *units; u++) {
			if (span_is(span_of(text, letters), units[u].unit))
				break;
		}
		if (u == sizeof units / sizeof *units)
			return -1;
		sum += n * units[u].ms;
		text += letters;
	}
	return sum;
}

/* Exactly `width` digits within [min, max] at *p, which moves on. */
static bool
digits(const char **p, int width, int min, int max, int *out)
{
	int64_t n;

	if (strspn(*p, "0123456789") < (size_t)width ||
	    str_i64(span_of(*p, (size_t)width), min, max, &n) != 0)
		return false;
	*p += width;
	*out = (int)n;
	return true;
}

static bool
take(const char **p, char c)
{
	if (**p != c)
		return false;
	++*p;
	return true;
}

/* HH:MM[:SS[.fff]] */
static bool
time_of_day(const char **p, struct tm *tm, int *ms)
{
	size_t n;

	if (!digits(p, 2, 0, 23, &tm->tm_hour) || !take(p, ':') ||
	    !digits(p, 2, 0, 59, &tm->tm_min))
		return false;
	if (!take(p, ':'))
		return true;
	if (!digits(p, 2, 0, 60, &tm->tm_sec))
		return false;
	if (!take(p, '.'))
		return true;
	n = strspn(*p, "0123456789");
	for (size_t i = 0; i < 3; i++)
		*ms = *ms * 10 + (i < n ? (*p)[i] - '0' : 0);
	*p += n;
	return n > 0;
}

/* Z, +HH:MM, -HH:MM or nothing, which is local time. */
static bool
zone(const char **p, struct tm *tm, time_t *out)
{
	bool minus = **p == '-';
	int h = 0, m = 0;

	if (**p == '\0') {
		tm->tm_isdst = -1;
		*out = mktime(tm);
		return *out != -1;
	}
	if (take(p, 'Z') || take(p, 'z')) {
		*out = timegm(tm);
		return true;
	}
	if (!take(p, '+') && !take(p, '-'))
		return false;
	if (!digits(p, 2, 0, 23, &h) || !take(p, ':') || !digits(p, 2, 0, 59, &m))
		return false;
	*out = timegm(tm) - (minus ? -1 : 1) * (h * 3600 + m * 60);
	return true;
}

static int
instant(const char *text, int64_t *unix_ms)
{
	struct tm tm = {0};
	int year, month, ms = 0;
	time_t at;

	if (!digits(&text, 4, 1970, 9999, &year) || !take(&text, '-') ||
	    !digits(&text, 2, 1, 12, &month) || !take(&text, '-') ||
	    !digits(&text, 2, 1, 31, &tm.tm_mday))
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	if ((take(&text, 'T') || take(&text, 't') || take(&text, ' ')) &&
	    !time_of_day(&text, &tm, &ms))
		return -1;
	if (!zone(&text, &tm, &at) || *text != '\0')
		return -1;
	*unix_ms = (int64_t)at * 1000 + ms;
	return 0;
}

int
when_parse(const char *text, int64_t now_ms, struct when *out)
{
	int64_t n;

	if (strcmp(text, "new") == 0 || strcmp(text, "all") == 0) {
		*out = (struct when){*text == 'n' ? WHEN_NEW : WHEN_ALL, 0};
		return 0;
	}
	if (str_i64(span_str(text), 1, INT64_MAX, &n) == 0) {
		*out = (struct when){WHEN_SEQ, n};
		return 0;
	}
	if (*text == '-') {
		n = when_duration(text + 1);
		*out = (struct when){WHEN_TIME, n < now_ms ? now_ms - n : 1};
		return n < 0 ? -1 : 0;
	}
	if (instant(text, &n) != 0)
		return -1;
	*out = (struct when){WHEN_TIME, n};
	return 0;
}

void
when_put(const struct when *w, struct buf *out)
{
	switch (w->kind) {
	case WHEN_NEW: mp_put_cstr(out, "new"); return;
	case WHEN_ALL: mp_put_cstr(out, "all"); return;
	case WHEN_SEQ:
	case WHEN_TIME: break;
	}
	mp_put_map(out, 1);
	mp_put_cstr(out, w->kind == WHEN_SEQ ? "seq" : "time");
	mp_put_i64(out, w->n);
}

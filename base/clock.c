#include "base/clock.h"

#include <stdio.h>
#include <time.h>

static int64_t
read_us(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t
clock_mono_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t
clock_mono_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

int64_t
clock_real_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

int64_t
clock_real_us(void)
{
	return read_us(CLOCK_REALTIME);
}

/* `width` decimal digits of v, zero-padded. */
static char *
digits(char *p, int64_t v, int width)
{
	for (int i = width - 1; i >= 0; i--, v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + width;
}

char *
clock_rfc3339(int64_t unix_ms, char dst[25])
{
	/* the four-digit years, which is all that RFC 3339 can say */
	const int64_t first = INT64_C(-62167219200000), last = INT64_C(253402300799999);
	struct tm tm = {0};
	int64_t ms;
	time_t s;
	char *p = dst;

	if (unix_ms < first)
		unix_ms = first;
	if (unix_ms > last)
		unix_ms = last;
	ms = unix_ms % 1000;
	if (ms < 0)
		ms += 1000;
	s = (time_t)((unix_ms - ms) / 1000);
	gmtime_r(&s, &tm);
	p = digits(p, tm.tm_year + 1900, 4);
	*p++ = '-';
	p = digits(p, tm.tm_mon + 1, 2);
	*p++ = '-';
	p = digits(p, tm.tm_mday, 2);
	*p++ = 'T';
	p = digits(p, tm.tm_hour, 2);
	*p++ = ':';
	p = digits(p, tm.tm_min, 2);
	*p++ = ':';
	p = digits(p, tm.tm_sec, 2);
	*p++ = '.';
	p = digits(p, ms, 3);
	*p++ = 'Z';
	*p = 0;
	return dst;
}

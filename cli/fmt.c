#include "cli/fmt.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/uuid.h"

struct fmt
fmt_time(int64_t unix_ms)
{
	time_t s = (time_t)(unix_ms / 1000);
	struct fmt f = {"-"};
	struct tm tm;
	char day[24];
	long off;

	if (unix_ms <= 0 || localtime_r(&s, &tm) == NULL ||
	    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &tm) == 0)
		return f;
	off = tm.tm_gmtoff / 60;
	snprintf(f.s, sizeof f.s, "%s.%03d%c%02d:%02d", day, (int)(unix_ms % 1000),
	    off < 0 ? '-' : '+', (int)(off < 0 ? -off : off) / 60 % 100,
	    (int)(off < 0 ? -off : off) % 60);
	return f;
}

struct fmt
fmt_age(int64_t ms)
{
	struct fmt f = {""};
	int64_t s = ms / 1000;

	if (ms < 0)
		ms = s = 0;
	if (ms < 1000) {
		snprintf(f.s, sizeof f.s, "%" PRId64 "ms", ms);
	} else if (ms < 10000) {
		snprintf(f.s, sizeof f.s, "%" PRId64 ".%" PRId64 "s", s, ms % 1000 / 100);
	} else if (s < 60) {
		snprintf(f.s, sizeof f.s, "%" PRId64 "s", s);
	} else if (s < 3600) {
		snprintf(f.s, sizeof f.s, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	} else if (s < 86400) {
		snprintf(f.s, sizeof f.s, "%" PRId64 "h%02" PRId64 "m", s / 3600, s % 3600 / 60);
	} else {
		snprintf(
		    f.s, sizeof f.s, "%" PRId64 "d%02" PRId64 "h", s / 86400, s % 86400 / 3600);
	}
	return f;
}

struct fmt
fmt_us(int64_t us)
{
	struct fmt f = {""};

	if (us < 1000) {
		snprintf(f.s, sizeof f.s, "%" PRId64 "us", us);
	} else if (us < 1000000) {
		snprintf(f.s, sizeof f.s, "%.1fms", (double)us / 1e3);
	} else {
		snprintf(f.s, sizeof f.s, "%.1fs", (double)us / 1e6);
	}
	return f;
}

/* n over the largest unit it reaches, one decimal below ten. */
static struct fmt
scaled(double n, double base, const char *const *units, unsigned nunits)
{
	struct fmt f = {""};
	unsigned u = 0;

	/* What would be written as 1000 or 1024 of one unit is one of the next. */
	while (u + 1 < nunits && n >= base - 0.5) {
		n /= base;
		u++;
	}
	snprintf(f.s, sizeof f.s, n < 9.95 && u > 0 ? "%.1f%s" : "%.0f%s", n, units[u]);
	return f;
}

struct fmt
fmt_bytes(uint64_t n)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB", " PiB"};

	return scaled((double)n, 1024, units, 6);
}

static const char *const thousands[] = {"", "k", "M", "G", "T"};

struct fmt
fmt_count(uint64_t n)
{
	struct fmt f = {""};

	if (n > 99999)
		return scaled((double)n, 1000, thousands, 5);
	snprintf(f.s, sizeof f.s, "%" PRIu64, n);
	return f;
}

struct fmt
fmt_rate(double per_s)
{
	struct fmt f = {""};

	if (per_s >= 9.95)
		return scaled(per_s, 1000, thousands, 5);
	snprintf(f.s, sizeof f.s, per_s > 0 ? "%.1f" : "%.0f", per_s > 0 ? per_s : 0.0);
	return f;
}

struct fmt
fmt_id(const uint8_t id[16])
{
	struct fmt f = {""};

	uuid_text(id, f.s);
	return f;
}

struct fmt
fmt_short_id(const uint8_t id[16])
{
	struct fmt f = fmt_id(id);

	memmove(f.s, f.s + UUID_TEXT - 8, 9);
	return f;
}

#include "base/str.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool
is_alnum(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int
str_u64(struct span s, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (s.n == 0)
		return -1;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)s.p[i] - '0';

		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return -1;
		v = v * 10 + d;
	}
	if (v > max)
		return -1;
	*out = v;
	return 0;
}

int
str_i64(struct span s, int64_t min, int64_t max, int64_t *out)
{
	bool minus = s.n > 0 && s.p[0] == '-';
	uint64_t limit = (uint64_t)INT64_MAX + (minus ? 1 : 0), u;
	int64_t v;

	if (str_u64(minus ? span_of(s.p + 1, s.n - 1) : s, limit, &u) != 0)
		return -1;
	if (minus) {
		v = u == 0 ? 0 : -(int64_t)(u - 1) - 1;
	} else {
		v = (int64_t)u;
	}
	if (v < min || v > max)
		return -1;
	*out = v;
	return 0;
}

static size_t
skip_digits(struct span s, size_t i)
{
	while (i < s.n && is_digit(s.p[i]))
		i++;
	return i;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or after the point: what strtod also
 * takes (hex, inf, nan, leading space) is not decimal text. */
static bool
is_decimal(struct span s)
{
	size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+'), from = i, n;

	i = skip_digits(s, i);
	n = i - from;
	if (i < s.n && s.p[i] == '.') {
		from = i + 1;
		i = skip_digits(s, from);
		n += i - from;
	}
	if (n == 0)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		from = i;
		i = skip_digits(s, i);
		if (i == from)
			return false;
	}
	return i == s.n;
}

int
str_double(struct span s, double *out)
{
	char text[512];
	double v;

	if (!is_decimal(s) || !str_copy(text, sizeof text, s))
		return -1;
	v = strtod(text, NULL);
	if (!isfinite(v))
		return -1;
	*out = v;
	return 0;
}

/* Bytes of the well-formed sequence at p, 0 when there is none. */
static size_t
utf8_len(const uint8_t *p, size_t n)
{
	uint8_t low = 0x80, high = 0xbf;
	size_t len;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4)
		return 0;
	len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
	if (len > n)
		return 0;
	/* the second byte carries the overlong, surrogate and past-the-end cases */
	if (p[0] == 0xe0)
		low = 0xa0;
	if (p[0] == 0xed)
		high = 0x9f;
	if (p[0] == 0xf0)
		low = 0x90;
	if (p[0] == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return len;
}

size_t
str_utf8_len(struct span s)
{
	return s.n == 0 ? 0 : utf8_len(s.p, s.n);
}

bool
str_is_utf8(struct span s)
{
	size_t i = 0;

	while (i < s.n) {
		uint64_t w;
		size_t len;

		if (s.n - i >= sizeof w) {
			memcpy(&w, s.p + i, sizeof w);
			if ((w & UINT64_C(0x8080808080808080)) == 0) {
				i += sizeof w;
				continue;
			}
		}
		len = utf8_len(s.p + i, s.n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

bool
str_is_name(struct span s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (!is_alnum(s.p[i]) && s.p[i] != '_' && s.p[i] != '-')
			return false;
	}
	return true;
}

bool
str_is_camel(struct span s)
{
	if (s.n == 0 || s.p[0] < 'a' || s.p[0] > 'z')
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (!is_alnum(s.p[i]))
			return false;
	}
	return true;
}

bool
str_copy(char *dst, size_t size, struct span s)
{
	size_t n;

	if (size == 0)
		return false;
	n = s.n < size ? s.n : size - 1;
	if (n > 0)
		memcpy(dst, s.p, n);
	dst[n] = 0;
	return n == s.n;
}

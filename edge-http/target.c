#include "edge-http/target.h"

#include "base/str.h"
#include "edge-http/text.h"

int
target_split(struct span raw, struct target *t)
{
	struct span rest = raw;

	*t = (struct target){0};
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] <= ' ' || raw.p[i] == 0x7f)
			return -1;
	}
	if (text_begins(raw, "http://") || text_begins(raw, "https://")) {
		size_t skip = text_begins(raw, "https://") ? 8 : 7, n = 0;

		rest = span_of(raw.p + skip, raw.n - skip);
		while (n < rest.n && rest.p[n] != '/' && rest.p[n] != '?')
			n++;
		if (n == 0)
			return -1;
		t->authority = span_of(rest.p, n);
		rest = span_of(rest.p + n, rest.n - n);
		if (rest.n == 0 || rest.p[0] == '?') {
			t->path = span_str("/");
			if (rest.n)
				t->query = span_of(rest.p + 1, rest.n - 1);
			return 0;
		}
	} else if (span_is(raw, "*")) {
		t->path = raw;
		return 0;
	}
	if (rest.n == 0 || rest.p[0] != '/' || memchr(rest.p, '#', rest.n))
		return -1;
	t->path = text_cut(&rest, '?');
	if (t->path.p + t->path.n < raw.p + raw.n)
		t->query = rest;
	return 0;
}

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
target_decode(struct span raw, bool form, struct buf *out)
{
	size_t from = out->n;

	for (size_t i = 0; i < raw.n; i++) {
		uint8_t c = raw.p[i];

		if (c == '%') {
			if (raw.n - i < 3 || hex(raw.p[i + 1]) < 0 || hex(raw.p[i + 2]) < 0)
				return -1;
			c = (uint8_t)(hex(raw.p[i + 1]) * 16 + hex(raw.p[i + 2]));
			i += 2;
		} else if (c == '+' && form) {
			c = ' ';
		}
		if (c < 0x20 || c == 0x7f)
			return -1;
		buf_putc(out, (char)c);
	}
	if (out->failed || (out->n > from && !str_is_utf8(span_of(out->p + from, out->n - from))))
		return -1;
	return 0;
}

bool
target_next(struct span *rest, struct span *name, struct span *value)
{
	while (rest->n > 0) {
		struct span pair = text_cut(rest, '&');

		if (pair.n == 0)
			continue;
		*name = text_cut(&pair, '=');
		*value = pair;
		return true;
	}
	return false;
}

bool
target_is_long(struct span query)
{
	size_t n = 1;

	for (size_t i = 0; i < query.n; i++)
		n += query.p[i] == '&';
	return n > TARGET_PAIRS;
}

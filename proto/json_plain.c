/* Nearly all JSON that comes is plain: it is turned into msgpack as it is read, without a tree.
 * What it takes, json_thorough takes with the same result (tests/fuzz/fuzz_json.c). */
#include "proto/json_impl.h"

#include <string.h>

#include "base/str.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum { INT_DIGITS = 18 /* always fit an int64 */ };

struct plain {
	const uint8_t *p, *end;
	struct buf *out;
	unsigned depth, elements;
};

/* Where a key was written, in out. */
struct key {
	size_t at, n;
};

static bool put_value(struct plain *w);

/* The next byte that is no white space; 0 at the end. */
static uint8_t
next(struct plain *w)
{
	while (w->p < w->end && (*w->p == ' ' || *w->p == '\n' || *w->p == '\r' || *w->p == '\t'))
		w->p++;
	return w->p < w->end ? *w->p : 0;
}

static bool
take(struct plain *w, uint8_t c)
{
	if (next(w) != c)
		return false;
	w->p++;
	return true;
}

/* w->p is at the quote. */
static bool
put_string(struct plain *w, struct span *s)
{
	const uint8_t *from = ++w->p;

	while (w->p < w->end && *w->p != '"') {
		size_t n = 1;

		if (*w->p >= 0x80)
			n = str_utf8_len(span_of(w->p, (size_t)(w->end - w->p)));
		if (n == 0 || *w->p < 0x20 || *w->p == '\\')
			return false;
		w->p += n;
	}
	if (w->p == w->end)
		return false;
	*s = span_of(from, (size_t)(w->p++ - from));
	mp_put_str(w->out, *s);
	return true;
}

static size_t
digits(struct plain *w)
{
	const uint8_t *from = w->p;

	while (w->p < w->end && *w->p >= '0' && *w->p <= '9')
		w->p++;
	return (size_t)(w->p - from);
}

/* What follows the digits of a real. */
static bool
put_real(struct plain *w, const uint8_t *from)
{
	double v;

	if (*w->p == '.') {
		w->p++;
		if (digits(w) == 0)
			return false;
	}
	if (w->p < w->end && (*w->p == 'e' || *w->p == 'E')) {
		w->p++;
		if (w->p < w->end && (*w->p == '+' || *w->p == '-'))
			w->p++;
		if (digits(w) == 0)
			return false;
	}
	if (str_double(span_of(from, (size_t)(w->p - from)), &v) != 0)
		return false;
	mp_put_double(w->out, v);
	return true;
}

static bool
put_number(struct plain *w)
{
	const uint8_t *from = w->p, *first = from + (*from == '-');
	int64_t v = 0;
	size_t n;

	w->p = first;
	n = digits(w);
	if (n == 0 || (*first == '0' && n > 1))
		return false;
	if (w->p < w->end && (*w->p == '.' || *w->p == 'e' || *w->p == 'E'))
		return put_real(w, from);
	if (n > INT_DIGITS)
		return false;
	for (size_t i = 0; i < n; i++)
		v = v * 10 + (first[i] - '0');
	mp_put_i64(w->out, first > from ? -v : v);
	return true;
}

static bool
put_word(struct plain *w)
{
	size_t left = (size_t)(w->end - w->p);

	if (left >= 4 && memcmp(w->p, "true", 4) == 0) {
		mp_put_bool(w->out, true);
		w->p += 4;
	} else if (left >= 5 && memcmp(w->p, "false", 5) == 0) {
		mp_put_bool(w->out, false);
		w->p += 5;
	} else if (left >= 4 && memcmp(w->p, "null", 4) == 0) {
		mp_put_nil(w->out);
		w->p += 4;
	} else {
		return false;
	}
	return true;
}

/* The head of a map or an array takes one byte until it is known how many it holds. */
static bool
set_head(struct buf *out, size_t at, bool map, size_t n)
{
	uint8_t head[8] = {0};
	struct buf h = {.p = head, .cap = sizeof head, .max = sizeof head};

	if (map) {
		mp_put_map(&h, n);
	} else {
		mp_put_array(&h, n);
	}
	if (out->failed || (h.n > 1 && buf_room(out, h.n - 1) == NULL))
		return false;
	if (h.n > 1)
		memmove(out->p + at + h.n, out->p + at + 1, out->n - at - 1);
	memcpy(out->p + at, head, h.n);
	out->n += h.n - 1;
	return true;
}

static bool
put_array(struct plain *w)
{
	size_t at = w->out->n, n = 0;

	w->p++;
	mp_put_nil(w->out);
	if (take(w, ']'))
		return set_head(w->out, at, false, 0);
	do {
		if (!put_value(w))
			return false;
		n++;
	} while (take(w, ','));
	return take(w, ']') && set_head(w->out, at, false, n);
}

static bool
is_new(const struct buf *out, const struct key *keys, size_t n, struct span key)
{
	for (size_t i = 0; i < n; i++) {
		if (span_eq(span_of(out->p + keys[i].at, keys[i].n), key))
			return false;
	}
	return true;
}

static bool
put_map(struct plain *w)
{
	struct key keys[JSON_PLAIN_KEYS];
	size_t at = w->out->n, n = 0;
	struct span key;

	w->p++;
	mp_put_nil(w->out);
	if (take(w, '}'))
		return set_head(w->out, at, true, 0);
	do {
		if (n == JSON_PLAIN_KEYS || next(w) != '"' || ++w->elements > LIMIT_BODY_ELEMENTS ||
		    !put_string(w, &key) || w->out->failed || !is_new(w->out, keys, n, key))
			return false;
		keys[n++] = (struct key){w->out->n - key.n, key.n};
		if (!take(w, ':') || !put_value(w))
			return false;
	} while (take(w, ','));
	return take(w, '}') && set_head(w->out, at, true, n);
}

static bool
put_value(struct plain *w)
{
	uint8_t c = next(w);
	struct span s;
	bool good;

	if (++w->elements > LIMIT_BODY_ELEMENTS || w->out->failed)
		return false;
	if (c == '"')
		return put_string(w, &s);
	if (c == '-' || (c >= '0' && c <= '9'))
		return put_number(w);
	if (c != '[' && c != '{')
		return put_word(w);
	if (++w->depth > LIMIT_NEST)
		return false;
	good = c == '[' ? put_array(w) : put_map(w);
	w->depth--;
	return good;
}

int
json_plain(struct span text, struct buf *out)
{
	struct plain w = {.p = text.p, .end = text.p + text.n, .out = out};
	size_t from = out->n;
	bool failed = out->failed;

	if (text.n > 0 && put_value(&w) && !out->failed && next(&w) == 0 && w.p == w.end)
		return 0;
	out->n = from;
	out->failed = failed;
	return -1;
}

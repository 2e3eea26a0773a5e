/* The writing half of proto/json.h. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum { DOUBLE_TEXT = 40 };

struct writer {
	struct buf *out;
	struct mp_r r;
	int indent;
	unsigned depth;
	bool refused; /* what JSON cannot say */
};

static bool
reads_back(const char *text, double v)
{
	double back;

	return str_double(span_str(text), &back) == 0 && back == v;
}

/* One unit more in the last digit of "d.ddde+xx".  False when the carry would run out of digits. */
static bool
step_up(char *text)
{
	char *p = strchr(text, 'e');

	while (p-- > text) {
		if (*p >= '0' && *p < '9') {
			++*p;
			return true;
		}
		if (*p == '9')
			*p = '0';
	}
	return false;
}

/* The fewest digits that read back the same.  The nearest decimal of n digits reads back if any
 * does, but for powers of two: the gap below them is half the gap above, and it may be the next one
 * up. */
static void
shortest(double v, char text[DOUBLE_TEXT])
{
	int mantissa_exp;
	bool power = frexp(fabs(v), &mantissa_exp) == 0.5;
	/* below 15 digits %.*e of a normal number only adds zeros, which are cut off later */
	int digits = fabs(v) < 0x1p-1022 ? 1 : 15;

	for (; digits < 17; digits++) {
		snprintf(text, DOUBLE_TEXT, "%.*e", digits - 1, v);
		if (reads_back(text, v) || (power && step_up(text) && reads_back(text, v)))
			return;
	}
	snprintf(text, DOUBLE_TEXT, "%.16e", v);
}

/* "d.ddde+xx" to plain digits where that is not long, always with a point or an exponent. */
static void
put_double(struct buf *out, double v)
{
	char text[DOUBLE_TEXT], digits[DOUBLE_TEXT];
	int64_t e10;
	size_t n = 0;
	char *e;

	if (!isfinite(v)) {
		buf_puts(out, "null");
		return;
	}
	if (v == 0) {
		buf_puts(out, signbit(v) ? "-0.0" : "0.0");
		return;
	}
	if (v < 0)
		buf_putc(out, '-');
	shortest(fabs(v), text);
	e = strchr(text, 'e');
	for (const char *p = text; p < e; p++) {
		if (*p != '.')
			digits[n++] = *p;
	}
	while (n > 1 && digits[n - 1] == '0')
		n--;
	if (str_i64(span_str(e[1] == '+' ? e + 2 : e + 1), -400, 400, &e10) != 0)
		e10 = 0;
	if (e10 >= 0 && e10 < 16) {
		size_t whole = (size_t)e10 + 1;

		for (size_t i = 0; i < whole; i++)
			buf_put(out, i < n ? &digits[i] : "0", 1);
		buf_putc(out, '.');
		if (n > whole) {
			buf_put(out, digits + whole, n - whole);
		} else {
			buf_putc(out, '0');
		}
	} else if (e10 < 0 && e10 >= -5) {
		buf_puts(out, "0.");
		for (int64_t i = -1; i > e10; i--)
			buf_putc(out, '0');
		buf_put(out, digits, n);
	} else {
		buf_put(out, digits, 1);
		if (n > 1) {
			buf_putc(out, '.');
			buf_put(out, digits + 1, n - 1);
		}
		buf_printf(out, "e%d", (int)e10);
	}
}

static void
put_int(struct writer *w)
{
	struct mp_r peek = w->r;
	uint64_t u = mp_u64(&peek, UINT64_MAX);

	if (peek.bad) {
		buf_printf(w->out, "%lld", (long long)mp_i64(&w->r));
	} else {
		w->r = peek;
		buf_printf(w->out, "%llu", (unsigned long long)u);
	}
}

static void
put_base64(struct buf *out, struct span s)
{
	size_t n = sodium_base64_encoded_len(s.n, sodium_base64_VARIANT_ORIGINAL);
	uint8_t *to;

	buf_putc(out, '"');
	to = buf_room(out, n);
	if (to == NULL)
		return;
	sodium_bin2base64((char *)to, n, s.p, s.n, sodium_base64_VARIANT_ORIGINAL);
	out->n += n - 1;
	buf_putc(out, '"');
}

static void
new_line(struct writer *w)
{
	if (w->indent <= 0)
		return;
	buf_putc(w->out, '\n');
	for (size_t i = 0; i < (size_t)w->indent * w->depth; i++)
		buf_putc(w->out, ' ');
}

static void put_value(struct writer *w);

static void
put_key(struct writer *w)
{
	if (mp_peek(&w->r) != MP_STR) {
		w->refused = true;
		return;
	}
	json_put_str(w->out, mp_str(&w->r, SIZE_MAX));
	buf_puts(w->out, w->indent > 0 ? ": " : ":");
}

static void
put_container(struct writer *w, bool map)
{
	unsigned n = map ? mp_map(&w->r) : mp_array(&w->r);

	buf_putc(w->out, map ? '{' : '[');
	w->depth++;
	for (unsigned i = 0; i < n && !w->refused && !w->out->failed; i++) {
		if (i > 0)
			buf_putc(w->out, ',');
		new_line(w);
		if (map)
			put_key(w);
		put_value(w);
	}
	w->depth--;
	if (n > 0)
		new_line(w);
	buf_putc(w->out, map ? '}' : ']');
}

static void
put_value(struct writer *w)
{
	switch (mp_peek(&w->r)) {
	case MP_NIL:
		mp_nil(&w->r);
		buf_puts(w->out, "null");
		break;
	case MP_BOOL: buf_puts(w->out, mp_bool(&w->r) ? "true" : "false"); break;
	case MP_INT: put_int(w); break;
	case MP_FLOAT: put_double(w->out, mp_double(&w->r)); break;
	case MP_STR: json_put_str(w->out, mp_str(&w->r, SIZE_MAX)); break;
	case MP_BIN: put_base64(w->out, mp_bin(&w->r, SIZE_MAX)); break;
	case MP_ARRAY: put_container(w, false); break;
	case MP_MAP: put_container(w, true); break;
	case MP_EXT:
	case MP_NONE: w->refused = true; break;
	}
}

int
json_from_mp(struct span body, struct buf *out, int indent)
{
	struct writer w = {.out = out, .indent = indent};
	size_t from = out->n;

	if (body.n == 0) {
		buf_puts(out, "null");
		return out->failed ? -1 : 0;
	}
	if (mp_scan(body, LIMIT_NEST, LIMIT_BODY_ELEMENTS) != body.n)
		return -1;
	mp_r_init(&w.r, body);
	put_value(&w);
	if (w.refused || out->failed || !mp_done(&w.r)) {
		out->n = from;
		return -1;
	}
	return 0;
}

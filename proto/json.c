#include "proto/json_impl.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "proto/limits.h"
#include "proto/mp.h"

/* jansson reads the text and is the judge of its grammar, but cannot hold an integer over
 * INT64_MAX. So a walk over the tokens comes first.  It bounds nesting and elements before a tree
 * is built, and writes each such integer over with a real of the same length in a copy of the text,
 * so that places in jansson's messages stay true.  jansson keeps the order of what it read, hence
 * "the k-th real of the document" says where an integer stood, and no text of a peer can be taken
 * for the mark. */

enum { REAL_FIRST_CAP = 16 };

struct big {
	size_t real; /* which real of the document */
	uint64_t v;
};

struct prep {
	struct span text;
	size_t at;
	size_t line_at; /* where the line began */
	int line;
	unsigned depth, elements;
	size_t reals;
	uint8_t *copy; /* NULL while nothing had to be written over */
	struct big *big;
	size_t big_n, big_cap;
	struct json_error *err;
};

static void fail(struct json_error *err, int line, int column, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void
fail(struct json_error *err, int line, int column, const char *fmt, ...)
{
	char text[sizeof err->text * 2];
	struct span s;
	va_list ap;
	size_t n = 0;

	if (err == NULL)
		return;
	err->line = line;
	err->column = column;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	/* jansson quotes the text it stumbled over; ours is UTF-8 to its last byte */
	s = span_str(text);
	while (n < s.n) {
		size_t len = str_utf8_len(span_of(s.p + n, s.n - n));

		if (len == 0 || n + len >= sizeof err->text)
			break;
		n += len;
	}
	str_copy(err->text, sizeof err->text, span_of(text, n));
}

/* Characters from the line's start to byte `at`, 1-based. */
static int
column_of(const struct prep *p, size_t at)
{
	int column = 1;

	for (size_t i = p->line_at; i < at; i++)
		column += (p->text.p[i] & 0xc0) != 0x80;
	return column;
}

#define PREP_FAIL(p, from, ...) (fail((p)->err, (p)->line, column_of((p), (from)), __VA_ARGS__), -1)

static bool
is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static void
skip_string(struct prep *p)
{
	for (p->at++; p->at < p->text.n && p->text.p[p->at] != '"'; p->at++) {
		if (p->text.p[p->at] == '\\')
			p->at++;
	}
	if (p->at < p->text.n) {
		p->at++;
	} else {
		p->at = p->text.n;
	}
}

/* The real that stands for an integer: "1." and zeros, as long as the digits were. */
static int
write_over(struct prep *p, size_t from, size_t n, uint64_t v)
{
	if (p->copy == NULL) {
		p->copy = malloc(p->text.n);
		if (p->copy == NULL)
			return PREP_FAIL(p, from, "out of memory");
		memcpy(p->copy, p->text.p, p->text.n);
	}
	if (p->big_n == p->big_cap) {
		size_t cap = p->big_cap ? p->big_cap * 2 : REAL_FIRST_CAP;
		struct big *big = reallocarray(p->big, cap, sizeof *big);

		if (big == NULL)
			return PREP_FAIL(p, from, "out of memory");
		p->big = big;
		p->big_cap = cap;
	}
	p->big[p->big_n++] = (struct big){.real = p->reals++, .v = v};
	memset(p->copy + from, '0', n);
	p->copy[from] = '1';
	p->copy[from + 1] = '.';
	return 0;
}

static int
read_number(struct prep *p)
{
	size_t from = p->at, first;
	bool minus = p->text.p[from] == '-', real = false;
	struct span s;
	uint64_t v;
	int64_t i;

	first = from + minus;
	for (p->at = first; p->at < p->text.n; p->at++) {
		uint8_t c = p->text.p[p->at];

		if (c == '.' || c == 'e' || c == 'E' || c == '+' || c == '-') {
			real = true;
		} else if (!is_digit(c)) {
			break;
		}
	}
	s = span_of(p->text.p + from, p->at - from);
	if (real) {
		p->reals++;
		return 0;
	}
	/* a leading zero or a lone minus is jansson's to refuse */
	if (first == p->at || p->text.p[first] == '0' || str_i64(s, INT64_MIN, INT64_MAX, &i) == 0)
		return 0;
	if (minus || str_u64(s, UINT64_MAX, &v) != 0) {
		return PREP_FAIL(p, from, "integer %.*s is out of range: expected %s",
		    s.n < 40 ? (int)s.n : 40, (const char *)s.p,
		    "-9223372036854775808 to 18446744073709551615");
	}
	return write_over(p, from, s.n, v);
}

static void
skip_word(struct prep *p)
{
	while (p->at < p->text.n && p->text.p[p->at] >= 'a' && p->text.p[p->at] <= 'z')
		p->at++;
}

static int
read_token(struct prep *p)
{
	uint8_t c = p->text.p[p->at];

	if (++p->elements > LIMIT_BODY_ELEMENTS)
		return PREP_FAIL(p, p->at, "more than %u values", LIMIT_BODY_ELEMENTS);
	if (c == '"') {
		skip_string(p);
	} else if (c == '-' || is_digit(c)) {
		return read_number(p);
	} else if (c == '[' || c == '{') {
		if (++p->depth > LIMIT_NEST)
			return PREP_FAIL(p, p->at, "nested deeper than %u levels", LIMIT_NEST);
		p->at++;
	} else {
		p->at++;
		skip_word(p);
	}
	return 0;
}

static int
prepare(struct prep *p)
{
	while (p->at < p->text.n) {
		switch (p->text.p[p->at]) {
		case '\n':
			p->line++;
			p->line_at = ++p->at;
			break;
		case ']':
		case '}':
			p->depth -= p->depth > 0;
			p->at++;
			break;
		case ' ':
		case '\t':
		case '\r':
		case ',':
		case ':': p->at++; break;
		default:
			if (read_token(p) != 0)
				return -1;
			break;
		}
	}
	return 0;
}

struct put {
	struct buf *out;
	const struct prep *prep;
	size_t reals, next_big;
};

static void
put_real(struct put *w, double v)
{
	const struct prep *p = w->prep;
	size_t k = w->reals++;

	if (w->next_big < p->big_n && p->big[w->next_big].real == k) {
		mp_put_u64(w->out, p->big[w->next_big++].v);
	} else {
		mp_put_double(w->out, v);
	}
}

static void
put_json(struct put *w, json_t *j)
{
	const char *key;
	json_t *v;
	size_t i;

	switch (json_typeof(j)) {
	case JSON_NULL: mp_put_nil(w->out); break;
	case JSON_TRUE: mp_put_bool(w->out, true); break;
	case JSON_FALSE: mp_put_bool(w->out, false); break;
	case JSON_INTEGER: mp_put_i64(w->out, json_integer_value(j)); break;
	case JSON_REAL: put_real(w, json_real_value(j)); break;
	case JSON_STRING:
		mp_put_str(w->out, span_of(json_string_value(j), json_string_length(j)));
		break;
	case JSON_ARRAY:
		mp_put_array(w->out, json_array_size(j));
		json_array_foreach(j, i, v)
		{
			put_json(w, v);
		}
		break;
	case JSON_OBJECT:
		mp_put_map(w->out, json_object_size(j));
		json_object_foreach(j, key, v)
		{
			mp_put_cstr(w->out, key);
			put_json(w, v);
		}
		break;
	}
}

int
json_thorough(struct span text, struct buf *out, struct json_error *err)
{
	struct prep p = {.text = text, .line = 1, .err = err};
	struct put w = {.out = out, .prep = &p};
	size_t from = out->n;
	json_error_t je;
	json_t *j;
	int rc = -1;

	if (prepare(&p) != 0)
		goto done;
	j = json_loadb((const char *)(p.copy   ? p.copy
				      : text.p ? text.p
					       : (const uint8_t *)""),
	    text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &je);
	if (j == NULL) {
		fail(err, je.line, je.column > 0 ? je.column : 1, "%s", je.text);
		goto done;
	}
	put_json(&w, j);
	json_decref(j);
	if (out->failed) {
		out->n = from;
		fail(err, 0, 0, "too big: over %zu bytes of msgpack", out->max);
		goto done;
	}
	rc = 0;
done:
	free(p.copy);
	free(p.big);
	return rc;
}

int
json_to_mp(struct span text, struct buf *out, struct json_error *err)
{
	return json_plain(text, out) == 0 ? 0 : json_thorough(text, out, err);
}

static size_t
put_escape(char esc[8], uint8_t c)
{
	static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
	const char *at = c ? strchr(from, c) : NULL;

	if (at == NULL)
		return (size_t)snprintf(esc, 8, "\\u%04x", c);
	esc[0] = '\\';
	esc[1] = to[at - from];
	return 2;
}

void
json_put_str(struct buf *out, struct span s)
{
	size_t run = 0, i = 0;
	char esc[8];

	buf_putc(out, '"');
	while (i < s.n) {
		uint8_t c = s.p[i];
		size_t len = str_utf8_len(span_of(s.p + i, s.n - i));

		if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
			i += len;
			continue;
		}
		buf_put(out, s.p + run, i - run);
		if (len == 0) {
			buf_puts(out, "\xef\xbf\xbd");
		} else {
			buf_put(out, esc, put_escape(esc, c));
		}
		run = ++i;
	}
	if (s.n > run)
		buf_put(out, s.p + run, s.n - run);
	buf_putc(out, '"');
}

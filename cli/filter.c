#include "cli/filter.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/str.h"
#include "proto/doc.h"

static enum filter_op
read_op(const char **p)
{
	static const struct {
		const char *text;
		enum filter_op op;
	} ops[] = {{"!=", FILTER_NE}, {">=", FILTER_GE}, {"<=", FILTER_LE}, {"==", FILTER_EQ},
	    {"=", FILTER_EQ}, {"~", FILTER_IN}, {">", FILTER_GT}, {"<", FILTER_LT}};

	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		if (strncmp(*p, ops[i].text, strlen(ops[i].text)) == 0) {
			*p += strlen(ops[i].text);
			return ops[i].op;
		}
	}
	return FILTER_HAS;
}

static int
read_value(struct filter_term *t, const char **p, const char **why)
{
	const char *end;

	t->quoted = **p == '"';
	if (!t->quoted) {
		end = *p + strcspn(*p, ",");
		t->value = span_of(*p, (size_t)(end - *p));
		*p = end;
		return 0;
	}
	end = strchr(*p + 1, '"');
	if (end == NULL) {
		*why = "a quote is not closed";
		return -1;
	}
	t->value = span_of(*p + 1, (size_t)(end - *p - 1));
	*p = end + 1;
	return 0;
}

static int
read_term(struct filter_term *t, const char **p, const char **why)
{
	bool negated = **p == '!';
	size_t n;

	*p += negated;
	*p += **p == '.';
	n = strcspn(*p, "=!~<>,");
	if (n == 0) {
		*why = "a path is missing";
		return -1;
	}
	t->path = span_of(*p, n);
	*p += n;
	t->op = read_op(p);
	if (t->op == FILTER_HAS) {
		t->op = negated ? FILTER_HAS_NOT : FILTER_HAS;
	} else if (negated) {
		*why = "! goes before a path alone; write != to compare";
		return -1;
	} else if (read_value(t, p, why) != 0) {
		return -1;
	}
	if (**p != '\0' && **p != ',') {
		*why = "terms are joined by commas";
		return -1;
	}
	return 0;
}

int
filter_parse(struct filter *f, const char *text, const char **why)
{
	*f = (struct filter){.n = 0};
	while (*text) {
		if (f->n == FILTER_TERMS) {
			*why = "more than 16 terms";
			return -1;
		}
		if (read_term(&f->terms[f->n], &text, why) != 0)
			return -1;
		f->n++;
		if (*text == ',' && *++text == '\0') {
			*why = "a path is missing after the comma";
			return -1;
		}
	}
	return 0;
}

static const msgpack_object *
step(const msgpack_object *o, struct span key)
{
	uint64_t i;

	if (o->type == MSGPACK_OBJECT_ARRAY) {
		if (str_u64(key, UINT32_MAX, &i) != 0 || i >= o->via.array.size)
			return NULL;
		return &o->via.array.ptr[i];
	}
	if (o->type != MSGPACK_OBJECT_MAP)
		return NULL;
	for (uint32_t k = o->via.map.size; k > 0; k--) {
		if (span_eq(doc_span(&o->via.map.ptr[k - 1].key), key))
			return &o->via.map.ptr[k - 1].val;
	}
	return NULL;
}

static const msgpack_object *
walk(const msgpack_object *o, struct span path)
{
	while (o != NULL && path.n > 0) {
		const uint8_t *dot = memchr(path.p, '.', path.n);
		size_t n = dot ? (size_t)(dot - path.p) : path.n;

		o = step(o, span_of(path.p, n));
		path = dot ? span_of(dot + 1, path.n - n - 1) : span_of(path.p, 0);
	}
	return o;
}

static bool
number_of(const msgpack_object *o, double *out)
{
	switch (o->type) {
	case MSGPACK_OBJECT_POSITIVE_INTEGER: *out = (double)o->via.u64; return true;
	case MSGPACK_OBJECT_NEGATIVE_INTEGER: *out = (double)o->via.i64; return true;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64: *out = o->via.f64; return true;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_BOOLEAN:
	case MSGPACK_OBJECT_STR:
	case MSGPACK_OBJECT_ARRAY:
	case MSGPACK_OBJECT_MAP:
	case MSGPACK_OBJECT_BIN:
	case MSGPACK_OBJECT_EXT: break;
	}
	return false;
}

/* Integers beyond 2^53 are compared by their digits. */
static bool
is_equal(const struct filter_term *t, const msgpack_object *o)
{
	double a, b;
	char digits[24];

	if (o->type == MSGPACK_OBJECT_STR)
		return span_eq(doc_span(o), t->value);
	if (t->quoted)
		return false;
	if (o->type == MSGPACK_OBJECT_NIL)
		return span_is(t->value, "null");
	if (o->type == MSGPACK_OBJECT_BOOLEAN)
		return span_is(t->value, o->via.boolean ? "true" : "false");
	if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER) {
		snprintf(digits, sizeof digits, "%" PRIu64, o->via.u64);
		if (span_is(t->value, digits))
			return true;
		if (o->via.u64 > UINT64_C(1) << 53)
			return false;
	}
	return number_of(o, &a) && str_double(t->value, &b) == 0 && a <= b && a >= b;
}

/* <0, 0, >0; *ok false: not comparable. */
static int
compare(const struct filter_term *t, const msgpack_object *o, bool *ok)
{
	struct span s = doc_span(o);
	double a, b;
	int c;

	*ok = true;
	if (number_of(o, &a) && str_double(t->value, &b) == 0)
		return a < b ? -1 : a > b;
	*ok = s.p != NULL;
	if (!*ok)
		return 0;
	c = memcmp(s.p, t->value.p, s.n < t->value.n ? s.n : t->value.n);
	return c != 0 ? c : (s.n > t->value.n) - (s.n < t->value.n);
}

static bool
contains(const struct filter_term *t, const msgpack_object *o)
{
	struct span s = doc_span(o);

	if (o->type == MSGPACK_OBJECT_ARRAY) {
		for (uint32_t i = 0; i < o->via.array.size; i++) {
			if (is_equal(t, &o->via.array.ptr[i]))
				return true;
		}
		return false;
	}
	return s.p != NULL && memmem(s.p, s.n, t->value.p, t->value.n) != NULL;
}

static bool
holds(const struct filter_term *t, const msgpack_object *o)
{
	bool ok, there = o != NULL && o->type != MSGPACK_OBJECT_NIL &&
			 !(o->type == MSGPACK_OBJECT_BOOLEAN && !o->via.boolean);
	int c;

	if (t->op == FILTER_HAS || t->op == FILTER_HAS_NOT)
		return there == (t->op == FILTER_HAS);
	if (o == NULL)
		return t->op == FILTER_NE;
	if (t->op == FILTER_EQ || t->op == FILTER_NE)
		return is_equal(t, o) == (t->op == FILTER_EQ);
	if (t->op == FILTER_IN)
		return contains(t, o);
	c = compare(t, o, &ok);
	if (!ok)
		return false;
	return (c > 0 && (t->op == FILTER_GT || t->op == FILTER_GE)) ||
	       (c < 0 && (t->op == FILTER_LT || t->op == FILTER_LE)) ||
	       (c == 0 && (t->op == FILTER_GE || t->op == FILTER_LE));
}

bool
filter_match(const struct filter *f, const msgpack_object *body)
{
	for (unsigned i = 0; i < f->n; i++) {
		if (!holds(&f->terms[i], walk(body, f->terms[i].path)))
			return false;
	}
	return true;
}

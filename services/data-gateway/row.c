#include "services/data-gateway/row.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"

size_t
row_path_push(struct row_path *p, struct span token)
{
	size_t back = p->n;

	faults_push(p->text, sizeof p->text, token);
	p->n = strlen(p->text);
	return back;
}

size_t
row_path_push_index(struct row_path *p, uint64_t i)
{
	size_t back = p->n;

	(void)snprintf(p->text + p->n, sizeof p->text - p->n, "/%llu", (unsigned long long)i);
	p->n = strlen(p->text);
	return back;
}

void
row_path_pop(struct row_path *p, size_t back)
{
	p->text[back] = '\0';
	p->n = back;
}

static const char *
type_name(enum mp_type t)
{
	static const char *const names[] = {[MP_NONE] = "nothing",
	    [MP_NIL] = "null",
	    [MP_BOOL] = "a boolean",
	    [MP_INT] = "an integer",
	    [MP_FLOAT] = "a number with a fraction",
	    [MP_STR] = "a string",
	    [MP_BIN] = "bytes",
	    [MP_ARRAY] = "an array",
	    [MP_MAP] = "an object",
	    [MP_EXT] = "a msgpack extension"};

	return names[t];
}

void
row_fault_type(struct row_path *at, struct faults *f, const char *expected, enum mp_type found)
{
	faults_add(f, at->text, "expected %s, found %s", expected, type_name(found));
}

static void
fault_at_key(struct row_path *at, struct faults *f, struct span key, const char *what)
{
	size_t back = row_path_push(at, key);

	faults_add(f, at->text, "%s", what);
	row_path_pop(at, back);
}

static int
cmp_span(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c != 0 ? c : (x->n > y->n) - (x->n < y->n);
}

/* JSON at the edge has no key twice; a native caller may send one.  Sorts the keys. */
static void
check_twice(struct row_path *at, struct faults *f, struct span *keys, unsigned n)
{
	if (n < 2)
		return;
	qsort(keys, n, sizeof *keys, cmp_span);
	for (unsigned i = 1; i < n; i++) {
		if (span_eq(keys[i - 1], keys[i]))
			fault_at_key(at, f, keys[i], "this key is there twice");
	}
}

static void
check_key(struct row_path *at, struct faults *f, struct span key)
{
	if (key.n > ROW_KEY_MAX) {
		fault_at_key(at, f, span_of(key.p, 32), "a key is at most 255 bytes long");
	} else if (!str_is_camel(key)) {
		fault_at_key(at, f, key,
		    "expected a camelCase key: a lower-case letter, then letters and digits");
	}
}

/* Destinations keep values as JSON, which knows neither NaN nor extensions nor keys that are no
 * strings: better refused here than changed there.  As deep as the scan allowed. */
static bool
has_json_form(struct mp_r *r)
{
	bool ok = true;

	switch (mp_peek(r)) {
	case MP_FLOAT: return isfinite(mp_double(r));
	case MP_NONE:
	case MP_EXT: return false;
	case MP_ARRAY:
		for (unsigned n = mp_array(r); ok && n > 0; n--)
			ok = has_json_form(r);
		return ok;
	case MP_MAP:
		for (unsigned n = mp_map(r); ok && n > 0; n--)
			ok = mp_peek(r) == MP_STR && mp_raw(r).p != NULL && has_json_form(r);
		return ok;
	case MP_NIL:
	case MP_BOOL:
	case MP_INT:
	case MP_STR:
	case MP_BIN: (void)mp_raw(r);
	}
	return true;
}

static void
check_value(struct row_path *at, struct faults *f, struct span key, struct span value)
{
	struct mp_r r;

	mp_r_init(&r, value);
	if (!has_json_form(&r)) {
		fault_at_key(
		    at, f, key, "has no JSON form: NaN, an infinity, or a msgpack extension");
	}
}

static void
check_data(struct mp_r *r, struct row_path *at, struct faults *f)
{
	struct span keys[ROW_KEYS_MAX];
	unsigned n, kept = 0;

	if (mp_peek(r) != MP_MAP) {
		row_fault_type(at, f, "an object", mp_peek(r));
		(void)mp_raw(r);
		return;
	}
	n = mp_map(r);
	if (n == 0)
		faults_add(f, at->text, "expected at least one key");
	if (n > ROW_KEYS_MAX)
		faults_add(f, at->text, "at most %u keys in a row, found %u", ROW_KEYS_MAX, n);
	for (unsigned i = 0; i < n && !r->bad; i++) {
		struct span key = {NULL, 0};

		if (mp_peek(r) == MP_STR) {
			key = mp_str(r, SIZE_MAX);
			check_key(at, f, key);
			if (kept < ROW_KEYS_MAX)
				keys[kept++] = key;
		} else {
			row_fault_type(at, f, "keys that are strings", mp_peek(r));
			(void)mp_raw(r);
		}
		check_value(at, f, key, mp_raw(r));
	}
	check_twice(at, f, keys, kept);
}

static void
check_index(struct mp_r *r, struct row_path *at, struct faults *f)
{
	enum mp_type t = mp_peek(r);
	struct mp_r one;

	mp_r_init(&one, mp_raw(r));
	if (t == MP_NIL)
		return;
	if (t != MP_INT) {
		row_fault_type(at, f, "an integer of at least 0", t);
	} else if ((void)mp_u64(&one, INT64_MAX), one.bad) {
		faults_add(f, at->text, "expected an integer of at least 0");
	}
}

/* One key of a row and its value. */
static void
check_member(struct mp_r *r, struct row_path *at, struct faults *f, unsigned have[2])
{
	struct span key = mp_peek(r) == MP_STR ? mp_str(r, SIZE_MAX) : mp_raw(r);
	size_t back = row_path_push(at, key);
	bool is_data = span_is(key, "data"), is_index = span_is(key, "index");

	if (is_data && have[0]++ == 0) {
		check_data(r, at, f);
	} else if (is_index && have[1]++ == 0) {
		check_index(r, at, f);
	} else {
		faults_add(f, at->text, "%s",
		    is_data || is_index ? "this key is there twice"
					: "unknown key; a row has `data` and may have `index`");
		(void)mp_raw(r);
	}
	row_path_pop(at, back);
}

void
row_check(struct mp_r *r, struct row_path *at, struct faults *f)
{
	unsigned n, have[2] = {0, 0};

	if (mp_peek(r) != MP_MAP) {
		row_fault_type(at, f, "an object with `data`", mp_peek(r));
		(void)mp_raw(r);
		return;
	}
	n = mp_map(r);
	for (unsigned i = 0; i < n && !r->bad; i++)
		check_member(r, at, f, have);
	if (have[0] == 0) {
		fault_at_key(
		    at, f, span_str("data"), "is missing: an object with at least one key");
	}
}

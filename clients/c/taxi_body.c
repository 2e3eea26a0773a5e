#include <stdlib.h>
#include <string.h>

#include "clients/c/taxi_priv.h"
#include "proto/json.h"
#include "proto/mp.h"

void *
taxi_body_of_json(const char *json, size_t *n)
{
	struct buf b;
	uint8_t *p;
	size_t size;

	buf_init(&b, LIMIT_FRAME);
	if (json_to_mp(span_str(json), &b, NULL) != 0) {
		buf_fini(&b);
		return NULL;
	}
	buf_take(&b, &p, &size);
	if (n)
		*n = size;
	return p;
}

char *
taxi_body_to_json(const void *body, size_t n)
{
	struct buf b;
	uint8_t *p;
	size_t size;

	buf_init(&b, (size_t)LIMIT_FRAME * 8);
	if (json_from_mp(span_of(body, n), &b, 0) != 0) {
		buf_fini(&b);
		return NULL;
	}
	buf_putc(&b, '\0');
	buf_take(&b, &p, &size);
	return (char *)p;
}

void
taxi_free(void *p)
{
	free(p);
}

/* A reader over a body that is known to be whole; NULL for r->p is "no body". */
static bool
open_body(struct mp_r *r, const void *body, size_t n)
{
	struct span s = span_of(body, n);

	if (body == NULL || mp_scan(s, LIMIT_NEST, LIMIT_BODY_ELEMENTS) != n)
		return false;
	mp_r_init(r, s);
	return true;
}

static struct span
find(const void *body, size_t n, const char *key)
{
	struct span found = {NULL, 0};
	struct mp_r r;

	if (!open_body(&r, body, n) || mp_peek(&r) != MP_MAP)
		return found;
	for (unsigned pairs = mp_map(&r); pairs > 0; pairs--) {
		struct span name = mp_raw(&r), value = mp_raw(&r);
		struct mp_r in;

		mp_r_init(&in, name);
		if (mp_peek(&in) == MP_STR && span_is(mp_str(&in, n), key))
			found = value; /* the last one wins */
	}
	return found;
}

const void *
taxi_body_get(const void *body, size_t n, const char *key, size_t *value_n)
{
	struct span found = find(body, n, key);

	if (value_n)
		*value_n = found.n;
	return found.p;
}

const void *
taxi_body_at(const void *body, size_t n, size_t i, size_t *value_n)
{
	struct span found = {NULL, 0};
	struct mp_r r;

	if (open_body(&r, body, n) && mp_peek(&r) == MP_ARRAY && i < mp_array(&r)) {
		while (i-- > 0)
			(void)mp_raw(&r);
		found = mp_raw(&r);
	}
	if (value_n)
		*value_n = found.n;
	return found.p;
}

const char *
taxi_body_str(const void *body, size_t n, const char *key, size_t *str_n)
{
	struct span found = find(body, n, key), s = {NULL, 0};
	struct mp_r r;

	mp_r_init(&r, found);
	if (found.p && mp_peek(&r) == MP_STR) {
		s = mp_str(&r, n);
	} else if (found.p && mp_peek(&r) == MP_BIN) {
		s = mp_bin(&r, n);
	}
	if (str_n)
		*str_n = s.n;
	return (const char *)s.p;
}

int64_t
taxi_body_int(const void *body, size_t n, const char *key, int64_t absent)
{
	struct span found = find(body, n, key);
	struct mp_r r;
	int64_t v;

	mp_r_init(&r, found);
	if (found.p == NULL || mp_peek(&r) != MP_INT)
		return absent;
	v = mp_i64(&r);
	return r.bad ? absent : v;
}

double
taxi_body_double(const void *body, size_t n, const char *key, double absent)
{
	struct span found = find(body, n, key);
	struct mp_r r;
	double v;

	mp_r_init(&r, found);
	if (found.p == NULL)
		return absent;
	v = mp_double(&r);
	return r.bad ? absent : v;
}

bool
taxi_body_bool(const void *body, size_t n, const char *key, bool absent)
{
	struct span found = find(body, n, key);
	struct mp_r r;

	mp_r_init(&r, found);
	return found.p && mp_peek(&r) == MP_BOOL ? mp_bool(&r) : absent;
}

/* The golden vectors (tests/vectors/README.md) against the C decoder and encoder. */
#include "tests/unit/check.h"

#include <dirent.h>
#include <jansson.h>
#include <stdlib.h>

#include "base/str.h"
#include "proto/env.h"
#include "proto/mp.h"

#define VECTORS "tests/vectors"

static unsigned verbs_seen;
static uint64_t metas_seen;

static const struct {
	const char *name;
	char kind;
} keys[ENV_M_COUNT] = {
#define X(id, name, kind, max) [ENV_M_##id] = {#name, #kind[0]},
    ENV_METAS(X)
#undef X
};

static size_t
unhex(const char *hex, uint8_t *out)
{
	size_t n = 0;
	unsigned v;

	for (; hex[0] && hex[1] && hex[0] != '\n'; hex += 2) {
		v = (unsigned)strtoul((char[]){hex[0], hex[1], 0}, NULL, 16);
		out[n++] = (uint8_t)v;
	}
	return n;
}

static void put_said(struct buf *b, json_t *j);

/* The tagged forms for what JSON cannot say. */
static bool
put_tagged(struct buf *b, const char *tag, json_t *v)
{
	const char *text = json_string_value(v);
	uint8_t bytes[4096];
	uint64_t u = 0;
	double d = 0;
	size_t i;
	json_t *it;

	if (strcmp(tag, "$bin") == 0) {
		mp_put_bin(b, span_of(bytes, unhex(text, bytes)));
	} else if (strcmp(tag, "$u64") == 0) {
		CHECK(str_u64(span_str(text), UINT64_MAX, &u) == 0);
		mp_put_u64(b, u);
	} else if (strcmp(tag, "$float") == 0) {
		CHECK(str_double(span_str(text), &d) == 0);
		mp_put_double(b, d);
	} else if (strcmp(tag, "$ext") == 0) {
		size_t n = unhex(json_string_value(json_array_get(v, 1)), bytes);
		msgpack_object o = {.type = MSGPACK_OBJECT_EXT};

		o.via.ext.type = (int8_t)json_integer_value(json_array_get(v, 0));
		o.via.ext.size = (uint32_t)n;
		o.via.ext.ptr = (const char *)bytes;
		mp_put_object(b, &o);
	} else if (strcmp(tag, "$map") == 0) {
		mp_put_map(b, json_array_size(v));
		json_array_foreach(v, i, it)
		{
			put_said(b, json_array_get(it, 0));
			put_said(b, json_array_get(it, 1));
		}
	} else {
		return false;
	}
	return true;
}

/* msgpack for what a vector says of a value. */
static void
put_said(struct buf *b, json_t *j)
{
	const char *key;
	json_t *v;
	size_t i;

	switch (json_typeof(j)) {
	case JSON_NULL: mp_put_nil(b); break;
	case JSON_TRUE: mp_put_bool(b, true); break;
	case JSON_FALSE: mp_put_bool(b, false); break;
	case JSON_INTEGER: mp_put_i64(b, json_integer_value(j)); break;
	case JSON_REAL: mp_put_double(b, json_real_value(j)); break;
	case JSON_STRING:
		mp_put_str(b, span_of(json_string_value(j), json_string_length(j)));
		break;
	case JSON_ARRAY:
		mp_put_array(b, json_array_size(j));
		json_array_foreach(j, i, v)
		{
			put_said(b, v);
		}
		break;
	case JSON_OBJECT:
		json_object_foreach(j, key, v)
		{
			if (put_tagged(b, key, v))
				return;
		}
		mp_put_map(b, json_object_size(j));
		json_object_foreach(j, key, v)
		{
			mp_put_cstr(b, key);
			put_said(b, v);
		}
		break;
	}
}

static unsigned
key_of(const char *name)
{
	unsigned k = 0;

	while (k < ENV_M_COUNT && strcmp(keys[k].name, name) != 0)
		k++;
	return k;
}

/* Key by key, what the vector says against what was decoded. */
static bool
meta_is(const struct env *e, json_t *meta)
{
	struct buf said, got;
	uint64_t left = e->has;
	const char *name;
	bool same = true;
	json_t *v;

	buf_init(&said, 1 << 16);
	buf_init(&got, 1 << 16);
	json_object_foreach(meta, name, v)
	{
		unsigned k = key_of(name);

		same = same && k < ENV_M_COUNT && env_has(e, k);
		if (!same)
			break;
		left &= ~(UINT64_C(1) << k);
		metas_seen |= UINT64_C(1) << k;
		buf_reset(&said);
		buf_reset(&got);
		put_said(&said, v);
		switch (keys[k].kind) {
		case 'U': mp_put_u64(&got, e->m[k].u); break;
		case 'T': mp_put_bool(&got, e->m[k].u); break;
		case 'S': mp_put_str(&got, e->m[k].s); break;
		case 'B': mp_put_bin(&got, e->m[k].s); break;
		default: buf_put(&got, e->m[k].s.p, e->m[k].s.n); break;
		}
		same = same && span_eq(buf_span(&said), buf_span(&got));
	}
	buf_fini(&said);
	buf_fini(&got);
	return same && left == 0;
}

/* The same value in other bytes. */
static bool
same_value(struct span a, struct span b)
{
	struct mp_r x, y;

	mp_r_init(&x, a);
	mp_r_init(&y, b);
	if (mp_peek(&x) != mp_peek(&y))
		return false;
	if (mp_peek(&x) == MP_FLOAT)
		return mp_double(&x) == mp_double(&y);
	if (mp_peek(&x) == MP_STR)
		return span_eq(mp_str(&x, SIZE_MAX), mp_str(&y, SIZE_MAX));
	return mp_array(&x) == mp_array(&y) && !x.bad && span_eq(mp_raw(&x), mp_raw(&y)) &&
	       mp_done(&x);
}

static bool
body_is(struct span body, json_t *said, bool exact)
{
	struct buf b;
	bool same;

	if (said == NULL)
		return body.n == 0;
	buf_init(&b, 1 << 20);
	put_said(&b, said);
	same = span_eq(buf_span(&b), body) || (!exact && same_value(body, buf_span(&b)));
	buf_fini(&b);
	return same;
}

static bool
id_is(const uint8_t id[16], json_t *c)
{
	uint8_t want[64];

	return unhex(json_string_value(json_object_get(c, "id")), want) == 16 &&
	       memcmp(id, want, 16) == 0;
}

static bool
encodes_to(const struct env *e, struct span frame)
{
	struct buf out;
	bool same;

	buf_init(&out, LIMIT_FRAME_RX);
	same = env_encode(e, &out) == ERR_OK && span_eq(buf_span(&out), frame);
	buf_fini(&out);
	return same;
}

static bool
means(struct span frame, json_t *c, bool canonical)
{
	json_t *inner = json_object_get(c, "inner");
	const char *why;
	struct env e;

	if (env_decode(&e, frame, true, &why) != ERR_OK || *why != 0)
		return false;
	verbs_seen |= 1u << e.verb;
	if (strcmp(env_verb_name(e.verb), json_string_value(json_object_get(c, "verb"))) != 0 ||
	    !span_is(e.topic, json_string_value(json_object_get(c, "topic"))) || !id_is(e.id, c) ||
	    !meta_is(&e, json_object_get(c, "meta")))
		return false;
	if (canonical && !encodes_to(&e, frame))
		return false;
	return inner ? means(e.body, inner, canonical)
		     : body_is(e.body, json_object_get(c, "body"), canonical);
}

static bool
is_refused(struct span frame, json_t *c)
{
	const char *why = "";
	struct env e;
	enum err rc = env_decode(&e, frame, true, &why);

	return rc != ERR_OK && *why &&
	       strcmp(err_name(rc), json_string_value(json_object_get(c, "error"))) == 0 &&
	       id_is(e.id, c);
}

/* The frame cut at each byte. */
static bool
cuts_are(struct span frame, json_t *c)
{
	static const uint8_t zeros[16];
	json_t *whole = json_object_get(c, "cuts"), *v;
	size_t id_from = (size_t)json_integer_value(json_object_get(c, "id_from")), i;
	bool good = true;

	for (size_t n = 0; n < frame.n; n++) {
		/* memory of exactly that size, so that a sanitizer sees any read past it */
		uint8_t *cut = malloc(n ? n : 1);
		bool ok = false;
		struct env e;
		enum err rc;

		memcpy(cut, frame.p, n);
		json_array_foreach(whole, i, v)
		{
			ok = ok || (size_t)json_integer_value(v) == n;
		}
		rc = env_decode(&e, span_of(cut, n), true, NULL);
		good = good && rc == (ok ? ERR_OK : ERR_BAD_ENVELOPE);
		good = good && (n >= id_from ? id_is(e.id, c) : memcmp(e.id, zeros, 16) == 0);
		free(cut);
	}
	return good;
}

static bool
case_holds(struct span frame, json_t *c)
{
	if (json_object_get(c, "error"))
		return is_refused(frame, c);
	if (json_object_get(c, "cuts") && !cuts_are(frame, c))
		return false;
	return means(frame, c, json_is_true(json_object_get(c, "canonical")));
}

static void
run_file(const char *name)
{
	char path[512], about[256];
	char *line = NULL;
	size_t cap = 0, n = 0, got;
	json_t *cases, *c;
	FILE *f;

	snprintf(path, sizeof path, VECTORS "/%s.json", name);
	cases = json_load_file(path, JSON_ALLOW_NUL, NULL);
	snprintf(path, sizeof path, VECTORS "/%s.hex", name);
	f = fopen(path, "r");
	if (!CHECK(cases != NULL && f != NULL))
		return;
	while (getline(&line, &cap, f) > 0 && (c = json_array_get(cases, n)) != NULL) {
		uint8_t *frame = malloc(strlen(line) / 2 + 1);

		got = unhex(line, frame);
		snprintf(about, sizeof about, "%s: %s", name,
		    json_string_value(json_object_get(c, "about")));
		check_at(case_holds(span_of(frame, got), c), about, path, (int)++n);
		free(frame);
	}
	CHECK(n > 0 && n == json_array_size(cases) && getline(&line, &cap, f) == -1);
	free(line);
	fclose(f);
	json_decref(cases);
}

int
main(void)
{
	DIR *d = opendir(VECTORS);
	unsigned files = 0;
	struct dirent *it;

	if (!CHECK(d != NULL))
		return check_done();
	while ((it = readdir(d)) != NULL) {
		char *dot = strrchr(it->d_name, '.');

		if (dot == NULL || strcmp(dot, ".hex") != 0)
			continue;
		*dot = 0;
		run_file(it->d_name);
		files++;
	}
	closedir(d);
	CHECK(files >= 12);
	CHECK(verbs_seen == (1u << ENV_VERB_COUNT) - 2);
	CHECK(metas_seen == (UINT64_C(1) << ENV_M_COUNT) - 1);
	return check_done();
}

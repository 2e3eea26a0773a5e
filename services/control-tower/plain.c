#include "services/control-tower/plain.h"

#include <math.h>
#include <stdio.h>

#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum { FAULTS_ENOUGH = 20, POINTER_MAX = 256 };

/* Where the walk is; text is made of it only when there is something to say. */
struct place {
	const struct place *up;
	const char *root; /* of the outermost */
	struct span key;
	uint32_t index; /* when key is absent */
};

static void
put_place(const struct place *at, char pointer[POINTER_MAX])
{
	if (at->up == NULL) {
		(void)snprintf(pointer, POINTER_MAX, "%s", at->root);
		return;
	}
	put_place(at->up, pointer);
	if (at->key.p != NULL) {
		faults_push(pointer, POINTER_MAX, at->key);
	} else {
		char index[16];

		(void)snprintf(index, sizeof index, "%u", at->index);
		faults_push(pointer, POINTER_MAX, span_str(index));
	}
}

static void
complain(const struct place *at, struct faults *f, const char *what)
{
	char pointer[POINTER_MAX];

	put_place(at, pointer);
	faults_add(f, pointer, "%s", what);
}

static void walk(const msgpack_object *o, const struct place *at, struct faults *f);

static void
walk_map(const msgpack_object *o, const struct place *at, struct faults *f)
{
	for (uint32_t i = 0; i < o->via.map.size && f->n < FAULTS_ENOUGH; i++) {
		const msgpack_object_kv *kv = &o->via.map.ptr[i];
		struct place in = {.up = at, .key = doc_span(&kv->key)};

		if (kv->key.type != MSGPACK_OBJECT_STR) {
			complain(at, f, "expected keys that are text");
		} else if (memchr(in.key.p, '\0', in.key.n) != NULL) {
			complain(at, f, "expected keys without a NUL character");
		} else {
			walk(&kv->val, &in, f);
		}
	}
}

static void
walk(const msgpack_object *o, const struct place *at, struct faults *f)
{
	switch (o->type) {
	case MSGPACK_OBJECT_MAP: walk_map(o, at, f); break;
	case MSGPACK_OBJECT_ARRAY:
		for (uint32_t i = 0; i < o->via.array.size && f->n < FAULTS_ENOUGH; i++) {
			struct place in = {.up = at, .index = i};

			walk(&o->via.array.ptr[i], &in, f);
		}
		break;
	case MSGPACK_OBJECT_FLOAT32:
	case MSGPACK_OBJECT_FLOAT64:
		if (!isfinite(o->via.f64))
			complain(at, f, "expected a finite number");
		break;
	case MSGPACK_OBJECT_EXT:
		complain(at, f, "expected a value that JSON has, not an extension");
		break;
	case MSGPACK_OBJECT_NIL:
	case MSGPACK_OBJECT_BOOLEAN:
	case MSGPACK_OBJECT_POSITIVE_INTEGER:
	case MSGPACK_OBJECT_NEGATIVE_INTEGER:
	case MSGPACK_OBJECT_STR:
	case MSGPACK_OBJECT_BIN: break;
	}
}

void
plain_check(const msgpack_object *o, const char *pointer, struct faults *f)
{
	struct place at = {.up = NULL, .root = pointer};

	walk(o, &at, f);
}

bool
plain_is_label(struct span s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 0x20 || s.p[i] == 0x7f)
			return false;
	}
	return true;
}

/* `n` digits at *i, as a number within [min, max]. */
static bool
digits(struct span s, size_t *i, size_t n, const int range[2])
{
	int v = 0;

	for (size_t end = *i + n; *i < end; ++*i) {
		if (*i >= s.n || s.p[*i] < '0' || s.p[*i] > '9')
			return false;
		v = v * 10 + (s.p[*i] - '0');
	}
	return v >= range[0] && v <= range[1];
}

static bool
one_of(struct span s, size_t *i, const char *set)
{
	return *i < s.n && s.p[*i] != 0 && strchr(set, s.p[(*i)++]) != NULL;
}

static bool
is_offset(struct span s, size_t i)
{
	static const int hour[2] = {0, 23}, minute[2] = {0, 59};

	if (i + 1 == s.n)
		return one_of(s, &i, "Zz");
	return one_of(s, &i, "+-") && digits(s, &i, 2, hour) && one_of(s, &i, ":") &&
	       digits(s, &i, 2, minute) && i == s.n;
}

bool
plain_is_time(struct span s)
{
	static const int year[2] = {1, 9999}, month[2] = {1, 12}, day[2] = {1, 31},
			 hour[2] = {0, 23}, minute[2] = {0, 59}, second[2] = {0, 60};
	size_t i = 0;

	if (!digits(s, &i, 4, year) || !one_of(s, &i, "-") || !digits(s, &i, 2, month) ||
	    !one_of(s, &i, "-") || !digits(s, &i, 2, day) || !one_of(s, &i, "Tt ") ||
	    !digits(s, &i, 2, hour) || !one_of(s, &i, ":") || !digits(s, &i, 2, minute) ||
	    !one_of(s, &i, ":") || !digits(s, &i, 2, second))
		return false;
	if (i < s.n && s.p[i] == '.') {
		size_t from = ++i;

		while (i < s.n && s.p[i] >= '0' && s.p[i] <= '9')
			i++;
		if (i == from || i - from > 9)
			return false;
	}
	return is_offset(s, i);
}

int
plain_put_json(const msgpack_object *o, struct buf *out)
{
	struct buf mp;
	int rc = -1;

	buf_init(&mp, LIMIT_FRAME_RX);
	mp_put_object(&mp, o);
	if (!mp.failed)
		rc = json_from_mp(buf_span(&mp), out, 0);
	buf_fini(&mp);
	return rc;
}

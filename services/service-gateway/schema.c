#include "services/service-gateway/schema.h"

#include <regex.h>
#include <stdio.h>

#include "base/str.h"
#include "proto/limits.h"
#include "proto/mp.h"

static const char *const known[] = {"type", "properties", "required", "additionalProperties",
    "default", "enum", "pattern", "minimum", "maximum", "minLength", "maxLength", "items", "title",
    "description", "examples", "format"};

static bool
is_known(struct span key)
{
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (span_is(key, known[i]))
			return true;
	}
	return false;
}

static int
compile(struct span pattern, regex_t *re)
{
	char text[256];

	if (!str_copy(text, sizeof text, pattern))
		return -1;
	return regcomp(re, text, REG_EXTENDED | REG_NOSUB) == 0 ? 0 : -1;
}

static int
check_pattern(const msgpack_object *schema, char why[256])
{
	struct span p = doc_str(schema, "pattern");
	regex_t re;

	if (p.p == NULL)
		return 0;
	if (compile(p, &re) != 0) {
		snprintf(why, 256,
		    "pattern '%.*s' is no POSIX extended regular expression of at most 255 bytes",
		    (int)p.n, (const char *)p.p);
		return -1;
	}
	regfree(&re);
	return 0;
}

int
schema_check(const msgpack_object *schema, char why[256])
{
	const msgpack_object *props, *items;

	if (schema == NULL || schema->type != MSGPACK_OBJECT_MAP) {
		snprintf(why, 256, "a schema must be an object");
		return -1;
	}
	for (uint32_t i = 0; i < schema->via.map.size; i++) {
		struct span key = doc_span(&schema->via.map.ptr[i].key);

		if (!is_known(key)) {
			snprintf(why, 256, "the keyword '%.*s' is not supported", (int)key.n,
			    (const char *)key.p);
			return -1;
		}
	}
	if (check_pattern(schema, why) != 0)
		return -1;
	props = doc_get(schema, "properties");
	for (uint32_t i = 0; props && props->type == MSGPACK_OBJECT_MAP && i < props->via.map.size;
	     i++) {
		if (schema_check(&props->via.map.ptr[i].val, why) != 0)
			return -1;
	}
	items = doc_get(schema, "items");
	return items ? schema_check(items, why) : 0;
}

static bool
type_fits(struct span type, const msgpack_object *v)
{
	const char *is = doc_type_name(v);

	if (span_is(type, "number"))
		return strcmp(is, "integer") == 0 || strcmp(is, "number") == 0;
	return span_is(type, is);
}

static void
apply_string(const msgpack_object *schema, struct span v, const char *pointer, struct faults *f)
{
	struct span p = doc_str(schema, "pattern");
	int64_t min = doc_i64(schema, "minLength", 0),
		max = doc_i64(schema, "maxLength", INT64_MAX);
	char text[1024];
	regex_t re;

	if ((int64_t)v.n < min || (int64_t)v.n > max) {
		faults_add(f, pointer, "expected %lld to %lld bytes, got %zu", (long long)min,
		    (long long)max, v.n);
	}
	if (p.p == NULL || compile(p, &re) != 0)
		return;
	if (memchr(v.p, 0, v.n) || !str_copy(text, sizeof text, v) ||
	    regexec(&re, text, 0, NULL, 0) != 0) {
		faults_add(
		    f, pointer, "expected text that matches %.*s", (int)p.n, (const char *)p.p);
	}
	regfree(&re);
}

static double
number(const msgpack_object *o)
{
	if (o->type == MSGPACK_OBJECT_POSITIVE_INTEGER)
		return (double)o->via.u64;
	if (o->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return (double)o->via.i64;
	return o->via.f64;
}

static void
apply_number(
    const msgpack_object *schema, const msgpack_object *v, const char *pointer, struct faults *f)
{
	const msgpack_object *min = doc_get(schema, "minimum"), *max = doc_get(schema, "maximum");

	if (min && number(v) < number(min))
		faults_add(f, pointer, "expected at least %g", number(min));
	if (max && number(v) > number(max))
		faults_add(f, pointer, "expected at most %g", number(max));
}

static void
apply_object(
    const msgpack_object *schema, const msgpack_object *v, const char *pointer, struct faults *f)
{
	const msgpack_object *props = doc_get(schema, "properties"),
			     *required = doc_get(schema, "required");
	bool closed = !doc_bool(schema, "additionalProperties", true);
	char at[512], name[LIMIT_KEY + 1];

	for (uint32_t i = 0; i < v->via.map.size; i++) {
		struct span key = doc_span(&v->via.map.ptr[i].key);
		const msgpack_object *sub =
		    str_copy(name, sizeof name, key) ? doc_get(props, name) : NULL;

		snprintf(at, sizeof at, "%s", pointer);
		faults_push(at, sizeof at, key);
		if (sub) {
			schema_apply(sub, &v->via.map.ptr[i].val, at, f);
		} else if (closed) {
			faults_add(f, at, "no such field");
		}
	}
	for (uint32_t i = 0;
	     required && required->type == MSGPACK_OBJECT_ARRAY && i < required->via.array.size;
	     i++) {
		struct span key = doc_span(&required->via.array.ptr[i]);

		if (!str_copy(name, sizeof name, key) || doc_get(v, name) != NULL)
			continue;
		snprintf(at, sizeof at, "%s", pointer);
		faults_push(at, sizeof at, key);
		faults_add(f, at, "required");
	}
}

static void
apply_array(
    const msgpack_object *schema, const msgpack_object *v, const char *pointer, struct faults *f)
{
	const msgpack_object *items = doc_get(schema, "items");
	char at[512], index[16];

	for (uint32_t i = 0; items && i < v->via.array.size; i++) {
		snprintf(index, sizeof index, "%u", i);
		snprintf(at, sizeof at, "%s", pointer);
		faults_push(at, sizeof at, span_str(index));
		schema_apply(items, &v->via.array.ptr[i], at, f);
	}
}

static void
apply_enum(
    const msgpack_object *schema, const msgpack_object *v, const char *pointer, struct faults *f)
{
	const msgpack_object *list = doc_get(schema, "enum");

	if (list == NULL || list->type != MSGPACK_OBJECT_ARRAY)
		return;
	for (uint32_t i = 0; i < list->via.array.size; i++) {
		if (msgpack_object_equal(list->via.array.ptr[i], *v))
			return;
	}
	faults_add(f, pointer, "not one of the values listed in the schema");
}

void
schema_apply(const msgpack_object *schema, const msgpack_object *value, const char *pointer,
    struct faults *f)
{
	static const msgpack_object empty = {.type = MSGPACK_OBJECT_MAP};
	struct span type = doc_str(schema, "type");
	const msgpack_object *v = value ? value : &empty;

	if (type.p != NULL && !type_fits(type, v)) {
		faults_add(f, pointer, "expected %.*s, got %s", (int)type.n, (const char *)type.p,
		    doc_type_name(v));
		return;
	}
	apply_enum(schema, v, pointer, f);
	if (v->type == MSGPACK_OBJECT_STR) {
		apply_string(schema, doc_span(v), pointer, f);
	} else if (v->type == MSGPACK_OBJECT_MAP) {
		apply_object(schema, v, pointer, f);
	} else if (v->type == MSGPACK_OBJECT_ARRAY) {
		apply_array(schema, v, pointer, f);
	} else if (strcmp(doc_type_name(v), "integer") == 0 ||
		   strcmp(doc_type_name(v), "number") == 0) {
		apply_number(schema, v, pointer, f);
	}
}

void
schema_put_defaults(const msgpack_object *schema, const msgpack_object *value, struct buf *out)
{
	const msgpack_object *props = doc_get(schema, "properties");
	uint32_t given = value && value->type == MSGPACK_OBJECT_MAP ? value->via.map.size : 0,
		 nprops, more = 0;
	char name[LIMIT_KEY + 1];

	nprops = props && props->type == MSGPACK_OBJECT_MAP ? props->via.map.size : 0;
	/* Two passes: msgpack wants the number of pairs before the first. */
	for (int pass = 0; pass < 2; pass++) {
		for (uint32_t i = 0; i < nprops; i++) {
			const msgpack_object *def = doc_get(&props->via.map.ptr[i].val, "default");

			if (def == NULL ||
			    !str_copy(name, sizeof name, doc_span(&props->via.map.ptr[i].key)) ||
			    doc_get(value, name) != NULL)
				continue;
			more++;
			if (pass == 1) {
				mp_put_cstr(out, name);
				mp_put_object(out, def);
			}
		}
		if (pass == 1)
			break;
		mp_put_map(out, given + more);
		for (uint32_t i = 0; i < given; i++) {
			mp_put_object(out, &value->via.map.ptr[i].key);
			mp_put_object(out, &value->via.map.ptr[i].val);
		}
	}
}

#include "services/control-tower/trigger.h"

#include <stdio.h>

#include "base/str.h"
#include "base/uuid.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "proto/topic.h"
#include "services/control-tower/plain.h"

enum { POINTER_MAX = 64 };

static bool
is_alnum(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The i-th part between slashes; {NULL,0} past the end. */
static struct span
part(struct span s, unsigned i)
{
	for (;; i--) {
		const uint8_t *slash = s.n > 0 ? memchr(s.p, '/', s.n) : NULL;
		size_t n = slash ? (size_t)(slash - s.p) : s.n;

		if (i == 0)
			return span_of(s.p, n);
		if (slash == NULL)
			return span_of(NULL, 0);
		s = span_of(slash + 1, s.n - n - 1);
	}
}

static bool
is_version(struct span s)
{
	if (s.n < 2 || s.n > LIMIT_TOKEN || (s.p[0] != 'v' && s.p[0] != 'V') || s.p[1] < '1' ||
	    s.p[1] > '9')
		return false;
	for (size_t i = 2; i < s.n; i++) {
		if (!is_alnum(s.p[i]))
			return false;
	}
	return true;
}

bool
trigger_is_api_version(struct span s)
{
	struct span name = part(s, 0), version = part(s, 1), device = part(s, 2);

	if (name.n == 0 || name.n > LIMIT_TOKEN || version.p == NULL || part(s, 3).p != NULL)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		if (!is_alnum(name.p[i]) && name.p[i] != '-')
			return false;
	}
	return is_version(version) && (device.p == NULL || str_is_name(device, LIMIT_TOKEN));
}

bool
trigger_is_protocol(struct span s)
{
	if (s.n == 0 || s.n > LIMIT_TOKEN || s.p[0] < 'A' || s.p[0] > 'Z')
		return false;
	for (size_t i = 1; i < s.n; i++) {
		if (!is_alnum(s.p[i]))
			return false;
	}
	return true;
}

static void
check_api_version(struct trigger *t, const msgpack_object *body, const struct trigger_sent *sent,
    struct faults *f)
{
	const msgpack_object *o = doc_get(body, "apiVersion");
	struct buf topic;

	t->api_version = o == NULL && sent ? sent->api_version : doc_span(o);
	if (o == NULL && t->api_version.p == NULL) {
		faults_add(f, "/apiVersion", "is required");
	} else if (t->api_version.p == NULL) {
		faults_add(f, "/apiVersion", "expected a string, not %s", doc_type_name(o));
	} else if (!trigger_is_api_version(t->api_version)) {
		faults_add(f, "/apiVersion",
		    "expected <name>/v<number>, with /<device> after it or not, as in "
		    "OT-2/v1alpha1 or OT-2/v1alpha1/Spark1");
	} else if (sent && !span_eq(t->api_version, sent->api_version)) {
		faults_add(f, "/apiVersion", "is not what the topic says");
	} else if (trigger_is_protocol(t->protocol)) {
		buf_init(&topic, (size_t)2 * LIMIT_TOPIC);
		if (trigger_put_topic(t, &topic) != 0) {
			faults_add(
			    f, "/apiVersion", "is too long for a topic together with protocol");
		}
		buf_fini(&topic);
	}
}

static void
check_protocol(struct trigger *t, const msgpack_object *body, const struct trigger_sent *sent,
    struct faults *f)
{
	const msgpack_object *o = doc_get(body, "protocol");

	t->protocol = o == NULL && sent ? sent->protocol : doc_span(o);
	if (o == NULL && t->protocol.p == NULL) {
		faults_add(f, "/protocol", "is required");
	} else if (t->protocol.p == NULL) {
		faults_add(f, "/protocol", "expected a string, not %s", doc_type_name(o));
	} else if (!trigger_is_protocol(t->protocol)) {
		faults_add(f, "/protocol",
		    "expected PascalCase of letters and digits, at most 64, as in PlateTransfer");
	} else if (sent && !span_eq(t->protocol, sent->protocol)) {
		faults_add(f, "/protocol", "is not what the topic says");
	}
}

static uint32_t
check_side(const msgpack_object *plate, const char *key, const char *pointer, struct faults *f)
{
	const msgpack_object *o = doc_get(plate, key);

	if (o == NULL) {
		faults_add(f, pointer, "is required");
	} else if (o->type != MSGPACK_OBJECT_POSITIVE_INTEGER || o->via.u64 < 1 ||
		   o->via.u64 > TRIGGER_WELLS_MAX) {
		faults_add(f, pointer, "expected an integer from 1 to %d", TRIGGER_WELLS_MAX);
	} else {
		return (uint32_t)o->via.u64;
	}
	return 0;
}

static void
fault_key(const char *at, struct span key, const char *text, struct faults *f)
{
	char pointer[256];

	(void)snprintf(pointer, sizeof pointer, "%s", at);
	faults_push(pointer, sizeof pointer, key);
	faults_add(f, pointer, "%s", text);
}

/* Faults for the keys of a map that are not in `known` (ends with NULL), or are there twice. */
static void
check_keys(const msgpack_object *map, const char *at, const char *const *known, struct faults *f)
{
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		struct span key = doc_span(&map->via.map.ptr[i].key);
		unsigned k = 0;

		if (key.p == NULL) {
			faults_add(f, at, "expected keys that are text");
			continue;
		}
		while (known[k] != NULL && !span_is(key, known[k]))
			k++;
		if (known[k] == NULL) {
			fault_key(at, key, "is not a field of a trigger", f);
		} else if (doc_get(map, known[k]) != &map->via.map.ptr[i].val) {
			fault_key(at, key, "is there more than once", f);
		}
	}
}

static void
check_plate(struct trigger *t, const msgpack_object *body, struct faults *f)
{
	static const char *const known[] = {"rows", "columns", NULL};
	const msgpack_object *o = doc_get(body, "plate");

	if (o == NULL)
		return;
	if (o->type != MSGPACK_OBJECT_MAP) {
		faults_add(
		    f, "/plate", "expected an object {rows, columns}, not %s", doc_type_name(o));
		return;
	}
	check_keys(o, "/plate", known, f);
	t->rows = check_side(o, "rows", "/plate/rows", f);
	t->columns = check_side(o, "columns", "/plate/columns", f);
	if (t->rows * t->columns > TRIGGER_WELLS_MAX)
		faults_add(f, "/plate", "expected at most %d wells", TRIGGER_WELLS_MAX);
}

static void
check_objects(const msgpack_object *list, const char *at, struct faults *f)
{
	for (uint32_t i = 0; i < list->via.array.size; i++) {
		const msgpack_object *o = &list->via.array.ptr[i];
		char pointer[POINTER_MAX];

		if (o->type == MSGPACK_OBJECT_MAP)
			continue;
		(void)snprintf(pointer, sizeof pointer, "%s/%u", at, i);
		faults_add(f, pointer, "expected an object, not %s", doc_type_name(o));
	}
}

static void
check_spec_list(const struct trigger *t, bool has_plate, struct faults *f)
{
	uint32_t n = t->spec->via.array.size;

	if (!has_plate)
		faults_add(f, "/plate", "is required when spec is a list");
	if (n == 0)
		faults_add(f, "/spec", "expected at least one object");
	if (t->rows != 0 && t->columns != 0 && n > t->rows * t->columns) {
		faults_add(f, "/spec",
		    "expected at most %u objects, one a well of the plate, not %u",
		    t->rows * t->columns, n);
	}
	check_objects(t->spec, "/spec", f);
}

static void
check_spec(struct trigger *t, const msgpack_object *body, struct faults *f)
{
	bool has_plate = doc_get(body, "plate") != NULL;
	const char *want = has_plate ? "a list of objects, one a well" : "an object";

	t->spec = doc_get(body, "spec");
	if (t->spec == NULL) {
		faults_add(f, "/spec", "is required");
	} else if (t->spec->type == MSGPACK_OBJECT_ARRAY) {
		check_spec_list(t, has_plate, f);
	} else if (t->spec->type != MSGPACK_OBJECT_MAP) {
		faults_add(f, "/spec", "expected %s, not %s", want, doc_type_name(t->spec));
	} else if (has_plate) {
		faults_add(f, "/spec", "expected %s, because there is a plate", want);
	} else if (t->spec->via.map.size == 0) {
		faults_add(f, "/spec", "must not be empty");
	}
	if (t->spec != NULL)
		plain_check(t->spec, "/spec", f);
}

static void
check_metadata_spec(const struct trigger *t, const msgpack_object *o, struct faults *f)
{
	if (o->type == MSGPACK_OBJECT_ARRAY) {
		if (t->spec == NULL || t->spec->type != MSGPACK_OBJECT_ARRAY) {
			faults_add(f, "/metadata/spec", "may be a list only when spec is one");
		} else if (t->spec->via.array.size != o->via.array.size) {
			faults_add(f, "/metadata/spec",
			    "expected as many objects as spec has, %u, not %u",
			    t->spec->via.array.size, o->via.array.size);
		}
		check_objects(o, "/metadata/spec", f);
	} else if (o->type != MSGPACK_OBJECT_MAP) {
		faults_add(f, "/metadata/spec", "expected an object, or a list of them, not %s",
		    doc_type_name(o));
	}
	plain_check(o, "/metadata/spec", f);
}

static void
check_metadata(struct trigger *t, const msgpack_object *body, struct faults *f)
{
	static const char *const known[] = {"source", "spec", NULL};
	const msgpack_object *o = doc_get(body, "metadata"), *source, *spec;

	if (o == NULL)
		return;
	if (o->type != MSGPACK_OBJECT_MAP) {
		faults_add(
		    f, "/metadata", "expected an object {source, spec}, not %s", doc_type_name(o));
		return;
	}
	t->metadata = o;
	check_keys(o, "/metadata", known, f);
	source = doc_get(o, "source");
	spec = doc_get(o, "spec");
	t->source = doc_span(source);
	if (source != NULL && !plain_is_label(t->source, TRIGGER_SOURCE_MAX)) {
		faults_add(f, "/metadata/source",
		    "expected a string of 1 to %d bytes without control characters",
		    TRIGGER_SOURCE_MAX);
	}
	if (spec != NULL)
		check_metadata_spec(t, spec, f);
}

static void
check_uuid(const msgpack_object *body, const uint8_t *id, struct faults *f)
{
	const msgpack_object *o = doc_get(body, "uuid");
	uint8_t uuid[16];

	if (o == NULL)
		return;
	if (id == NULL) {
		faults_add(f, "/uuid",
		    "is given by the control tower; to repeat a request safely, send an "
		    "Idempotency-Key");
	} else if (uuid_parse(doc_span(o), uuid) != 0 || memcmp(uuid, id, 16) != 0) {
		faults_add(f, "/uuid", "expected the id of the envelope, or none");
	}
}

void
trigger_sent_init(struct trigger_sent *s, const uint8_t id[16], struct span topic)
{
	struct buf *b = &s->text;
	size_t device, protocol;
	bool bad = topic_token(topic, 5).p != NULL;

	*s = (struct trigger_sent){.id = id};
	buf_init(b, (size_t)4 * LIMIT_TOKEN + 2);
	bad |= topic_token_text(topic_token(topic, 1), b) != 0;
	buf_putc(b, '/');
	bad |= topic_token_text(topic_token(topic, 2), b) != 0;
	device = b->n;
	buf_putc(b, '/');
	bad |= topic_token_text(topic_token(topic, 3), b) != 0;
	if (b->n == device + 1)
		b->n = device;
	protocol = b->n;
	bad |= topic_token_text(topic_token(topic, 4), b) != 0;
	if (bad || b->failed)
		return;
	s->api_version = span_of(b->p, protocol);
	s->protocol = span_of(b->p + protocol, b->n - protocol);
}

void
trigger_sent_fini(struct trigger_sent *s)
{
	buf_fini(&s->text);
}

int
trigger_read(struct trigger *t, const msgpack_object *body, const struct trigger_sent *sent,
    struct faults *f)
{
	static const char *const known[] = {
	    "uuid", "apiVersion", "protocol", "plate", "spec", "metadata", NULL};
	unsigned before = f->n;

	*t = (struct trigger){.rows = 0};
	if (body->type != MSGPACK_OBJECT_MAP) {
		faults_add(f, "", "expected an object, not %s", doc_type_name(body));
		return -1;
	}
	check_keys(body, "", known, f);
	check_uuid(body, sent ? sent->id : NULL, f);
	check_protocol(t, body, sent, f);
	check_api_version(t, body, sent, f);
	check_plate(t, body, f);
	check_spec(t, body, f);
	check_metadata(t, body, f);
	return f->n == before ? 0 : -1;
}

int
trigger_put_topic(const struct trigger *t, struct buf *out)
{
	size_t from = out->n;
	int bad = 0;

	buf_puts(out, "trigger.");
	for (unsigned i = 0; i < 3; i++) {
		bad |= topic_put_token(out, part(t->api_version, i));
		buf_putc(out, '.');
	}
	bad |= topic_put_token(out, t->protocol);
	return bad != 0 || out->failed || out->n - from > LIMIT_TOPIC ? -1 : 0;
}

static void
put_plate(const struct trigger *t, struct buf *out)
{
	mp_put_cstr(out, "plate");
	mp_put_map(out, 2);
	mp_put_cstr(out, "rows");
	mp_put_u64(out, t->rows);
	mp_put_cstr(out, "columns");
	mp_put_u64(out, t->columns);
}

static void
put_metadata(const struct trigger *t, const char *source, struct span spec, struct buf *out)
{
	const msgpack_object *own = t->metadata ? doc_get(t->metadata, "spec") : NULL;
	bool has_spec = own != NULL || (t->metadata == NULL && spec.p != NULL);

	mp_put_cstr(out, "metadata");
	mp_put_map(out, has_spec ? 2 : 1);
	mp_put_cstr(out, "source");
	mp_put_str(out, t->source.p ? t->source : span_str(source));
	if (!has_spec)
		return;
	mp_put_cstr(out, "spec");
	if (own != NULL) {
		mp_put_object(out, own);
	} else {
		buf_put(out, spec.p, spec.n);
	}
}

void
trigger_put_body(const struct trigger *t, const uint8_t id[16], const char *source,
    struct span spec, struct buf *out)
{
	char text[UUID_TEXT + 1];

	mp_put_map(out, t->rows != 0 ? 6 : 5);
	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, uuid_text(id, text));
	mp_put_cstr(out, "apiVersion");
	mp_put_str(out, t->api_version);
	mp_put_cstr(out, "protocol");
	mp_put_str(out, t->protocol);
	if (t->rows != 0)
		put_plate(t, out);
	mp_put_cstr(out, "spec");
	mp_put_object(out, t->spec);
	put_metadata(t, source, spec, out);
}

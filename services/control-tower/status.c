#include "services/control-tower/status.h"

#include "base/uuid.h"
#include "proto/mp.h"
#include "proto/topic.h"
#include "services/control-tower/plain.h"

static const struct {
	const char *name, *state;
	int rank;
} table[] = {
#define X(name, state, rank) {#name, #state, rank},
    STATUS_TABLE(X)
#undef X
};

enum { TABLE_N = sizeof table / sizeof table[0] };

static void
read_name(struct status *s, const msgpack_object *body, struct faults *f)
{
	struct span name = doc_str(body, "status");

	for (unsigned i = 0; i < TABLE_N && name.p != NULL; i++) {
		if (!span_is(name, table[i].name))
			continue;
		s->name = table[i].name;
		s->state = table[i].state;
		s->rank = table[i].rank;
		return;
	}
	faults_add(f, "/status",
	    "expected one of dispatched, running, progress, succeeded, failed, cancelled, expired");
}

static void
read_label(struct span *to, const msgpack_object *o, struct faults *f)
{
	if (o == NULL || o->type == MSGPACK_OBJECT_NIL)
		return;
	*to = doc_span(o);
	if (!plain_is_label(*to, STATUS_BY_MAX)) {
		faults_add(f, "/by",
		    "expected a string of 1 to %d bytes without control characters", STATUS_BY_MAX);
	}
}

static void
read_sender(struct status *s, const msgpack_object *body, const uint8_t *uuid, struct faults *f)
{
	const msgpack_object *id = doc_get(body, "uuid"), *at = doc_get(body, "at");
	uint8_t own[16];

	if (uuid == NULL) {
		if (id != NULL)
			faults_add(f, "/uuid", "belongs into the path");
		if (at != NULL)
			faults_add(f, "/at", "is given by the control tower");
		return;
	}
	if (id != NULL && (uuid_parse(doc_span(id), own) != 0 || memcmp(own, uuid, 16) != 0))
		faults_add(f, "/uuid", "expected the uuid in the topic, or none");
	s->at = doc_span(at);
	if (at != NULL && !plain_is_time(s->at))
		faults_add(f, "/at", "expected RFC 3339 text, as in 2026-11-21T07:39:44.123Z");
}

static void
check_keys(const msgpack_object *body, struct faults *f)
{
	static const char *const known[] = {"uuid", "status", "by", "at", "detail"};

	for (uint32_t i = 0; i < body->via.map.size; i++) {
		struct span key = doc_span(&body->via.map.ptr[i].key);
		char pointer[256] = "";
		unsigned k = 0;

		while (k < 5 && !(key.p != NULL && span_is(key, known[k])))
			k++;
		if (k < 5)
			continue;
		faults_push(pointer, sizeof pointer, key);
		faults_add(f, pointer, "is not a field of a status");
	}
}

int
status_read(struct status *s, const msgpack_object *body, const uint8_t *uuid, struct faults *f)
{
	const msgpack_object *detail = doc_get(body, "detail");
	unsigned before = f->n;

	*s = (struct status){.name = NULL};
	if (body->type != MSGPACK_OBJECT_MAP) {
		faults_add(f, "", "expected an object, not %s", doc_type_name(body));
		return -1;
	}
	/* On the bus a worker may add what it likes; over HTTP a slip should be told. */
	if (uuid == NULL)
		check_keys(body, f);
	read_name(s, body, f);
	read_sender(s, body, uuid, f);
	read_label(&s->by, doc_get(body, "by"), f);
	if (detail != NULL && detail->type != MSGPACK_OBJECT_NIL) {
		s->detail = detail;
		plain_check(detail, "/detail", f);
	}
	return f->n == before ? 0 : -1;
}

bool
status_is_state(struct span s)
{
	if (span_is(s, "accepted"))
		return true;
	for (unsigned i = 0; i < TABLE_N; i++) {
		if (span_is(s, table[i].state))
			return true;
	}
	return false;
}

void
status_put_body(
    const struct status *s, const uint8_t uuid[16], const char *by, const char *at, struct buf *out)
{
	char text[UUID_TEXT + 1];

	mp_put_map(out, s->detail ? 5 : 4);
	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, uuid_text(uuid, text));
	mp_put_cstr(out, "status");
	mp_put_cstr(out, s->name);
	mp_put_cstr(out, "by");
	mp_put_str(out, s->by.p ? s->by : span_str(by));
	mp_put_cstr(out, "at");
	mp_put_str(out, s->at.p ? s->at : span_str(at));
	if (s->detail == NULL)
		return;
	mp_put_cstr(out, "detail");
	mp_put_object(out, s->detail);
}

int
status_topic_uuid(struct span topic, uint8_t uuid[16])
{
	if (topic_token(topic, 2).p != NULL)
		return -1;
	return uuid_parse(topic_token(topic, 1), uuid);
}

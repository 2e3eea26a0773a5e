#include "services/control-tower/record.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "services/control-tower/plain.h"
#include "services/control-tower/status.h"
#include "services/control-tower/trigger.h"
#include "store/pg.h"

enum {
	T_UUID,
	T_SEQ,
	T_TOPIC,
	T_API_VERSION,
	T_PROTOCOL,
	T_ROWS,
	T_COLUMNS,
	T_SPEC,
	T_METADATA,
	T_SOURCE,
	T_BYTES,
	T_CREATED,
	T_N
};

enum { E_UUID, E_ID, E_SEQ, E_STATUS, E_BY, E_AT, E_DETAIL, E_STATE, E_RANK, E_N };

_Static_assert(T_N <= RECORD_COLUMNS_MAX && E_N <= RECORD_COLUMNS_MAX, "columns");

static const struct span null = {NULL, 0};

static void
put_uuid(struct buf *column, const uint8_t id[16])
{
	char text[UUID_TEXT + 1];

	pg_array_item(column, span_str(uuid_text(id, text)));
}

static void
put_int(struct buf *column, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	pg_array_item(column, span_str(text));
}

static void
say_invalid(const struct faults *f, char why[RECORD_WHY])
{
	(void)snprintf(
	    why, RECORD_WHY, "invalid: %s", f->n > 0 ? f->first : "the body cannot be read");
}

/* JSON text of o (NULL: nothing) into `out`; 0, or -1 with a reason. */
static int
put_json(struct buf *out, const msgpack_object *o, char why[RECORD_WHY])
{
	buf_init(out, (size_t)128 << 20);
	if (o == NULL || plain_put_json(o, out) == 0)
		return 0;
	(void)snprintf(why, RECORD_WHY, "invalid: has no JSON form");
	return -1;
}

static struct span
json_or_null(const struct buf *json)
{
	return json->n > 0 ? buf_span(json) : null;
}

static void
put_trigger(
    struct buf *c, const struct trigger *t, const struct buf *spec, const struct buf *metadata)
{
	pg_array_item(&c[T_API_VERSION], t->api_version);
	pg_array_item(&c[T_PROTOCOL], t->protocol);
	if (t->rows == 0) {
		pg_array_item(&c[T_ROWS], null);
		pg_array_item(&c[T_COLUMNS], null);
	} else {
		put_int(&c[T_ROWS], t->rows);
		put_int(&c[T_COLUMNS], t->columns);
	}
	pg_array_item(&c[T_SPEC], buf_span(spec));
	pg_array_item(&c[T_METADATA], json_or_null(metadata));
	pg_array_item(&c[T_SOURCE], t->source);
	put_int(&c[T_BYTES], spec->n + metadata->n);
}

static int
add_trigger(struct buf *c, const struct env *e, uint64_t seq, int64_t now_us, char why[RECORD_WHY])
{
	struct buf spec = {.max = 0}, metadata = {.max = 0};
	struct doc d;
	struct faults f;
	struct trigger_sent sent;
	struct trigger t;
	int rc = -1;

	faults_init(&f);
	trigger_sent_init(&sent, e->id, e->topic);
	if (doc_parse(&d, e->body) != 0 || trigger_read(&t, &d.root, &sent, &f) != 0) {
		say_invalid(&f, why);
	} else if (put_json(&spec, t.spec, why) == 0 && put_json(&metadata, t.metadata, why) == 0) {
		put_uuid(&c[T_UUID], e->id);
		put_int(&c[T_SEQ], seq);
		pg_array_item(&c[T_TOPIC], e->topic);
		put_trigger(c, &t, &spec, &metadata);
		put_int(&c[T_CREATED], (uint64_t)now_us);
		rc = 0;
	}
	buf_fini(&spec);
	buf_fini(&metadata);
	trigger_sent_fini(&sent);
	faults_fini(&f);
	doc_fini(&d);
	return rc;
}

static void
put_event(struct buf *c, const struct status *s, int64_t now_us, const struct buf *detail)
{
	char now[25];

	pg_array_item(&c[E_STATUS], span_str(s->name));
	pg_array_item(&c[E_BY], s->by);
	pg_array_item(&c[E_AT], s->at.p ? s->at : span_str(clock_rfc3339(now_us / 1000, now)));
	pg_array_item(&c[E_DETAIL], json_or_null(detail));
	pg_array_item(&c[E_STATE], span_str(s->state));
	put_int(&c[E_RANK], (uint64_t)s->rank);
}

static int
add_event(struct buf *c, const struct env *e, uint64_t seq, int64_t now_us, char why[RECORD_WHY])
{
	struct buf detail = {.max = 0};
	struct doc d = {.zone = NULL};
	struct faults f;
	struct status s;
	uint8_t uuid[16];
	int rc = -1;

	faults_init(&f);
	if (status_topic_uuid(e->topic, uuid) != 0) {
		(void)snprintf(why, RECORD_WHY, "invalid: the topic is not status.<uuid>");
	} else if (doc_parse(&d, e->body) != 0 || status_read(&s, &d.root, uuid, &f) != 0) {
		say_invalid(&f, why);
	} else if (put_json(&detail, s.detail, why) == 0) {
		put_uuid(&c[E_UUID], uuid);
		put_uuid(&c[E_ID], e->id);
		put_int(&c[E_SEQ], seq);
		put_event(c, &s, now_us, &detail);
		rc = 0;
	}
	buf_fini(&detail);
	faults_fini(&f);
	doc_fini(&d);
	return rc;
}

const struct record_kind record_triggers = {
    .pattern = "trigger.>",
    .group = "control-tower.recorder",
    .ncolumns = T_N,
    .add = add_trigger,
    .nsteps = 1,
    .steps =
	{{"INSERT INTO control_tower.triggers (uuid, seq, topic, api_version, protocol, plate_rows,"
	  " plate_columns, spec, metadata, source, bytes, created_at)"
	  " SELECT u, s, t, a, p, r, c, spec, metadata, source, bytes,"
	  "  timestamptz 'epoch' + us * interval '1 microsecond'"
	  " FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::int[], "
	  "$7::int[],"
	  "  $8::json[], $9::json[], $10::text[], $11::int[], $12::bigint[])"
	  "  AS x (u, s, t, a, p, r, c, spec, metadata, source, bytes, us)"
	  " ON CONFLICT (uuid) DO NOTHING",
	    T_N,
	    {T_UUID, T_SEQ, T_TOPIC, T_API_VERSION, T_PROTOCOL, T_ROWS, T_COLUMNS, T_SPEC,
		T_METADATA, T_SOURCE, T_BYTES, T_CREATED}}},
};

/* The second statement keeps the one state that all events of a trigger amount to, whatever order
 * they come in (status.h). */
const struct record_kind record_events = {
    .pattern = "status.>",
    .group = "control-tower.events",
    .ncolumns = E_N,
    .add = add_event,
    .nsteps = 2,
    .steps = {{"INSERT INTO control_tower.trigger_events (uuid, id, seq, status, by, at, detail)"
	       " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::text[],"
	       "  $6::timestamptz[], $7::json[])"
	       " ON CONFLICT DO NOTHING",
		  7, {E_UUID, E_ID, E_SEQ, E_STATUS, E_BY, E_AT, E_DETAIL}},
	{"INSERT INTO control_tower.trigger_states AS old (uuid, state, rank, seq)"
	 " SELECT DISTINCT ON (u) u, st, r, s"
	 " FROM unnest($1::uuid[], $2::text[], $3::smallint[], $4::bigint[]) AS x (u, st, r, s)"
	 " ORDER BY u, r DESC, s"
	 " ON CONFLICT (uuid) DO UPDATE SET state = EXCLUDED.state, rank = EXCLUDED.rank, seq = "
	 "EXCLUDED.seq"
	 " WHERE EXCLUDED.rank > old.rank OR (EXCLUDED.rank = 3 AND old.rank = 3 AND EXCLUDED.seq "
	 "< old.seq)",
	    4, {E_UUID, E_STATE, E_RANK, E_SEQ}}},
};

#include "services/control-tower/lookup.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/list.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "services/control-tower/record.h"
#include "services/control-tower/row.h"

#define PASS_MS 1000
#define POLL_MS 50
#define RECEIPTS_MS 1000

enum { EVENTS = ROW_NEXT, OMITTED };

/* The newest thousand events, and of those what details of 4 MiB leave. */
static const char query[] =
    "SELECT " ROW_COLUMNS ", e.events,"
    " (SELECT count(*) FROM control_tower.trigger_events WHERE uuid = t.uuid) - e.shown"
    " FROM control_tower.triggers t"
    " CROSS JOIN LATERAL (SELECT coalesce((SELECT state FROM control_tower.trigger_states"
    "  WHERE uuid = t.uuid), 'accepted') AS state) s"
    " CROSS JOIN LATERAL (SELECT count(*) AS shown, coalesce(json_agg(CASE WHEN detail IS NULL"
    "  THEN json_build_object('at', at, 'status', status, 'by', by)"
    "  ELSE json_build_object('at', at, 'status', status, 'by', by, 'detail', detail) END"
    "  ORDER BY seq, id), '[]') AS events"
    "  FROM (SELECT id, seq, status, coalesce(by, 'unknown') AS by, detail,"
    "    to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') AS at,"
    "    sum(coalesce(octet_length(detail::text), 0)) OVER (ORDER BY seq DESC, id) AS bytes"
    "   FROM (SELECT * FROM control_tower.trigger_events WHERE uuid = t.uuid"
    "    ORDER BY seq DESC LIMIT 1000) newest) sized"
    "  WHERE bytes <= 4194304) e"
    " WHERE t.uuid = $1";

struct lookups {
	struct tower *t;
	struct list all;
};

struct lookup {
	struct list link;
	struct lookups *of;
	struct tower *t;
	struct worker_msg *m;
	uint8_t uuid[16];
	struct timer poll;
	int64_t give_up_ms;
	bool has_head, passed;
	uint64_t head;   /* of the journal, at the first miss */
	struct buf body; /* the answer, but for the receipts */
};

static void look(struct lookup *l);

static void
lookup_end(struct lookup *l)
{
	loop_timer_clear(l->t->loop, &l->poll);
	list_remove(&l->link);
	buf_fini(&l->body);
	free(l);
}

static void
fail(struct lookup *l, enum err code, const char *text)
{
	worker_fail(l->m, code, text);
	lookup_end(l);
}

/* The list of strings under `items`; false when the answer has none. */
static bool
put_receipts(const struct env *e, struct buf *out)
{
	struct doc d;
	bool ok = false;

	if (e->verb != ENV_REP || doc_parse(&d, e->body) != 0)
		return false;
	const msgpack_object *items = doc_get(&d.root, "items");

	if (items != NULL && items->type == MSGPACK_OBJECT_ARRAY) {
		mp_put_object(out, items);
		ok = true;
	}
	doc_fini(&d);
	return ok;
}

static void
finish(struct lookup *l, const struct env *receipts)
{
	bool complete;

	mp_put_cstr(&l->body, "receipts");
	complete = receipts != NULL && put_receipts(receipts, &l->body);
	if (!complete)
		mp_put_array(&l->body, 0);
	mp_put_cstr(&l->body, "receiptsComplete");
	mp_put_bool(&l->body, complete);
	tower_reply(l->m, &l->body, 200);
	lookup_end(l);
}

static void
on_receipts(void *arg, const struct env *e)
{
	finish(arg, e);
}

/* A REQ for one key and value; ERR_OK: `done` will run. */
static enum err
ask(struct lookup *l, const char *topic, const char *const pair[2], int64_t ms,
    client_done_fn *done)
{
	struct buf body;
	struct env e;
	enum err err;

	buf_init(&body, 256);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, pair[0]);
	mp_put_cstr(&body, pair[1]);
	env_init(&e, ENV_REQ, span_str(topic), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	worker_inherit(l->m, &e);
	e.body = buf_span(&body);
	err = client_call(l->t->client, &e, ms, done, l);
	buf_fini(&body);
	return err;
}

static int64_t
at_most(int64_t v, int64_t max)
{
	return v < max ? v : max;
}

static void
found(struct lookup *l, const PGresult *res)
{
	char uuid[UUID_TEXT + 1];
	int64_t omitted = 0, left = tower_left(l->t, l->m);

	if (str_i64(row_text(res, 0, OMITTED), 0, INT64_MAX, &omitted) != 0)
		omitted = 0;
	mp_put_map(&l->body, row_pairs(res, 0) + 3 + (omitted > 0 ? 1 : 0));
	if (row_put(res, 0, &l->body) < 0) {
		fail(l, ERR_INTERNAL, "what is stored cannot be read");
		return;
	}
	mp_put_cstr(&l->body, "events");
	if (json_to_mp(row_text(res, 0, EVENTS), &l->body, NULL) != 0) {
		fail(l, ERR_INTERNAL, "what is stored cannot be read");
		return;
	}
	if (omitted > 0) {
		mp_put_cstr(&l->body, "eventsOmitted");
		mp_put_i64(&l->body, omitted);
	}
	/* Half of what is left, so that a gateway that hangs does not cost the caller the answer.
	 */
	if (ask(l, "data-gateway.receipts.list",
		(const char *const[]){"uuid", uuid_text(l->uuid, uuid)},
		at_most(RECEIPTS_MS, left / 2 + 1), on_receipts) != ERR_OK)
		finish(l, NULL);
}

static void ask_recorder(struct lookup *l);

static void
on_poll(struct timer *t)
{
	ask_recorder(LIST_ITEM(t, struct lookup, poll));
}

/* How far the recorder's group is; false when the answer does not say. */
static bool
read_floor(const struct env *e, uint64_t *head, uint64_t *floor)
{
	struct doc d;
	int64_t h = -1, f = -1;

	if (e->verb != ENV_REP || doc_parse(&d, e->body) != 0)
		return false;
	const msgpack_object *groups = doc_get(&d.root, "groups");

	h = doc_i64(&d.root, "head", -1);
	if (groups != NULL && groups->type == MSGPACK_OBJECT_ARRAY && groups->via.array.size == 1)
		f = doc_i64(&groups->via.array.ptr[0], "floor", -1);
	doc_fini(&d);
	*head = (uint64_t)h;
	*floor = (uint64_t)f;
	return h >= 0 && f >= 0;
}

static void
on_groups(void *arg, const struct env *e)
{
	struct lookup *l = arg;
	uint64_t head, floor;

	if (!read_floor(e, &head, &floor)) {
		fail(l, ERR_BUSY,
		    "not recorded yet, or never was: the recorder's place is not known");
		return;
	}
	if (!l->has_head)
		l->head = head;
	l->has_head = true;
	if (floor >= l->head) {
		l->passed = true;
		look(l);
	} else if (loop_now(l->t->loop) >= l->give_up_ms) {
		fail(l, ERR_BUSY, "not recorded yet, or never was: the recorder is behind");
	} else {
		loop_timer(l->t->loop, &l->poll, loop_now(l->t->loop) + POLL_MS);
	}
}

static void
ask_recorder(struct lookup *l)
{
	if (ask(l, "sys.groups", (const char *const[]){"group", record_triggers.group},
		at_most(PASS_MS, tower_left(l->t, l->m)), on_groups) != ERR_OK)
		fail(l, ERR_BUSY, NULL);
}

static void
on_row(void *arg, const struct pg_done *d)
{
	struct lookup *l = arg;

	if (d->end != PG_OK) {
		tower_fail_read(l->m, d);
		lookup_end(l);
	} else if (PQntuples(d->res) > 0) {
		found(l, d->res);
	} else if (l->passed) {
		fail(l, ERR_NOT_FOUND, "there is no trigger with this uuid");
	} else {
		l->give_up_ms = loop_now(l->t->loop) + PASS_MS;
		ask_recorder(l);
	}
}

static void
look(struct lookup *l)
{
	char uuid[UUID_TEXT + 1];
	struct pg_param p = {span_str(uuid_text(l->uuid, uuid))};

	/* A database that is away for a moment is waited for (main.c's READ_MS). */
	if (pg_query(l->t->reads, query, &p, 1, on_row, l) != 0)
		fail(l, ERR_BUSY, "too many queries wait for the database");
}

void
lookup_on_request(void *arg, struct worker_msg *m)
{
	struct lookups *all = arg;
	struct lookup *l;
	struct faults f;
	uint8_t uuid[16];
	struct doc d;
	int bad;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(m, ERR_BAD_ENVELOPE, "the body is not one msgpack value");
		return;
	}
	faults_init(&f);
	bad = tower_read_uuid(&d.root, uuid, &f);
	if (bad)
		tower_fail_faults(m, &f);
	faults_fini(&f);
	doc_fini(&d);
	if (bad)
		return;
	l = xcalloc(1, sizeof *l);
	l->of = all;
	l->t = all->t;
	l->m = m;
	l->poll.fn = on_poll;
	memcpy(l->uuid, uuid, 16);
	buf_init(&l->body, LIMIT_FRAME);
	list_push_back(&all->all, &l->link);
	look(l);
}

struct lookups *
lookups_new(struct tower *t)
{
	struct lookups *l = xcalloc(1, sizeof *l);

	l->t = t;
	list_init(&l->all);
	return l;
}

void
lookups_free(struct lookups *all)
{
	struct lookup *l;

	if (all == NULL)
		return;
	/* Those that waited for the recorder; their deliveries go with the worker. */
	LIST_EACH (l, &all->all, struct lookup, link)
		lookup_end(l);
	free(all);
}

#include "services/control-tower/listing.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/mp.h"
#include "services/control-tower/cursor.h"
#include "services/control-tower/plain.h"
#include "services/control-tower/row.h"
#include "services/control-tower/status.h"

#define LIMIT_DEFAULT 50
#define LIMIT_MAX 500
#define FILTER_MAX 255

enum { AT_US = ROW_NEXT, MORE };
enum { P_API_VERSION, P_PROTOCOL, P_STATUS, P_SOURCE, P_SINCE, P_AT, P_UUID, P_LIMIT, P_N };

/* One row more than asked for says whether there is a next page; the running sum of sizes cuts a
 * page of large triggers short, without reading what it leaves out. */
static const char query[] =
    "WITH page AS (SELECT t.*, coalesce(s.state, 'accepted') AS state"
    "  FROM control_tower.triggers t LEFT JOIN control_tower.trigger_states s USING (uuid)"
    "  WHERE ($1::text IS NULL OR t.api_version = $1)"
    "   AND ($2::text IS NULL OR t.protocol = $2)"
    "   AND ($3::text IS NULL OR coalesce(s.state, 'accepted') = $3)"
    "   AND ($4::text IS NULL OR t.source = $4)"
    "   AND ($5::timestamptz IS NULL OR t.created_at >= $5)"
    "   AND ($6::bigint IS NULL OR (t.created_at, t.uuid) <"
    "    (timestamptz 'epoch' + $6 * interval '1 microsecond', $7::uuid))"
    "  ORDER BY t.created_at DESC, t.uuid DESC LIMIT $8::int + 1)"
    " SELECT " ROW_COLUMNS ", (extract(epoch FROM t.created_at) * 1000000)::bigint, found"
    " FROM (SELECT page.*, row_number() OVER w AS n, sum(bytes) OVER w AS total, count(*) OVER () "
    "AS found"
    "  FROM page WINDOW w AS (ORDER BY created_at DESC, uuid DESC)) t"
    " WHERE n <= $8 AND (n = 1 OR total <= 4194304) ORDER BY n";

struct filter {
	struct span text[5]; /* as the parameters */
	bool has_cursor;
	struct cursor cursor;
	int64_t limit;
};

static void
read_text(struct filter *to, const msgpack_object *body, unsigned i, struct faults *f)
{
	static const char *const name[] = {"apiVersion", "protocol", "status", "source", "since"};
	const msgpack_object *o = doc_get(body, name[i]);
	char pointer[16];

	if (o == NULL || o->type == MSGPACK_OBJECT_NIL)
		return;
	to->text[i] = doc_span(o);
	(void)snprintf(pointer, sizeof pointer, "/%s", name[i]);
	if (i == P_STATUS && !status_is_state(to->text[i])) {
		faults_add(f, pointer,
		    "expected one of accepted, dispatched, running, succeeded, failed, cancelled, "
		    "expired");
	} else if (i == P_SINCE && !plain_is_time(to->text[i])) {
		faults_add(f, pointer, "expected RFC 3339 text, as in 2026-11-21T07:39:44Z");
	} else if (!plain_is_label(to->text[i], FILTER_MAX)) {
		faults_add(f, pointer, "expected a string of 1 to %d bytes", FILTER_MAX);
	}
}

static int
read_filter(struct filter *to, const msgpack_object *body, struct faults *f)
{
	const msgpack_object *cursor = doc_get(body, "cursor"), *limit = doc_get(body, "limit");

	*to = (struct filter){.limit = LIMIT_DEFAULT};
	if (body->type != MSGPACK_OBJECT_MAP && body->type != MSGPACK_OBJECT_NIL)
		faults_add(f, "", "expected an object, not %s", doc_type_name(body));
	for (unsigned i = 0; i < 5; i++)
		read_text(to, body, i, f);
	if (limit != NULL && limit->type != MSGPACK_OBJECT_NIL)
		to->limit = doc_i64(body, "limit", 0);
	if (to->limit < 1 || to->limit > LIMIT_MAX)
		faults_add(f, "/limit", "expected an integer from 1 to %d", LIMIT_MAX);
	if (cursor != NULL && cursor->type != MSGPACK_OBJECT_NIL) {
		to->has_cursor = true;
		if (cursor_parse(doc_span(cursor), &to->cursor) != 0)
			faults_add(f, "/cursor", "expected the `next` of an earlier page");
	}
	return f->n == 0 ? 0 : -1;
}

/* The place after row i. */
static int
put_next(const PGresult *res, int i, struct buf *out)
{
	char text[CURSOR_TEXT];
	struct cursor c;

	if (str_i64(row_text(res, i, AT_US), INT64_MIN, INT64_MAX, &c.at_us) != 0 ||
	    uuid_parse(row_text(res, i, 0), c.uuid) != 0)
		return -1;
	mp_put_cstr(out, cursor_text(&c, text));
	return 0;
}

static int
put_page(const PGresult *res, struct buf *out)
{
	int n = PQntuples(res), rc = 0;
	int64_t of = n;

	mp_put_map(out, 2);
	mp_put_cstr(out, "items");
	mp_put_array(out, (size_t)n);
	for (int i = 0; i < n && rc == 0; i++) {
		mp_put_map(out, row_pairs(res, i));
		rc = row_put(res, i, out) < 0 ? -1 : 0;
	}
	mp_put_cstr(out, "next");
	if (n > 0 && str_i64(row_text(res, 0, MORE), 0, INT64_MAX, &of) != 0)
		return -1;
	if (of > n)
		return rc | put_next(res, n - 1, out);
	mp_put_nil(out);
	return rc;
}

static void
fail_since(struct worker_msg *m)
{
	struct faults f;

	faults_init(&f);
	faults_add(&f, "/since", "is not a time of the calendar");
	tower_fail_faults(m, &f);
	faults_fini(&f);
}

static void
on_rows(void *arg, const struct pg_done *d)
{
	struct worker_msg *m = arg;
	struct buf body;

	if (d->end == PG_REFUSED && strncmp(d->sqlstate, "22", 2) == 0) {
		/* Of what a caller may say, only the calendar is left for the database to judge. */
		fail_since(m);
		return;
	}
	if (d->end != PG_OK) {
		tower_fail_read(m, d);
		return;
	}
	buf_init(&body, LIMIT_FRAME);
	if (put_page(d->res, &body) == 0) {
		tower_reply(m, &body, 200);
	} else {
		worker_fail(m, ERR_INTERNAL, "what is stored cannot be read");
	}
	buf_fini(&body);
}

static void
run_query(struct tower *t, struct worker_msg *m, const struct filter *f)
{
	char at[24], uuid[UUID_TEXT + 1], limit[24];
	struct pg_param p[P_N] = {0};

	for (unsigned i = 0; i < 5; i++)
		p[i].v = f->text[i];
	if (f->has_cursor) {
		(void)snprintf(at, sizeof at, "%lld", (long long)f->cursor.at_us);
		p[P_AT].v = span_str(at);
		p[P_UUID].v = span_str(uuid_text(f->cursor.uuid, uuid));
	}
	(void)snprintf(limit, sizeof limit, "%lld", (long long)f->limit);
	p[P_LIMIT].v = span_str(limit);
	if (pg_query(t->reads, query, p, P_N, on_rows, m) != 0)
		worker_fail(m, ERR_BUSY, "too many queries wait for the database");
}

void
listing_on_request(void *arg, struct worker_msg *m)
{
	struct tower *t = arg;
	struct filter filter;
	struct faults f;
	struct doc d;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(m, ERR_BAD_ENVELOPE, "the body is not one msgpack value");
		return;
	}
	faults_init(&f);
	if (read_filter(&filter, &d.root, &f) != 0) {
		tower_fail_faults(m, &f);
	} else {
		run_query(t, m, &filter);
	}
	faults_fini(&f);
	doc_fini(&d);
}

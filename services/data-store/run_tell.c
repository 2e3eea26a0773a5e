#include "services/data-store/run.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/digest.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { TELL_MS = 10000, BODY = 128 * 1024 };

/* One PUB, until its answer. */
struct word {
	struct run *r;
	unsigned turn;
	run_next_fn *next; /* NULL: nobody waits for it */
};

/* The same words get the same id, so that a run that is repeated repeats nothing. */
static void
id_of(uint8_t id[16], const char *a, const char *b, const char *c)
{
	struct span parts[] = {span_str(a), span_str(b), span_str(c)};
	uint8_t digest[DIGEST_BYTES];

	digest_parts(digest, parts, 3);
	uuid_v8(id, digest);
}

static void
told(void *arg, const struct env *e)
{
	struct word *w = arg;
	struct run *r = w->r;
	bool heard = w->turn == r->turn && w->next != NULL && !r->over;
	/* CONFLICT: an earlier attempt has said it, with another time in it. */
	bool ok = e->verb == ENV_OK || (e->verb == ENV_ERR && env_err_code(e) == ERR_CONFLICT);
	run_next_fn *next = w->next;

	free(w);
	r->asked--;
	if (!ok) {
		log_warn("ingest_untold", LOG_ID("id", r->uuid),
		    LOG_S("code", err_name(env_err_code(e))));
	}
	if (heard && ok) {
		next(r, NULL);
	} else if (heard) {
		run_again(r, -1, "the bus did not take what was to be published");
	} else {
		run_leave(r);
	}
}

static void
tell(struct run *r, struct env *e, run_next_fn *next)
{
	struct word *w = xcalloc(1, sizeof *w);

	*w = (struct word){r, r->turn, next};
	worker_inherit(r->msg, e);
	if (client_call(r->h->client, e, TELL_MS, told, w) == ERR_OK) {
		r->asked++;
		return;
	}
	free(w);
	if (next != NULL)
		run_again(r, -1, "the bus takes no more");
}

static void
put_now(struct buf *b)
{
	char at[25];

	mp_put_cstr(b, clock_rfc3339(clock_real_ms(), at));
}

static void
tell_status(struct run *r, const char *status, struct span detail, run_next_fn *next)
{
	char topic[64];
	uint8_t id[16];
	struct env e;
	struct buf b;

	id_of(id, "status", r->uuid_text, status);
	snprintf(topic, sizeof topic, "status.%s", r->uuid_text);
	env_init(&e, ENV_PUB, span_str(topic), id);
	env_set_s(&e, ENV_M_KEY, span_str(r->uuid_text));
	buf_init(&b, BODY);
	mp_put_map(&b, detail.n ? 5 : 4);
	mp_put_cstr(&b, "uuid");
	mp_put_cstr(&b, r->uuid_text);
	mp_put_cstr(&b, "status");
	mp_put_cstr(&b, status);
	mp_put_cstr(&b, "by");
	mp_put_cstr(&b, r->h->by);
	mp_put_cstr(&b, "at");
	put_now(&b);
	if (detail.n > 0) {
		mp_put_cstr(&b, "detail");
		buf_put(&b, detail.p, detail.n);
	}
	e.body = buf_span(&b);
	tell(r, &e, next);
	buf_fini(&b);
}

void
run_tell_running(struct run *r)
{
	tell_status(r, "running", (struct span){NULL, 0}, NULL);
}

void
run_tell_end(struct run *r, run_next_fn *next)
{
	tell_status(r, r->status, buf_span(&r->detail), next);
}

/* --- dataset.loaded
 * ---------------------------------------------------------------------------------------- */

enum { ORGANISATION, DATASET, SCHEMA, TABLE, VERSION, FILES, LAST_FILE, ROWS, AT };

static struct span
text(const PGresult *res, int column)
{
	return span_of(PQgetvalue(res, 0, column), (size_t)PQgetlength(res, 0, column));
}

static void
put_text(struct buf *b, const char *key, const PGresult *res, int column)
{
	mp_put_cstr(b, key);
	mp_put_str(b, text(res, column));
}

static void
put_number(struct buf *b, const char *key, const PGresult *res, int column)
{
	int64_t v = 0;

	if (str_i64(text(res, column), 0, INT64_MAX, &v) == -1)
		v = 0;
	mp_put_cstr(b, key);
	mp_put_i64(b, v);
}

static void
put_loaded(struct buf *b, const PGresult *res)
{
	mp_put_map(b, 9);
	put_text(b, "organisation", res, ORGANISATION);
	put_text(b, "dataset", res, DATASET);
	put_text(b, "schema", res, SCHEMA);
	put_text(b, "table", res, TABLE);
	put_text(b, "file", res, LAST_FILE);
	put_number(b, "files", res, FILES);
	put_number(b, "rows", res, ROWS);
	put_number(b, "version", res, VERSION);
	put_text(b, "at", res, AT);
}

static void
announced(struct run *r, const PGresult *res)
{
	char id[24], version[24];
	struct pg_param p[2] = {run_int(r->dataset, id), run_int(r->version, version)};

	(void)res;
	run_sql(r,
	    "UPDATE operations.datasets SET announced = $2 WHERE id = $1 AND announced < "
	    "$2::bigint",
	    p, 2, r->after_announce);
}

static void
announce(struct run *r, const PGresult *res)
{
	char table[COLUMNS_NAME + 64];
	struct buf topic, body;
	uint8_t id[16];
	struct env e;

	if (PQntuples(res) == 0) {
		r->after_announce(r, NULL);
		return;
	}
	snprintf(table, sizeof table, "%s.%s", r->spec.schema, r->spec.table);
	id_of(id, "dataset.loaded", table, PQgetvalue(res, 0, VERSION));
	buf_init(&topic, LIMIT_TOPIC);
	buf_init(&body, BODY);
	buf_puts(&topic, "dataset.loaded.");
	if (topic_put_token(&topic, span_str(r->spec.organisation)) == -1)
		topic.failed = true;
	buf_putc(&topic, '.');
	if (topic_put_token(&topic, span_str(r->spec.dataset)) == -1)
		topic.failed = true;
	put_loaded(&body, res);
	env_init(&e, ENV_PUB, buf_span(&topic), id);
	e.body = buf_span(&body);
	if (topic.failed || body.failed) {
		run_failed(r, 0, "the names are too long for a topic");
	} else {
		tell(r, &e, announced);
	}
	buf_fini(&body);
	buf_fini(&topic);
}

void
run_announce(struct run *r, run_next_fn *next)
{
	char id[24];
	struct pg_param p = run_int(r->dataset, id);

	r->after_announce = next;
	run_sql(r,
	    "SELECT organisation, dataset, schema_name, table_name, version, files, last_file, "
	    "rows, "
	    "to_char(loaded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') "
	    "FROM operations.current_versions WHERE id = $1 AND announced < version",
	    &p, 1, announce);
}

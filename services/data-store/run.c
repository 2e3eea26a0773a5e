#include "services/data-store/run.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "proto/mp.h"

enum { BEAT_MS = RUN_ACK_MS / 4, DETAIL = 64 * 1024, WHY = 1000 };

/* One question to the database, until its answer. */
struct question {
	struct run *r;
	unsigned turn;
	run_next_fn *next;
};

static void
free_files(struct run *r)
{
	for (size_t i = 0; i < r->nfiles; i++)
		free(r->files[i].name);
	free(r->files);
	for (size_t i = 0; i < r->nknown; i++) {
		free(r->known[i].name);
		free(r->known[i].etag);
		free(r->known[i].last_modified);
	}
	free(r->known);
}

/* What is under way on the wire and in the database, but not the questions. */
static void
stop_work(struct run *r)
{
	r->turn++;
	if (r->list_call != NULL)
		fetch_cancel(r->list_call);
	pull_cancel(r->pull);
	load_cancel(r->load);
	r->list_call = NULL;
	r->pull = NULL;
	r->load = NULL;
}

void
run_free(struct run *r)
{
	stop_work(r);
	loop_timer_clear(r->h->loop, &r->beat);
	list_remove(&r->link);
	free_files(r);
	listing_fini(&r->listing);
	columns_fini(&r->columns);
	columns_fini(&r->have);
	spec_fini(&r->spec);
	buf_fini(&r->detail);
	free(r);
}

void
run_leave(struct run *r)
{
	struct run_house *h = r->h;

	if (!r->over || r->asked > 0)
		return;
	run_free(r);
	h->ended(h->arg);
}

static void
over(struct run *r)
{
	stop_work(r);
	loop_timer_clear(r->h->loop, &r->beat);
	r->over = true;
	run_leave(r);
}

struct pg_param
run_int(int64_t v, char room[24])
{
	snprintf(room, 24, "%lld", (long long)v);
	return (struct pg_param){span_str(room)};
}

static void
refused(struct run *r, const struct pg_done *d)
{
	if (d->end != PG_REFUSED) {
		run_again(r, -1, d->why);
	} else if (strcmp(d->sqlstate, "TX001") == 0) {
		r->leased = false;
		run_again(r, RUN_ACK_MS / 4, d->why);
	} else if (r->ending) {
		log_error("ingest_sql", LOG_ID("id", r->uuid), LOG_S("why", d->why));
		run_again(r, -1, d->why);
	} else {
		run_failed(r, 0, "%s", d->why);
	}
}

static void
answered(void *arg, const struct pg_done *d)
{
	struct question *q = arg;
	struct run *r = q->r;
	run_next_fn *next = q->turn == r->turn ? q->next : NULL;
	bool heard = q->turn == r->turn;

	free(q);
	r->asked--;
	if (heard && d->end == PG_OK && next != NULL) {
		next(r, d->res);
	} else if (heard && d->end != PG_OK) {
		refused(r, d);
	} else {
		run_leave(r);
	}
}

void
run_steps(struct run *r, const struct pg_step *steps, size_t n, run_next_fn *next)
{
	struct question *q = xcalloc(1, sizeof *q);

	*q = (struct question){r, r->turn, next};
	if (pg_run(r->h->pg, steps, n, answered, q) == 0) {
		r->asked++;
		return;
	}
	free(q);
	run_again(r, -1, "the database has too much to do");
}

void
run_sql(struct run *r, const char *sql, const struct pg_param *p, int n, run_next_fn *next)
{
	struct pg_step step = {.sql = sql, .params = p, .nparams = n, .keep = true};

	run_steps(r, &step, 1, next);
}

/* --- the beat
 * ---------------------------------------------------------------------------------------------- */

static void
set_beat(struct run *r)
{
	loop_timer(r->h->loop, &r->beat, loop_now(r->h->loop) + BEAT_MS);
}

static void
renewed(void *arg, const struct pg_done *d)
{
	struct question *q = arg;
	struct run *r = q->r;
	bool heard = q->turn == r->turn;
	int64_t now = loop_now(r->h->loop);

	free(q);
	r->asked--;
	if (heard && d->end == PG_OK && PQntuples(d->res) == 1) {
		r->lease_ends = now + RUN_ACK_MS;
	} else if (heard && d->end == PG_OK) {
		r->leased = false;
		run_again(r, BEAT_MS, "another run has taken this dataset");
	} else if (heard && now >= r->lease_ends) {
		run_again(r, -1, d->why);
	} else {
		run_leave(r);
	}
}

static void
on_beat(struct timer *t)
{
	struct run *r = LIST_ITEM(t, struct run, beat);
	struct question *q;
	char id[24];
	struct pg_param p[2] = {run_int(r->dataset, id), {span_str(r->owner)}};

	worker_extend(r->msg, RUN_ACK_MS);
	set_beat(r);
	if (!r->leased)
		return;
	q = xcalloc(1, sizeof *q);
	*q = (struct question){r, r->turn, NULL};
	if (pg_query(r->h->pg,
		"UPDATE operations.datasets SET lease_until = now() + interval '60 s' WHERE id = "
		"$1 AND "
		"owner = $2 RETURNING 1",
		p, 2, renewed, q) == 0) {
		r->asked++;
	} else {
		free(q);
	}
}

/* --- the ends
 * ---------------------------------------------------------------------------------------------- */

static const char release[] = "UPDATE operations.datasets SET owner = NULL, lease_until = NULL, "
			      "run = NULL WHERE id = $1 AND owner = $2";

static void
give_up_lease(struct run *r)
{
	char id[24];
	struct pg_param p[2] = {run_int(r->dataset, id), {span_str(r->owner)}};

	/* If this does not get through, the lease ends by itself. */
	if (r->leased && pg_query(r->h->pg, release, p, 2, NULL, NULL) == -1)
		log_warn("lease_kept", LOG_ID("id", r->uuid));
	r->leased = false;
}

/* A file may have brought any bytes in, and a cut one may end anywhere; what is sent is UTF-8. */
static void
make_text(char *s)
{
	if (str_is_utf8(span_str(s)))
		return;
	for (; *s != '\0'; s++) {
		if (*s < ' ' || *s > '~')
			*s = '?';
	}
}

void
run_again(struct run *r, int64_t delay_ms, const char *why)
{
	char reason[LIMIT_REASON / 2];

	if (r->over)
		return;
	log_warn("ingest_again", LOG_ID("id", r->uuid), LOG_S("schema", r->spec.schema),
	    LOG_S("why", why));
	give_up_lease(r);
	r->h->again++;
	snprintf(reason, sizeof reason, "%s", why);
	make_text(reason);
	worker_nak(r->msg, delay_ms, reason);
	over(r);
}

static void
acked(struct run *r, const PGresult *res)
{
	(void)res;
	worker_ack(r->msg);
	over(r);
}

static void
released(struct run *r, const PGresult *res)
{
	(void)res;
	r->leased = false;
	run_tell_end(r, acked);
}

/* The last words of a run: give the lease back, publish, ack. */
static void
finish(struct run *r)
{
	char id[24];
	struct pg_param p[2] = {run_int(r->dataset, id), {span_str(r->owner)}};

	if (r->leased) {
		run_sql(r, release, p, 2, released);
	} else {
		run_tell_end(r, acked);
	}
}

static void
failures_noted(struct run *r, const PGresult *res)
{
	(void)res;
	finish(r);
}

/* The registry keeps why a file did not get into the table. */
static void
note_failures(struct run *r, int64_t bad_file, const char *why)
{
	char bad[24], number[24], other[WHY + 100];
	struct buf ids;

	buf_init(&ids, r->nfiles * 24 + 16);
	for (size_t i = 0; i < r->nfiles; i++) {
		snprintf(number, sizeof number, "%lld", (long long)r->files[i].id);
		pg_array_item(&ids, span_str(number));
	}
	pg_array_end(&ids);
	snprintf(other, sizeof other, "not loaded, as the run failed: %s", why);
	struct pg_param p[] = {
	    {buf_span(&ids)}, run_int(bad_file, bad), {span_str(why)}, {span_str(other)}};

	run_sql(r,
	    "UPDATE operations.datafile_registry SET state = 'failed', updated_timestamp = "
	    "clock_timestamp(), "
	    "error_message = CASE WHEN id = $2 THEN $3 ELSE $4 END "
	    "WHERE id = ANY ($1::bigint[]) AND state = 'processing'",
	    p, 4, failures_noted);
	buf_fini(&ids);
}

static void
end_with(struct run *r, const char *status, int64_t bad_file, const char *why)
{
	r->ending = true;
	r->status = status;
	stop_work(r);
	log_warn("ingest_failed", LOG_ID("id", r->uuid), LOG_S("schema", r->spec.schema),
	    LOG_S("why", why));
	if (r->detail.n == 0) {
		mp_put_map(&r->detail, 1);
		mp_put_cstr(&r->detail, "error");
		mp_put_cstr(&r->detail, why);
	}
	r->h->failed++;
	if (r->leased && r->nfiles > 0) {
		note_failures(r, bad_file, why);
	} else {
		finish(r);
	}
}

void
run_failed(struct run *r, int64_t bad_file, const char *fmt, ...)
{
	char why[WHY];
	va_list ap;

	if (r->ending || r->over)
		return;
	va_start(ap, fmt);
	vsnprintf(why, sizeof why, fmt, ap);
	va_end(ap);
	make_text(why);
	end_with(r, "failed", bad_file, why);
}

void
run_cancelled(struct run *r)
{
	if (!r->ending && !r->over && !r->swapping)
		end_with(r, "cancelled", 0, "cancelled");
}

void
run_done(struct run *r)
{
	r->ending = true;
	r->status = "succeeded";
	r->h->succeeded++;
	r->h->files += r->nfiles;
	r->h->rows += r->rows;
	mp_put_map(&r->detail, 5);
	mp_put_cstr(&r->detail, "files");
	mp_put_u64(&r->detail, r->nfiles);
	mp_put_cstr(&r->detail, "unchanged");
	mp_put_u64(&r->detail, r->unchanged);
	mp_put_cstr(&r->detail, "ignored");
	mp_put_u64(&r->detail, r->ignored);
	mp_put_cstr(&r->detail, "rows");
	mp_put_u64(&r->detail, r->rows);
	mp_put_cstr(&r->detail, "version");
	mp_put_i64(&r->detail, r->version);
	log_info("ingest_done", LOG_ID("id", r->uuid), LOG_S("schema", r->spec.schema),
	    LOG_U("files", r->nfiles), LOG_U("unchanged", r->unchanged), LOG_U("rows", r->rows),
	    LOG_I("version", r->version));
	finish(r);
}

/* --- the beginning
 * ----------------------------------------------------------------------------------------- */

static int64_t
number(const PGresult *res, int row, int column)
{
	struct span s =
	    span_of(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column));
	int64_t v = 0;

	return str_i64(s, INT64_MIN, INT64_MAX, &v) == 0 ? v : 0;
}

static void
begin(struct run *r, const PGresult *res)
{
	(void)res;
	run_tell_running(r);
	run_list(r, NULL);
}

static void
swept(struct run *r, const PGresult *res)
{
	(void)res;
	/* A run before us may have died between the swap and its word of it. */
	run_announce(r, begin);
}

/* We hold the lease, so nobody is processing what the registry says is being processed. */
static void
sweep(struct run *r)
{
	char source[COLUMNS_NAME + 64] = "";
	struct pg_param p;

	snprintf(source, sizeof source, "%s.%s", r->spec.schema, r->spec.table);
	p.v = span_str(source);
	run_sql(r,
	    "UPDATE operations.datafile_registry SET state = 'failed', "
	    "error_message = 'not loaded, as its run was lost', updated_timestamp = "
	    "clock_timestamp() "
	    "WHERE source = $1 AND state = 'processing'",
	    &p, 1, swept);
}

/* Tries are counted, and a load may take hours: 2 s, 4 s, … 10 minutes. */
static int64_t
patience(const struct run *r)
{
	uint64_t n = env_u(&r->msg->head, ENV_M_TRY, 1);

	return n < 9 ? INT64_C(1000) << n : 600000;
}

static void
leased(struct run *r, const PGresult *res)
{
	if (PQntuples(res) == 0) {
		run_again(r, patience(r), "another run is loading this dataset");
		return;
	}
	r->dataset = number(res, 0, 0);
	r->version = number(res, 0, 1);
	r->leased = true;
	r->lease_ends = loop_now(r->h->loop) + RUN_ACK_MS;
	r->same_format = strcmp(PQgetvalue(res, 0, 2), r->format) == 0;
	if (columns_read(&r->have, span_str(PQgetvalue(res, 0, 3))) == -1) {
		run_failed(r, 0, "the catalogue has columns that cannot be read");
		return;
	}
	sweep(r);
}

static void
lease(struct run *r)
{
	struct pg_param p[] = {{span_str(r->spec.organisation)}, {span_str(r->spec.dataset)},
	    {span_str(r->spec.table)}, {span_str(r->owner)}, {span_str(r->uuid_text)}};

	run_sql(r,
	    "SELECT l.id, l.version, coalesce(v.format, ''), "
	    "(SELECT string_agg(c ->> 'name' || ' ' || (c ->> 'type'), E'\\n' ORDER BY o) "
	    "FROM jsonb_array_elements(v.columns) WITH ORDINALITY AS a (c, o)) "
	    "FROM operations.lease($1, $2, $3, $4, $5, 60) l "
	    "LEFT JOIN operations.dataset_versions v ON (v.dataset_id, v.version) = (l.id, "
	    "l.version)",
	    p, 5, leased);
}

/* {error, errors:[{pointer, detail}…]} */
static void
put_faults(struct run *r, const struct faults *f)
{
	mp_put_map(&r->detail, 2);
	mp_put_cstr(&r->detail, "error");
	mp_put_cstr(&r->detail, f->first);
	mp_put_cstr(&r->detail, "errors");
	mp_put_array(&r->detail, f->kept);
	buf_put(&r->detail, f->items.p, f->items.n);
}

/* 0, or -1 with the faults in r->detail. */
static int
read_spec(struct run *r, char *why, size_t size)
{
	struct faults f;
	struct doc d;
	int rc;

	faults_init(&f);
	if (doc_parse(&d, r->msg->env.body) == -1) {
		faults_add(&f, "", "expected a trigger");
	} else {
		spec_parse(&r->spec, doc_get(&d.root, "spec"), &f);
	}
	rc = f.n == 0 ? 0 : -1;
	if (rc == -1) {
		put_faults(r, &f);
		snprintf(why, size, "%s", f.first);
	}
	doc_fini(&d);
	faults_fini(&f);
	return rc;
}

void
run_start(struct run_house *h, struct worker_msg *m, const uint8_t uuid[16])
{
	struct run *r = xcalloc(1, sizeof *r);
	uint8_t owner[16];
	char why[300];

	r->h = h;
	r->msg = m;
	m->user = r;
	list_push_back(&h->runs, &r->link);
	memcpy(r->uuid, uuid, 16);
	uuid_text(uuid, r->uuid_text);
	uuid_v7(owner, clock_real_ms());
	uuid_text(owner, r->owner);
	buf_init(&r->detail, DETAIL);
	r->beat.fn = on_beat;
	set_beat(r);
	if (read_spec(r, why, sizeof why) == -1) {
		run_failed(r, 0, "%s", why);
		return;
	}
	for (size_t i = 0; i < sizeof r->spec.digest; i++)
		snprintf(r->format + 2 * i, 3, "%02x", r->spec.digest[i]);
	lease(r);
}

void
run_adopt(struct run *r, struct worker_msg *m)
{
	worker_ack(r->msg); /* void: nothing is sent */
	r->msg = m;
	m->user = r;
}

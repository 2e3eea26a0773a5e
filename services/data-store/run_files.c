#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "services/data-store/run.h"

enum { LIST_MS = 60000, LIST_BYTES = 16 * 1024 * 1024, PATIENCE = 5 };

static void next_file(struct run *r);

/* A server that is away may be back soon; one that stays away has to be told of some day. */
static bool
may_wait(const struct run *r)
{
	return env_u(&r->msg->head, ENV_M_TRY, 1) < PATIENCE;
}

static char *
dup_value(const PGresult *res, int row, int column)
{
	return xstrdup(PQgetvalue(res, row, column));
}

static int
by_name(const void *key, const void *item)
{
	const struct run_known *k = item;

	return strcmp(key, k->name);
}

static const struct run_known *
find_known(const struct run *r, const char *name)
{
	if (r->nknown == 0)
		return NULL;
	return bsearch(name, r->known, r->nknown, sizeof *r->known, by_name);
}

/* --- one file
 * ---------------------------------------------------------------------------------------------- */

static struct listing_file *
current(struct run *r)
{
	return &r->listing.v[r->at];
}

static void
add_file(struct run *r, int64_t id, const char *sha256, const char *name)
{
	struct load_file *f;

	r->files = xrealloc(r->files, (r->nfiles + 1) * sizeof *r->files);
	f = &r->files[r->nfiles++];
	*f = (struct load_file){.id = id, .name = xstrdup(name)};
	str_copy(f->sha256, sizeof f->sha256, span_str(sha256));
}

static int64_t
number(const PGresult *res, int row, int column)
{
	int64_t v = 0;

	return str_i64(span_str(PQgetvalue(res, row, column)), 0, INT64_MAX, &v) == 0 ? v : 0;
}

static void
registered(struct run *r, const PGresult *res)
{
	const char *what = PQgetvalue(res, 0, 1);

	if (strcmp(what, "processing") == 0) {
		add_file(r, number(res, 0, 0), PQgetvalue(res, 0, 2), current(r)->name);
	} else if (strcmp(what, "ignored") == 0) {
		r->ignored++;
	} else {
		r->unchanged++;
	}
	r->at++;
	next_file(r);
}

static void
put_register(struct run *r, const struct pull_answer *a, const char *sha256)
{
	char id[24], bytes[24];
	struct pg_param p[] = {run_int(r->dataset, id), {span_str(r->owner)}, {span_str(r->format)},
	    {span_str(current(r)->name)}, {span_str(sha256)}, run_int((int64_t)a->bytes, bytes),
	    {span_str(a->etag)}, {span_str(a->last_modified)}, {span_str(current(r)->url)}};

	/* A 304 has no body to measure. */
	if (a->end == PULL_SAME)
		p[5].v = (struct span){NULL, 0};
	run_sql(r,
	    "SELECT file_id, what, $5 FROM operations.register($1, $2, $3, $4, $5, $6, $7, $8, $9)",
	    p, 9, registered);
}

static void
failure_registered(struct run *r, const PGresult *res)
{
	(void)res;
	run_failed(r, 0, "%s", r->why);
}

static void
put_failure(struct run *r, const char *why)
{
	char id[24];
	struct pg_param p[] = {run_int(r->dataset, id), {span_str(r->owner)},
	    {span_str(current(r)->name)}, {span_str(current(r)->url)}, {span_str(why)}};

	snprintf(r->why, sizeof r->why, "%s: %s", current(r)->name, why);
	run_sql(
	    r, "SELECT operations.register_failure($1, $2, $3, $4, $5)", p, 5, failure_registered);
}

static void
pulled(void *arg, const struct pull_answer *a)
{
	struct run *r = arg;
	const struct run_known *known = find_known(r, current(r)->name);

	r->pull = NULL;
	if (a->end == PULL_STORED) {
		put_register(r, a, a->sha256);
	} else if (a->end == PULL_SAME && known != NULL) {
		put_register(r, a, known->sha256);
	} else if (a->end == PULL_LATER && may_wait(r)) {
		run_again(r, -1, a->why);
	} else {
		put_failure(r, a->why);
	}
}

static bool
is_page(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL && (strcasecmp(dot, ".html") == 0 || strcasecmp(dot, ".htm") == 0);
}

static void
next_file(struct run *r)
{
	const struct run_known *known;
	struct pull_spec s;

	if (r->at == r->listing.n) {
		run_load(r, NULL);
		return;
	}
	known = find_known(r, current(r)->name);
	/* "Unchanged" is of use only while what it is unchanged from is there. */
	if (known != NULL && !objects_has(r->h->objects, known->sha256))
		known = NULL;
	s = (struct pull_spec){.url = current(r)->url,
	    .etag = known ? known->etag : "",
	    .last_modified = known ? known->last_modified : "",
	    .dir = r->h->objects,
	    .max_bytes = (uint64_t)r->h->max_file,
	    .timeout_ms = r->h->pull_ms,
	    .html = is_page(current(r)->name)};
	r->pull = pull_start(r->h->fetch, r->h->loop, &s, pulled, r);
}

/* --- the listing
 * ------------------------------------------------------------------------------------------- */

static void
keep_last(struct listing *l)
{
	for (size_t i = 0; i + 1 < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].url);
	}
	l->v[0] = l->v[l->n - 1];
	l->n = 1;
}

static void
listed(struct run *r)
{
	if (r->listing.n == 0) {
		run_failed(r, 0, "the source lists no file that matches %s", r->spec.pattern);
		return;
	}
	if (r->spec.last)
		keep_last(&r->listing);
	next_file(r);
}

static void
on_listing(void *arg, const struct fetch_answer *a)
{
	struct run *r = arg;
	struct listing_page page;
	char why[400];

	r->list_call = NULL;
	if (a->end != FETCH_OK || a->status != 200) {
		enum pull_end end = pull_judge(a, why, sizeof why);

		if (end == PULL_LATER && may_wait(r)) {
			run_again(r, -1, why);
		} else {
			run_failed(r, 0, "the listing: %s", why);
		}
		return;
	}
	page = (struct listing_page){a->type, a->body, a->url};
	if (listing_read(&r->listing, &page, r->spec.pattern, why, sizeof why) == -1) {
		run_failed(r, 0, "%s", why);
	} else {
		listed(r);
	}
}

static void
get_listing(struct run *r)
{
	struct fetch_spec s = {
	    .url = r->spec.url, .timeout_ms = LIST_MS, .max_bytes = LIST_BYTES, .redirects = true};
	char why[200];

	if (r->spec.pattern[0] != '\0') {
		r->list_call = fetch_start(r->h->fetch, &s, on_listing, r);
		if (r->list_call == NULL)
			run_again(r, -1, "out of memory");
	} else if (listing_one(&r->listing, r->spec.url, why, sizeof why) == -1) {
		run_failed(r, 0, "%s", why);
	} else {
		listed(r);
	}
}

static void
knew(struct run *r, const PGresult *res)
{
	int n = PQntuples(res);

	r->known = xcalloc((size_t)n + 1, sizeof *r->known);
	for (int i = 0; i < n; i++) {
		struct run_known *k = &r->known[r->nknown++];

		k->name = dup_value(res, i, 0);
		str_copy(k->sha256, sizeof k->sha256, span_str(PQgetvalue(res, i, 1)));
		k->etag = dup_value(res, i, 2);
		k->last_modified = dup_value(res, i, 3);
		k->loaded = PQgetvalue(res, i, 4)[0] == 't';
	}
	get_listing(r);
}

void
run_list(struct run *r, const PGresult *res)
{
	char id[24], version[24], source[COLUMNS_NAME + 64] = "";
	struct pg_param p[] = {
	    {span_str(source)}, run_int(r->dataset, id), run_int(r->version, version)};

	(void)res;
	snprintf(source, sizeof source, "%s.%s", r->spec.schema, r->spec.table);
	p[0].v = span_str(source);
	/* Of each name the content that was seen last. */
	run_sql(r,
	    "SELECT DISTINCT ON (file_name COLLATE \"C\") file_name, sha256, etag, last_modified, "
	    "file_name IN (SELECT c.file_name FROM operations.version_files f "
	    "JOIN operations.datafile_registry c ON c.id = f.file_id "
	    "WHERE f.dataset_id = $2 AND f.version = $3) "
	    "FROM operations.datafile_registry WHERE source = $1 AND sha256 <> '' "
	    "ORDER BY file_name COLLATE \"C\", updated_timestamp DESC, id DESC",
	    p, 3, knew);
}

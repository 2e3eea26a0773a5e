#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "services/data-store/run.h"

static void
done(struct run *r, const PGresult *res)
{
	(void)res;
	run_done(r);
}

static int64_t
number(const PGresult *res, int row, int column)
{
	int64_t v = 0;

	return str_i64(span_str(PQgetvalue(res, row, column)), 0, INT64_MAX, &v) == 0 ? v : 0;
}

/* --- the swap
 * ---------------------------------------------------------------------------------------------- */

static void
swapped(struct run *r, const PGresult *res)
{
	(void)res;
	r->version++;
	for (size_t i = 0; i < r->nfiles; i++)
		r->rows += r->files[i].rows;
	run_announce(r, done);
}

static void
put_number(struct buf *array, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	pg_array_item(array, span_str(text));
}

static void
swap(struct run *r)
{
	char id[24], version[24], most[24];
	struct buf ids, counts, columns;
	size_t longest = 0;

	buf_init(&ids, r->nfiles * 24 + 16);
	buf_init(&counts, r->nfiles * 24 + 16);
	buf_init(&columns, COLUMNS_MAX * 120);
	for (size_t i = 0; i < r->nfiles; i++) {
		put_number(&ids, (uint64_t)r->files[i].id);
		put_number(&counts, r->files[i].rows);
		if (r->files[i].longest > longest)
			longest = r->files[i].longest;
	}
	pg_array_end(&ids);
	pg_array_end(&counts);
	columns_put_json(&r->columns, &columns);
	struct pg_param p[] = {run_int(r->dataset, id), {span_str(r->owner)},
	    {span_str(r->uuid_text)}, run_int(r->version + 1, version), {buf_span(&columns)},
	    {span_str(r->format)}, run_int((int64_t)longest, most),
	    {span_str(r->load_spec.carry ? "true" : "false")}, {buf_span(&ids)},
	    {buf_span(&counts)}};
	struct pg_step steps[] = {
	    /* Somebody's long read of the view must not make everybody behind us wait. */
	    {.sql = "SET LOCAL lock_timeout = '5s'"},
	    {.sql = "SELECT operations.swap($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
		.params = p,
		.nparams = sizeof p / sizeof *p},
	};

	r->swapping = true;
	run_steps(r, steps, 2, swapped);
	buf_fini(&columns);
	buf_fini(&counts);
	buf_fini(&ids);
}

/* --- the load
 * ---------------------------------------------------------------------------------------------- */

static void
loaded(void *arg, enum load_end end, const struct load_file *bad, const char *why)
{
	struct run *r = arg;

	r->load = NULL;
	if (end == LOAD_OK) {
		swap(r);
	} else if (end == LOAD_BAD && bad != NULL) {
		run_failed(r, bad->id, "%s: %s", bad->name, why);
	} else if (end == LOAD_BAD) {
		run_failed(r, 0, "%s", why);
	} else {
		run_again(r, -1, end == LOAD_LOST ? "another run has taken this dataset" : why);
	}
}

static bool
is_to_be_loaded(const struct run *r, const char *name)
{
	for (size_t i = 0; i < r->nfiles; i++) {
		if (strcmp(r->files[i].name, name) == 0)
			return true;
	}
	return false;
}

/* Does the current version hold rows of files that are not loaded again? */
static bool
has_others(const struct run *r)
{
	for (size_t i = 0; i < r->nknown; i++) {
		if (r->known[i].loaded && !is_to_be_loaded(r, r->known[i].name))
			return true;
	}
	return false;
}

static void
fill(struct run *r)
{
	char why[400];

	if (r->nfiles == 0) {
		run_announce(r, done);
		return;
	}
	r->load_spec = (struct load_spec){.url = r->h->database,
	    .dir = r->h->objects,
	    .spec = &r->spec,
	    .columns = &r->columns,
	    .dataset = r->dataset,
	    .version = r->version + 1,
	    .owner = r->owner,
	    .carry = r->same_format && !r->spec.last && has_others(r),
	    .files = r->files,
	    .nfiles = r->nfiles,
	    .timeout_ms = r->h->load_ms};
	if (load_columns(&r->load_spec, &r->columns, why, sizeof why) == -1) {
		run_failed(r, r->files[0].id, "%s: %s", r->files[0].name, why);
	} else if (r->load_spec.carry && !columns_eq(&r->have, &r->columns)) {
		run_failed(r, r->files[0].id,
		    "%s: its header names other columns than the files that are loaded already",
		    r->files[0].name);
	} else {
		r->load = load_start(r->h->loop, &r->load_spec, loaded, r);
	}
}

/* Files the source lists no more keep their rows; read anew, as the format has changed. */
static void
others_found(struct run *r, const PGresult *res)
{
	int n = PQntuples(res);

	r->files = xrealloc(r->files, (r->nfiles + (size_t)n + 1) * sizeof *r->files);
	memmove(r->files + n, r->files, r->nfiles * sizeof *r->files);
	for (int i = 0; i < n; i++) {
		struct load_file *f = &r->files[i];

		*f = (struct load_file){
		    .id = number(res, i, 0), .name = xstrdup(PQgetvalue(res, i, 1))};
		str_copy(f->sha256, sizeof f->sha256, span_str(PQgetvalue(res, i, 2)));
	}
	r->nfiles += (size_t)n;
	fill(r);
}

static void
find_others(struct run *r)
{
	char id[24], version[24];
	struct buf names;

	buf_init(&names, r->nfiles * 600 + 16);
	for (size_t i = 0; i < r->nfiles; i++)
		pg_array_item(&names, span_str(r->files[i].name));
	pg_array_end(&names);
	struct pg_param p[] = {run_int(r->dataset, id), run_int(r->version, version),
	    {buf_span(&names)}, {span_str(r->owner)}};

	run_sql(r,
	    "WITH held AS (SELECT operations.hold($1, $4)), "
	    "again AS (UPDATE operations.datafile_registry r SET state = 'processing', "
	    "updated_timestamp = clock_timestamp() FROM operations.version_files f, held "
	    "WHERE f.dataset_id = $1 AND f.version = $2 AND r.id = f.file_id AND r.state = "
	    "'processed' "
	    "AND r.file_name <> ALL ($3::text[]) RETURNING f.position, r.id, r.file_name, "
	    "r.sha256) "
	    "SELECT id, file_name, sha256 FROM again ORDER BY position",
	    p, 4, others_found);
	buf_fini(&names);
}

void
run_load(struct run *r, const PGresult *res)
{
	(void)res;
	if (r->nfiles > 0 && r->version > 0 && !r->same_format && !r->spec.last) {
		find_others(r);
	} else {
		fill(r);
	}
}

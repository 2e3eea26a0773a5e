#include "services/data-store/load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "base/str.h"

enum { CHUNK = 64 * 1024, SQL = 256 * 1024, PADDED = 4 * 1024 * 1024 };

/* One COPY: pg hands this back with each request for a piece. */
struct feed {
	struct load *x;
	size_t i;
};

struct load {
	struct loop *loop;
	struct load_spec s;
	struct pg *pg;
	load_done_fn *done;
	void *arg;
	struct feed *feeds;
	size_t at; /* the file that is being sent; nfiles before the first */
	int fd;
	struct dsv dsv;
	uint8_t *chunk;
	size_t chunk_n;
	bool first; /* no chunk of this file was read yet */
	bool cancelled;
	enum load_end end;
	char why[800];
};

static void
load_free(struct load *x)
{
	loop_later_cancel(x->loop, x);
	pg_free(x->pg);
	if (x->fd != -1)
		close(x->fd);
	dsv_fini(&x->dsv);
	free(x->chunk);
	free(x->feeds);
	free(x);
}

static int
refuse(struct load *x, const char *why)
{
	snprintf(x->why, sizeof x->why, "%s", why);
	x->end = LOAD_BAD;
	return -1;
}

/* Do the names in the header stand as the table's columns do? */
static int
check_header(struct load *x, struct span head, bool whole)
{
	const struct columns *c = x->s.columns;
	char why[300];
	struct buf names;
	const char *name;
	int n, rc = 0;

	buf_init(&names, CHUNK * 2);
	n = dsv_header(&x->s.spec->format, head, whole, &names, why, sizeof why);
	if (n == -1) {
		rc = refuse(x, why);
	} else if (names.failed || (size_t)n != c->n) {
		rc = refuse(x, "the header names other columns than the table has");
	}
	name = (const char *)names.p;
	for (size_t i = 0; rc == 0 && i < c->n; i++, name += strlen(name) + 1) {
		if (strcmp(name, c->v[i].name) == 0)
			continue;
		snprintf(why, sizeof why, "the header has \"%.80s\" where the table has \"%s\"",
		    name, c->v[i].name);
		rc = refuse(x, why);
	}
	buf_fini(&names);
	return rc;
}

static void
file_end(struct load *x)
{
	if (x->fd != -1)
		close(x->fd);
	x->fd = -1;
	dsv_fini(&x->dsv);
}

static int
file_start(struct load *x, size_t i)
{
	file_end(x);
	x->at = i;
	x->first = true;
	dsv_init(&x->dsv, &x->s.spec->format, (unsigned)x->s.columns->n);
	x->fd = objects_read(x->s.dir, x->s.files[i].sha256);
	if (x->fd != -1)
		return 0;
	snprintf(x->why, sizeof x->why, "the stored file cannot be read: %s", strerror(errno));
	x->end = LOAD_BAD;
	return -1;
}

static void
file_done(struct load *x)
{
	struct load_file *f = &x->s.files[x->at];

	f->rows = x->dsv.rows;
	f->longest = x->dsv.longest;
	x->dsv.rows = 0;
}

/* pg_copy_fn */
static int
more(void *arg, struct buf *out)
{
	struct feed *feed = arg;
	struct load *x = feed->x;
	ssize_t n;

	if (x->at != feed->i && file_start(x, feed->i) == -1)
		return -1;
	n = read(x->fd, x->chunk, x->chunk_n);
	if (n == -1) {
		snprintf(
		    x->why, sizeof x->why, "the stored file cannot be read: %s", strerror(errno));
		x->end = LOAD_BAD;
		return -1;
	}
	if (x->first && x->s.spec->format.header &&
	    check_header(x, span_of(x->chunk, (size_t)n), (size_t)n < x->chunk_n) == -1)
		return -1;
	x->first = false;
	if (dsv_feed(&x->dsv, span_of(x->chunk, (size_t)n), n == 0, out) == -1)
		return refuse(x, x->dsv.why);
	if (n > 0)
		return 1;
	if (x->dsv.rows == 0)
		return refuse(x, "no data found");
	file_done(x);
	return 0;
}

/* "COPY L0__v3, line 12, column a: …" in terms of the file. */
static void
locate(struct load *x, const struct pg_done *d)
{
	const char *line = strstr(d->context, ", line ");
	const char *rest;
	uint64_t n = 0;

	if (strncmp(d->context, "COPY ", 5) != 0 || line == NULL) {
		snprintf(x->why, sizeof x->why, "%s", d->why);
		x->at = x->s.nfiles; /* no file is to blame */
		return;
	}
	line += strlen(", line ");
	rest = line + strspn(line, "0123456789");
	if (str_u64(span_of(line, (size_t)(rest - line)), INT64_MAX, &n) == -1)
		n = 0;
	snprintf(x->why, sizeof x->why, "line %llu%.*s: %s",
	    (unsigned long long)dsv_line_of(&x->dsv, n), (int)strcspn(rest, ":"), rest, d->why);
}

static void
tell(void *arg)
{
	struct load *x = arg;
	const struct load_file *bad =
	    x->end == LOAD_BAD && x->at < x->s.nfiles ? &x->s.files[x->at] : NULL;

	x->done(x->arg, x->end, bad, x->why);
	load_free(x);
}

static void
loaded(void *arg, const struct pg_done *d)
{
	struct load *x = arg;

	if (x->cancelled)
		return;
	if (d->end == PG_OK) {
		x->end = LOAD_OK;
	} else if (x->end == LOAD_BAD) {
		/* It was us who gave up, and why is there. */
	} else if (d->end == PG_REFUSED && strcmp(d->sqlstate, "TX001") == 0) {
		x->end = LOAD_LOST;
	} else if (d->end == PG_REFUSED) {
		x->end = LOAD_BAD;
		locate(x, d);
	} else {
		x->end = LOAD_LATER;
		snprintf(x->why, sizeof x->why, "%s", d->why);
	}
	/* pg may not be freed from here. */
	loop_later(x->loop, tell, x);
}

/* "schema"."table__vN" */
static void
put_table(const struct load *x, int64_t version, struct buf *out)
{
	char name[COLUMNS_NAME + 32];

	snprintf(name, sizeof name, "%s__v%lld", x->s.spec->table, (long long)version);
	pg_put_ident(out, span_str(x->s.spec->schema));
	buf_putc(out, '.');
	pg_put_ident(out, span_str(name));
}

/* The statements of one load, in a row of texts in one buffer. */
struct script {
	struct pg_step *steps;
	size_t n;
	struct buf text;
	size_t *at; /* where each step's text starts; SIZE_MAX: a constant */
};

static void
script_add(struct script *s, const struct pg_step *step)
{
	s->at[s->n] = SIZE_MAX;
	s->steps[s->n++] = *step;
}

static void
script_end_text(struct script *s, size_t from)
{
	buf_putc(&s->text, '\0');
	s->at[s->n] = from;
	s->steps[s->n++] = (struct pg_step){0};
}

static void
put_create(struct load *x, struct script *s)
{
	size_t from = s->text.n;

	buf_puts(&s->text, "CREATE SCHEMA IF NOT EXISTS ");
	pg_put_ident(&s->text, span_str(x->s.spec->schema));
	script_end_text(s, from);
	from = s->text.n;
	/* What a run that got no further has left. */
	buf_puts(&s->text, "DROP TABLE IF EXISTS ");
	put_table(x, x->s.version, &s->text);
	script_end_text(s, from);
	from = s->text.n;
	buf_puts(&s->text, "CREATE TABLE ");
	put_table(x, x->s.version, &s->text);
	/* The name of a file may hold anything, so it comes in as a value. */
	buf_puts(&s->text,
	    " (id bigint GENERATED ALWAYS AS IDENTITY, datafile_created text NOT NULL "
	    "DEFAULT current_setting('taxiway.file'), ");
	columns_put_ddl(x->s.columns, &s->text);
	buf_putc(&s->text, ')');
	script_end_text(s, from);
}

static void
put_carry(struct load *x, struct script *s, const struct pg_param *files)
{
	size_t from = s->text.n;

	buf_puts(&s->text, "INSERT INTO ");
	put_table(x, x->s.version, &s->text);
	buf_puts(&s->text, " (datafile_created, ");
	columns_put_names(x->s.columns, &s->text);
	buf_puts(&s->text, ") SELECT datafile_created, ");
	columns_put_names(x->s.columns, &s->text);
	buf_puts(&s->text, " FROM ");
	put_table(x, x->s.version - 1, &s->text);
	buf_puts(&s->text, " WHERE datafile_created <> ALL ($1::text[]) ORDER BY id");
	script_end_text(s, from);
	s->steps[s->n - 1].params = files;
	s->steps[s->n - 1].nparams = 1;
}

static void
put_files(struct load *x, struct script *s, struct pg_param *names)
{
	size_t from = s->text.n;

	buf_puts(&s->text, "COPY ");
	put_table(x, x->s.version, &s->text);
	buf_puts(&s->text, " (");
	columns_put_names(x->s.columns, &s->text);
	buf_puts(&s->text, ") FROM STDIN ");
	dsv_put_options(&x->s.spec->format, &s->text);
	buf_putc(&s->text, '\0');
	for (size_t i = 0; i < x->s.nfiles; i++) {
		names[i].v = span_str(x->s.files[i].name);
		script_add(
		    s, &(struct pg_step){.sql = "SELECT set_config('taxiway.file', $1, true)",
			   .params = &names[i],
			   .nparams = 1});
		x->feeds[i] = (struct feed){x, i};
		s->at[s->n] = from;
		s->steps[s->n++] = (struct pg_step){.copy_fn = more, .copy_arg = &x->feeds[i]};
	}
}

static void
put_finish(struct load *x, struct script *s)
{
	size_t from = s->text.n;

	/* An index made at the end is made faster than one kept up. */
	buf_puts(&s->text, "ALTER TABLE ");
	put_table(x, x->s.version, &s->text);
	buf_puts(&s->text, " ALTER COLUMN datafile_created DROP DEFAULT, ADD PRIMARY KEY (id)");
	script_end_text(s, from);
}

static int
run_script(struct load *x, struct script *s)
{
	char dataset[24] = "", version[24] = "";
	struct pg_param claim[3];
	struct pg_param *names = xcalloc(x->s.nfiles + 1, sizeof *names);
	struct pg_param files;
	struct buf list;
	int rc = -1;

	snprintf(dataset, sizeof dataset, "%lld", (long long)x->s.dataset);
	snprintf(version, sizeof version, "%lld", (long long)x->s.version);
	claim[0].v = span_str(dataset);
	claim[1].v = span_str(x->s.owner);
	claim[2].v = span_str(version);
	buf_init(&list, x->s.nfiles * 600 + 16);
	for (size_t i = 0; i < x->s.nfiles; i++)
		pg_array_item(&list, span_str(x->s.files[i].name));
	pg_array_end(&list);
	files.v = buf_span(&list);

	script_add(
	    s, &(struct pg_step){
		   .sql = "SELECT operations.claim($1, $2, $3)", .params = claim, .nparams = 3});
	put_create(x, s);
	if (x->s.carry)
		put_carry(x, s, &files);
	put_files(x, s, names);
	put_finish(x, s);
	for (size_t i = 0; i < s->n; i++) {
		if (s->at[i] != SIZE_MAX)
			s->steps[i].sql = (const char *)s->text.p + s->at[i];
	}
	if (!s->text.failed && !list.failed)
		rc = pg_run(x->pg, s->steps, s->n, loaded, x);
	buf_fini(&list);
	free(names);
	return rc;
}

struct load *
load_start(struct loop *l, const struct load_spec *s, load_done_fn *done, void *arg)
{
	struct load *x = xcalloc(1, sizeof *x);
	size_t most = s->nfiles * 2 + 8;
	struct script script = {
	    xcalloc(most, sizeof *script.steps), 0, {0}, xcalloc(most, sizeof(size_t))};
	size_t padded = s->columns->n * (strlen(s->spec->format.null) + 1);

	x->loop = l;
	x->s = *s;
	x->done = done;
	x->arg = arg;
	x->at = s->nfiles;
	x->fd = -1;
	x->end = LOAD_LATER;
	x->feeds = xcalloc(s->nfiles + 1, sizeof *x->feeds);
	/* Short rows grow on their way; a piece of a COPY has a limit. */
	x->chunk_n = s->spec->format.pad && padded > PADDED / CHUNK ? PADDED / padded + 1 : CHUNK;
	x->chunk = xcalloc(1, CHUNK);
	x->pg = pg_new(l, s->url, s->timeout_ms);
	buf_init(&script.text, SQL * 4);
	if (run_script(x, &script) == -1) {
		snprintf(x->why, sizeof x->why, "too much to load at once");
		x->end = LOAD_BAD;
		loop_later(l, tell, x);
	}
	buf_fini(&script.text);
	free(script.steps);
	free(script.at);
	return x;
}

void
load_cancel(struct load *x)
{
	if (x == NULL)
		return;
	x->cancelled = true;
	load_free(x);
}

/* Types by name, in the order of the header. */
static int
match_header(const struct load_spec *s, const char *names, int n, struct columns *out, char *why,
    size_t size)
{
	const struct columns *told = &s->spec->columns;

	for (int i = 0; i < n; i++, names += strlen(names) + 1) {
		const struct column *c = columns_find(told, span_str(names));
		const char *type = columns_type_name(c ? c->type : COLUMN_TEXT);

		if (columns_add(out, span_str(names), span_str(type), why, size) == -1)
			return -1;
	}
	for (size_t i = 0; i < told->n; i++) {
		if (columns_find(out, span_str(told->v[i].name)) != NULL)
			continue;
		snprintf(why, size, "the header does not name the column \"%s\"", told->v[i].name);
		return -1;
	}
	return 0;
}

int
load_columns(const struct load_spec *s, struct columns *out, char *why, size_t size)
{
	uint8_t *head;
	struct buf names;
	ssize_t got;
	int fd, n, rc = -1;

	if (!s->spec->format.header) {
		for (size_t i = 0; i < s->spec->columns.n; i++) {
			const struct column *c = &s->spec->columns.v[i];

			if (columns_add(out, span_str(c->name),
				span_str(columns_type_name(c->type)), why, size) == -1)
				return -1;
		}
		return 0;
	}
	fd = objects_read(s->dir, s->files[0].sha256);
	head = xcalloc(1, CHUNK);
	buf_init(&names, CHUNK * 2);
	got = fd == -1 ? -1 : pread(fd, head, CHUNK, 0);
	if (got == -1) {
		snprintf(why, size, "the stored file cannot be read: %s", strerror(errno));
	} else {
		n = dsv_header(
		    &s->spec->format, span_of(head, (size_t)got), got < CHUNK, &names, why, size);
		if (n != -1 && !names.failed)
			rc = match_header(s, (const char *)names.p, n, out, why, size);
	}
	if (fd != -1)
		close(fd);
	buf_fini(&names);
	free(head);
	return rc;
}

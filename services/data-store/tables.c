#include "services/data-store/tables.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/doc.h"
#include "proto/mp.h"
#include "services/data-store/page.h"
#include "services/data-store/spec.h"

/* One request, until it is answered. */
struct ask {
	struct answer_house *h;
	struct worker_msg *m;
	struct page page;
	bool structure;
	bool pinned; /* the caller named the version */
	int64_t rows;
};

/* $3: the version, or NULL for the current one.  Its columns are NULL when it is not there. */
static const char lookup[] =
    "SELECT coalesce($3::bigint, d.version), v.longest_row, "
    "(SELECT string_agg(c ->> 'name' || ' ' || (c ->> 'type'), E'\\n' ORDER BY o) "
    "FROM jsonb_array_elements(v.columns) WITH ORDINALITY AS a (c, o)) "
    "FROM operations.datasets d LEFT JOIN operations.dataset_versions v ON v.dataset_id = d.id "
    "AND v.version = coalesce($3::bigint, d.version) AND v.dropped_at IS NULL "
    "WHERE d.schema_name = $1 AND d.table_name = $2 AND d.version > 0";

static void
ask_free(struct ask *a)
{
	columns_fini(&a->page.columns);
	free(a);
}

static void
gone(struct ask *a)
{
	worker_fail(a->m, ERR_GONE,
	    "this version of the table is not there (any more): start again without `next-id` and "
	    "`version`");
	ask_free(a);
}

static void
put_structure(const struct columns *c, struct buf *out)
{
	mp_put_map(out, 1);
	mp_put_cstr(out, "columns");
	mp_put_array(out, c->n + 1);
	for (size_t i = 0; i <= c->n; i++) {
		const char *type = columns_sql_type(i > 0 ? c->v[i - 1].type : COLUMN_BIGINT);
		char upper[32];
		size_t n = 0;

		for (; n < sizeof upper && type[n] != '\0'; n++) {
			upper[n] =
			    (char)(type[n] >= 'a' && type[n] <= 'z' ? type[n] - 32 : type[n]);
		}
		mp_put_map(out, 2);
		mp_put_cstr(out, "name");
		mp_put_cstr(out, i > 0 ? c->v[i - 1].name : "id");
		mp_put_cstr(out, "type");
		mp_put_str(out, span_of(upper, n));
	}
}

static void
on_page(void *arg, const struct pg_done *d)
{
	struct ask *a = arg;
	struct buf body, next;

	if (d->end == PG_REFUSED && strcmp(d->sqlstate, "42P01") == 0) {
		/* Two swaps since we looked it up. */
		gone(a);
		return;
	}
	if (d->end != PG_OK) {
		answer_away(a->m, d);
		ask_free(a);
		return;
	}
	buf_init(&body, LIMIT_FRAME);
	buf_init(&next, 1024);
	a->h->rows += page_put(&a->page, d->res, a->rows, &body, &next);
	a->h->pages++;
	answer_ok(a->m, &body, next.n > 0 ? buf_cstr(&next) : NULL);
	buf_fini(&next);
	buf_fini(&body);
	ask_free(a);
}

static void
read_page(struct ask *a)
{
	char from[24], rows[24];
	struct pg_param p[2];
	struct buf sql;
	int rc;

	snprintf(from, sizeof from, "%lld", (long long)a->page.from);
	snprintf(rows, sizeof rows, "%lld", (long long)a->rows + 1);
	p[0].v = span_str(from);
	p[1].v = span_str(rows);
	buf_init(&sql, COLUMNS_MAX * 100);
	page_put_query(&a->page, &sql);
	rc = pg_query(a->h->pg, buf_cstr(&sql), p, 2, on_page, a);
	buf_fini(&sql);
	if (rc == 0)
		return;
	worker_fail(a->m, ERR_BUSY, "too many queries wait for the database");
	ask_free(a);
}

static void
on_found(void *arg, const struct pg_done *d)
{
	struct ask *a = arg;
	struct buf body;

	if (d->end != PG_OK) {
		answer_away(a->m, d);
		ask_free(a);
	} else if (PQntuples(d->res) == 0) {
		worker_fail(a->m, ERR_NOT_FOUND, "there is no such table");
		ask_free(a);
	} else if (PQgetisnull(d->res, 0, 2)) {
		gone(a);
	} else if (columns_read(&a->page.columns, answer_text(d->res, 0, 2)) == -1) {
		worker_fail(a->m, ERR_INTERNAL, "the catalogue cannot be read");
		ask_free(a);
	} else if (a->structure) {
		buf_init(&body, LIMIT_FRAME);
		put_structure(&a->page.columns, &body);
		answer_ok(a->m, &body, NULL);
		buf_fini(&body);
		ask_free(a);
	} else {
		a->page.version = answer_i64(d->res, 0, 0);
		a->rows = page_rows(&a->page, answer_i64(d->res, 0, 1));
		read_page(a);
	}
}

static void
find(struct ask *a)
{
	char version[24];
	struct pg_param p[3] = {{span_str(a->page.schema)}, {span_str(a->page.table)}, {{NULL, 0}}};

	if (a->pinned) {
		snprintf(version, sizeof version, "%lld", (long long)a->page.version);
		p[2].v = span_str(version);
	}
	if (pg_query(a->h->pg, lookup, p, 3, on_found, a) == 0)
		return;
	worker_fail(a->m, ERR_BUSY, "too many queries wait for the database");
	ask_free(a);
}

/* What cannot name a table of ours names none. */
static bool
read_name(struct page *p, const msgpack_object *o)
{
	struct span schema = doc_str(o, "schema"), table = doc_str(o, "table");
	const uint8_t *dot = schema.n ? memchr(schema.p, '.', schema.n) : NULL;

	if (dot == NULL || schema.n > COLUMNS_NAME || !spec_is_table(table) ||
	    !columns_is_name(span_of(schema.p, (size_t)(dot - schema.p))) ||
	    !columns_is_name(span_of(dot + 1, schema.n - (size_t)(dot + 1 - schema.p))))
		return false;
	return str_copy(p->schema, sizeof p->schema, schema) &&
	       str_copy(p->table, sizeof p->table, table);
}

static void
read_paging(struct ask *a, const msgpack_object *o, struct faults *f)
{
	const msgpack_object *v = doc_get(o, "orientation");

	a->page.from = answer_number(o, "next-id", 0, INT64_MAX, 0, f);
	a->page.limit = answer_number(o, "limit", 1, PAGE_LIMIT, PAGE_DEFAULT, f);
	a->page.version = answer_number(o, "version", 1, INT64_MAX, 0, f);
	a->pinned = a->page.version > 0;
	if (v == NULL || v->type == MSGPACK_OBJECT_NIL || span_is(doc_span(v), "tabular"))
		return;
	a->page.records = span_is(doc_span(v), "records");
	if (!a->page.records)
		faults_add(f, "/orientation", "expected tabular or records");
}

static void
take(struct answer_house *h, struct worker_msg *m, bool structure)
{
	struct ask *a = xcalloc(1, sizeof *a);
	struct faults f;
	struct doc d;
	bool named;

	*a = (struct ask){.h = h, .m = m, .structure = structure};
	faults_init(&f);
	if (doc_parse(&d, m->env.body) == -1)
		faults_add(&f, "", "expected an object");
	named = read_name(&a->page, &d.root);
	if (!structure)
		read_paging(a, &d.root, &f);
	doc_fini(&d);
	if (f.n > 0) {
		answer_faults(m, &f);
		ask_free(a);
	} else if (!named) {
		worker_fail(m, ERR_NOT_FOUND, "there is no such table");
		ask_free(a);
	} else if (!pg_is_up(h->pg)) {
		worker_fail(m, ERR_BUSY, "the database is away");
		ask_free(a);
	} else {
		find(a);
	}
	faults_fini(&f);
}

void
tables_on_structure(void *arg, struct worker_msg *m)
{
	take(arg, m, true);
}

void
tables_on_data(void *arg, struct worker_msg *m)
{
	take(arg, m, false);
}

#include "services/data-store/page.h"

#include <stdio.h>

#include "base/str.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "store/pg.h"

enum { BODY_ENOUGH = 8 * 1024 * 1024, RESULT_ENOUGH = 32 * 1024 * 1024 };

int64_t
page_rows(const struct page *p, int64_t longest)
{
	int64_t most = RESULT_ENOUGH / (longest > 0 ? longest : 1);

	return p->limit < most ? p->limit : most;
}

void
page_put_query(const struct page *p, struct buf *out)
{
	char name[COLUMNS_NAME + 32];

	buf_puts(out, "SELECT id");
	for (size_t i = 0; i < p->columns.n; i++) {
		buf_putc(out, ',');
		pg_put_ident(out, span_str(p->columns.v[i].name));
	}
	snprintf(name, sizeof name, "%s__v%lld", p->table, (long long)p->version);
	buf_puts(out, " FROM ");
	pg_put_ident(out, span_str(p->schema));
	buf_putc(out, '.');
	pg_put_ident(out, span_str(name));
	buf_puts(out, " WHERE id >= $1 ORDER BY id LIMIT $2");
}

static void
put_integer(struct buf *out, struct span text)
{
	int64_t v;

	if (str_i64(text, INT64_MIN, INT64_MAX, &v) == 0) {
		mp_put_i64(out, v);
	} else {
		mp_put_nil(out);
	}
}

static void
put_double(struct buf *out, struct span text)
{
	double v;

	/* JSON knows no NaN and no infinities. */
	if (text.n > 0 && text.p[text.n - 1] >= '0' && text.p[text.n - 1] <= '9' &&
	    str_double(text, &v) == 0) {
		mp_put_double(out, v);
	} else {
		mp_put_nil(out);
	}
}

/* "2026-11-21 07:39:44.5+00" -> "2026-11-21T07:39:44.5Z"; what is not in that form, as -infinity or
 * a year BC, stays as it is. */
static void
put_time(struct buf *out, struct span text, bool zone)
{
	char s[64];
	size_t n = text.n;

	if (n >= sizeof s || n < 19 || text.p[10] != ' ' || memchr(text.p, 'B', n) != NULL) {
		mp_put_str(out, text);
		return;
	}
	memcpy(s, text.p, n);
	s[10] = 'T';
	if (zone && memcmp(s + n - 3, "+00", 3) == 0) {
		n -= 2;
		s[n - 1] = 'Z';
	}
	mp_put_str(out, span_of(s, n));
}

void
page_put_value(struct buf *out, enum column_type type, struct span text)
{
	if (text.p == NULL) {
		mp_put_nil(out);
		return;
	}
	switch (type) {
	case COLUMN_BIGINT: put_integer(out, text); return;
	case COLUMN_DOUBLE: put_double(out, text); return;
	case COLUMN_BOOLEAN: mp_put_bool(out, span_is(text, "t")); return;
	case COLUMN_TIMESTAMP:
	case COLUMN_TIMESTAMPTZ: put_time(out, text, type == COLUMN_TIMESTAMPTZ); return;
	case COLUMN_TEXT:
	case COLUMN_NUMERIC:
	case COLUMN_DATE:
	case COLUMN_TIME:
	case COLUMN_UUID:
	case COLUMN_TYPE_COUNT: break;
	}
	mp_put_str(out, text);
}

static struct span
cell(const PGresult *res, int row, int column)
{
	if (PQgetisnull(res, row, column))
		return (struct span){NULL, 0};
	return span_of(PQgetvalue(res, row, column), (size_t)PQgetlength(res, row, column));
}

static void
put_row(const struct page *p, const PGresult *res, int row, struct buf *out)
{
	size_t n = p->columns.n + 1;

	if (p->records) {
		mp_put_map(out, n);
	} else {
		mp_put_array(out, n);
	}
	for (size_t i = 0; i < n; i++) {
		const struct column *c = i > 0 ? &p->columns.v[i - 1] : NULL;

		if (p->records)
			mp_put_cstr(out, c ? c->name : "id");
		page_put_value(out, c ? c->type : COLUMN_BIGINT, cell(res, row, (int)i));
	}
}

static void
put_headers(const struct page *p, struct buf *out)
{
	mp_put_cstr(out, "headers");
	mp_put_array(out, p->columns.n + 1);
	mp_put_cstr(out, "id");
	for (size_t i = 0; i < p->columns.n; i++)
		mp_put_cstr(out, p->columns.v[i].name);
}

/* Names need no escapes: letters, digits, underscores and one dot. */
static void
put_next(const struct page *p, struct span id, struct buf *out)
{
	buf_printf(out,
	    "/api/v1/table-data/%s/%s?orientation=%s&next-id=%.*s&limit=%lld&version=%lld",
	    p->schema, p->table, p->records ? "records" : "tabular", (int)id.n, (const char *)id.p,
	    (long long)p->limit, (long long)p->version);
}

size_t
page_put(const struct page *p, const PGresult *res, int64_t rows, struct buf *out, struct buf *next)
{
	int there = PQntuples(res), n = 0;
	struct buf body;

	buf_init(&body, LIMIT_FRAME);
	while (n < there && n < rows && body.n < BODY_ENOUGH)
		put_row(p, res, n++, &body);
	if (n < there)
		put_next(p, cell(res, n, 0), next);

	mp_put_map(out, p->records ? 2 : 3);
	if (!p->records)
		put_headers(p, out);
	mp_put_cstr(out, p->records ? "results" : "values");
	mp_put_array(out, (size_t)n);
	buf_put(out, body.p, body.n);
	mp_put_cstr(out, "next");
	if (next->n > 0) {
		mp_put_str(out, buf_span(next));
	} else {
		mp_put_nil(out);
	}
	if (body.failed)
		out->failed = true;
	buf_fini(&body);
	return (size_t)n;
}

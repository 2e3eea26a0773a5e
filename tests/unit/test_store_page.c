#include "tests/unit/check.h"

#include <stdlib.h>

#include "proto/json.h"
#include "services/data-store/page.h"

/* What a column of `type` with this text becomes, as JSON. */
static const char *
value(enum column_type type, const char *text)
{
	static char json[200];
	struct buf mp, out;

	buf_init(&mp, 1000);
	buf_init(&out, 1000);
	page_put_value(&mp, type, span_str(text));
	if (json_from_mp(buf_span(&mp), &out, 0) == -1)
		snprintf(json, sizeof json, "no msgpack");
	else
		snprintf(json, sizeof json, "%s", buf_cstr(&out));
	buf_fini(&out);
	buf_fini(&mp);
	return json;
}

static void
test_values(void)
{
	CHECK_STR(value(COLUMN_TEXT, NULL), "null");
	CHECK_STR(value(COLUMN_TEXT, ""), "\"\"");
	CHECK_STR(value(COLUMN_BIGINT, "-9223372036854775808"), "-9223372036854775808");
	CHECK_STR(value(COLUMN_NUMERIC, "1.10"), "\"1.10\"");
	CHECK_STR(value(COLUMN_DOUBLE, "0.1"), "0.1");
	CHECK_STR(value(COLUMN_DOUBLE, "1e+300"), "1e300");
	CHECK_STR(value(COLUMN_DOUBLE, "NaN"), "null");
	CHECK_STR(value(COLUMN_DOUBLE, "-Infinity"), "null");
	CHECK_STR(value(COLUMN_BOOLEAN, "t"), "true");
	CHECK_STR(value(COLUMN_BOOLEAN, "f"), "false");
	CHECK_STR(value(COLUMN_DATE, "2026-11-21"), "\"2026-11-21\"");
	CHECK_STR(value(COLUMN_TIMESTAMP, "2026-11-21 07:39:44.5"), "\"2026-11-21T07:39:44.5\"");
	CHECK_STR(value(COLUMN_TIMESTAMPTZ, "2026-11-21 07:39:44+00"), "\"2026-11-21T07:39:44Z\"");
	CHECK_STR(value(COLUMN_TIMESTAMPTZ, "0044-03-15 00:00:00+00 BC"),
	    "\"0044-03-15 00:00:00+00 BC\"");
	CHECK_STR(value(COLUMN_TIMESTAMPTZ, "infinity"), "\"infinity\"");
}

/* n rows (i, "v"), i from 1, as Postgres would answer. */
static PGresult *
rows(int n)
{
	PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	char id_name[] = "id", v[] = "v";
	PGresAttDesc names[] = {{.name = id_name}, {.name = v}};

	PQsetResultAttrs(res, 2, names);
	for (int i = 0; i < n; i++) {
		char id[16];
		int len = snprintf(id, sizeof id, "%d", i + 1);

		PQsetvalue(res, i, 0, id, len);
		PQsetvalue(res, i, 1, i == 1 ? NULL : v, i == 1 ? -1 : 1);
	}
	return res;
}

static const char *
page(const struct page *p, int there, int64_t asked)
{
	static char json[1000];
	PGresult *res = rows(there);
	struct buf mp, out, next;

	buf_init(&mp, 10000);
	buf_init(&out, sizeof json);
	buf_init(&next, 500);
	page_put(p, res, asked, &mp, &next);
	if (json_from_mp(buf_span(&mp), &out, 0) == -1)
		snprintf(json, sizeof json, "no msgpack");
	else
		snprintf(json, sizeof json, "%s", buf_cstr(&out));
	buf_fini(&next);
	buf_fini(&out);
	buf_fini(&mp);
	PQclear(res);
	return json;
}

static void
test_page(struct page *p)
{
	CHECK_STR(page(p, 3, 3),
	    "{\"headers\":[\"id\",\"v\"],\"values\":[[1,\"v\"],[2,null],[3,\"v\"]],\"next\":null}");
	CHECK_STR(page(p, 0, 3), "{\"headers\":[\"id\",\"v\"],\"values\":[],\"next\":null}");
	/* Fewer rows were read than asked for, as they are long: the limit stays what it was. */
	CHECK_STR(page(p, 2, 1), "{\"headers\":[\"id\",\"v\"],\"values\":[[1,\"v\"]],\"next\":\"/"
				 "api/v1/table-data/o.d/L0?"
				 "orientation=tabular&next-id=2&limit=3&version=7\"}");
	p->records = true;
	CHECK_STR(page(p, 3, 2), "{\"results\":[{\"id\":1,\"v\":\"v\"},{\"id\":2,\"v\":null}],"
				 "\"next\":\"/api/v1/table-data/o.d/"
				 "L0?orientation=records&next-id=3&limit=3&version=7\"}");
}

static void
test_query(const struct page *p)
{
	struct buf sql;

	buf_init(&sql, 1000);
	page_put_query(p, &sql);
	CHECK_STR(buf_cstr(&sql),
	    "SELECT id,\"v\" FROM \"o.d\".\"L0__v7\" WHERE id >= $1 ORDER BY id LIMIT $2");
	buf_fini(&sql);
}

int
main(void)
{
	struct page p = {.schema = "o.d", .table = "L0", .limit = 3, .version = 7};
	char why[100];

	CHECK(columns_add(&p.columns, span_str("v"), span_str("text"), why, sizeof why) == 0);
	test_values();
	test_page(&p);
	test_query(&p);
	p.limit = 10000;
	CHECK(page_rows(&p, 0) == 10000 && page_rows(&p, 100) == 10000);
	CHECK(page_rows(&p, 1024 * 1024) == 32);
	columns_fini(&p.columns);
	return check_done();
}

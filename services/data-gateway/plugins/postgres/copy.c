#include "services/data-gateway/plugins/postgres/copy.h"

#include <stdio.h>

#include "base/str.h"
#include "proto/json.h"
#include "store/pg.h"

const char copy_sql_temp[] =
    "CREATE TEMPORARY TABLE pusher_rows (receipt uuid, position integer, uuid uuid, index bigint, "
    "data json, seq bigint) ON COMMIT DROP";
const char copy_sql_copy[] =
    "COPY pusher_rows (receipt, position, uuid, index, data, seq) FROM STDIN";

/* --- rows --- */

static void
put_u64(struct buf *out, uint64_t v)
{
	char text[24];

	(void)snprintf(text, sizeof text, "%llu", (unsigned long long)v);
	pg_copy_field(out, span_str(text), false);
}

int
copy_put_item(struct buf *out, const struct pusher_item *it)
{
	struct rows_walk walk;
	struct rows_row row;
	struct buf json;
	int bad = 0;

	buf_init(&json, out->max);
	rows_walk_init(&walk, &it->rows);
	for (unsigned i = 0; bad == 0 && rows_walk_next(&walk, &row); i++) {
		buf_reset(&json);
		bad = json_from_mp(row.data, &json, 0);
		pg_copy_field(out, span_str(it->receipt_text), true);
		put_u64(out, i);
		pg_copy_field(out, span_str(it->rows.uuid_text), false);
		if (row.has_index) {
			put_u64(out, row.index);
		} else {
			pg_copy_field(out, (struct span){NULL, 0}, false);
		}
		pg_copy_field(out, buf_span(&json), false);
		put_u64(out, it->seq);
		pg_copy_end_row(out);
	}
	buf_fini(&json);
	return bad != 0 || out->failed ? -1 : 0;
}

/* --- statements --- */

static bool
is_ident(struct span s)
{
	return s.n > 0 && s.n <= 63 && !(s.p[0] >= '0' && s.p[0] <= '9') && str_is_name(s, 63) &&
	       memchr(s.p, '-', s.n) == NULL;
}

int
copy_sql_init(struct copy_sql *s, const char *table)
{
	const char *dot = strchr(table, '.');
	struct span schema, name;

	buf_init(&s->name, 512);
	buf_init(&s->space, 256);
	buf_init(&s->schema, 512);
	buf_init(&s->table, 2048);
	buf_init(&s->index, 1024);
	buf_init(&s->insert, 2048);
	if (dot == NULL)
		return -1;
	schema = span_of(table, (size_t)(dot - table));
	name = span_str(dot + 1);
	if (!is_ident(schema) || !is_ident(name))
		return -1;
	pg_put_ident(&s->space, schema);
	pg_put_ident(&s->name, schema);
	buf_putc(&s->name, '.');
	pg_put_ident(&s->name, name);
	buf_puts(&s->schema, "CREATE SCHEMA IF NOT EXISTS ");
	pg_put_ident(&s->schema, schema);
	buf_printf(&s->table,
	    "CREATE TABLE IF NOT EXISTS %s (receipt uuid NOT NULL, position integer NOT NULL, "
	    "uuid uuid NOT NULL, index bigint, data json NOT NULL, seq bigint NOT NULL, "
	    "received_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (receipt, position))",
	    buf_cstr(&s->name));
	buf_printf(&s->index, "CREATE INDEX ON %s (uuid, seq)", buf_cstr(&s->name));
	buf_printf(&s->insert,
	    "INSERT INTO %s (receipt, position, uuid, index, data, seq) "
	    "SELECT receipt, position, uuid, index, data, seq FROM pusher_rows "
	    "ON CONFLICT (receipt, position) DO NOTHING",
	    buf_cstr(&s->name));
	return 0;
}

void
copy_sql_fini(struct copy_sql *s)
{
	buf_fini(&s->name);
	buf_fini(&s->space);
	buf_fini(&s->schema);
	buf_fini(&s->table);
	buf_fini(&s->index);
	buf_fini(&s->insert);
}

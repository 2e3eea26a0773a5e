#include "services/control-tower/row.h"

#include "proto/json.h"
#include "proto/mp.h"

enum { UUID, API_VERSION, PROTOCOL, ROWS, COLUMNS, SPEC, METADATA, STATE, CREATED };

struct span
row_text(const PGresult *res, int i, int column)
{
	if (PQgetisnull(res, i, column))
		return span_of(NULL, 0);
	return span_of(PQgetvalue(res, i, column), (size_t)PQgetlength(res, i, column));
}

static void
put_text(const PGresult *res, int i, int column, const char *key, struct buf *out)
{
	mp_put_cstr(out, key);
	mp_put_str(out, row_text(res, i, column));
}

static int
put_json(const PGresult *res, int i, int column, const char *key, struct buf *out)
{
	mp_put_cstr(out, key);
	return json_to_mp(row_text(res, i, column), out, NULL);
}

unsigned
row_pairs(const PGresult *res, int i)
{
	return 6u + (PQgetisnull(res, i, ROWS) ? 0 : 1) + (PQgetisnull(res, i, METADATA) ? 0 : 1);
}

int
row_put(const PGresult *res, int i, struct buf *out)
{
	int rc = 0;

	put_text(res, i, UUID, "uuid", out);
	put_text(res, i, API_VERSION, "apiVersion", out);
	put_text(res, i, PROTOCOL, "protocol", out);
	if (!PQgetisnull(res, i, ROWS)) {
		mp_put_cstr(out, "plate");
		mp_put_map(out, 2);
		rc |= put_json(res, i, ROWS, "rows", out);
		rc |= put_json(res, i, COLUMNS, "columns", out);
	}
	rc |= put_json(res, i, SPEC, "spec", out);
	if (!PQgetisnull(res, i, METADATA))
		rc |= put_json(res, i, METADATA, "metadata", out);
	put_text(res, i, STATE, "status", out);
	put_text(res, i, CREATED, "createdAt", out);
	return rc != 0 || out->failed ? -1 : (int)row_pairs(res, i);
}

#include "services/data-gateway/query_sql.h"

/* clang-format off */
#define TIME(x) "to_char((" x ") AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* A receipt is one envelope, or all pieces of a stream.  `said` is what destinations reported of its
 * envelopes, `owing` what they owe and have said nothing about.  A destination that the broker counts as done
 * with an envelope without a last word of its own was either cut off (its group dropped it), or is not one of
 * ours and acknowledged silently; that is concluded only when every report there is has been recorded. */
const char query_sql_get[] =
    "WITH r AS (SELECT * FROM data_gateway.receipts WHERE receipt = $1::uuid OR parent = $1::uuid), "
    "g AS (SELECT * FROM json_to_recordset($2::json) AS "
	"g(name text, start bigint, floor bigint, paused boolean, dropped bigint)), "
    "said AS (SELECT d.destination AS name, CASE "
	"WHEN d.state <> 'pending' THEN d.state "
	"WHEN g.name IS NULL THEN 'dropped' "
	"WHEN $3::boolean AND g.floor >= r.seq THEN 'dropped' "
	"WHEN g.paused THEN 'paused' ELSE 'pending' END AS state, "
	"coalesce(d.rows, r.rows) AS rows, d.attempts, d.last_error, d.next_attempt_at, d.delivered_at, d.seq "
	"FROM r JOIN data_gateway.deliveries d USING (receipt) LEFT JOIN g ON g.name = d.destination), "
    "owing AS (SELECT g.name, CASE "
	"WHEN $3::boolean AND g.floor >= r.seq AND g.dropped > 0 THEN 'dropped' "
	"WHEN $3::boolean AND g.floor >= r.seq THEN 'delivered' "
	"WHEN g.paused THEN 'paused' ELSE 'pending' END AS state, "
	"r.rows, 0 AS attempts, NULL::text, NULL::timestamptz, NULL::timestamptz, r.seq "
	"FROM r JOIN g ON g.start <= r.seq WHERE NOT EXISTS (SELECT 1 FROM data_gateway.deliveries d "
	"WHERE d.receipt = r.receipt AND d.destination = g.name)), "
    "d AS (SELECT name, state, json_build_object('name', name, 'state', state, 'rows', sum(rows), "
	"'attempts', max(attempts), "
	"'lastError', (array_agg(last_error ORDER BY seq DESC) FILTER (WHERE last_error IS NOT NULL))[1], "
	"'nextAttemptAt', CASE WHEN state = 'pending' THEN " TIME("min(next_attempt_at)") " END, "
	"'deliveredAt', " TIME("max(delivered_at)") ") AS o "
	"FROM (SELECT * FROM said UNION ALL SELECT * FROM owing) x GROUP BY name, state) "
    "SELECT json_strip_nulls(json_build_object('receipt', $1::uuid, "
	"'uuid', (array_agg(uuid))[1], 'rows', sum(rows), 'acceptedAt', " TIME("min(accepted_at)") ", "
	"'of', (array_agg(parent) FILTER (WHERE receipt = $1::uuid AND parent <> receipt))[1], "
	"'part', (array_agg(part) FILTER (WHERE receipt = $1::uuid AND parent <> receipt))[1], "
	"'parts', nullif(count(part) FILTER (WHERE parent = $1::uuid), 0), "
	"'complete', bool_or(last) FILTER (WHERE parent = $1::uuid), "
	"'destinations', coalesce((SELECT json_agg(o ORDER BY name, state) FROM d), '[]'))), "
	"coalesce(bool_or(last) FILTER (WHERE parent = $1::uuid), true) "
    "FROM r HAVING count(*) > 0";

/* The first piece stands for a stream: pieces are stored in order, so it is always there. */
const char query_sql_list[] =
    "WITH r AS (SELECT parent, seq FROM data_gateway.receipts WHERE uuid = $1::uuid "
	"AND coalesce(part, 0) = 0 AND seq < $3::bigint ORDER BY seq DESC LIMIT $2::int + 1), "
    "page AS (SELECT * FROM r ORDER BY seq DESC LIMIT $2::int) "
    "SELECT json_build_object("
	"'items', coalesce((SELECT json_agg(parent ORDER BY seq DESC) FROM page), '[]'), "
	"'next', CASE WHEN (SELECT count(*) FROM r) > $2::int THEN (SELECT min(seq) FROM page)::text END)";

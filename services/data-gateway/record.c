#include "services/data-gateway/record.h"

#include "base/clock.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "proto/json.h"
#include "services/data-gateway/rows.h"

#define TEXT_MAX 2000 /* bytes of an error that are kept */

const char record_receipt_sql[] =
    "INSERT INTO data_gateway.receipts (receipt, parent, part, last, uuid, rows, seq, accepted_at) "
    "SELECT receipt, parent, part, last, uuid, rows, seq, at FROM json_to_recordset($1::json) AS "
    "t(receipt uuid, parent uuid, part int, last boolean, uuid uuid, rows int, seq bigint, "
    "at timestamptz) ORDER BY receipt ON CONFLICT (receipt) DO NOTHING";

/* The latest word wins, by the journal's order; but what is delivered stays delivered. */
const char record_delivery_sql[] =
    "INSERT INTO data_gateway.deliveries AS d (receipt, destination, state, rows, attempts, "
    "last_error, next_attempt_at, delivered_at, seq) "
    "SELECT DISTINCT ON (receipt, destination) receipt, destination, state, rows, attempts, "
    "\"lastError\", \"nextAttemptAt\", CASE WHEN state = 'delivered' THEN at END, seq "
    "FROM json_to_recordset($1::json) AS t(receipt uuid, destination text, state text, rows int, "
    "attempts int, \"lastError\" text, \"nextAttemptAt\" timestamptz, at timestamptz, seq bigint) "
    "ORDER BY receipt, destination, (state = 'delivered') DESC, seq DESC "
    "ON CONFLICT (receipt, destination) DO UPDATE SET state = excluded.state, "
    "rows = coalesce(excluded.rows, d.rows), attempts = excluded.attempts, "
    "last_error = excluded.last_error, next_attempt_at = excluded.next_attempt_at, "
    "delivered_at = excluded.delivered_at, seq = excluded.seq "
    "WHERE d.state <> 'delivered' AND d.seq < excluded.seq";

/* --- JSON --- */

static void
put_key(struct buf *out, const char *key)
{
	buf_putc(out, out->n > 0 && out->p[out->n - 1] != '{' ? ',' : ' ');
	json_put_str(out, span_str(key));
	buf_putc(out, ':');
}

/* Postgres text holds no NUL byte; a long text is cut between characters. */
static void
put_text(struct buf *out, const char *key, struct span s)
{
	struct buf clean;

	buf_init(&clean, TEXT_MAX + 8);
	if (s.n > TEXT_MAX) {
		s.n = TEXT_MAX;
		while (s.n > 0 && (s.p[s.n] & 0xc0) == 0x80)
			s.n--;
	}
	for (size_t i = 0; i < s.n; i++)
		buf_put(&clean, s.p[i] == 0 ? (const uint8_t *)" " : &s.p[i], 1);
	put_key(out, key);
	json_put_str(out, buf_span(&clean));
	buf_fini(&clean);
}

static void
put_int(struct buf *out, const char *key, int64_t v)
{
	put_key(out, key);
	buf_printf(out, "%lld", (long long)v);
}

static void
put_uuid(struct buf *out, const char *key, const uint8_t id[16])
{
	char text[UUID_TEXT + 1];

	put_text(out, key, span_str(uuid_text(id, text)));
}

static void
put_time(struct buf *out, const char *key, int64_t unix_ms)
{
	char text[25];

	put_text(out, key, span_str(clock_rfc3339(unix_ms, text)));
}

/* --- receipts --- */

/* The id tells when it was made if it is a version 7, and not from the future. */
static int64_t
accepted_ms(const struct record_from *e)
{
	int64_t ms = 0;

	if (e->id[6] >> 4 != 7)
		return e->now_ms;
	for (int i = 0; i < 6; i++)
		ms = ms << 8 | e->id[i];
	return ms < e->now_ms ? ms : e->now_ms;
}

enum record_end
record_receipt(const struct record_from *e, struct buf *out, const char **why)
{
	struct rows r;
	bool readable = rows_peek(&r, e->body);

	*why = "";
	buf_putc(out, '{');
	put_uuid(out, "receipt", e->id);
	put_uuid(out, "parent", r.is_part ? r.of : e->id);
	if (r.is_part) {
		put_int(out, "part", (int64_t)r.part);
		put_key(out, "last");
		buf_puts(out, r.last ? "true" : "false");
	}
	if (readable)
		put_uuid(out, "uuid", r.uuid);
	put_int(out, "rows", readable ? r.n : 0);
	put_int(out, "seq", (int64_t)e->seq);
	put_time(out, "at", accepted_ms(e));
	buf_putc(out, '}');
	return RECORD_OK;
}

/* --- deliveries --- */

static bool
is_state(struct span s)
{
	return span_is(s, "delivered") || span_is(s, "pending") || span_is(s, "dead");
}

static void
copy_int(struct buf *out, const char *key, const msgpack_object *map)
{
	int64_t v = doc_i64(map, key, -1);

	if (v >= 0 && v <= INT32_MAX)
		put_int(out, key, v);
}

static void
copy_text(struct buf *out, const char *key, const msgpack_object *map)
{
	struct span s = doc_str(map, key);

	if (s.p != NULL)
		put_text(out, key, s);
}

static enum record_end
read_delivery(const msgpack_object *o, uint64_t seq, struct buf *out, const char **why)
{
	struct span destination = doc_str(o, "destination"), state = doc_str(o, "state");
	uint8_t receipt[16];

	*why = "expected {receipt, destination, state: delivered | pending | dead, at, …}";
	if (uuid_parse(doc_str(o, "receipt"), receipt) != 0 || destination.n == 0 ||
	    destination.n > 64 || !is_state(state) || doc_str(o, "at").p == NULL)
		return RECORD_BAD;
	buf_putc(out, '{');
	put_uuid(out, "receipt", receipt);
	put_text(out, "destination", destination);
	put_text(out, "state", state);
	copy_int(out, "rows", o);
	copy_int(out, "attempts", o);
	copy_text(out, "lastError", o);
	copy_text(out, "nextAttemptAt", o);
	copy_text(out, "at", o);
	put_int(out, "seq", (int64_t)seq);
	buf_putc(out, '}');
	return RECORD_OK;
}

enum record_end
record_delivery(const struct record_from *e, struct buf *out, const char **why)
{
	enum record_end end = RECORD_BAD;
	struct doc d;

	*why = "expected one msgpack object";
	if (doc_parse(&d, e->body) == 0)
		end = read_delivery(&d.root, e->seq, out, why);
	doc_fini(&d);
	return end;
}

/* --- dead letters --- */

/* The id of the dead envelope, as 16 bytes or as text. */
static bool
dead_id(const msgpack_object *o, uint8_t id[16])
{
	const msgpack_object *v = doc_get(o, "id");

	if (v != NULL && v->type == MSGPACK_OBJECT_BIN && v->via.bin.size == 16) {
		memcpy(id, v->via.bin.ptr, 16);
		return true;
	}
	return uuid_parse(doc_span(v), id) == 0;
}

static enum record_end
read_dead(const msgpack_object *o, const struct record_from *e, struct buf *out, const char **why)
{
	static const char prefix[] = "pusher-";
	const size_t skip = sizeof prefix - 1;
	struct span group = doc_str(o, "group");
	uint8_t receipt[16];

	if (!span_is(doc_str(o, "topic"), "rows.in") || group.n <= skip ||
	    memcmp(group.p, prefix, skip) != 0)
		return RECORD_SKIP;
	*why = "expected the id of the dead envelope";
	if (!dead_id(o, receipt))
		return RECORD_BAD;
	buf_putc(out, '{');
	put_uuid(out, "receipt", receipt);
	put_text(out, "destination", span_of(group.p + skip, group.n - skip));
	put_text(out, "state", span_str("dead"));
	put_int(out, "attempts", doc_i64(o, "tries", 0));
	put_text(out, "lastError", doc_str(o, "reason"));
	put_int(out, "seq", (int64_t)e->seq);
	buf_putc(out, '}');
	return RECORD_OK;
}

enum record_end
record_dead(const struct record_from *e, struct buf *out, const char **why)
{
	enum record_end end = RECORD_BAD;
	struct doc d;

	*why = "expected one msgpack object";
	if (doc_parse(&d, e->body) == 0)
		end = read_dead(&d.root, e, out, why);
	doc_fini(&d);
	return end;
}

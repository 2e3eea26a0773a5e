#include "services/data-gateway/plugins/csv-file/csv.h"

#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

static bool
needs_quotes(struct span v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == ',' || v.p[i] == '"' || v.p[i] == '\n' || v.p[i] == '\r')
			return true;
	}
	return v.n == 0;
}

void
csv_put_field(struct buf *out, struct span v, bool first)
{
	if (!first)
		buf_putc(out, ',');
	if (v.p == NULL)
		return;
	if (!needs_quotes(v)) {
		buf_put(out, v.p, v.n);
		return;
	}
	buf_putc(out, '"');
	for (size_t i = 0, from = 0; i <= v.n; i++) {
		if (i < v.n && v.p[i] != '"')
			continue;
		buf_put(out, v.p + from, i - from);
		if (i < v.n)
			buf_puts(out, "\"\"");
		from = i + 1;
	}
	buf_putc(out, '"');
}

static int
put_json(struct buf *out, struct span raw, bool is_bytes, bool first)
{
	struct buf json;
	struct span text;
	int bad;

	buf_init(&json, out->max);
	bad = json_from_mp(raw, &json, 0);
	text = buf_span(&json);
	if (is_bytes && text.n >= 2)
		text = span_of(text.p + 1, text.n - 2);
	csv_put_field(out, text, first);
	buf_fini(&json);
	return bad;
}

int
csv_put_value(struct buf *out, struct span raw, bool first)
{
	struct mp_r r;

	mp_r_init(&r, raw);
	switch (mp_peek(&r)) {
	case MP_NIL: csv_put_field(out, (struct span){NULL, 0}, first); return 0;
	case MP_STR: csv_put_field(out, mp_str(&r, LIMIT_FRAME_RX), first); return 0;
	case MP_BOOL:
	case MP_INT:
	case MP_FLOAT:
	case MP_ARRAY:
	case MP_MAP: return put_json(out, raw, false, first);
	case MP_BIN: return put_json(out, raw, true, first);
	case MP_NONE:
	case MP_EXT: break;
	}
	return -1;
}

struct span
csv_record(struct span s)
{
	bool quoted = false;
	size_t from = 0;

	while (from < s.n) {
		const uint8_t *nl = memchr(s.p + from, '\n', s.n - from);
		size_t end = nl != NULL ? (size_t)(nl - s.p) : s.n;

		for (size_t i = from; i < end; i++)
			quoted ^= s.p[i] == '"';
		if (nl == NULL)
			break;
		from = end + 1;
		if (!quoted)
			return span_of(s.p, from);
	}
	return (struct span){NULL, 0};
}

static bool
at_end(struct span s)
{
	return s.n == 0 || s.p[0] == '\n' || (s.n > 1 && s.p[0] == '\r' && s.p[1] == '\n');
}

bool
csv_next_field(struct span *rest, struct buf *out)
{
	struct span s = *rest;
	bool quoted = false;
	size_t i = 0;

	buf_reset(out);
	if (s.p == NULL)
		return false;
	for (; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (c == '"') {
			if (quoted && i + 1 < s.n && s.p[i + 1] == '"') {
				buf_putc(out, (char)s.p[i++]);
			} else {
				quoted = !quoted;
			}
		} else if (!quoted && (c == ',' || at_end(span_of(s.p + i, s.n - i)))) {
			break;
		} else {
			buf_putc(out, (char)c);
		}
	}
	if (i < s.n && s.p[i] == ',') {
		*rest = span_of(s.p + i + 1, s.n - i - 1);
	} else {
		*rest = (struct span){NULL, 0};
	}
	return true;
}

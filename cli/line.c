#include "cli/line.h"

#include <inttypes.h>

#include "cli/fmt.h"
#include "cli/table.h"
#include "proto/json.h"
#include "proto/mp.h"

int64_t
line_at(const uint8_t id[16], int64_t now_ms)
{
	const int64_t first = INT64_C(1577836800000) /* 2020 */, ahead = 86400000;
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms << 8 | id[i];
	return id[6] >> 4 == 7 && id[8] >> 6 == 2 && ms > first && ms < now_ms + ahead ? ms
										       : now_ms;
}

static void
put_member(struct buf *out, const char *name, struct span s)
{
	if (s.p == NULL)
		return;
	buf_printf(out, ",\"%s\":", name);
	json_put_str(out, s);
}

static void
put_json(const struct line *l, struct buf *out)
{
	buf_puts(out, "{\"topic\":");
	json_put_str(out, l->topic);
	buf_printf(out, ",\"id\":\"%s\"", fmt_id(l->id).s);
	if (l->seq != 0)
		buf_printf(out, ",\"seq\":%" PRIu64, l->seq);
	buf_printf(out, ",\"at\":\"%s\"", fmt_time(l->at_ms).s);
	put_member(out, "key", l->key);
	if (l->root != NULL)
		buf_printf(out, ",\"root\":\"%s\"", fmt_id(l->root).s);
	put_member(out, "group", l->group);
	if (l->try != 0)
		buf_printf(out, ",\"try\":%" PRIu64, l->try);
	put_member(out, "from", l->from);
	if (l->retained)
		buf_puts(out, ",\"retained\":true");
	buf_puts(out, ",\"body\":");
	if (json_from_mp(l->body, out, 0) != 0)
		buf_puts(out, "null");
	buf_putc(out, '}');
}

static void
put_text(const struct line *l, bool whole, struct buf *out)
{
	buf_printf(out, "%s  ", fmt_time(l->at_ms).s);
	buf_put(out, l->topic.p, l->topic.n);
	buf_printf(out, "  %s", whole ? fmt_id(l->id).s : fmt_short_id(l->id).s);
	if (whole && l->seq != 0)
		buf_printf(out, "  seq %" PRIu64, l->seq);
	if (whole && l->key.n > 0) {
		buf_puts(out, "  key ");
		json_put_str(out, l->key);
	}
	if (l->try > 1)
		buf_printf(out, "  (try %" PRIu64 ")", l->try);
	if (l->retained)
		buf_puts(out, "  (retained)");
	buf_puts(out, "  ");
	if (json_from_mp(l->body, out, 0) != 0)
		buf_puts(out, "(no JSON says this body: --raw)");
}

/* Text and bytes as they are, everything else as JSON. */
static void
put_raw(struct span body, struct buf *out)
{
	struct mp_r r;
	struct span s = {NULL, 0};

	mp_r_init(&r, body);
	if (mp_peek(&r) == MP_STR)
		s = mp_str(&r, body.n);
	if (mp_peek(&r) == MP_BIN)
		s = mp_bin(&r, body.n);
	if (s.p != NULL) {
		buf_put(out, s.p, s.n);
	} else if (json_from_mp(body, out, 0) != 0) {
		buf_put(out, body.p, body.n);
	}
}

void
line_put(const struct line *l, enum line_style style, size_t width, struct buf *out)
{
	struct buf text;

	if (style == LINE_JSON) {
		put_json(l, out);
	} else if (style == LINE_RAW) {
		put_raw(l->body, out);
	} else {
		buf_init(&text, out->max);
		put_text(l, style == LINE_LONG, &text);
		table_make_safe(text.p, text.n);
		table_put_cut(
		    out, buf_span(&text), style == LINE_TEXT && width > 0 ? width : text.n);
		buf_fini(&text);
	}
	buf_putc(out, '\n');
}

#include "broker/journal_dump.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "broker/journal_letters.h"
#include "broker/journal_look.h"
#include "broker/journal_reader.h"
#include "proto/env.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/topic.h"

/* A byte of a body may take six of JSON ("\u0001", "false,"), one of a frame takes two. */
#define LINE_MOST (9 * (size_t)LIMIT_FRAME_RX)

struct dumping {
	const struct journal_dump *what;
	FILE *out;
	struct buf line;
	bool failed;
	uint64_t last;
};

static void
put_key(struct buf *b, const char *key)
{
	if (b->n > 1)
		buf_putc(b, ',');
	buf_printf(b, "\"%s\":", key);
}

static void
put_text(struct buf *b, const char *key, struct span s)
{
	if (s.p == NULL)
		return;
	put_key(b, key);
	json_put_str(b, s);
}

static void
put_number(struct buf *b, const char *key, uint64_t v)
{
	put_key(b, key);
	buf_printf(b, "%llu", (unsigned long long)v);
}

static void
put_time(struct buf *b, const char *key, int64_t ms)
{
	char text[25];

	put_text(b, key, span_str(clock_rfc3339(ms, text)));
}

static void
put_id(struct buf *b, const uint8_t id[16])
{
	char text[UUID_TEXT + 1];

	put_text(b, "id", span_str(uuid_text(id, text)));
}

/* The body; where it cannot be shown, or when asked for, the frame. */
static void
put_frame(struct buf *b, struct span frame, bool always)
{
	struct env e;
	size_t at = b->n;
	bool shown = false;

	put_key(b, "body");
	if (env_decode(&e, frame, false, NULL) == ERR_OK)
		shown = json_from_mp(e.body, b, 0) == 0;
	if (!shown) {
		b->n = at;
		b->failed = false;
	}
	if (shown && !always)
		return;
	put_key(b, "frame");
	buf_putc(b, '"');
	for (size_t i = 0; i < frame.n; i++)
		buf_printf(b, "%02x", frame.p[i]);
	buf_putc(b, '"');
}

static bool
write_line(struct dumping *d)
{
	buf_puts(&d->line, "}\n");
	d->failed =
	    d->failed || d->line.failed || fwrite(d->line.p, 1, d->line.n, d->out) != d->line.n;
	buf_reset(&d->line);
	return !d->failed;
}

static bool
is_wanted(const struct dumping *d, struct span topic)
{
	return d->what->pattern == NULL || topic_match(span_str(d->what->pattern), topic);
}

static bool
on_row(void *arg, const struct journal_row *r)
{
	struct dumping *d = arg;
	struct buf *b = &d->line;

	d->last = r->seq;
	if (!is_wanted(d, r->topic))
		return true;
	buf_putc(b, '{');
	put_number(b, "seq", r->seq);
	put_time(b, "at", r->at_ms);
	put_id(b, r->id);
	put_text(b, "topic", r->topic);
	put_text(b, "key", r->key);
	put_text(b, "from", r->from);
	put_text(b, "only", r->only);
	if (r->exp_ms != 0)
		put_time(b, "exp", r->exp_ms);
	put_frame(b, r->frame, d->what->frames);
	return write_line(d);
}

static bool
on_dead(void *arg, const struct journal_dead *l)
{
	struct dumping *d = arg;
	struct buf *b = &d->line;

	if (l->no > d->what->to)
		return false;
	if (!is_wanted(d, l->topic))
		return true;
	buf_putc(b, '{');
	put_number(b, "dead", l->no);
	put_text(b, "group", l->group);
	put_number(b, "seq", l->seq);
	put_time(b, "at", l->at_ms);
	put_id(b, l->id);
	put_text(b, "topic", l->topic);
	put_text(b, "key", l->key);
	put_text(b, "from", l->from);
	put_text(b, "reason", l->reason);
	put_number(b, "tries", l->tries);
	put_frame(b, l->frame, d->what->frames);
	return write_line(d);
}

static int
dump_records(struct dumping *d, struct journal_reader *r)
{
	int64_t first = 0, head = 0;
	uint64_t from = d->what->from, to = d->what->to;

	/* A tree that cannot be walked to its ends is walked from where one can. */
	if (journal_db_get(&r->db, "SELECT min(seq) FROM records", &first) == SQLITE_OK &&
	    from < (uint64_t)first)
		from = (uint64_t)first;
	if (journal_db_get(&r->db, "SELECT max(seq) FROM records", &head) == SQLITE_OK &&
	    to > (uint64_t)head)
		to = (uint64_t)head;
	while (from != 0 && from <= to && !d->failed)
		from = journal_reader_page(r, from, to, on_row, d);
	return from == 0 || d->failed ? -1 : 0;
}

int
journal_dump(const char *dir, const struct journal_dump *what, FILE *out, uint64_t *damaged)
{
	struct dumping d = {.what = what, .out = out};
	struct journal_reader r = {0};
	struct journal_db look;
	int rc;

	*damaged = 0;
	if (journal_look_open(&look, dir) == -1)
		return -1;
	rc = journal_reader_open(&r, dir);
	buf_init(&d.line, LINE_MOST);
	if (rc == 0 && what->dead) {
		rc = journal_reader_dead(
		    &r, (struct span){NULL, 0}, what->from > 0 ? what->from - 1 : 0, on_dead, &d);
	} else if (rc == 0) {
		rc = dump_records(&d, &r);
	}
	*damaged = r.damaged;
	buf_fini(&d.line);
	journal_reader_close(&r, true);
	journal_look_close(&look);
	return rc == 0 && !d.failed ? 0 : -1;
}

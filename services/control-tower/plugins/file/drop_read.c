/* The reading half of drop.h. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/str.h"
#include "proto/digest.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "services/control-tower/plugins/file/drop_impl.h"
#include "services/control-tower/plugins/file/explain.h"
#include "services/control-tower/trigger.h"

#define PIECE ((size_t)256 << 10)
#define EXPLAINED_MAX 100

void
drop_file_init(struct drop_file *f)
{
	*f = (struct drop_file){.fd = -1};
	buf_init(&f->window, DROP_RECORD_MAX + 2 * PIECE);
}

void
drop_file_close(struct drop_file *f)
{
	if (f->fd != -1)
		(void)close(f->fd);
	f->fd = -1;
	f->name[0] = f->work[0] = f->claim[0] = '\0';
}

void
drop_file_fini(struct drop_file *f)
{
	drop_file_close(f);
	buf_fini(&f->window);
}

void
drop_file_set_claim(struct drop_file *f)
{
	struct span parts[] = {
	    span_str(f->name),
	    span_of(&f->st.st_ino, sizeof f->st.st_ino),
	    span_of(&f->st.st_size, sizeof f->st.st_size),
	    span_of(&f->st.st_mtim, sizeof f->st.st_mtim),
	    /* A file that the user moves back is meant to be done again; the move changes this. */
	    span_of(&f->st.st_ctim, sizeof f->st.st_ctim),
	};
	uint8_t digest[DIGEST_BYTES], id[16];

	digest_parts(digest, parts, sizeof parts / sizeof *parts);
	uuid_v8(id, digest);
	(void)uuid_text(id, f->claim);
}

void
drop_file_seek(struct drop_file *f, const struct drop_at *at)
{
	buf_reset(&f->window);
	f->base = at->offset;
	f->eof = false;
	if (at->offset == 0) {
		split_init(&f->split);
	} else {
		split_resume(&f->split, at->array);
	}
}

/* 0, or -1 with split.why set. */
static int
read_piece(struct drop_file *f)
{
	size_t gone = split_drop(&f->split);
	uint8_t *room;
	ssize_t n;

	f->base += gone;
	f->window.n -= gone;
	if (gone > 0 && f->window.n > 0)
		memmove(f->window.p, f->window.p + gone, f->window.n);
	room = f->window.n <= DROP_RECORD_MAX ? buf_room(&f->window, PIECE) : NULL;
	if (room == NULL) {
		f->split.why = "a value is over 15 MiB";
		return -1;
	}
	n = pread(f->fd, room, PIECE, (off_t)(f->base + f->window.n));
	if (n == -1 && errno != EINTR) {
		f->split.why = "cannot be read";
		return -1;
	}
	f->eof = n == 0;
	f->window.n += n > 0 ? (size_t)n : 0;
	return 0;
}

enum split_say
drop_file_next(struct drop_file *f, struct span *record, uint64_t *offset)
{
	for (size_t got = 0;; got += PIECE) {
		enum split_say say = split_json(&f->split, buf_span(&f->window), f->eof, record);

		if (say == SPLIT_RECORD)
			*offset = f->base + (uint64_t)(record->p - f->window.p);
		if (say != SPLIT_MORE || got >= DROP_TURN_BYTES)
			return say;
		if (read_piece(f) != 0)
			return SPLIT_BAD;
	}
}

uint64_t
drop_file_offset(const struct drop_file *f)
{
	return f->base + f->split.at;
}

void
drop_at_put(const struct drop_at *at, const char *claim, struct buf *out)
{
	mp_put_array(out, 7);
	mp_put_cstr(out, "json");
	mp_put_cstr(out, claim);
	mp_put_u64(out, at->offset);
	mp_put_u64(out, at->index);
	mp_put_u64(out, at->bad);
	mp_put_bool(out, at->array);
	mp_put_bool(out, at->ended);
}

int
drop_at_read(struct drop_at *at, char claim[UUID_TEXT + 1], struct span cursor)
{
	struct mp_r r;

	if (mp_scan(cursor, 2, 16) != cursor.n || cursor.n == 0)
		return -1;
	mp_r_init(&r, cursor);
	if (mp_array(&r) != 7 || !span_is(mp_str(&r, 4), "json") ||
	    !str_copy(claim, UUID_TEXT + 1, mp_str(&r, UUID_TEXT)))
		return -1;
	at->offset = mp_u64(&r, INT64_MAX);
	at->index = mp_u64(&r, INT64_MAX);
	at->bad = mp_u64(&r, INT64_MAX);
	at->array = mp_bool(&r);
	at->ended = mp_bool(&r);
	return mp_done(&r) ? 0 : -1;
}

/* True: it was no trigger. */
static bool
explain_record(struct span record, const struct drop_at *at, uint64_t offset, struct buf *text)
{
	struct json_error err;
	struct trigger t;
	struct faults f;
	struct buf mp;
	struct doc d = {.zone = NULL};
	bool bad = true;

	buf_init(&mp, LIMIT_FRAME);
	faults_init(&f);
	if (json_to_mp(record, &mp, &err) != 0) {
		buf_printf(text, "item %" PRIu64 ", byte %" PRIu64 ":\n  line %d, column %d: %s\n",
		    at->index, offset, err.line, err.column, err.text);
	} else if (doc_parse(&d, buf_span(&mp)) != 0 || trigger_read(&t, &d.root, NULL, &f) != 0) {
		buf_printf(text, "item %" PRIu64 ", byte %" PRIu64 ":\n", at->index, offset);
		explain_faults(&f, text);
	} else {
		bad = false;
	}
	doc_fini(&d);
	faults_fini(&f);
	buf_fini(&mp);
	return bad;
}

int
drop_explain(struct drop_file *f, struct drop_at *at, struct buf *text)
{
	size_t done = 0;

	while (done < DROP_TURN_BYTES) {
		struct span record;
		uint64_t offset;
		enum split_say say = drop_file_next(f, &record, &offset);

		if (say == SPLIT_MORE)
			return 1;
		if (say == SPLIT_BAD) {
			buf_printf(
			    text, "near byte %" PRIu64 ": %s\n", drop_file_offset(f), f->split.why);
		}
		if (say != SPLIT_RECORD)
			return 0;
		done += record.n;
		if (explain_record(record, at, offset, text) && ++at->bad == EXPLAINED_MAX) {
			buf_puts(text, "and perhaps more\n");
			return 0;
		}
		at->index++;
	}
	return 1;
}

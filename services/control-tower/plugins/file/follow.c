#include "services/control-tower/plugins/file/follow.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/digest.h"
#include "proto/json.h"
#include "services/control-tower/plugins/file/explain.h"
#include "services/control-tower/plugins/file/follow_at.h"
#include "services/control-tower/split.h"

#define PIECE ((size_t)256 << 10)
#define LINE_MAX_BYTES ((size_t)15 << 20)
#define COMPLAINTS_MAX 1000
#define COMPLAINT_BYTES ((size_t)16 << 10)

struct key {
	uint64_t ino;
	int64_t born_s;
	uint32_t born_ns;
	uint32_t zero; /* no padding: it is hashed */
};

enum stage { OPENING, RESTING, COMMITTING, CLOSING };

struct follow {
	struct list link;
	struct key key;
	struct follows *of;
	int fd;
	char name[PLACE_NAME], sub[FOLLOW_TAIL * 2 + 1];
	struct watcher_stream *stream;
	enum stage stage;
	struct follow_at at, stored;
	uint64_t skipped; /* of a line that is too long, looked through so far */
	uint64_t scan;    /* the last that met it */
	int64_t quiet_since;
	off_t size;
	bool gone; /* no name in the inbox leads to it */
};

struct follows {
	struct watcher *w;
	struct loop *loop;
	const struct place *place;
	int64_t quiet_ms;
	struct list all;
	struct buf window; /* of whoever reads; nobody keeps it */
	uint64_t scan;
	bool stopping;
	struct log_limit full;
	struct follow_stats stats;
};

static void look(void *arg);

static void
follow_free(struct follow *f)
{
	struct follows *fs = f->of;

	loop_later_cancel(fs->loop, f);
	list_remove(&f->link);
	watcher_close(f->stream);
	(void)close(f->fd);
	free(f);
	fs->stats.open--;
}

static void
begin_anew(struct follow *f)
{
	f->at = (struct follow_at){.gen = f->stored.gen + 1};
	f->skipped = 0;
}

/* Is what lies before the offset still what was read? */
static void
check_tail(struct follow *f, off_t size)
{
	uint8_t tail[FOLLOW_TAIL];

	if (f->at.offset == 0)
		return;
	if ((uint64_t)size >= f->at.offset && follow_at_tail(f->fd, f->at.offset, tail) == 0 &&
	    memcmp(tail, f->at.tail, FOLLOW_TAIL) == 0)
		return;
	log_info("file_anew", LOG_S("name", f->name), LOG_U("was_byte", f->at.offset));
	begin_anew(f);
}

/* `why`, or each of the faults on a line below. */
static void
complain(struct follow *f, const char *why, const struct faults *faults)
{
	struct buf text;

	f->at.bad++;
	f->of->stats.bad++;
	if (f->at.bad > COMPLAINTS_MAX)
		return;
	buf_init(&text, COMPLAINT_BYTES);
	buf_printf(&text, "line %" PRIu64 ", byte %" PRIu64 ":%s%s\n", f->at.line + 1, f->at.offset,
	    why ? " " : "", why ? why : "");
	if (faults != NULL)
		explain_faults(faults, &text);
	place_complain(f->of->place, f->name, buf_span(&text));
	buf_fini(&text);
}

static bool
is_blank(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != ' ' && s.p[i] != '\t' && s.p[i] != '\r')
			return false;
	}
	return true;
}

/* false: the batch is full. */
static bool
add_line(struct follow *f, struct span line)
{
	char position[48];
	struct json_error err;
	struct faults faults;
	struct buf mp;
	enum watcher_say say = WATCHER_ADDED;

	if (is_blank(line))
		return true;
	faults_init(&faults);
	buf_init(&mp, LIMIT_FRAME);
	(void)snprintf(position, sizeof position, "%" PRIu64 ":%" PRIu64, f->at.gen, f->at.offset);
	if (json_to_mp(line, &mp, &err) != 0) {
		log_warn("trigger_unreadable", LOG_S("name", f->name), LOG_U("byte", f->at.offset),
		    LOG_S("why", err.text));
		complain(f, err.text, NULL);
	} else {
		say = watcher_add(f->stream, buf_span(&mp), span_str(position), &faults);
		if (say == WATCHER_BAD)
			complain(f, NULL, &faults);
	}
	buf_fini(&mp);
	faults_fini(&faults);
	return say != WATCHER_FULL;
}

/* Fill the window from the offset on: at least a piece, more while no line ends in it.  Its size,
 * or -1. */
static ssize_t
fill(struct follow *f)
{
	struct buf *w = &f->of->window;

	buf_reset(w);
	while (w->n <= LINE_MAX_BYTES) {
		uint8_t *room = buf_room(w, PIECE);
		ssize_t n = room ? pread(f->fd, room, PIECE, (off_t)(f->at.offset + w->n)) : -1;

		if (n == -1) {
			log_warn("file_unreadable", LOG_S("name", f->name), LOG_ERRNO());
			return -1;
		}
		w->n += (size_t)n;
		if (n == 0 || memchr(w->p + w->n - (size_t)n, '\n', (size_t)n) != NULL)
			break;
	}
	return (ssize_t)w->n;
}

/* Look for the end of a line that is too long, a piece a turn.  0 found (and passed), 1 call again,
 * -1 it has not been written yet. */
static int
skip_line(struct follow *f)
{
	struct buf *w = &f->of->window;
	const uint8_t *lf;
	uint8_t *room;
	ssize_t n;

	buf_reset(w);
	room = buf_room(w, PIECE);
	n = room ? pread(f->fd, room, PIECE, (off_t)(f->at.offset + f->skipped)) : 0;
	if (n <= 0)
		return -1;
	lf = memchr(room, '\n', (size_t)n);
	f->skipped += lf ? (uint64_t)(lf - room) + 1 : (uint64_t)n;
	if (lf == NULL)
		return 1;
	complain(f, "is over 15 MiB", NULL);
	f->at.offset += f->skipped;
	f->at.line++;
	f->skipped = 0;
	return 0;
}

static void
on_commit(void *arg, enum watcher_end end)
{
	struct follow *f = arg;
	struct follow_at is;

	switch (end) {
	case WATCHER_STORED:
		f->of->stats.lines += f->at.line > f->stored.line ? f->at.line - f->stored.line : 0;
		f->stored = f->at;
		break;
	case WATCHER_MOVED:
		/* A batch of the process before this one came late. */
		if (follow_at_read(&is, watcher_cursor(f->stream)) == 0)
			f->stored = is;
		f->at = f->stored;
		break;
	case WATCHER_REFUSED:
		/* Read before, with another content: it was written anew where no digest tells. */
		begin_anew(f);
		break;
	case WATCHER_STOPPED: return;
	}
	if (f->stage == CLOSING) {
		follow_free(f);
		return;
	}
	f->stage = RESTING;
	loop_later(f->of->loop, look, f);
}

static void
commit(struct follow *f, enum stage stage)
{
	struct buf cursor;

	if (follow_at_tail(f->fd, f->at.offset, f->at.tail) != 0) {
		/* Cut just now: nothing of this counts, and the next look says so. */
		memset(f->at.tail, 0, FOLLOW_TAIL);
	}
	buf_init(&cursor, 256);
	follow_at_put(&f->at, &cursor);
	f->stage = stage;
	watcher_commit(f->stream, buf_span(&cursor), on_commit, f);
	buf_fini(&cursor);
}

/* Take the whole lines of the window; true: some were. */
static bool
take_lines(struct follow *f, bool last)
{
	struct span rest = buf_span(&f->of->window), line;
	uint64_t from = f->at.offset;
	size_t used;

	while (split_line(rest, last, &line, &used) && add_line(f, line)) {
		f->at.offset += used;
		f->at.line++;
		rest = span_of(rest.p + used, rest.n - used);
	}
	return f->at.offset != from;
}

/* Out of the inbox, unless somebody came to write meanwhile.  False: not now. */
static bool
put_away(struct follow *f)
{
	const struct place *p = f->of->place;
	char work[PLACE_NAME];
	struct place_move m = {PLACE_DONE, work, f->name, f->sub, span_of(NULL, 0)};
	struct stat st;

	(void)snprintf(work, sizeof work, "back-%.*s", PLACE_NAME - 6, f->name);
	if (place_take(p, f->fd, f->name, work) != 1)
		return false;
	if (fstat(f->fd, &st) == 0 && (uint64_t)st.st_size == f->at.offset &&
	    place_is_released(f->fd) != 0 && place_finish(p, &m) == 0)
		return true;
	place_give_back(p, work, f->name, f->sub);
	return false;
}

static bool
is_quiet(struct follow *f)
{
	struct follows *fs = f->of;
	int64_t now = loop_now(fs->loop);

	if (!f->gone && (fs->quiet_ms == 0 || now - f->quiet_since < fs->quiet_ms))
		return false;
	f->quiet_since = now;
	return place_is_released(f->fd) != 0;
}

/* Nothing new in the file. */
static void
rest(struct follow *f, const struct stat *st)
{
	struct follows *fs = f->of;

	if (!is_quiet(f))
		return;
	if ((uint64_t)st->st_size > f->at.offset && f->skipped == 0) {
		if (fill(f) > 0 && take_lines(f, true))
			commit(f, COMMITTING);
		return;
	}
	if (f->gone) {
		log_info("file_gone", LOG_S("name", f->name));
		follow_free(f);
	} else if (put_away(f)) {
		fs->stats.files++;
		f->at.closed = true;
		commit(f, CLOSING);
	}
}

static void
look(void *arg)
{
	struct follow *f = arg;
	struct follows *fs = f->of;
	struct stat st;
	int skip = 0;

	if (fs->stopping || f->stage != RESTING || fstat(f->fd, &st) == -1)
		return;
	check_tail(f, st.st_size);
	if (st.st_size != f->size)
		f->quiet_since = loop_now(fs->loop);
	f->size = st.st_size;
	if ((uint64_t)st.st_size <= f->at.offset + f->skipped) {
		rest(f, &st);
		return;
	}
	if (f->skipped > 0) {
		skip = skip_line(f);
	} else if (fill(f) > 0 && !take_lines(f, false)) {
		if (fs->window.n <= LINE_MAX_BYTES) {
			rest(f, &st);
			return;
		}
		f->skipped = fs->window.n;
		skip = 1;
	}
	if (skip > 0) {
		loop_later(fs->loop, look, f);
	} else if (skip == 0 && f->at.offset != f->stored.offset) {
		commit(f, COMMITTING);
	}
}

static void
on_cursor(void *arg, struct span cursor)
{
	struct follow *f = arg;

	if (follow_at_read(&f->stored, cursor) == 0) {
		f->at = f->stored;
		/* Moved to done once, and back by its owner: to be done again. */
		if (f->stored.closed)
			begin_anew(f);
	}
	f->stage = RESTING;
	f->quiet_since = loop_now(f->of->loop);
	look(f);
}

static int
read_key(int at, const char *name, struct key *key)
{
	struct statx x;

	if (statx(at, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS | STATX_BTIME,
		&x) == -1 ||
	    !S_ISREG(x.stx_mode))
		return -1;
	*key = (struct key){.ino = x.stx_ino};
	if (x.stx_mask & STATX_BTIME) {
		key->born_s = x.stx_btime.tv_sec;
		key->born_ns = x.stx_btime.tv_nsec;
	}
	return 0;
}

static void
begin(struct follows *fs, const char *name)
{
	struct follow *f = xcalloc(1, sizeof *f);
	uint8_t digest[DIGEST_BYTES];
	struct span part = span_of(&f->key, sizeof f->key);

	f->of = fs;
	(void)snprintf(f->name, sizeof f->name, "%s", name);
	f->scan = fs->scan;
	f->fd = openat(fs->place->inbox, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd == -1 || read_key(f->fd, "", &f->key) != 0) {
		if (errno != ENOENT)
			log_warn("file_unreadable", LOG_S("name", name), LOG_ERRNO());
		if (f->fd != -1)
			(void)close(f->fd);
		free(f);
		return;
	}
	digest_parts(digest, &part, 1);
	for (size_t i = 0; i < sizeof f->sub / 2; i++)
		(void)snprintf(f->sub + 2 * i, 3, "%02x", digest[i]);
	list_push_back(&fs->all, &f->link);
	fs->stats.open++;
	f->stream = watcher_open(fs->w, f->sub, on_cursor, f);
}

/* There are at most FOLLOW_MAX. */
static struct follow *
find(const struct follows *fs, const struct key *key)
{
	struct follow *f;

	LIST_EACH (f, &fs->all, struct follow, link) {
		if (memcmp(&f->key, key, sizeof *key) == 0)
			return f;
	}
	return NULL;
}

struct follows *
follows_new(struct watcher *w, const struct place *place, int64_t quiet_ms)
{
	struct follows *fs = xcalloc(1, sizeof *fs);

	fs->w = w;
	fs->loop = watcher_loop(w);
	fs->place = place;
	fs->quiet_ms = quiet_ms;
	list_init(&fs->all);
	buf_init(&fs->window, LINE_MAX_BYTES + 2 * PIECE);
	return fs;
}

void
follows_free(struct follows *fs)
{
	struct follow *f;

	if (fs == NULL)
		return;
	LIST_EACH (f, &fs->all, struct follow, link)
		follow_free(f);
	buf_fini(&fs->window);
	free(fs);
}

void
follows_scan(struct follows *fs)
{
	fs->scan++;
}

void
follows_seen(struct follows *fs, const char *name)
{
	struct follow *f;
	struct key key;

	if (read_key(fs->place->inbox, name, &key) != 0)
		return;
	f = find(fs, &key);
	if (f == NULL && fs->stats.open == FOLLOW_MAX) {
		if (log_allow(&fs->full, loop_now(fs->loop), 1))
			log_warn("files_too_many", LOG_U("followed", fs->stats.open));
	} else if (f == NULL) {
		begin(fs, name);
	} else {
		(void)snprintf(f->name, sizeof f->name, "%s", name);
		f->scan = fs->scan;
		f->gone = false;
		look(f);
	}
}

void
follows_scanned(struct follows *fs)
{
	struct follow *f;

	LIST_EACH (f, &fs->all, struct follow, link) {
		if (f->scan == fs->scan)
			continue;
		f->gone = true;
		look(f);
	}
}

int64_t
follows_due(const struct follows *fs)
{
	int64_t at = INT64_MAX;
	struct follow *f;

	LIST_EACH (f, &fs->all, struct follow, link) {
		if (f->stage == RESTING && fs->quiet_ms > 0 && f->quiet_since + fs->quiet_ms < at)
			at = f->quiet_since + fs->quiet_ms;
	}
	return at;
}

void
follows_stop(struct follows *fs)
{
	fs->stopping = true;
}

struct follow_stats
follows_stats(const struct follows *fs)
{
	return fs->stats;
}

#include "services/control-tower/plugins/file/drop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "services/control-tower/plugins/file/drop_impl.h"

#define RETRY_MS 2000
#define ERROR_MAX ((size_t)256 << 10)

enum stage {
	STARTING, /* the cursor is not known yet */
	RESTING,
	TELLING,  /* free_again is about to be called */
	CHECKING, /* is the file whole? */
	EMITTING,
	COMMITTING,
	EXPLAINING, /* what was wrong with the bad ones */
	LEAVING,    /* to be moved, now or when that works again */
};

struct drop {
	struct watcher *w;
	struct loop *loop;
	const struct place *place;
	int64_t settle_ms;
	drop_free_fn *free_again;
	void *arg;
	struct watcher_stream *stream;
	enum stage stage;
	bool recovering, stopping;
	enum drop_say say;
	struct drop_file f;
	struct drop_at at;     /* behind what was added */
	struct drop_at stored; /* behind what the broker has */
	bool whole_bad;        /* the file as a whole goes to failed */
	struct buf text;       /* for <name>.error */
	struct timer retry;
	struct drop_stats stats;
};

static void turn(void *arg);
static void recover_next(struct drop *d);

static void
go_on(struct drop *d, enum stage stage)
{
	d->stage = stage;
	loop_later(d->loop, turn, d);
}

static void
be_free(struct drop *d, enum drop_say say)
{
	drop_file_close(&d->f);
	buf_reset(&d->text);
	d->at = d->stored = (struct drop_at){.offset = 0};
	d->whole_bad = false;
	d->say = say;
	if (d->stopping) {
		d->stage = RESTING;
	} else {
		go_on(d, TELLING);
	}
}

static void
tell(struct drop *d)
{
	d->stage = RESTING;
	if (d->recovering) {
		recover_next(d);
	} else {
		d->free_again(d->arg, d->say);
	}
}

static void
leave(struct drop *d)
{
	bool good = !d->whole_bad && d->stored.bad == 0;

	struct place_move m = {
	    .end = good ? PLACE_DONE : PLACE_FAILED,
	    .from = d->f.work,
	    .name = d->f.name,
	    .tag = d->f.claim,
	    .text = buf_span(&d->text),
	};

	if (place_finish(d->place, &m) != 0) {
		loop_timer(d->loop, &d->retry, loop_now(d->loop) + RETRY_MS);
		return;
	}
	d->stats.files++;
	d->stats.failed += good ? 0 : 1;
	be_free(d, DROP_TAKEN);
}

static bool
is_unchanged(const struct drop_file *f)
{
	struct stat st;

	return fstat(f->fd, &st) == 0 && st.st_size == f->st.st_size &&
	       st.st_mtim.tv_sec == f->st.st_mtim.tv_sec &&
	       st.st_mtim.tv_nsec == f->st.st_mtim.tv_nsec;
}

static bool
claim(struct drop *d)
{
	struct drop_file *f = &d->f;

	if (!is_unchanged(f))
		return false;
	(void)snprintf(
	    f->work, sizeof f->work, "%s-%.*s", f->claim, PLACE_NAME - UUID_TEXT - 2, f->name);
	if (place_take(d->place, f->fd, f->name, f->work) == 1)
		return true;
	f->work[0] = '\0';
	return false;
}

static bool
is_young(const struct drop *d)
{
	int64_t at = (int64_t)d->f.st.st_mtim.tv_sec * 1000 + d->f.st.st_mtim.tv_nsec / 1000000;
	int64_t age = clock_real_ms() - at;

	return age >= 0 && age < d->settle_ms;
}

/* The file is to fail as a whole. */
static void
condemn(struct drop *d)
{
	d->whole_bad = true;
	buf_printf(&d->text, "near byte %" PRIu64 ": %s\nNothing %sof it is on the bus.\n",
	    drop_file_offset(&d->f), d->f.split.why, d->stored.offset > 0 ? "behind that " : "");
	go_on(d, LEAVING);
}

static void
checked(struct drop *d, bool good)
{
	if (d->f.work[0] == '\0') {
		/* Its writer may not be through, though it closes the file in between. */
		if ((!good && is_young(d)) || !claim(d)) {
			be_free(d, DROP_NOT_YET);
			return;
		}
	}
	if (!good) {
		condemn(d);
		return;
	}
	drop_file_seek(&d->f, &d->at);
	go_on(d, EMITTING);
}

static void
check(struct drop *d)
{
	for (size_t done = 0; done < DROP_TURN_BYTES;) {
		struct span record;
		uint64_t offset;
		enum split_say say = drop_file_next(&d->f, &record, &offset);

		if (say == SPLIT_MORE)
			break;
		if (say != SPLIT_RECORD) {
			checked(d, say == SPLIT_END);
			return;
		}
		done += record.n + 1;
	}
	go_on(d, CHECKING);
}

static void
after_end(struct drop *d)
{
	if (d->stored.bad == 0) {
		go_on(d, LEAVING);
		return;
	}
	uint64_t good = d->stored.index - d->stored.bad;

	buf_printf(&d->text,
	    "%" PRIu64 " of %" PRIu64 " triggers %s on the bus; %" PRIu64 " %s not:\n", good,
	    d->stored.index, good == 1 ? "is" : "are", d->stored.bad,
	    d->stored.bad == 1 ? "is" : "are");
	d->at = (struct drop_at){.offset = 0};
	drop_file_seek(&d->f, &d->at);
	go_on(d, EXPLAINING);
}

static void
on_stored(struct drop *d)
{
	d->at = d->stored;
	if (d->stored.ended) {
		after_end(d);
		return;
	}
	drop_file_seek(&d->f, &d->at);
	go_on(d, EMITTING);
}

static void
on_commit(void *arg, enum watcher_end end)
{
	struct drop *d = arg;
	char whose[UUID_TEXT + 1];
	struct drop_at is;

	switch (end) {
	case WATCHER_STORED:
		d->stored = d->at;
		on_stored(d);
		break;
	case WATCHER_MOVED:
		/* A batch of the process before this one came late.  What it was, its ids say. */
		if (drop_at_read(&is, whose, watcher_cursor(d->stream)) == 0 &&
		    strcmp(whose, d->f.claim) == 0)
			d->stored = is;
		on_stored(d);
		break;
	case WATCHER_REFUSED:
		d->f.split.why = "the bus has other triggers under the ids of these";
		condemn(d);
		break;
	case WATCHER_STOPPED: d->stage = RESTING; break;
	}
}

static void
commit(struct drop *d)
{
	struct buf cursor;

	buf_init(&cursor, LIMIT_CUR);
	drop_at_put(&d->at, d->f.claim, &cursor);
	d->stage = COMMITTING;
	watcher_commit(d->stream, buf_span(&cursor), on_commit, d);
	buf_fini(&cursor);
}

/* false: the batch is full, the record stays for the next. */
static bool
emit_record(struct drop *d, struct span record, uint64_t offset)
{
	char position[UUID_TEXT + 24];
	struct json_error err;
	enum watcher_say say = WATCHER_BAD;
	struct buf mp;

	(void)snprintf(position, sizeof position, "%s:%" PRIu64, d->f.claim, offset);
	buf_init(&mp, LIMIT_FRAME);
	if (json_to_mp(record, &mp, &err) == 0) {
		say = watcher_add(d->stream, buf_span(&mp), span_str(position), NULL);
	} else {
		log_warn("trigger_unreadable", LOG_S("name", d->f.name), LOG_U("byte", offset),
		    LOG_I("line", err.line), LOG_S("why", err.text));
	}
	buf_fini(&mp);
	if (say == WATCHER_FULL)
		return false;
	d->at.bad += say == WATCHER_BAD ? 1 : 0;
	d->at.index++;
	d->at.offset = drop_file_offset(&d->f);
	d->at.array = d->f.split.array;
	return true;
}

static void
emit(struct drop *d)
{
	for (size_t done = 0; done < DROP_TURN_BYTES;) {
		struct span record;
		uint64_t offset;
		enum split_say say = drop_file_next(&d->f, &record, &offset);

		if (say == SPLIT_MORE) {
			go_on(d, EMITTING);
			return;
		}
		if (say != SPLIT_RECORD) {
			/* It was whole when it was checked; if not now, somebody wrote on. */
			d->at.bad += say == SPLIT_BAD ? 1 : 0;
			d->at.index += say == SPLIT_BAD ? 1 : 0;
			d->at.ended = true;
			break;
		}
		done += record.n + 1;
		if (!emit_record(d, record, offset))
			break;
	}
	commit(d);
}

static void
turn(void *arg)
{
	struct drop *d = arg;

	if (d->stopping) {
		be_free(d, DROP_NOT_YET);
		return;
	}
	switch (d->stage) {
	case CHECKING: check(d); break;
	case EMITTING: emit(d); break;
	case EXPLAINING:
		go_on(d, drop_explain(&d->f, &d->at, &d->text) == 0 ? LEAVING : EXPLAINING);
		break;
	case LEAVING: leave(d); break;
	case TELLING: tell(d); break;
	case STARTING:
	case RESTING:
	case COMMITTING: break;
	}
}

static void
on_retry(struct timer *t)
{
	struct drop *d = LIST_ITEM(t, struct drop, retry);

	if (d->stopping) {
		be_free(d, DROP_NOT_YET);
	} else {
		leave(d);
	}
}

/* Begin with a file of .work, as far as the cursor says it is. */
static void
resume(struct drop *d, const char *work)
{
	char whose[UUID_TEXT + 1];
	struct drop_at is;
	struct drop_file *f = &d->f;

	f->fd = openat(d->place->work, work, O_RDONLY | O_CLOEXEC);
	if (f->fd == -1 || fstat(f->fd, &f->st) == -1) {
		log_error("resume_failed", LOG_S("name", work), LOG_ERRNO());
		drop_file_close(f);
		return;
	}
	(void)snprintf(f->work, sizeof f->work, "%s", work);
	(void)snprintf(f->name, sizeof f->name, "%s", work + UUID_TEXT + 1);
	(void)str_copy(f->claim, sizeof f->claim, span_of(work, UUID_TEXT));
	if (drop_at_read(&is, whose, watcher_cursor(d->stream)) == 0 &&
	    strcmp(whose, f->claim) == 0)
		d->at = d->stored = is;
	log_info("file_resumed", LOG_S("name", f->name), LOG_U("byte", d->at.offset));
	if (d->stored.ended) {
		after_end(d);
		return;
	}
	drop_file_seek(f, &d->at);
	go_on(d, d->at.offset == 0 ? CHECKING : EMITTING);
}

static bool
is_claim(const char *name)
{
	uint8_t id[16];

	return strlen(name) > UUID_TEXT + 1 && name[UUID_TEXT] == '-' &&
	       uuid_parse(span_of(name, UUID_TEXT), id) == 0;
}

/* Whatever the process before this one had claimed comes first. */
static void
recover_next(struct drop *d)
{
	int fd = openat(d->place->work, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd == -1 ? NULL : fdopendir(fd);
	const struct dirent *e;

	while (dir != NULL && d->stage == RESTING && d->f.fd == -1 && (e = readdir(dir)) != NULL) {
		if (is_claim(e->d_name))
			resume(d, e->d_name);
	}
	if (dir != NULL)
		(void)closedir(dir);
	if (d->stage != RESTING)
		return;
	d->recovering = false;
	be_free(d, DROP_TAKEN);
}

static void
on_cursor(void *arg, struct span cursor)
{
	struct drop *d = arg;

	(void)cursor;
	d->stage = RESTING;
	d->recovering = true;
	recover_next(d);
}

struct drop *
drop_new(struct watcher *w, const struct place *place, int64_t settle_ms, drop_free_fn *free_again,
    void *arg)
{
	struct drop *d = xcalloc(1, sizeof *d);

	d->w = w;
	d->loop = watcher_loop(w);
	d->place = place;
	d->settle_ms = settle_ms;
	d->free_again = free_again;
	d->arg = arg;
	d->retry.fn = on_retry;
	drop_file_init(&d->f);
	buf_init(&d->text, ERROR_MAX);
	d->stage = STARTING;
	d->stream = watcher_open(w, "", on_cursor, d);
	return d;
}

void
drop_free(struct drop *d)
{
	if (d == NULL)
		return;
	loop_later_cancel(d->loop, d);
	loop_timer_clear(d->loop, &d->retry);
	watcher_close(d->stream);
	drop_file_fini(&d->f);
	buf_fini(&d->text);
	free(d);
}

/* Is it a file that may be looked at now? */
static bool
may_look(const struct drop *d)
{
	const struct drop_file *f = &d->f;
	int released;

	if (!S_ISREG(f->st.st_mode) || (f->st.st_size == 0 && is_young(d)))
		return false;
	released = place_is_released(f->fd);
	return released == 1 || (released == -1 && !is_young(d));
}

void
drop_take(struct drop *d, const char *name)
{
	struct drop_file *f = &d->f;

	INVARIANT(d->stage == RESTING && f->fd == -1);
	(void)snprintf(f->name, sizeof f->name, "%s", name);
	f->fd = openat(d->place->inbox, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (f->fd == -1 || fstat(f->fd, &f->st) == -1) {
		if (errno != ENOENT)
			log_warn("file_unreadable", LOG_S("name", name), LOG_ERRNO());
		be_free(d, DROP_TAKEN);
		return;
	}
	if (!may_look(d)) {
		be_free(d, DROP_NOT_YET);
		return;
	}
	drop_file_set_claim(f);
	drop_file_seek(f, &d->at);
	go_on(d, CHECKING);
}

bool
drop_is_busy(const struct drop *d)
{
	return d->stage != RESTING;
}

void
drop_stop(struct drop *d)
{
	d->stopping = true;
	if (d->stage == STARTING)
		d->stage = RESTING;
	if (timer_is_set(&d->retry)) {
		loop_timer_clear(d->loop, &d->retry);
		be_free(d, DROP_NOT_YET);
	}
}

struct drop_stats
drop_stats(const struct drop *d)
{
	return d->stats;
}

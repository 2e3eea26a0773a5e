#ifndef CONTROL_TOWER_WATCHER_H
#define CONTROL_TOWER_WATCHER_H
/* What a watcher plugin is: a process that turns outside events into triggers, each exactly once.
 *
 *	int main(int argc, char **argv) { return watcher_main(argc, argv, &ops, &my_state); }
 *
 * A stream is a sequence of outside events with a cursor that the broker keeps.  Triggers are
 * added, then committed together with the new cursor: the broker stores all of them and the cursor
 * in one transaction, or nothing.  A watcher that is killed at any point begins again at the cursor
 * it is handed, so it neither loses nor repeats.  A trigger's id is derived from the stream's name
 * and the trigger's position, so that even a repeat would be known. */
#include "base/opt.h"
#include "proto/faults.h"
#include "proto/svc.h"

struct watcher;
struct watcher_stream;

struct watcher_ops {
	const char *name;  /* "file": the process is watcher-file, its options PLUGIN_FILE_* */
	const char *about; /* one sentence */
	const struct opt *options;
	size_t noptions;
	/* 0, or an exit code.  open: before the bus is there; start: the bus is up for the first
	 * time. */
	int (*open)(struct watcher *w, void *state); /* may be NULL */
	int (*start)(struct watcher *w, void *state);
	void (*stop)(void *state);                       /* SIGTERM: begin nothing new */
	bool (*idle)(void *state);                       /* nothing under way; may be NULL */
	void (*close)(void *state);                      /* frees; streams are closed after it */
	unsigned (*stats)(void *state, struct buf *out); /* as in svc.h; may be NULL */
};

int watcher_main(int argc, char **argv, const struct watcher_ops *ops, void *state);

struct loop *watcher_loop(struct watcher *w);

/* The cursor that the broker has; {NULL,0}: never set.  Borrowed until return. */
typedef void watcher_cursor_fn(void *arg, struct span cursor);

enum watcher_end {
	WATCHER_STORED, /* the triggers and the cursor are fsynced */
	WATCHER_MOVED,  /* nothing was stored: the cursor is another's by now (watcher_cursor); look
			   again */
	WATCHER_REFUSED, /* nothing was stored, nor ever will be: an id of these has another content
			  */
	WATCHER_STOPPED, /* the process ends; not known */
};
typedef void watcher_done_fn(void *arg, enum watcher_end end);

/* A stream called `watcher-<name>[/<instance>][/<sub>]` (`sub` at most 40 bytes, "" for none).
 * `ready` runs once, later, when the cursor is known. */
struct watcher_stream *watcher_open(
    struct watcher *w, const char *sub, watcher_cursor_fn *ready, void *arg);
/* Forgets what was added; a commit under way goes on, its `done` never runs. */
void watcher_close(struct watcher_stream *s); /* NULL is harmless */
struct span watcher_cursor(const struct watcher_stream *s);

enum watcher_say {
	WATCHER_ADDED,
	WATCHER_BAD, /* no trigger: f (may be NULL) says why; counted and logged, go on behind it */
	WATCHER_FULL, /* commit first */
};
/* `body` is one msgpack object: a trigger without uuid, whose metadata.source is the watcher's name
 * when it has none.  `position` tells it from every other of this stream, for ever.  Not while a
 * commit is under way. */
enum watcher_say watcher_add(
    struct watcher_stream *s, struct span body, struct span position, struct faults *f);
/* Store what was added (nothing is fine) and the new cursor (1 to LIMIT_CUR bytes).  Tries until
 * the broker has said yes or no.  `done` runs once, later. */
void watcher_commit(struct watcher_stream *s, struct span cursor, watcher_done_fn *done, void *arg);

#endif

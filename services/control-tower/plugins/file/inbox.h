#ifndef PLUGIN_FILE_INBOX_H
#define PLUGIN_FILE_INBOX_H
/* The folder as a whole: told of changes by inotify, looked through after each and every
 * `rescan_ms`, since inotify may lose events and tells nothing of before.  Hands *.json to drop.h,
 * oldest first, and *.ndjson to follow.h; dotfiles, *.part, *.tmp and everything else stay
 * untouched.  One process a folder: another waits. */
#include "services/control-tower/plugins/file/drop.h"
#include "services/control-tower/plugins/file/follow.h"

struct inbox_settings {
	const char *dir;
	int64_t settle_ms, rescan_ms, quiet_ms;
	bool keep;
};

struct inbox;

/* NULL: the folder cannot be used, logged. */
struct inbox *inbox_new(const struct inbox_settings *s);
void inbox_start(struct inbox *b, struct watcher *w);
void inbox_stop(struct inbox *b);
bool inbox_is_idle(const struct inbox *b);
void inbox_free(struct inbox *b);
/* As in svc.h. */
unsigned inbox_stats(const struct inbox *b, struct buf *out);

#endif

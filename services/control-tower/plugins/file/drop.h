#ifndef PLUGIN_FILE_DROP_H
#define PLUGIN_FILE_DROP_H
/* One *.json file at a time: looked through where it lies, claimed into .work, its triggers put on
 * the bus page by page, moved to done or failed.
 *
 * The claim's name is derived from what the file is (inode, times, size, name) and the watcher's
 * one cursor says which claim it is in and how far; so a process that begins again knows of each
 * file in .work whether it is finished, half done or not begun, and there is nothing to remember
 * about files that are gone. */
#include "services/control-tower/plugins/file/place.h"
#include "services/control-tower/watcher.h"

struct drop;

enum drop_say {
	DROP_TAKEN,   /* or gone, or unreadable: no hurry to look again */
	DROP_NOT_YET, /* somebody still writes it, or it is not whole and young */
};
/* After a file has left, or was found to be not ready. */
typedef void drop_free_fn(void *arg, enum drop_say say);

struct drop_stats {
	uint64_t files, failed;
};

/* `ready` runs when the cursor is known and whatever lay in .work is finished. */
struct drop *drop_new(struct watcher *w, const struct place *place, int64_t settle_ms,
    drop_free_fn *free_again, void *arg);
void drop_free(struct drop *d);
/* Begin with a file of the inbox; `free_again` follows.  Only after a `free_again`, one at a time.
 */
void drop_take(struct drop *d, const char *name);
bool drop_is_busy(const struct drop *d);
void drop_stop(struct drop *d); /* begin nothing more */
struct drop_stats drop_stats(const struct drop *d);

#endif

#ifndef PLUGIN_FILE_FOLLOW_H
#define PLUGIN_FILE_FOLLOW_H
/* *.ndjson files, followed where they lie while they grow: each whole line a trigger.  A file is
 * its inode and birth, whatever it is called, and has a stream of its own whose cursor is the
 * offset behind the last line, with a digest of the bytes before it: a file that was cut or written
 * anew does not match and is seen as new.  A file that has been quiet for `quiet_ms`, and that
 * nobody has open for writing, is moved to done (its last line may then lack its end). */
#include "services/control-tower/plugins/file/place.h"
#include "services/control-tower/watcher.h"

#define FOLLOW_MAX 512

struct follows;

struct follow_stats {
	uint64_t lines, bad, files;
	size_t open;
};

/* quiet_ms 0: files are never moved. */
struct follows *follows_new(struct watcher *w, const struct place *place, int64_t quiet_ms);
void follows_free(struct follows *fs);
/* A scan of the inbox begins; has met a file; has met all. */
void follows_scan(struct follows *fs);
void follows_seen(struct follows *fs, const char *name);
void follows_scanned(struct follows *fs);
/* When a quiet file should be looked at again (monotonic ms); INT64_MAX: no need. */
int64_t follows_due(const struct follows *fs);
void follows_stop(struct follows *fs);
struct follow_stats follows_stats(const struct follows *fs);

#endif

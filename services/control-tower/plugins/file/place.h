#ifndef PLUGIN_FILE_PLACE_H
#define PLUGIN_FILE_PLACE_H
/* The folder that is watched, and those inside it: .work (claimed), done, failed.  One process at a
 * time holds it. Functions that can fail log it where it is found. */
#include <stdbool.h>
#include <sys/stat.h>
#include "base/buf.h"

#define PLACE_NAME 256

struct place {
	const char *dir;
	int inbox, work, done, failed; /* descriptors of the folders; -1 */
	int lock;
	bool remove; /* what is done is removed instead of kept */
};

void place_init(struct place *p);
/* Makes what is missing.  0, or -1. */
int place_open(struct place *p);
void place_close(struct place *p);
/* Try to become the one process of this folder: 1 it is ours, 0 another's, -1 failed. */
int place_lock(struct place *p);

/* Does nobody have the file open for writing?  1 nobody, 0 somebody, -1 cannot be known here. */
int place_is_released(int fd);

enum place_end { PLACE_DONE, PLACE_FAILED };

struct place_move {
	enum place_end end;
	const char *from; /* in .work */
	const char *name; /* what it is to be called */
	const char *tag;  /* goes behind a name that is taken */
	struct span text; /* n > 0: goes beside it as <name>.error */
};
/* Move a file out of .work to done or failed, and sync.  0, or -1: try again later. */
int place_finish(const struct place *p, const struct place_move *m);
/* Take inbox/`name` into .work as `work` if it is (still) the file `fd`: 1; 0 it is another by now;
 * -1 failed. */
int place_take(const struct place *p, int fd, const char *name, const char *work);
/* Undo that; a name that is taken meanwhile gets `tag` in front. */
void place_give_back(const struct place *p, const char *work, const char *name, const char *tag);
/* Add to failed/<name>.error. */
void place_complain(const struct place *p, const char *name, struct span text);

#endif

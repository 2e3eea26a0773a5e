#ifndef BROKER_JOURNAL_PLACE_H
#define BROKER_JOURNAL_PLACE_H
/* Whether the journal's files are still those that its directory names: what is deleted, moved away
 * or replaced while it is open takes commits as before, and nothing of them is there after a
 * restart. */
#include <stdbool.h>
#include <sys/types.h>

struct journal_place {
	struct {
		char *path; /* NULL: not watched */
		dev_t dev;
		ino_t ino;
	} file[2]; /* the database, and its WAL */
};

/* `dir` holds the open journal.  A file that is not there yet is watched once it was seen. */
void journal_place_open(struct journal_place *p, const char *dir);
void journal_place_close(struct journal_place *p);
/* The path of a file that is not what it was; NULL: all are.  Two calls of statx. */
const char *journal_place_lost(struct journal_place *p);

#endif

#ifndef BROKER_JOURNAL_ROOM_H
#define BROKER_JOURNAL_ROOM_H
/* A piece of the disk held in reserve.  A journal that filled its disk cannot even record what
 * would let it delete: the WAL cannot be moved into the database and nothing can be added to it. So
 * when the disk is full the reserve is let go, for the WAL to be moved and for operations that make
 * room; while it is not held again, nothing that needs room is executed. */
#include <stdbool.h>

#define JOURNAL_RESERVE "journal.reserve"
#define JOURNAL_RESERVE_BYTES (16 * 1024 * 1024)

struct journal_room {
	int fd;    /* -1: not open */
	bool held; /* or the file system knows no reservation, and there is nothing to hold */
};

/* open(2) of a file that is ours alone, in spite of signals. */
int journal_room_file(const char *path, int flags);

int journal_room_open(
    struct journal_room *r, const char *dir); /* 0, or -1 logged; may not be held */
void journal_room_close(struct journal_room *r);
void journal_room_release(struct journal_room *r);
bool journal_room_regain(struct journal_room *r); /* whether it is held now */

#endif

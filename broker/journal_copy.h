#ifndef BROKER_JOURNAL_COPY_H
#define BROKER_JOURNAL_COPY_H
/* A copy of a journal, page by page, while its owner goes on writing through the same connection.
 * It is made under another name and gets its own once it is whole and synced.  Failures are logged.
 */
#include "broker/journal_db.h"

struct journal_copy {
	sqlite3_backup *backup;
	sqlite3 *to;
	char *dir, *part;
	int fd;
	int64_t synced; /* bytes on their way to the disk */
	bool made;      /* the directory was not there */
};

/* `dir` is made when it is not there, and must hold no journal.  0 or -1, nothing left behind. */
int journal_copy_begin(struct journal_copy *c, sqlite3 *from, const char *dir);
/* At most `pages` more.  1: there is more to do; 0: all is copied and on disk; -1: failed.  After 0
 * and -1 it is over. */
int journal_copy_step(struct journal_copy *c, int pages);
void journal_copy_abandon(struct journal_copy *c); /* harmless when it is over */

#endif

#ifndef PUSHER_CSV_FILE_READER_H
#define PUSHER_CSV_FILE_READER_H
/* The records of a CSV file, one after another, in bounded memory.  Blocks: for the thread that
 * writes files. */
#include <sys/types.h>
#include "base/buf.h"

struct reader {
	int fd;
	off_t next; /* where the file is read on */
	off_t good; /* end of the last whole record handed out */
	struct buf buf;
	size_t used; /* of buf, already handed out */
	bool failed;
};

void reader_init(struct reader *r, int fd);
void reader_fini(struct reader *r);
/* The next whole record with its line end, borrowed until the next call; {NULL,0} at the end, or
 * after a failure: errno, and r->failed. */
struct span reader_next(struct reader *r);

#endif

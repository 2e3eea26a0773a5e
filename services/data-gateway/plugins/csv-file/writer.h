#ifndef PUSHER_CSV_FILE_WRITER_H
#define PUSHER_CSV_FILE_WRITER_H
/* The thread that touches files, so that the loop never waits for a disk or a lock.  One batch at a
 * time goes over; what became of it comes back as a readable fd. */
#include "services/data-gateway/plugins/csv-file/table.h"

struct writer;

struct writer_end {
	enum pusher_end end;
	char why[256];
};

/* Starts the thread; `dir` must be there.  with_trigger: also write <uuid>.json.  NULL: errno. */
struct writer *writer_new(const char *dir, bool with_trigger);
/* Waits for the batch under way, which gets no answer. */
void writer_free(struct writer *w);
/* The batch and its items must live until the answer.  Not while another is under way. */
void writer_start(struct writer *w, const struct pusher_batch *b);
int writer_fd(const struct writer *w);
/* When the fd is readable: what became of each item, in order; valid until the next start.  NULL:
 * not yet. */
const struct writer_end *writer_take(struct writer *w);

#endif

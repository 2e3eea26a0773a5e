#ifndef PUSHER_CSV_FILE_TABLE_H
#define PUSHER_CSV_FILE_TABLE_H
/* <uuid>.csv in the directory: the rows of one trigger, each exactly once, whatever was killed
 * when.
 *
 * A file is only ever written under its lock (flock), so several processes may push.  Before it is
 * written to, the end of a record that a crash tore is cut off (kept beside it as <uuid>.csv.torn),
 * and rows of a receipt that are there already are skipped: what is in the file decides, nothing
 * else remembers.  Rows with new keys make the file be rewritten with a wider header and put in its
 * place by rename.  What table_write answers PUSHER_OK for is fsynced, file and directory.
 *
 * Blocks; one thread at a time. */
#include "services/data-gateway/pusher.h"

struct tables;

struct table_row_set {
	const struct pusher_item *item;
	enum pusher_end end; /* out */
	const char *why;     /* out: constant, or the tables' until the next call */
};

/* The directory must be there.  NULL: errno. */
struct tables *tables_new(const char *dir);
void tables_free(struct tables *t);
/* Items of one uuid, in order. */
void tables_write(struct tables *t, struct table_row_set *sets, size_t n);
/* <uuid>.json: what the trigger says, unless it is there.  0, or -1 and errno. */
int tables_write_trigger(struct tables *t, const char *uuid, struct span trigger)
    __attribute__((warn_unused_result));

#endif

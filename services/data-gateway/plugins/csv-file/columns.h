#ifndef PUSHER_CSV_FILE_COLUMNS_H
#define PUSHER_CSV_FILE_COLUMNS_H
/* The columns of a file: receipt, position, index, then one for each key that any of its rows ever
 * had, in order of appearance.  A key that is called like one of the three is the column data.<key>
 * (no camelCase key holds a dot).  Pure. */
#include <sys/types.h>
#include "base/buf.h"

#define COLUMNS_FIXED 3
#define COLUMNS_MAX 16384 /* in one file */

struct column;
struct columns {
	struct column *by_name;
	struct column **at; /* those behind the fixed ones */
	size_t n, cap;
};

void columns_fini(struct columns *c);
/* The place of a row's key behind the fixed columns, or -1. */
ssize_t columns_find(const struct columns *c, struct span key);
void columns_add(struct columns *c, struct span key); /* at the end; one that is there is left */
void columns_cut(struct columns *c, size_t n);        /* forget all but the first n */
void columns_append(struct columns *c, const struct columns *more);
/* The header line. */
void columns_put(const struct columns *c, struct buf *out);
/* Reads a header line into c, which is empty; -1: it is none of ours. */
int columns_read(struct columns *c, struct span record) __attribute__((warn_unused_result));

#endif

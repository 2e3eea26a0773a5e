#ifndef PUSHER_CSV_FILE_TABLE_IMPL_H
#define PUSHER_CSV_FILE_TABLE_IMPL_H
/* What the files of the table share.  Nobody else includes this.  Functions that return int answer
 * 0, or -1 and errno. */
#include <sys/types.h>
#include <uthash.h>

#include "base/list.h"
#include "services/data-gateway/plugins/csv-file/columns.h"
#include "services/data-gateway/plugins/csv-file/seen.h"
#include "services/data-gateway/plugins/csv-file/table.h"

/* What is remembered of a file between two writes; true as long as inode and size are the same. */
struct table {
	UT_hash_handle hh;
	struct list used; /* tables.used, most recent last */
	uint8_t uuid[16];
	char name[UUID_TEXT + 8]; /* <uuid>.csv */
	ino_t ino;
	off_t size;
	bool has_header;
	struct columns columns;
	struct seen seen;
	int fd; /* open and locked, or -1 */
};

struct tables {
	int dir;
	struct table *by_uuid;
	struct list used;
	size_t n, seen_bytes;
	char why[256];
};

/* table_file.c: open, lock, and know what is in it (torn end cut off) */
int table_file_open(struct tables *t, struct table *f);
void table_file_close(struct table *f);
/* New columns at the end: the header of an empty file is left to the writer, else the file is
 * replaced. */
int table_file_widen(struct tables *t, struct table *f, const struct columns *more);
/* All of it, at `at`. */
int table_file_write(int fd, struct span bytes, off_t at);
/* A whole new file under its name, fsynced, replacing any. */
int table_file_put(struct tables *t, const char *name, struct span bytes);

/* A receipt of a write, and from which position on its rows are missing. */
struct table_want {
	UT_hash_handle hh;
	uint8_t receipt[16];
	uint64_t next;
};
struct table_wants {
	struct table_want *by_receipt, *all;
	size_t n;
};
/* table.c */
struct table_want *table_want_of(const struct table_wants *w, const uint8_t *id); /* 16 bytes */
/* table_file.c: look the receipts up in the file. */
int table_file_find(struct table *f, const struct table_wants *wants);

#endif

#ifndef PLUGIN_FILE_DROP_IMPL_H
#define PLUGIN_FILE_DROP_IMPL_H
/* The file under way, shared by the halves of drop.h: reading it (drop_read.c) and what is done
 * with it. */
#include "base/uuid.h"
#include "services/control-tower/plugins/file/drop.h"
#include "services/control-tower/split.h"

#define DROP_RECORD_MAX ((size_t)15 << 20) /* of JSON text */
#define DROP_TURN_BYTES ((size_t)1 << 20)

/* How far a file is; what the cursor says. */
struct drop_at {
	uint64_t offset; /* behind the last record */
	uint64_t index;  /* of the next record */
	uint64_t bad;
	bool array, ended;
};

struct drop_file {
	int fd;
	char claim[UUID_TEXT + 1];
	char name[PLACE_NAME]; /* as it was dropped */
	char work[PLACE_NAME]; /* in .work; "" while it is not claimed */
	struct stat st;
	struct buf window;
	uint64_t base; /* where in the file the window begins */
	bool eof;
	struct split split;
};

void drop_file_init(struct drop_file *f);
void drop_file_close(struct drop_file *f); /* may be opened again; the window's memory stays */
void drop_file_fini(struct drop_file *f);
/* The name of the claim on a file that has this name and state. */
void drop_file_set_claim(struct drop_file *f);
/* Read on from where `at` is. */
void drop_file_seek(struct drop_file *f, const struct drop_at *at);
/* The next record, reading what it needs; SPLIT_MORE after about DROP_TURN_BYTES, so that others
 * have their turn. *offset is where it begins. */
enum split_say drop_file_next(struct drop_file *f, struct span *record, uint64_t *offset);
/* Where the text behind the last record begins. */
uint64_t drop_file_offset(const struct drop_file *f);

/* The cursor of a claim, and back (0, or -1: not such a cursor). */
void drop_at_put(const struct drop_at *at, const char *claim, struct buf *out);
int drop_at_read(struct drop_at *at, char claim[UUID_TEXT + 1], struct span cursor);

/* Which records of the file are no triggers, and why, for <name>.error; 0 when said, 1: call again.
 */
int drop_explain(struct drop_file *f, struct drop_at *at, struct buf *text);

#endif

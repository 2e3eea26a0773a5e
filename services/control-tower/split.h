#ifndef CONTROL_TOWER_SPLIT_H
#define CONTROL_TOWER_SPLIT_H
/* Cuts text into records without holding all of it: a JSON file into its one value or the elements
 * of its one array, or lines.  Looks at structure alone (strings, brackets, commas); whoever
 * decodes a record judges it.  Pure. */
#include <stdbool.h>
#include <stddef.h>
#include "base/span.h"

enum split_say {
	SPLIT_RECORD, /* *record is set */
	SPLIT_MORE,   /* the window ends too early */
	SPLIT_END,    /* the text is complete */
	SPLIT_BAD,    /* never will be: `why` */
};

struct split {
	bool array; /* the records are elements of an array */
	int stage;
	unsigned depth;
	bool in_string, escaped;
	size_t at;    /* how much of the window was looked at */
	size_t start; /* where in the window the record under way begins */
	const char *why;
};

void split_init(struct split *s);
/* As it was behind a record (`array` as it was then). */
void split_resume(struct split *s, bool array);
/* `window` is text as it was, with more at its end or less at its front (split_drop); `last`:
 * nothing follows. */
enum split_say split_json(struct split *s, struct span window, bool last, struct span *record);
/* How many bytes at the front of the window are not needed any more; they count as taken off. */
size_t split_drop(struct split *s);

/* The first line of `window` without its end (LF or CR LF); *used is what it takes with it.  A last
 * line may lack the end when `last`.  False: no whole line. */
bool split_line(struct span window, bool last, struct span *line, size_t *used);

#endif

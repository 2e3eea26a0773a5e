#ifndef CLI_TABLE_H
#define CLI_TABLE_H
/* Rows of text in columns.  Cells are copied, and what could move a cursor or colour a terminal is
 * replaced by '?'.  Pure but for table_print. */
#include "base/buf.h"

#define TABLE_COLUMNS 16

struct table {
	struct buf text; /* cells, each NUL-terminated; the headings first */
	unsigned columns, cells;
	bool right[TABLE_COLUMNS]; /* figures */
	bool cut[TABLE_COLUMNS];   /* may be shortened when the table is too wide */
};

/* Headings with a space between: ">OWED" is set right, "~PATTERN" may be shortened. */
void table_init(struct table *t, const char *headings);
void table_cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_span(struct table *t, struct span s);
/* As text lines; `width` > 0: at most so many characters a line, if shortening can do it. */
void table_render(const struct table *t, unsigned width, struct buf *out);
/* To stdout, as wide as its terminal; then freed.  No rows: `none` is said on stderr instead (NULL:
 * the headings alone). */
void table_print(struct table *t, const char *none);
void table_fini(struct table *t);

/* Replace by '?' what a terminal would obey: C0, DEL, and the first byte of C1. */
void table_make_safe(uint8_t *p, size_t n);
/* Characters of a UTF-8 text; a byte that is none counts as one. */
size_t table_width(struct span s);
/* Append s in at most `width` characters, with "…" at its end when it was cut. */
void table_put_cut(struct buf *out, struct span s, size_t width);

#endif

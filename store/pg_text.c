/* The textual forms of store/pg.h. */
#include "store/pg.h"

void
pg_copy_field(struct buf *b, struct span v, bool first)
{
	static const char from[] = "\b\f\n\r\t\v\\", to[] = "bfnrtv\\";

	if (!first)
		buf_putc(b, '\t');
	if (v.p == NULL) {
		buf_puts(b, "\\N");
		return;
	}
	for (size_t i = 0, start = 0; i <= v.n; i++) {
		const char *e = i < v.n && v.p[i] != 0 ? strchr(from, v.p[i]) : NULL;

		if (e == NULL && i < v.n)
			continue;
		buf_put(b, v.p + start, i - start);
		if (e != NULL) {
			buf_putc(b, '\\');
			buf_putc(b, to[e - from]);
		}
		start = i + 1;
	}
}

void
pg_copy_end_row(struct buf *b)
{
	buf_putc(b, '\n');
}

void
pg_put_ident(struct buf *b, struct span name)
{
	buf_putc(b, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"')
			buf_putc(b, '"');
		buf_putc(b, (char)name.p[i]);
	}
	buf_putc(b, '"');
}

void
pg_array_item(struct buf *b, struct span v)
{
	buf_putc(b, b->n == 0 ? '{' : ',');
	if (v.p == NULL) {
		buf_puts(b, "NULL");
		return;
	}
	buf_putc(b, '"');
	for (size_t i = 0, start = 0; i <= v.n; i++) {
		if (i < v.n && v.p[i] != '"' && v.p[i] != '\\')
			continue;
		buf_put(b, v.p + start, i - start);
		if (i < v.n)
			buf_putc(b, '\\');
		start = i;
	}
	buf_putc(b, '"');
}

void
pg_array_end(struct buf *b)
{
	buf_puts(b, b->n == 0 ? "{}" : "}");
}

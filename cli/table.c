#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/str.h"

enum { TEXT_MAX = 32 << 20, CUT_TO = 8 };

static size_t
char_len(struct span s)
{
	size_t n = str_utf8_len(s);

	return n ? n : 1;
}

size_t
table_width(struct span s)
{
	size_t width = 0;

	for (size_t i = 0; i < s.n; i += char_len(span_of(s.p + i, s.n - i)))
		width++;
	return width;
}

void
table_put_cut(struct buf *out, struct span s, size_t width)
{
	size_t i = 0;

	if (table_width(s) <= width) {
		buf_put(out, s.p, s.n);
		return;
	}
	for (size_t k = 1; k < width && i < s.n; k++)
		i += char_len(span_of(s.p + i, s.n - i));
	buf_put(out, s.p, i);
	buf_puts(out, "…");
}

void
table_init(struct table *t, const char *headings)
{
	*t = (struct table){.columns = 0};
	buf_init(&t->text, TEXT_MAX);
	while (*headings && t->columns < TABLE_COLUMNS) {
		size_t n;

		t->right[t->columns] = *headings == '>';
		t->cut[t->columns] = *headings == '~';
		headings += *headings == '>' || *headings == '~';
		n = strcspn(headings, " ");
		table_span(t, span_of(headings, n));
		t->columns++;
		headings += n + (headings[n] == ' ');
	}
}

void
table_fini(struct table *t)
{
	buf_fini(&t->text);
}

void
table_make_safe(uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* C0, DEL and, as UTF-8, C1 */
		if (p[i] < 0x20 || p[i] == 0x7f || (p[i] == 0xc2 && i + 1 < n && p[i + 1] < 0xa0))
			p[i] = '?';
	}
}

void
table_span(struct table *t, struct span s)
{
	size_t at = t->text.n;

	buf_put(&t->text, s.n ? (const void *)s.p : "", s.n);
	buf_putc(&t->text, '\0');
	t->cells++;
	if (!t->text.failed)
		table_make_safe(t->text.p + at, t->text.n - at - 1);
}

void
table_cell(struct table *t, const char *fmt, ...)
{
	char cell[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cell, sizeof cell, fmt, ap);
	va_end(ap);
	table_span(t, span_str(cell));
}

static struct span
next_cell(const char **p)
{
	struct span s = span_str(*p);

	*p += s.n + 1;
	return s;
}

/* Take from the widest column that may be shortened, until it fits or nothing is left to take. */
static void
fit(const struct table *t, size_t *widths, size_t width)
{
	size_t sum = 0;

	for (unsigned i = 0; i < t->columns; i++)
		sum += widths[i] + (i ? 2 : 0);
	while (sum > width) {
		unsigned widest = t->columns;

		for (unsigned i = 0; i < t->columns; i++) {
			if (t->cut[i] && widths[i] > CUT_TO &&
			    (widest == t->columns || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == t->columns)
			return;
		widths[widest]--;
		sum--;
	}
}

static void
pad(struct buf *out, size_t n)
{
	while (n-- > 0)
		buf_putc(out, ' ');
}

static void
put_cell(const struct table *t, unsigned column, struct span s, size_t width, struct buf *out)
{
	size_t n = table_width(s);
	size_t space = n < width ? width - n : 0;

	if (t->right[column])
		pad(out, space);
	table_put_cut(out, s, width);
	if (column + 1 < t->columns) {
		pad(out, t->right[column] ? 2 : space + 2);
		return;
	}
	while (out->n > 0 && out->p[out->n - 1] == ' ')
		out->n--;
	buf_putc(out, '\n');
}

void
table_render(const struct table *t, unsigned width, struct buf *out)
{
	size_t widths[TABLE_COLUMNS] = {0};
	const char *p = (const char *)t->text.p;

	if (t->text.failed || t->columns == 0)
		return;
	for (unsigned i = 0; i < t->cells; i++) {
		size_t n = table_width(next_cell(&p));

		if (n > widths[i % t->columns])
			widths[i % t->columns] = n;
	}
	if (width > 0)
		fit(t, widths, width);
	p = (const char *)t->text.p;
	for (unsigned i = 0; i < t->cells; i++)
		put_cell(t, i % t->columns, next_cell(&p), widths[i % t->columns], out);
}

void
table_print(struct table *t, const char *none)
{
	struct winsize w = {0};
	struct buf out;

	if (none != NULL && t->cells == t->columns) {
		fprintf(stderr, "taxi: %s\n", none);
		table_fini(t);
		return;
	}
	if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0)
		w.ws_col = 0;
	buf_init(&out, TEXT_MAX * 2u);
	table_render(t, w.ws_col, &out);
	fwrite(buf_cstr(&out), 1, out.n, stdout);
	fflush(stdout);
	buf_fini(&out);
	table_fini(t);
}

#include "services/data-store/dsv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"

enum { GAPS = 65536 };

static const struct span mark = {(const uint8_t *)"\xef\xbb\xbf", 3};

void
dsv_init(struct dsv *d, const struct dsv_format *f, unsigned columns)
{
	memset(d, 0, sizeof *d);
	d->f = *f;
	d->columns = columns;
	d->headed = !f->header;
	d->gaps = xcalloc(1, sizeof *d->gaps); /* the first is before the first line */
	d->ngaps = 1;
	buf_init(&d->held, SIZE_MAX / 2);
}

void
dsv_fini(struct dsv *d)
{
	buf_fini(&d->held);
	free(d->gaps);
	d->gaps = NULL;
}

__attribute__((format(printf, 2, 3))) static int
refuse(struct dsv *d, const char *fmt, ...)
{
	int n = snprintf(d->why, sizeof d->why, "line %llu: ", (unsigned long long)d->line + 1);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->why + n, sizeof d->why - (size_t)n, fmt, ap);
	va_end(ap);
	return -1;
}

static char
quote_of(const struct dsv_format *f)
{
	if (f->quote != 0)
		return f->quote;
	return DSV_NO_QUOTE;
}

static bool
starts(struct span s, struct span with)
{
	return s.n >= with.n && memcmp(s.p, with.p, with.n) == 0;
}

static bool
is_comment(const struct dsv_format *f, struct span s)
{
	return f->comment[0] != '\0' && starts(s, span_str(f->comment));
}

/* The newline that ends the record s starts with, or NULL.  `from` bytes were looked at before, and
 * *in_quotes tells where they ended. */
static const uint8_t *
record_end(const struct dsv_format *f, struct span s, size_t from, bool *in_quotes)
{
	const uint8_t *end = s.p + s.n;

	/* A lone quote in a comment means nothing. */
	if (f->quote == 0 || is_comment(f, s))
		return s.n > from ? memchr(s.p + from, '\n', s.n - from) : NULL;
	for (const uint8_t *p = s.p + from; p < end; p++) {
		if (*p == (uint8_t)f->quote) {
			*in_quotes = !*in_quotes;
		} else if (*p == '\n' && !*in_quotes) {
			return p;
		}
	}
	return NULL;
}

static unsigned
count_fields(const struct dsv_format *f, struct span s)
{
	bool in_quotes = false;
	unsigned n = 1;

	for (size_t i = 0; i < s.n; i++) {
		if (f->quote != 0 && s.p[i] == (uint8_t)f->quote) {
			in_quotes = !in_quotes;
		} else if (s.p[i] == (uint8_t)f->delimiter && !in_quotes) {
			n++;
		}
	}
	return n;
}

static uint64_t
count_lines(struct span s)
{
	uint64_t n = 0;
	const uint8_t *p = s.p, *end = s.p + s.n;

	while (p < end && (p = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		p++;
		n++;
	}
	return n;
}

static void
leave_out(struct dsv *d, uint64_t lines)
{
	struct dsv_gap *last = &d->gaps[d->ngaps - 1];

	if (last->sent == d->sent_lines || d->ngaps >= GAPS) {
		last->dropped += lines;
		return;
	}
	/* Doubled whenever it is full. */
	if ((d->ngaps & (d->ngaps - 1)) == 0)
		d->gaps = xrealloc(d->gaps, d->ngaps * 2 * sizeof *d->gaps);
	last = &d->gaps[d->ngaps++];
	*last = (struct dsv_gap){d->sent_lines, last[-1].dropped + lines};
}

uint64_t
dsv_line_of(const struct dsv *d, uint64_t sent)
{
	uint64_t dropped = 0;

	for (size_t i = 0; i < d->ngaps && d->gaps[i].sent < sent; i++)
		dropped = d->gaps[i].dropped;
	return sent + dropped;
}

static void
put_record(struct dsv *d, struct span s, unsigned missing, struct buf *out)
{
	size_t before = out->n;

	if (span_is(s, "\\.")) {
		/* Bare, these two bytes would end the COPY and lose what follows. */
		char q = quote_of(&d->f);

		buf_printf(out, "%c\\.%c", q, q);
	} else {
		buf_put(out, s.p, s.n);
	}
	for (; missing > 0; missing--) {
		buf_putc(out, d->f.delimiter);
		buf_puts(out, d->f.null);
	}
	buf_putc(out, '\n');
	d->bytes += s.n;
	if (out->n - before > d->longest)
		d->longest = out->n - before;
	d->rows++;
}

/* One record without its newline. */
static int
take_record(struct dsv *d, struct span s, uint64_t lines, struct buf *out)
{
	unsigned n;

	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	if (is_comment(&d->f, s) || (s.n == 0 && (d->columns != 1 || !d->headed))) {
		leave_out(d, lines);
		return 0;
	}
	if (!d->headed) {
		d->headed = true;
		leave_out(d, lines);
		return 0;
	}
	if (s.n > DSV_RECORD)
		return refuse(d, "a row is longer than %u bytes", DSV_RECORD);
	if (d->f.quote == 0 && memchr(s.p, DSV_NO_QUOTE, s.n) != NULL)
		return refuse(d, "byte 0x01 cannot be loaded");
	n = count_fields(&d->f, s);
	if (n > d->columns || (n < d->columns && !d->f.pad))
		return refuse(d, "%u fields where %u are expected", n, d->columns);
	put_record(d, s, d->columns - n, out);
	d->sent_lines += lines;
	return 0;
}

/* Records of held from `at` on; where the first unfinished one starts, SIZE_MAX with why on
 * failure. */
static size_t
take_records(struct dsv *d, size_t at, bool last, struct buf *out)
{
	for (;;) {
		struct span held = buf_span(&d->held);
		struct span rest = span_of(held.p + at, held.n - at);
		const uint8_t *end;
		uint64_t lines;

		/* Not enough to tell a comment from a row. */
		if (!last && rest.n < strlen(d->f.comment))
			return at;
		end = record_end(&d->f, rest, d->scanned, &d->in_quotes);
		if (end == NULL && (!last || rest.n == 0)) {
			d->scanned = rest.n;
			return at;
		}
		if (end == NULL && d->in_quotes && !is_comment(&d->f, rest)) {
			refuse(d, "a quote is opened and never closed");
			return SIZE_MAX;
		}
		rest.n = end ? (size_t)(end - rest.p) : rest.n;
		lines = count_lines(rest) + 1;
		if (take_record(d, rest, lines, out) == -1)
			return SIZE_MAX;
		d->line += lines;
		d->scanned = 0;
		d->in_quotes = false;
		at += rest.n + (end != NULL);
	}
}

int
dsv_feed(struct dsv *d, struct span in, bool last, struct buf *out)
{
	size_t at = 0;

	buf_put(&d->held, in.p, in.n);
	if (!d->begun) {
		if (d->held.n < mark.n && !last)
			return 0;
		d->begun = true;
		if (starts(buf_span(&d->held), mark))
			at = mark.n;
	}
	if (d->held.n > 0)
		at = take_records(d, at, last, out);
	if (at == SIZE_MAX)
		return -1;
	if (at > 0)
		memmove(d->held.p, d->held.p + at, d->held.n - at);
	d->held.n -= at;
	if (d->held.n > DSV_RECORD)
		return refuse(d, "a row is longer than %u bytes", DSV_RECORD);
	if (out->failed)
		return refuse(d, "no room");
	return 0;
}

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* One field without its quotes and the blanks around. */
static void
put_field(const struct dsv_format *f, struct span s, struct buf *out)
{
	size_t start = out->n;

	for (size_t i = 0; i < s.n; i++) {
		bool quote = f->quote != 0 && s.p[i] == (uint8_t)f->quote;

		/* "" inside quotes is one quote. */
		if (quote && i > 0 && i + 1 < s.n && s.p[i + 1] == s.p[i]) {
			i++;
		} else if (quote) {
			continue;
		}
		if (!is_blank(s.p[i]) || out->n > start)
			buf_putc(out, (char)s.p[i]);
	}
	while (out->n > start && is_blank(out->p[out->n - 1]))
		out->n--;
	buf_putc(out, '\0');
}

static int
split(const struct dsv_format *f, struct span s, struct buf *fields)
{
	bool in_quotes = false;
	size_t start = 0;
	int n = 0;

	for (size_t i = 0; i <= s.n; i++) {
		if (i < s.n && f->quote != 0 && s.p[i] == (uint8_t)f->quote)
			in_quotes = !in_quotes;
		if (i < s.n && (in_quotes || s.p[i] != (uint8_t)f->delimiter))
			continue;
		put_field(f, span_of(s.p + start, i - start), fields);
		start = i + 1;
		n++;
	}
	return n;
}

int
dsv_header(const struct dsv_format *f, struct span head, bool whole, struct buf *fields, char *why,
    size_t size)
{
	if (starts(head, mark))
		head = span_of(head.p + mark.n, head.n - mark.n);
	while (head.n > 0) {
		bool in_quotes = false;
		const uint8_t *end = record_end(f, head, 0, &in_quotes);
		struct span s = head;

		if (end == NULL && (!whole || in_quotes)) {
			snprintf(why, size, "the header does not end within %zu bytes", head.n);
			return -1;
		}
		if (end != NULL)
			s.n = (size_t)(end - head.p);
		head.p += s.n + (end != NULL);
		head.n -= s.n + (end != NULL);
		if (s.n > 0 && s.p[s.n - 1] == '\r')
			s.n--;
		if (s.n == 0 || is_comment(f, s))
			continue;
		if (memchr(s.p, '\0', s.n) != NULL)
			break;
		return split(f, s, fields);
	}
	snprintf(why, size, "no header found: the first line should hold the names of the columns");
	return -1;
}

static void
put_bytes(struct buf *out, const char *name, const char *s, size_t n)
{
	buf_printf(out, ", %s E'", name);
	for (size_t i = 0; i < n; i++)
		buf_printf(out, "\\x%02x", (unsigned)(uint8_t)s[i]);
	buf_putc(out, '\'');
}

void
dsv_put_options(const struct dsv_format *f, struct buf *out)
{
	static const char *const encodings[] = {
	    [DSV_UTF8] = "UTF8", [DSV_LATIN1] = "LATIN1", [DSV_WIN1252] = "WIN1252"};
	char quote = quote_of(f);

	buf_puts(out, "(FORMAT csv");
	put_bytes(out, "DELIMITER", &f->delimiter, 1);
	put_bytes(out, "QUOTE", &quote, 1);
	put_bytes(out, "NULL", f->null, strlen(f->null));
	buf_printf(out, ", ENCODING '%s')", encodings[f->encoding]);
}

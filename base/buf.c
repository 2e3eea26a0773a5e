#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAP = 64 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_fini(struct buf *b)
{
	free(b->p);
	*b = (struct buf){.max = b->max};
}

void
buf_reset(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

/* Memory for `n` more bytes.  The limit is the caller's affair, so that a NUL may go one past it.
 */
static bool
reserve(struct buf *b, size_t n)
{
	size_t cap = b->cap ? b->cap : FIRST_CAP;
	uint8_t *p;

	if (n > SIZE_MAX - b->n)
		goto fail;
	if (b->p != NULL && b->n + n <= b->cap)
		return true;
	while (cap < b->n + n)
		cap = cap > SIZE_MAX / 2 ? b->n + n : cap * 2;
	if (cap > b->max && b->n + n <= b->max)
		cap = b->max;
	p = realloc(b->p, cap);
	if (p == NULL)
		goto fail;
	b->p = p;
	b->cap = cap;
	return true;
fail:
	b->failed = true;
	return false;
}

uint8_t *
buf_room(struct buf *b, size_t n)
{
	if (b->failed)
		return NULL;
	if (n > b->max || b->n > b->max - n) {
		b->failed = true;
		return NULL;
	}
	/* an empty room at the end of nothing still needs an address */
	return reserve(b, n ? n : 1) ? b->p + b->n : NULL;
}

void
buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *to;

	if (n == 0)
		return;
	to = buf_room(b, n);
	if (to == NULL)
		return;
	memcpy(to, p, n);
	b->n += n;
}

void
buf_puts(struct buf *b, const char *s)
{
	buf_put(b, s, strlen(s));
}

void
buf_putc(struct buf *b, char c)
{
	buf_put(b, &c, 1);
}

void
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap, again;
	int n;

	if (b->failed)
		return;
	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n > b->max || b->n > b->max - (size_t)n) {
		b->failed = true;
	} else if (reserve(b, (size_t)n + 1)) {
		vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
		b->n += (size_t)n;
	}
	va_end(again);
}

const char *
buf_cstr(struct buf *b)
{
	if (b->failed || !reserve(b, 1))
		return "";
	b->p[b->n] = 0;
	return (const char *)b->p;
}

void
buf_take(struct buf *b, uint8_t **p, size_t *n)
{
	if (b->failed)
		buf_fini(b);
	*p = b->p;
	*n = b->n;
	*b = (struct buf){.max = b->max};
}

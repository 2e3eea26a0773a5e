#ifndef BASE_BUF_H
#define BASE_BUF_H
/* Growable bytes with a mandatory limit.  `failed` is sticky: after a put over `max` (or memory gone)
 * every further put is a no-op, so writers check once at the end. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/span.h"

struct buf {
	uint8_t *p;
	size_t n, cap, max;
	bool failed;
};

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b); /* a second call is harmless */
void buf_reset(struct buf *b);	/* n = 0, failed = false, memory kept */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for n bytes at the end, to be filled by the caller, who then adds to b->n; NULL when failed. */
uint8_t *buf_room(struct buf *b, size_t n);
/* A terminating NUL that is not counted in n; returns the bytes as a C string, "" when failed. */
const char *buf_cstr(struct buf *b);
/* Give the memory away: the caller frees *p.  The buffer is empty afterwards. */
void buf_take(struct buf *b, uint8_t **p, size_t *n);

static inline struct span
buf_span(const struct buf *b)
{
	return span_of(b->p ? b->p : (const uint8_t *)"", b->n);
}

#endif

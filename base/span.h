#ifndef BASE_SPAN_H
#define BASE_SPAN_H
/* A borrowed run of bytes: not owned, not NUL-terminated.  {NULL, 0} is "absent"; an empty but
 * present run has p != NULL. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const uint8_t *p;
	size_t n;
};

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){p, n};
}

static inline struct span
span_str(const char *s)
{
	return (struct span){(const uint8_t *)s, s ? strlen(s) : 0};
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool
span_is(struct span a, const char *s)
{
	return span_eq(a, span_str(s));
}

/* Copy to a NUL-terminated string the caller frees; an embedded NUL ends what C sees of it. */
char *span_dup(struct span s) __attribute__((malloc));

#endif

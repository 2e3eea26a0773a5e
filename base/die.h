#ifndef BASE_DIE_H
#define BASE_DIE_H
/* Ends of a process, and allocation that cannot fail.  For our own fixed-size objects only: a size
 * that a peer can influence is capped first and allocated with malloc, whose failure is answered. */
#include <stddef.h>

#define EXIT_NORESTART 100 /* wrong options or settings: starting again would not help */
#define EXIT_AGAIN 111	   /* the machine failed: start again */

/* Log `fmt` at level error under evt=fatal and exit(code). */
_Noreturn void die(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* As calloc, realloc, strdup; memory gone is die(EXIT_AGAIN). */
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* An invariant of ours, checked in every build.  Never on data of a peer. */
#define INVARIANT(e) ((e) ? (void)0 : die(EXIT_AGAIN, "invariant %s at %s:%d", #e, __FILE__, __LINE__))

#endif

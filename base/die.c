#include "base/die.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

void
die(int code, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	log_error("fatal", LOG_S("msg", text), LOG_I("code", code));
	exit(code);
}

enum { SMALL = 1024 };

void *
xcalloc(size_t n, size_t size)
{
	void *p;

	if (n == 0 || size == 0)
		n = size = 1;
	if (n <= SMALL / size) {
		/* glibc's calloc passes by what its malloc keeps for each thread (2.36) */
		p = malloc(n * size);
		if (p)
			memset(p, 0, n * size);
	} else {
		p = calloc(n, size);
	}
	if (p == NULL)
		die(EXIT_AGAIN, "out of memory: %zu * %zu bytes", n, size);
	return p;
}

void *
xrealloc(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	if (q == NULL)
		die(EXIT_AGAIN, "out of memory: %zu bytes", size);
	return q;
}

char *
xstrdup(const char *s)
{
	size_t n = strlen(s) + 1;

	return memcpy(xcalloc(n, 1), s, n);
}

char *
xasprintf(const char *fmt, ...)
{
	char *s = NULL;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&s, fmt, ap);
	va_end(ap);
	if (n < 0 || s == NULL)
		die(EXIT_AGAIN, "out of memory: text of a message");
	return s;
}

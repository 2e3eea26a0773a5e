#include "proto/faults.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "proto/mp.h"

/* They travel in the header of an ERR, whose limit is 8 KiB and 256 elements. */
enum { KEPT_MAX = 20, ITEMS_MAX = 6 * 1024, TEXT_MAX = 256 };

void
faults_init(struct faults *f)
{
	*f = (struct faults){.kept = 0};
	buf_init(&f->items, ITEMS_MAX);
}

void
faults_fini(struct faults *f)
{
	buf_fini(&f->items);
}

/* Cut at a character, and what is no UTF-8 becomes `?`: a str on the wire is UTF-8. */
static struct span
clean(char dst[TEXT_MAX], const char *src)
{
	struct span s = span_str(src);
	size_t n = 0;

	while (s.n > 0) {
		size_t len = str_utf8_len(s), step = len ? len : 1;

		if (n + step >= TEXT_MAX)
			break;
		if (len == 0) {
			dst[n] = '?';
		} else {
			memcpy(dst + n, s.p, len);
		}
		n += step;
		s = span_of(s.p + step, s.n - step);
	}
	dst[n] = 0;
	return span_of(dst, n);
}

void
faults_add(struct faults *f, const char *pointer, const char *fmt, ...)
{
	char raw[TEXT_MAX * 2], line[TEXT_MAX * 3], where[TEXT_MAX], what[TEXT_MAX];
	struct span w, p = clean(where, pointer);
	size_t n = f->items.n;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(raw, sizeof raw, fmt, ap);
	va_end(ap);
	w = clean(what, raw);
	if (f->n++ == 0) {
		snprintf(line, sizeof line, "%s: %s", p.n > 0 ? where : "the body", what);
		clean(f->first, line);
	}
	if (f->kept == KEPT_MAX)
		return;
	mp_put_map(&f->items, 2);
	mp_put_cstr(&f->items, "pointer");
	mp_put_str(&f->items, p);
	mp_put_cstr(&f->items, "detail");
	mp_put_str(&f->items, w);
	if (f->items.failed) {
		f->items.failed = false;
		f->items.n = n;
		return;
	}
	f->kept++;
}

void
faults_push(char *pointer, size_t size, struct span token)
{
	size_t n = strnlen(pointer, size);

	if (size == 0 || n + 1 >= size)
		return;
	pointer[n++] = '/';
	while (token.n > 0) {
		size_t len = str_utf8_len(token), step = len ? len : 1;
		const void *put = token.p;
		size_t put_n = step;

		if (*token.p == '~' || *token.p == '/') {
			put = *token.p == '~' ? "~0" : "~1";
			put_n = 2;
		}
		/* whole characters and whole escapes, or nothing more */
		if (n + put_n >= size)
			break;
		memcpy(pointer + n, put, put_n);
		n += put_n;
		token = span_of(token.p + step, token.n - step);
	}
	pointer[n] = 0;
}

void
faults_put(const struct faults *f, struct buf *out)
{
	char text[TEXT_MAX + 32];

	snprintf(text, sizeof text, f->n > 1 ? "%s (and %u more)" : "%s", f->first, f->n - 1);
	mp_put_map(out, 2);
	mp_put_cstr(out, "detail");
	mp_put_cstr(out, text);
	mp_put_cstr(out, "errors");
	mp_put_array(out, f->kept);
	buf_put(out, f->items.p, f->items.n);
}

#include "edge-http/text.h"

#include <strings.h>

struct span
text_trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t'))
		s = span_of(s.p + 1, s.n - 1);
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct span
text_cut(struct span *rest, char at)
{
	const uint8_t *end = rest->n ? memchr(rest->p, at, rest->n) : NULL;
	size_t n = end ? (size_t)(end - rest->p) : rest->n;
	size_t skip = n + (end != NULL);
	struct span head = *rest;

	head.n = n;
	if (skip > 0)
		*rest = span_of(rest->p + skip, rest->n - skip);
	return head;
}

bool
text_same(struct span a, struct span b)
{
	return a.n == b.n &&
	       (a.n == 0 || strncasecmp((const char *)a.p, (const char *)b.p, a.n) == 0);
}

bool
text_is(struct span s, const char *lit)
{
	return text_same(s, span_str(lit));
}

bool
text_begins(struct span s, const char *head)
{
	size_t n = strlen(head);

	return s.n >= n && text_same(span_of(s.p, n), span_of(head, n));
}

bool
text_ends(struct span s, const char *tail)
{
	size_t n = strlen(tail);

	return s.n >= n && text_same(span_of(s.p + s.n - n, n), span_of(tail, n));
}

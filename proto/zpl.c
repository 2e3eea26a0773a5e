#include "proto/zpl.h"

#define LINE_MAX_BYTES 1024u

void
zpl_init(struct zpl *z, struct span text)
{
	*z = (struct zpl){.rest = text};
}

static bool
wrong(struct zpl *z, const char *why)
{
	z->why = why;
	return false;
}

static struct span
next_line(struct zpl *z)
{
	const uint8_t *nl = memchr(z->rest.p, '\n', z->rest.n);
	size_t n = nl ? (size_t)(nl - z->rest.p) : z->rest.n;
	struct span line = span_of(z->rest.p, n);

	z->rest = span_of(z->rest.p + n + (nl ? 1 : 0), z->rest.n - n - (nl ? 1 : 0));
	z->line++;
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	return line;
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && s.p[0] == ' ') {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

static bool
is_name_byte(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       strchr("$-_@.&+/", c) != NULL;
}

/* All of it is a comment, or nothing. */
static bool
is_blank(struct span s)
{
	s = trim(s);
	return s.n == 0 || s.p[0] == '#';
}

/* What stands behind the `=`. */
static bool
read_value(struct zpl *z, struct span s, struct span *value)
{
	const uint8_t *end;

	s = trim(s);
	if (s.n > 0 && (s.p[0] == '"' || s.p[0] == '\'')) {
		end = memchr(s.p + 1, s.p[0], s.n - 1);
		if (end == NULL)
			return wrong(z, "the closing quote is missing");
		*value = span_of(s.p + 1, (size_t)(end - s.p) - 1);
		if (!is_blank(span_of(end + 1, s.n - value->n - 2)))
			return wrong(z, "text behind the closing quote");
		return true;
	}
	end = s.n > 0 ? memchr(s.p, '#', s.n) : NULL;
	if (end != NULL)
		s.n = (size_t)(end - s.p);
	*value = trim(s);
	if (value->p == NULL)
		*value = span_of("", 0);
	return true;
}

static bool
read_item(struct zpl *z, struct span line, struct zpl_item *it)
{
	size_t spaces = 0, n = 0;
	struct span rest;

	while (spaces < line.n && line.p[spaces] == ' ')
		spaces++;
	if (spaces % 4 != 0 || spaces / 4 > z->level || spaces / 4 >= ZPL_DEPTH)
		return wrong(z, "expected four spaces a level, one level deeper at most");
	it->level = (unsigned)(spaces / 4);
	rest = span_of(line.p + spaces, line.n - spaces);
	while (n < rest.n && is_name_byte(rest.p[n]))
		n++;
	if (n == 0)
		return wrong(z, "expected a name");
	it->name = span_of(rest.p, n);
	it->value = (struct span){NULL, 0};
	rest = trim(span_of(rest.p + n, rest.n - n));
	z->level = it->level + 1;
	if (is_blank(rest))
		return true;
	if (rest.p[0] != '=')
		return wrong(z, "expected = or the end of the line behind the name");
	return read_value(z, span_of(rest.p + 1, rest.n - 1), &it->value);
}

static bool
is_text(struct span line)
{
	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] < 0x20 || line.p[i] == 0x7f)
			return false;
	}
	return true;
}

bool
zpl_next(struct zpl *z, struct zpl_item *it)
{
	while (z->why == NULL && z->rest.n > 0) {
		struct span line = next_line(z);

		if (line.n > LINE_MAX_BYTES)
			return wrong(z, "the line is over 1,024 bytes");
		if (!is_text(line))
			return wrong(z, "a control character (levels are made of spaces)");
		if (!is_blank(line))
			return read_item(z, line, it);
	}
	return false;
}

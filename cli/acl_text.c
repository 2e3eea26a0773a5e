#include "cli/acl_text.h"

#include "proto/zpl.h"

static size_t
line_end(struct span text, const uint8_t *p)
{
	const uint8_t *nl = memchr(p, '\n', text.n - (size_t)(p - text.p));

	return nl ? (size_t)(nl - text.p) + 1 : text.n;
}

/* Lines between two sections belong to the second, unless they are indented: fields of the first.
 */
bool
acl_text_next(struct acl_walk *w, struct acl_section *s)
{
	struct zpl_item it;
	struct zpl z;
	size_t from = 0, began = w->at;
	bool found = false;

	zpl_init(&z, span_of(w->text.p + w->at, w->text.n - w->at));
	*s = (struct acl_section){0};
	while (zpl_next(&z, &it)) {
		if (it.level == 0 && found)
			break;
		if (it.level == 0) {
			found = true;
			from = (size_t)(it.name.p - w->text.p);
			s->name = it.name;
		} else if (span_is(it.name, "key")) {
			s->key = it.value;
		}
		w->at = line_end(w->text, it.name.p);
	}
	if (z.why != NULL) {
		w->why = z.why;
		w->line += z.line;
		return false;
	}
	for (size_t i = began; i < w->at; i++)
		w->line += w->text.p[i] == '\n';
	if (found)
		s->text = span_of(w->text.p + from, w->at - from);
	return found;
}

static void
put(struct buf *out, struct span s)
{
	buf_put(out, s.p, s.n);
}

bool
acl_text_set(struct span text, struct span name, struct span key, struct span entry,
    struct buf *out, struct span *other)
{
	struct acl_walk w = {.text = text};
	struct acl_section s;

	while (acl_text_next(&w, &s)) {
		size_t from = (size_t)(s.text.p - text.p);

		if (!span_eq(s.key, key) || (key.n == 0 && !span_eq(s.name, name)))
			continue;
		*other = s.name;
		if (!span_eq(s.name, name))
			return false;
		put(out, span_of(text.p, from));
		put(out, entry);
		put(out, span_of(s.text.p + s.text.n, text.n - from - s.text.n));
		return true;
	}
	put(out, text);
	if (text.n > 0 && text.p[text.n - 1] != '\n')
		buf_putc(out, '\n');
	put(out, entry);
	return true;
}

unsigned
acl_text_remove(struct span text, struct span name_or_key, struct buf *out)
{
	struct acl_walk w = {.text = text};
	struct acl_section s;
	size_t kept = 0;
	unsigned n = 0;

	while (acl_text_next(&w, &s)) {
		size_t from = (size_t)(s.text.p - text.p);

		if (!span_eq(s.name, name_or_key) && !span_eq(s.key, name_or_key))
			continue;
		put(out, span_of(text.p + kept, from - kept));
		kept = from + s.text.n;
		n++;
	}
	put(out, span_of(text.p + kept, text.n - kept));
	return n;
}

#include "services/data-store/listing.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/die.h"
#include "base/str.h"
#include "fetch/url.h"
#include "proto/doc.h"
#include "proto/json.h"

enum { ADDRESS = 4096 };

struct reader {
	struct listing *l;
	const char *base, *pattern;
	size_t cap;
	bool full;
};

void
listing_fini(struct listing *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->v[i].name);
		free(l->v[i].url);
	}
	free(l->v);
	l->v = NULL;
	l->n = 0;
}

bool
listing_match(const char *pattern, struct span name)
{
	const char *star = NULL;
	size_t i = 0, back = 0;

	/* Only the last star needs to be tried again: what came before it has matched. */
	while (i < name.n) {
		if (*pattern == '*') {
			star = pattern++;
			back = i;
		} else if (*pattern == '?' ||
			   (*pattern != '\0' && (uint8_t)*pattern == name.p[i])) {
			pattern++;
			i++;
		} else if (star != NULL) {
			pattern = star + 1;
			i = ++back;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

static int
hex(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The last segment of the path, decoded; 0, or -1: none that may name a file. */
static int
name_of(const char *url, struct buf *name)
{
	size_t n = strcspn(url, "?#");
	const char *host = strstr(url, "://");
	size_t at = n;

	while (at > 0 && url[at - 1] != '/')
		at--;
	if (host == NULL || url + at < host + 4 || at == n)
		return -1;
	for (; at < n; at++) {
		int c = (uint8_t)url[at];

		if (c == '%' && n - at > 2 && hex((uint8_t)url[at + 1]) >= 0 &&
		    hex((uint8_t)url[at + 2]) >= 0) {
			c = hex((uint8_t)url[at + 1]) * 16 + hex((uint8_t)url[at + 2]);
			at += 2;
		}
		if (c < 0x20 || c == 0x7f || c == '/' || c == '\\')
			return -1;
		buf_putc(name, (char)c);
	}
	if (name->failed || !str_is_utf8(buf_span(name)))
		return -1;
	return span_is(buf_span(name), ".") || span_is(buf_span(name), "..") ? -1 : 0;
}

static void
keep(struct reader *r, struct span name, const char *url)
{
	struct listing *l = r->l;

	if (l->n >= LISTING_FILES) {
		r->full = true;
		return;
	}
	if (l->n == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		l->v = xrealloc(l->v, r->cap * sizeof *l->v);
	}
	l->v[l->n].name = xasprintf("%.*s", (int)name.n, (const char *)name.p);
	l->v[l->n++].url = xstrdup(url);
}

/* A link as it stands in the page. */
static void
take(struct reader *r, struct span link)
{
	struct buf url, name;

	buf_init(&url, ADDRESS);
	buf_init(&name, LISTING_NAME);
	if (link.n > 0 && link.n < ADDRESS && url_join(r->base, link, &url) == 0 && !url.failed &&
	    url_same_server(r->base, buf_cstr(&url)) && name_of(buf_cstr(&url), &name) == 0 &&
	    listing_match(r->pattern, buf_span(&name)))
		keep(r, buf_span(&name), buf_cstr(&url));
	buf_fini(&name);
	buf_fini(&url);
}

static struct span
trim(struct span s)
{
	while (s.n > 0 && s.p[0] <= ' ') {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && s.p[s.n - 1] <= ' ')
		s.n--;
	return s;
}

static void
read_lines(struct reader *r, struct span s)
{
	while (s.n > 0 && !r->full) {
		const uint8_t *end = memchr(s.p, '\n', s.n);
		size_t n = end ? (size_t)(end - s.p) : s.n;

		take(r, trim(span_of(s.p, n)));
		n += end != NULL;
		s = span_of(s.p + n, s.n - n);
	}
}

/* &amp; and the other characters that HTML writes by name in a link. */
static void
put_text(struct buf *out, struct span s)
{
	static const struct {
		const char *name;
		char c;
	} names[] = {{"&amp;", '&'}, {"&#38;", '&'}, {"&quot;", '"'}, {"&#34;", '"'},
	    {"&#39;", '\''}, {"&#x27;", '\''}, {"&apos;", '\''}, {"&lt;", '<'}, {"&gt;", '>'}};

	for (size_t i = 0; i < s.n; i++) {
		char c = (char)s.p[i];

		for (size_t k = 0; c == '&' && k < sizeof names / sizeof *names; k++) {
			size_t n = strlen(names[k].name);

			if (s.n - i < n ||
			    strncasecmp((const char *)s.p + i, names[k].name, n) != 0)
				continue;
			buf_putc(out, names[k].c);
			i += n;
			k = (size_t)-1; /* another may follow at once */
			c = (char)(i < s.n ? s.p[i] : 0);
		}
		if (i < s.n)
			buf_putc(out, c);
	}
}

/* The value of href in the text of a tag; {NULL, 0} when it has none. */
static struct span
href_of(struct span tag)
{
	for (size_t i = 1; i + 5 < tag.n; i++) {
		size_t at = i + 4, start;
		uint8_t quote;

		if (tag.p[i - 1] > ' ' || strncasecmp((const char *)tag.p + i, "href", 4) != 0)
			continue;
		while (at < tag.n && tag.p[at] <= ' ')
			at++;
		if (at >= tag.n || tag.p[at] != '=')
			continue;
		for (at++; at < tag.n && tag.p[at] <= ' ';)
			at++;
		quote = at < tag.n && (tag.p[at] == '"' || tag.p[at] == '\'') ? tag.p[at] : 0;
		at += quote != 0;
		start = at;
		while (at < tag.n && (quote ? tag.p[at] != quote : tag.p[at] > ' '))
			at++;
		return span_of(tag.p + start, at - start);
	}
	return (struct span){NULL, 0};
}

static void
read_html(struct reader *r, struct span s)
{
	const uint8_t *end = s.p + s.n, *p = s.p;
	struct buf link;

	buf_init(&link, ADDRESS);
	while (!r->full && p < end && (p = memchr(p, '<', (size_t)(end - p))) != NULL) {
		const uint8_t *close = memchr(p, '>', (size_t)(end - p));

		if (close == NULL)
			break;
		if (close - p > 3 && (p[1] | 0x20) == 'a' && p[2] <= ' ') {
			buf_reset(&link);
			put_text(&link, trim(href_of(span_of(p + 2, (size_t)(close - p - 2)))));
			if (!link.failed)
				take(r, buf_span(&link));
		}
		p = close;
	}
	buf_fini(&link);
}

static int
read_json(struct reader *r, struct span s, char *why, size_t size)
{
	struct json_error e;
	struct buf mp;
	struct doc d;
	int rc = -1;

	buf_init(&mp, s.n * 2 + 1024);
	if (json_to_mp(s, &mp, &e) == -1) {
		snprintf(why, size, "the listing is not JSON: line %d: %s", e.line, e.text);
		buf_fini(&mp);
		return -1;
	}
	if (doc_parse(&d, buf_span(&mp)) == -1 || d.root.type != MSGPACK_OBJECT_ARRAY) {
		snprintf(why, size, "the listing is JSON, but no array of names");
		goto out;
	}
	for (uint32_t i = 0; i < d.root.via.array.size && !r->full; i++) {
		const msgpack_object *o = &d.root.via.array.ptr[i];
		struct span url = doc_str(o, "url");

		if (o->type == MSGPACK_OBJECT_STR) {
			take(r, doc_span(o));
		} else {
			take(r, url.p ? url : doc_str(o, "name"));
		}
	}
	rc = 0;
out:
	doc_fini(&d);
	buf_fini(&mp);
	return rc;
}

static int
by_name(const void *a, const void *b)
{
	const struct listing_file *x = a, *y = b;
	int c = strcmp(x->name, y->name);

	return c ? c : strcmp(x->url, y->url);
}

static void
sort_unique(struct listing *l)
{
	size_t n = 0;

	if (l->n > 1)
		qsort(l->v, l->n, sizeof *l->v, by_name);
	for (size_t i = 0; i < l->n; i++) {
		if (n > 0 && strcmp(l->v[n - 1].name, l->v[i].name) == 0) {
			free(l->v[i].name);
			free(l->v[i].url);
			continue;
		}
		l->v[n++] = l->v[i];
	}
	l->n = n;
}

int
listing_read(
    struct listing *l, const struct listing_page *p, const char *pattern, char *why, size_t size)
{
	struct reader r = {.l = l, .base = p->base, .pattern = pattern};
	const char *type = p->type;

	if (strncasecmp(type, "text/html", 9) == 0 ||
	    strncasecmp(type, "application/xhtml", 17) == 0) {
		read_html(&r, p->body);
	} else if (strncasecmp(type, "text/", 5) == 0) {
		read_lines(&r, p->body);
	} else if (strncasecmp(type, "application/json", 16) == 0) {
		if (read_json(&r, p->body, why, size) == -1)
			return -1;
	} else {
		snprintf(why, size, "a listing is HTML, plain text or JSON, not \"%.60s\"", type);
		return -1;
	}
	if (r.full) {
		snprintf(why, size, "the listing offers more than %d files", LISTING_FILES);
		return -1;
	}
	sort_unique(l);
	return 0;
}

int
listing_one(struct listing *l, const char *url, char *why, size_t size)
{
	struct reader r = {.l = l, .base = url, .pattern = "*"};

	take(&r, span_str(url));
	if (l->n == 1)
		return 0;
	snprintf(
	    why, size, "the address names no file: to load files it lists, give source.pattern");
	return -1;
}

#include "edge-http/media.h"

#include "base/str.h"
#include "edge-http/text.h"

struct span
media_type(struct span ct)
{
	struct span type = text_trim(text_cut(&ct, ';'));
	const uint8_t *slash = type.n ? memchr(type.p, '/', type.n) : NULL;

	if (slash == NULL || slash == type.p || slash + 1 == type.p + type.n)
		return (struct span){NULL, 0};
	return type;
}

bool
media_match(const char *declared, struct span type)
{
	size_t n = strlen(declared);

	if (type.n == 0)
		return false;
	if (strcmp(declared, "*/*") == 0)
		return true;
	if (n > 2 && strcmp(declared + n - 2, "/*") == 0) {
		return type.n > n - 1 &&
		       text_same(span_of(type.p, n - 1), span_of(declared, n - 1));
	}
	return text_is(type, declared);
}

bool
media_is_json(struct span type)
{
	return text_is(type, "application/json") || (type.n > 5 && text_ends(type, "+json"));
}

bool
media_charset_ok(struct span ct)
{
	(void)text_cut(&ct, ';');
	while (ct.n) {
		struct span p = text_trim(text_cut(&ct, ';')), name = text_trim(text_cut(&p, '='));

		p = text_trim(p);
		if (!text_is(name, "charset"))
			continue;
		if (p.n >= 2 && p.p[0] == '"' && p.p[p.n - 1] == '"')
			p = span_of(p.p + 1, p.n - 2);
		if (!text_is(p, "utf-8") && !text_is(p, "us-ascii"))
			return false;
	}
	return true;
}

static double
quality(struct span params)
{
	while (params.n) {
		struct span p = text_trim(text_cut(&params, ';')),
			    name = text_trim(text_cut(&p, '='));
		double q;

		if (text_is(name, "q"))
			return str_double(text_trim(p), &q) == 0 ? q : 0.0;
	}
	return 1.0;
}

bool
media_accepts_gzip(struct span ae)
{
	bool star = false;

	while (ae.n) {
		struct span item = text_cut(&ae, ','), name = text_trim(text_cut(&item, ';'));
		bool wanted = quality(item) > 0.0;

		if (text_is(name, "gzip") || text_is(name, "x-gzip"))
			return wanted;
		if (text_is(name, "*"))
			star = wanted;
	}
	return star;
}

bool
media_is_text(struct span type)
{
	return text_begins(type, "text/") || media_is_json(type) || text_ends(type, "+xml") ||
	       text_is(type, "application/xml") || text_is(type, "application/x-ndjson") ||
	       text_is(type, "application/javascript") || text_is(type, "image/svg+xml");
}

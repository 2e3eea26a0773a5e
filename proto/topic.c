#include "proto/topic.h"

#include "proto/limits.h"

struct walk {
	struct span rest;
	bool more;
};

static void
walk_init(struct walk *w, struct span t)
{
	w->rest = t;
	w->more = true;
}

/* The next token; {NULL, 0} after the last.  A dot at the end is followed by an empty token. */
static struct span
walk_next(struct walk *w)
{
	const uint8_t *dot;
	struct span tok;

	if (!w->more)
		return (struct span){NULL, 0};
	dot = w->rest.n > 0 ? memchr(w->rest.p, '.', w->rest.n) : NULL;
	if (dot == NULL) {
		w->more = false;
		return w->rest.p ? w->rest : span_of("", 0);
	}
	tok = span_of(w->rest.p, (size_t)(dot - w->rest.p));
	w->rest = span_of(dot + 1, w->rest.n - tok.n - 1);
	return tok;
}

static bool
is_plain(uint8_t c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       c == '-';
}

static bool
is_literal(struct span tok)
{
	for (size_t i = 0; i < tok.n; i++) {
		if (!is_plain(tok.p[i]) && tok.p[i] != '_')
			return false;
	}
	return tok.n > 0;
}

static bool
is_star(struct span tok)
{
	return tok.n == 1 && tok.p[0] == '*';
}

static bool
is_rest(struct span tok)
{
	return tok.n == 1 && tok.p[0] == '>';
}

static bool
is_valid(struct span t, bool wild)
{
	struct walk w;
	struct span tok;
	unsigned n = 0;

	if (t.n == 0 || t.n > LIMIT_TOPIC)
		return false;
	walk_init(&w, t);
	while ((tok = walk_next(&w)).p != NULL) {
		if (++n > LIMIT_TOPIC_TOKENS)
			return false;
		if (is_literal(tok) || (wild && is_star(tok)))
			continue;
		if (!wild || !is_rest(tok) || w.more)
			return false;
	}
	return true;
}

bool
topic_is_valid(struct span t)
{
	return is_valid(t, false);
}

bool
topic_is_pattern(struct span p)
{
	return is_valid(p, true);
}

static bool
is_reserved(struct span tok)
{
	return span_is(tok, "sys") || span_is(tok, "live");
}

bool
topic_match(struct span pattern, struct span topic)
{
	struct walk pw, tw;
	bool first = true;

	walk_init(&pw, pattern);
	walk_init(&tw, topic);
	for (;;) {
		struct span p = walk_next(&pw), t = walk_next(&tw);

		if (p.p == NULL || t.p == NULL)
			return p.p == NULL && t.p == NULL;
		if (is_star(p) || is_rest(p)) {
			if (first && is_reserved(t))
				return false;
			if (is_rest(p))
				return true;
		} else if (!span_eq(p, t)) {
			return false;
		}
		first = false;
	}
}

bool
topic_within(struct span pattern, struct span allowed)
{
	struct walk pw, aw;
	bool first = true;

	walk_init(&pw, pattern);
	walk_init(&aw, allowed);
	for (;; first = false) {
		struct span p = walk_next(&pw), a = walk_next(&aw);

		if (p.p == NULL || a.p == NULL)
			return p.p == NULL && a.p == NULL;
		if (is_star(a) || is_rest(a)) {
			if ((first && is_reserved(p)) || (is_star(a) && is_rest(p)))
				return false;
			if (is_rest(a))
				return true;
		} else if (!span_eq(p, a)) {
			return false;
		}
	}
}

bool
topic_is_durable(struct span t)
{
	struct span first = topic_token(t, 0);

	return span_is(t, "sys.dead") || !is_reserved(first);
}

bool
topic_is_sys(struct span t)
{
	return span_is(topic_token(t, 0), "sys");
}

static int
rank(struct span tok)
{
	if (tok.p == NULL)
		return 3;
	return is_rest(tok) ? 2 : is_star(tok) ? 1 : 0;
}

int
topic_cmp_specific(struct span a, struct span b)
{
	struct walk aw, bw;

	walk_init(&aw, a);
	walk_init(&bw, b);
	for (;;) {
		struct span x = walk_next(&aw), y = walk_next(&bw);

		if (rank(x) != rank(y))
			return rank(x) - rank(y);
		if (x.p == NULL)
			return 0;
	}
}

int
topic_put_token(struct buf *out, struct span text)
{
	static const char hex[] = "0123456789ABCDEF";

	if (text.n > LIMIT_TOKEN)
		return -1;
	if (text.n == 0)
		buf_putc(out, '_');
	for (size_t i = 0; i < text.n; i++) {
		uint8_t c = text.p[i];
		char esc[3] = {'_', hex[c >> 4], hex[c & 15]};

		if (is_plain(c)) {
			buf_put(out, &c, 1);
		} else {
			buf_put(out, esc, sizeof esc);
		}
	}
	return 0;
}

static int
hex_value(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int
topic_token_text(struct span token, struct buf *out)
{
	uint8_t text[LIMIT_TOKEN];
	size_t n = 0;

	if (token.n == 0)
		return -1;
	if (span_is(token, "_"))
		return 0;
	for (size_t i = 0; i < token.n; i++) {
		uint8_t c = token.p[i];

		if (c == '_') {
			int hi = token.n - i > 2 ? hex_value(token.p[i + 1]) : -1;
			int lo = token.n - i > 2 ? hex_value(token.p[i + 2]) : -1;

			if (hi < 0 || lo < 0)
				return -1;
			c = (uint8_t)(hi << 4 | lo);
			/* one text, one token: what needs no escape has none */
			if (is_plain(c))
				return -1;
			i += 2;
		} else if (!is_plain(c)) {
			return -1;
		}
		if (n == sizeof text)
			return -1;
		text[n++] = c;
	}
	buf_put(out, text, n);
	return 0;
}

struct span
topic_token(struct span t, unsigned i)
{
	struct walk w;
	struct span tok;

	if (t.n == 0)
		return (struct span){NULL, 0};
	walk_init(&w, t);
	do {
		tok = walk_next(&w);
	} while (tok.p != NULL && i-- > 0);
	return tok;
}

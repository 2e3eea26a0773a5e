#include "broker/match.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"
#include "proto/limits.h"

/* A node is a prefix of patterns.  `star` and `rest` are the children for `*` and `>`; `here` holds
 * the entries whose pattern ends here. */
struct match_node {
	struct match_node *parent, *literals, *star, *rest;
	struct list here;
	UT_hash_handle hh;
	unsigned ntoken;
	char token[];
};

struct match {
	struct match_node *root;
	size_t nodes;
};

struct walk {
	struct span token[LIMIT_TOPIC_TOKENS];
	unsigned n;
	match_fn *fn;
	void *arg;
};

static struct match_node *
node_new(struct match *m, struct match_node *parent, struct span token)
{
	struct match_node *n = xcalloc(1, sizeof(*n) + token.n);

	n->parent = parent;
	n->ntoken = (unsigned)token.n;
	memcpy(n->token, token.p, token.n);
	list_init(&n->here);
	m->nodes++;
	return n;
}

static bool
node_is_bare(const struct match_node *n)
{
	return n->literals == NULL && n->star == NULL && n->rest == NULL && list_empty(&n->here);
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
node_free(struct match *m, struct match_node *n)
{
	struct match_node *kid, *tmp;
	struct match_entry *e;

	if (n == NULL)
		return;
	HASH_ITER (hh, n->literals, kid, tmp) {
		HASH_DEL(n->literals, kid);
		node_free(m, kid);
	}
	node_free(m, n->star);
	node_free(m, n->rest);
	LIST_EACH (e, &n->here, struct match_entry, link) {
		list_remove(&e->link);
		e->at = NULL;
	}
	m->nodes--;
	free(n);
}

struct match *
match_new(void)
{
	struct match *m = xcalloc(1, sizeof(*m));

	m->root = node_new(m, NULL, span_str(""));
	return m;
}

void
match_free(struct match *m)
{
	if (m == NULL)
		return;
	node_free(m, m->root);
	free(m);
}

size_t
match_nodes(const struct match *m)
{
	return m->nodes;
}

static struct match_node *
/* NOLINTNEXTLINE(readability-function-size): uthash */
literal_kid(const struct match_node *n, struct span token)
{
	struct match_node *kid;

	HASH_FIND(hh, n->literals, token.p, (unsigned)token.n, kid);
	return kid;
}

static struct match_node *
/* NOLINTNEXTLINE(readability-function-size): uthash */
kid_made(struct match *m, struct match_node *n, struct span token)
{
	struct match_node *kid;

	if (span_is(token, "*"))
		return n->star ? n->star : (n->star = node_new(m, n, token));
	if (span_is(token, ">"))
		return n->rest ? n->rest : (n->rest = node_new(m, n, token));
	kid = literal_kid(n, token);
	if (kid == NULL) {
		kid = node_new(m, n, token);
		HASH_ADD(hh, n->literals, token, kid->ntoken, kid);
	}
	return kid;
}

/* The tokens of t, at most LIMIT_TOPIC_TOKENS. */
static unsigned
split(struct span t, struct span *token)
{
	unsigned n = 0;

	while (t.n > 0 && n < LIMIT_TOPIC_TOKENS) {
		const uint8_t *dot = memchr(t.p, '.', t.n);
		size_t len = dot ? (size_t)(dot - t.p) : t.n;

		token[n++] = span_of(t.p, len);
		len += dot ? 1 : 0;
		t = span_of(t.p + len, t.n - len);
	}
	return n;
}

void
match_add(struct match *m, struct span pattern, struct match_entry *e)
{
	struct span token[LIMIT_TOPIC_TOKENS];
	unsigned n = split(pattern, token);
	struct match_node *at = m->root;

	INVARIANT(e->at == NULL);
	for (unsigned i = 0; i < n; i++)
		at = kid_made(m, at, token[i]);
	e->at = at;
	list_push_back(&at->here, &e->link);
}

/* Take away what holds nothing any more, up to the root. */
static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
prune(struct match *m, struct match_node *n)
{
	while (n->parent != NULL && node_is_bare(n)) {
		struct match_node *up = n->parent;

		if (up->star == n) {
			up->star = NULL;
		} else if (up->rest == n) {
			up->rest = NULL;
		} else {
			HASH_DEL(up->literals, n);
		}
		m->nodes--;
		free(n);
		n = up;
	}
}

void
match_del(struct match *m, struct match_entry *e)
{
	struct match_node *at = e->at;

	if (at == NULL)
		return;
	list_remove(&e->link);
	e->at = NULL;
	prune(m, at);
}

static bool
visit(const struct match_node *n, const struct walk *w)
{
	struct match_entry *e;

	LIST_EACH (e, &n->here, struct match_entry, link)
		if (!w->fn(w->arg, e))
			return false;
	return true;
}

/* Bounded by LIMIT_TOPIC_TOKENS deep. */
static bool
walk_from(const struct match_node *n, const struct walk *w, unsigned i)
{
	const struct match_node *kid;
	bool wild = i > 0 || !(span_is(w->token[0], "sys") || span_is(w->token[0], "live"));

	if (i == w->n)
		return visit(n, w);
	kid = literal_kid(n, w->token[i]);
	if (kid != NULL && !walk_from(kid, w, i + 1))
		return false;
	if (n->star != NULL && wild && !walk_from(n->star, w, i + 1))
		return false;
	return n->rest == NULL || !wild || visit(n->rest, w);
}

void
match_each(struct match *m, struct span topic, match_fn *fn, void *arg)
{
	struct walk w = {.fn = fn, .arg = arg};

	w.n = split(topic, w.token);
	if (w.n > 0)
		walk_from(m->root, &w, 0);
}

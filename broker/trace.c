#include "broker/trace.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"

enum { NAMES = 16384 };

struct name {
	UT_hash_handle hh;
	uint16_t no;
	char text[];
};

struct trace {
	struct trace_hop *ring;
	size_t n, at;
	uint64_t noted;
	struct name *by_text;
	struct name **names; /* by no - 1 */
};

static const uint8_t none[16];

const char *
trace_what_name(enum trace_what w)
{
	static const char *const names[] = {
#define X(id, name) #name,
	    TRACE_WHATS(X)
#undef X
	};

	return w < TRACE_WHAT_COUNT ? names[w] : "";
}

struct trace *
trace_new(size_t hops)
{
	struct trace *t;

	if (hops == 0)
		return NULL;
	t = xcalloc(1, sizeof(*t));
	t->ring = xcalloc(hops, sizeof(*t->ring));
	t->n = hops;
	return t;
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
trace_free(struct trace *t)
{
	struct name *s, *tmp;

	if (t == NULL)
		return;
	HASH_ITER (hh, t->by_text, s, tmp) {
		HASH_DEL(t->by_text, s); /* NOLINT(clang-analyzer-*): uthash */
		free(s);
	}
	free(t->names);
	free(t->ring);
	free(t);
}

struct trace_hop *
trace_next(struct trace *t)
{
	struct trace_hop *h;

	if (t == NULL)
		return NULL;
	h = &t->ring[t->at];
	t->at = t->at + 1 < t->n ? t->at + 1 : 0;
	t->noted++;
	return h;
}

void
trace_text(struct trace_hop *h, struct span text)
{
	size_t n = text.n < TRACE_TEXT ? text.n : TRACE_TEXT;

	/* Not in the middle of a character. */
	while (n > 0 && n < text.n && (text.p[n] & 0xc0) == 0x80)
		n--;
	h->ntext = (uint8_t)n;
	if (n > 0)
		memcpy(h->text, text.p, n);
}

uint16_t
/* NOLINTNEXTLINE(readability-function-size): uthash */
trace_name(struct trace *t, struct span name)
{
	struct name *s;

	if (t == NULL || name.n == 0)
		return 0;
	HASH_FIND(hh, t->by_text, name.p, (unsigned)name.n, s);
	if (s != NULL)
		return s->no;
	if (HASH_COUNT(t->by_text) >= NAMES)
		return 0;
	if (t->names == NULL)
		t->names = xcalloc(NAMES, sizeof(struct name *));
	s = xcalloc(1, sizeof(*s) + name.n + 1);
	memcpy(s->text, name.p, name.n);
	s->no = (uint16_t)(HASH_COUNT(t->by_text) + 1);
	t->names[s->no - 1] = s;
	HASH_ADD(hh, t->by_text, text, (unsigned)name.n, s);
	return s->no;
}

const char *
trace_name_of(const struct trace *t, uint16_t no)
{
	return t != NULL && no > 0 ? t->names[no - 1]->text : "";
}

void
trace_each(const struct trace *t, trace_fn *fn, void *arg)
{
	size_t n, first;

	if (t == NULL)
		return;
	n = t->noted < t->n ? (size_t)t->noted : t->n;
	first = t->noted < t->n ? 0 : t->at;
	for (size_t i = 0; i < n; i++)
		fn(arg, &t->ring[(first + i) % t->n]);
}

struct find {
	const uint8_t *id;
	uint8_t root[16];
	bool found;
};

static void
look(void *arg, const struct trace_hop *h)
{
	struct find *f = arg;

	if (memcmp(h->id, f->id, 16) != 0 || memcmp(h->root, none, 16) == 0)
		return;
	memcpy(f->root, h->root, 16);
	f->found = true;
}

bool
trace_root(const struct trace *t, const uint8_t id[16], uint8_t root[16])
{
	struct find f = {.id = id};

	trace_each(t, look, &f);
	if (f.found)
		memcpy(root, f.root, 16);
	return f.found;
}

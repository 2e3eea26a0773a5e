#include "broker/claims.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"
#include "broker/journal.h"

struct claimed {
	UT_hash_handle hh;
	char *path, *name;
};

struct claims {
	struct claimed *all;
};

static struct claimed *
/* NOLINTNEXTLINE(readability-function-size): uthash */
find(const struct claims *c, struct span path)
{
	struct claimed *e = NULL;

	HASH_FIND(hh, c->all, path.p, (unsigned)path.n, e);
	return e;
}

static void
on_claim(void *arg, struct span path, struct span name)
{
	claims_set(arg, path, name);
}

struct claims *
claims_load(struct journal *j)
{
	struct claims *c = xcalloc(1, sizeof(*c));

	if (journal_claims(j, on_claim, c) == 0)
		return c;
	claims_free(c);
	return NULL;
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
drop(struct claims *c, struct claimed *e)
{
	HASH_DEL(c->all, e);
	free(e->path);
	free(e->name);
	free(e);
}

void
claims_free(struct claims *c)
{
	struct claimed *e, *tmp;

	if (c == NULL)
		return;
	HASH_ITER (hh, c->all, e, tmp) {
		drop(c, e);
	}
	free(c);
}

const char *
claims_name(const struct claims *c, struct span path)
{
	const struct claimed *e = find(c, path);

	return e != NULL ? e->name : NULL;
}

unsigned
claims_of(const struct claims *c, struct span name)
{
	unsigned n = 0;

	for (const struct claimed *e = c->all; e != NULL; e = e->hh.next)
		n += span_is(name, e->name) ? 1 : 0;
	return n;
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
claims_set(struct claims *c, struct span path, struct span name)
{
	struct claimed *e = find(c, path);

	if (e == NULL) {
		e = xcalloc(1, sizeof(*e));
		e->path = span_dup(path);
		HASH_ADD_KEYPTR(hh, c->all, e->path, (unsigned)path.n, e);
	}
	free(e->name);
	e->name = span_dup(name);
}

void
claims_del(struct claims *c, struct span path)
{
	struct claimed *e = find(c, path);

	if (e != NULL)
		drop(c, e);
}

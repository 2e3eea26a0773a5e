#include "broker/journal_tab.h"

#include <stdlib.h>

uint8_t *
journal_tab_keep(struct span **v, size_t n)
{
	size_t total = 0;
	uint8_t *p, *at;

	for (size_t i = 0; i < n; i++)
		total += v[i]->n;
	p = at = xcalloc(1, total + 1);
	for (size_t i = 0; i < n; i++) {
		if (v[i]->p == NULL)
			continue;
		memcpy(at, v[i]->p, v[i]->n);
		v[i]->p = at;
		at += v[i]->n;
	}
	return p;
}

void
journal_tab_replace(uint8_t **mem, struct span *v, struct span to)
{
	struct span *one[] = {&to};
	uint8_t *copy = journal_tab_keep(one, 1);

	free(*mem);
	*mem = copy;
	*v = to;
}

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct journal_item *
find(struct journal_item *head, struct span name) /* NOLINT(readability-function-size) */
{
	struct journal_item *it;

	HASH_FIND(hh, head, name.p, name.n, it);
	return it;
}

static void
put_in(struct journal_tab *t, struct journal_item *it) /* NOLINT(readability-function-size) */
{
	HASH_ADD_KEYPTR(hh, t->head, it->name.p, it->name.n, it);
}

static void
take_out(struct journal_tab *t, struct journal_item *it) /* NOLINT(readability-function-size) */
{
	HASH_DEL(t->head, it);
}

static int
by_name(const struct journal_item *a, const struct journal_item *b)
{
	int c = memcmp(a->name.p, b->name.p, a->name.n < b->name.n ? a->name.n : b->name.n);

	if (c != 0)
		return c;
	return a->name.n < b->name.n ? -1 : a->name.n > b->name.n;
}

static void
sort(struct journal_tab *t) /* NOLINT(readability-function-size) */
{
	HASH_SORT(t->head, by_name);
}

struct journal_item *
journal_tab_find(const struct journal_tab *t, struct span name)
{
	return find(t->head, name);
}

struct journal_item *
journal_tab_add(struct journal_tab *t, struct span name)
{
	struct journal_item *it = xcalloc(1, sizeof *it);

	journal_tab_replace(&it->name_mem, &it->name, name);
	put_in(t, it);
	return it;
}

static void
item_free(struct journal_item *it)
{
	free(it->name_mem);
	free(it->a_mem);
	free(it->b_mem);
	free(it->row);
	free(it);
}

void
journal_tab_del(struct journal_tab *t, struct journal_item *it)
{
	if (it == NULL)
		return;
	take_out(t, it);
	item_free(it);
}

void
journal_tab_clear(struct journal_tab *t)
{
	struct journal_item *it = t->head, *next;

	HASH_CLEAR(hh, t->head);
	for (; it != NULL; it = next) {
		next = it->hh.next;
		item_free(it);
	}
}

void
journal_tab_each(struct journal_tab *t, journal_tab_fn *fn, void *arg)
{
	sort(t);
	for (const struct journal_item *it = t->head; it != NULL; it = it->hh.next)
		fn(arg, it);
}

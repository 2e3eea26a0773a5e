#include "services/data-gateway/tcache.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"
#include "base/list.h"

struct entry {
	UT_hash_handle hh;
	struct list used; /* most recent last */
	uint8_t uuid[16];
	int64_t until_ms;
	struct trigger *trigger;
};

struct tcache {
	struct entry *by_uuid;
	struct list used;
	unsigned n, max_entries;
	size_t bytes, max_bytes;
};

struct tcache *
tcache_new(unsigned max_entries, size_t max_bytes)
{
	struct tcache *c = xcalloc(1, sizeof *c);

	list_init(&c->used);
	c->max_entries = max_entries;
	c->max_bytes = max_bytes;
	return c;
}

void
tcache_release(struct trigger *t)
{
	if (t != NULL && --t->refs == 0)
		free(t);
}

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct entry *
find(struct tcache *c, const uint8_t uuid[16]) /* NOLINT(readability-function-size) */
{
	struct entry *e;

	HASH_FIND(hh, c->by_uuid, uuid, 16, e);
	return e;
}

static void
put_in(struct tcache *c, struct entry *e) /* NOLINT(readability-function-size) */
{
	HASH_ADD(hh, c->by_uuid, uuid, 16, e);
}

static void
take_out(struct tcache *c, struct entry *e) /* NOLINT(readability-function-size) */
{
	HASH_DEL(c->by_uuid, e); /* NOLINT(clang-analyzer-core.NullDereference) */
}

static void
drop(struct tcache *c, struct entry *e)
{
	take_out(c, e);
	list_remove(&e->used);
	c->n--;
	c->bytes -= e->trigger->body.n;
	tcache_release(e->trigger);
	free(e);
}

void
tcache_free(struct tcache *c)
{
	struct entry *e;

	if (c == NULL)
		return;
	LIST_EACH (e, &c->used, struct entry, used)
		drop(c, e);
	free(c);
}

struct trigger *
tcache_get(struct tcache *c, const uint8_t uuid[16], int64_t now_ms)
{
	struct entry *e = find(c, uuid);

	if (e == NULL)
		return NULL;
	if (e->until_ms <= now_ms) {
		drop(c, e);
		return NULL;
	}
	list_remove(&e->used);
	list_push_back(&c->used, &e->used);
	e->trigger->refs++;
	return e->trigger;
}

static void
make_room(struct tcache *c, size_t bytes)
{
	struct entry *e;

	LIST_EACH (e, &c->used, struct entry, used) {
		if (c->n < c->max_entries && c->bytes + bytes <= c->max_bytes)
			return;
		drop(c, e);
	}
}

struct trigger *
tcache_put(struct tcache *c, const uint8_t uuid[16], struct span body, int64_t now_ms)
{
	struct trigger *t = xcalloc(1, sizeof *t + body.n);
	struct entry *e = find(c, uuid);

	t->refs = 1;
	if (body.p != NULL) {
		uint8_t *copy = (uint8_t *)(t + 1);

		memcpy(copy, body.p, body.n);
		t->body = span_of(copy, body.n);
	}
	if (e != NULL)
		drop(c, e);
	if (body.n > c->max_bytes)
		return t;
	make_room(c, body.n);
	e = xcalloc(1, sizeof *e);
	memcpy(e->uuid, uuid, 16);
	e->until_ms = body.p != NULL ? INT64_MAX : now_ms + TCACHE_NONE_MS;
	e->trigger = t;
	t->refs++;
	put_in(c, e);
	list_push_back(&c->used, &e->used);
	c->n++;
	c->bytes += body.n;
	return t;
}

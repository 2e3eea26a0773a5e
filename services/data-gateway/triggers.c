#include "services/data-gateway/triggers.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"
#include "base/uuid.h"
#include "proto/mp.h"

#define ASK_MS 5000

struct ask {
	UT_hash_handle hh;
	uint8_t uuid[16];
	struct list waits;
	struct triggers *t; /* NULL: nobody is left to tell */
	enum err refused;   /* the call was not taken */
};

struct triggers {
	struct client *client;
	struct loop *loop;
	struct tcache *cache;
	struct ask *asks;
};

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct ask *
find(struct triggers *t, const uint8_t uuid[16]) /* NOLINT(readability-function-size) */
{
	struct ask *a;

	HASH_FIND(hh, t->asks, uuid, 16, a);
	return a;
}

static void
put_in(struct triggers *t, struct ask *a) /* NOLINT(readability-function-size) */
{
	HASH_ADD(hh, t->asks, uuid, 16, a);
}

static void
take_out(struct triggers *t, struct ask *a) /* NOLINT(readability-function-size) */
{
	HASH_DEL(t->asks, a); /* NOLINT(clang-analyzer-core.NullDereference) */
}

struct triggers *
triggers_new(struct client *c, unsigned max_entries, size_t max_bytes)
{
	struct triggers *t = xcalloc(1, sizeof *t);

	t->client = c;
	t->loop = link_loop(client_link(c));
	t->cache = tcache_new(max_entries, max_bytes);
	return t;
}

void
triggers_cancel(struct triggers_wait *w)
{
	if (w->waits)
		list_remove(&w->link);
	w->waits = false;
}

static void
let_go(struct ask *a)
{
	struct triggers_wait *w;

	while ((w = LIST_FIRST(&a->waits, struct triggers_wait, link)) != NULL)
		triggers_cancel(w);
	take_out(a->t, a);
	a->t = NULL;
}

void
triggers_free(struct triggers *t)
{
	struct ask *a;

	if (t == NULL)
		return;
	while ((a = t->asks) != NULL) {
		let_go(a); /* NOLINT(clang-analyzer-unix.Malloc): it takes a out */
		if (a->refused != ERR_OK) {
			loop_later_cancel(t->loop, a);
			free(a);
		}
	}
	tcache_free(t->cache);
	free(t);
}

static void
tell(struct ask *a, struct trigger *t, const char *why)
{
	struct triggers_wait *w;

	while ((w = LIST_FIRST(&a->waits, struct triggers_wait, link)) != NULL) {
		triggers_cancel(w);
		if (t != NULL)
			t->refs++;
		w->done(w, t, why);
	}
}

static void
end_away(struct ask *a, enum err code)
{
	char why[96];

	(void)snprintf(why, sizeof why, "the control tower cannot be asked: %s", err_name(code));
	tell(a, NULL, why);
}

static void
on_answer(void *arg, const struct env *e)
{
	struct ask *a = arg;
	struct trigger *t = NULL;
	enum err code = e->verb == ENV_ERR ? env_err_code(e) : ERR_OK;
	struct triggers *all = a->t;

	if (all == NULL) {
		free(a);
		return;
	}
	take_out(all, a);
	if (code == ERR_OK && mp_scan(e->body, LIMIT_NEST, LIMIT_BODY_ELEMENTS) == e->body.n) {
		t = tcache_put(all->cache, a->uuid, e->body, loop_now(all->loop));
	} else if (code == ERR_NOT_FOUND) {
		t = tcache_put(all->cache, a->uuid, (struct span){NULL, 0}, loop_now(all->loop));
	}
	if (t != NULL) {
		tell(a, t, "");
	} else {
		end_away(a, code == ERR_OK ? ERR_BAD_ENVELOPE : code);
	}
	tcache_release(t);
	free(a);
}

static void
on_refused(void *arg)
{
	struct ask *a = arg;

	take_out(a->t, a);
	end_away(a, a->refused);
	free(a);
}

static void
send_ask(struct triggers *t, struct ask *a)
{
	char text[UUID_TEXT + 1];
	struct buf body;
	struct env e;

	buf_init(&body, 256);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "uuid");
	mp_put_cstr(&body, uuid_text(a->uuid, text));
	env_init(&e, ENV_REQ, span_str("control-tower.triggers.get"), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = buf_span(&body);
	a->refused = client_call(t->client, &e, ASK_MS, on_answer, a);
	if (a->refused != ERR_OK)
		loop_later(t->loop, on_refused, a);
	buf_fini(&body);
}

struct trigger *
triggers_ask(struct triggers *t, const uint8_t uuid[16], struct triggers_wait *w)
{
	struct trigger *known = tcache_get(t->cache, uuid, loop_now(t->loop));
	struct ask *a = find(t, uuid);

	if (known != NULL)
		return known;
	if (a == NULL) {
		a = xcalloc(1, sizeof *a);
		memcpy(a->uuid, uuid, 16);
		list_init(&a->waits);
		a->t = t;
		put_in(t, a);
		send_ask(t, a);
	}
	w->waits = true;
	list_push_back(&a->waits, &w->link);
	return NULL;
}

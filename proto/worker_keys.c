/* Order by key behind a NAK.  The broker takes the later ones of the key back when it reads the
 * NAK; what it had sent before cannot be told from what it sends afterwards.  So each NAK of an
 * envelope with a key is followed by a PING, and until the PONG to the last of them further ones of
 * that key are given back too. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "proto/worker_priv.h"

/* A key of a group.  PONGs come in the order of the PINGs, and so these stand. */
struct worker_key {
	UT_hash_handle hh;
	struct list node;
	uint64_t ping;
	unsigned n;
	uint8_t name[LIMIT_GROUP + 1 + LIMIT_KEY]; /* the group, a zero, the key */
};

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct worker_key *
find(struct worker *w, const void *name, unsigned n) /* NOLINT(readability-function-size) */
{
	struct worker_key *k;

	HASH_FIND(hh, w->keys.by_name, name, n, k);
	return k;
}

static void
put_in(struct worker *w, struct worker_key *k) /* NOLINT(readability-function-size) */
{
	HASH_ADD_KEYPTR(hh, w->keys.by_name, k->name, k->n, k);
}

static void
forget(struct worker *w, struct worker_key *k)
{
	HASH_DEL(w->keys.by_name, k);
	list_remove(&k->node);
	free(k);
}

/* Its length; 0: no order to keep. */
static unsigned
name_of(const struct delivery *d, uint8_t name[LIMIT_GROUP + 1 + LIMIT_KEY])
{
	struct span group = env_s(&d->m.head, ENV_M_GROUP), key = env_s(&d->m.env, ENV_M_KEY);

	if (d->kind != DELIVERY_EVENT || group.p == NULL || key.p == NULL ||
	    group.n > LIMIT_GROUP || key.n > LIMIT_KEY)
		return 0;
	memcpy(name, group.p, group.n);
	name[group.n] = 0;
	memcpy(name + group.n + 1, key.p, key.n);
	return (unsigned)(group.n + 1 + key.n);
}

void
worker_keys_init(struct worker *w)
{
	list_init(&w->keys.waiting);
	uuid_v7(w->keys.ping, clock_real_ms());
	memcpy(w->keys.ping, w->keys.ping + 8, 8); /* its random half */
}

void
worker_keys_void(struct worker *w)
{
	struct worker_key *k;

	while ((k = LIST_FIRST(&w->keys.waiting, struct worker_key, node)) != NULL)
		forget(w, k);
}

void
worker_keys_pong(struct worker *w, const uint8_t id[16])
{
	struct worker_key *k;
	uint64_t n = 0;

	if (memcmp(id, w->keys.ping, 8) != 0)
		return;
	for (unsigned i = 8; i < 16; i++)
		n = n << 8 | id[i];
	while ((k = LIST_FIRST(&w->keys.waiting, struct worker_key, node)) != NULL && k->ping <= n)
		forget(w, k);
}

static bool
ping(struct worker *w)
{
	uint64_t n = ++w->keys.pings;
	struct env e;

	for (unsigned i = 0; i < 8; i++)
		w->keys.ping[8 + i] = (uint8_t)(n >> (56 - 8 * i));
	env_init(&e, ENV_PING, span_str(""), w->keys.ping);
	return worker_out_env(w, &e);
}

/* Those that wait to be handed over are the broker's again. */
static void
take_back(const struct delivery *given, const uint8_t *name, unsigned n)
{
	uint8_t other[LIMIT_GROUP + 1 + LIMIT_KEY];
	struct delivery *d;

	if (!given->m.sub->cancels)
		return;
	LIST_EACH (d, &given->w->hand, struct delivery, node) {
		if (d != given && d->m.sub == given->m.sub && !d->checked &&
		    env_u(&d->m.head, ENV_M_SEQ, 0) > env_u(&given->m.head, ENV_M_SEQ, 0) &&
		    name_of(d, other) == n && memcmp(name, other, n) == 0)
			d->taken_back = true;
	}
}

void
worker_keys_given_back(const struct delivery *d)
{
	uint8_t name[LIMIT_GROUP + 1 + LIMIT_KEY];
	unsigned n = name_of(d, name);
	struct worker *w = d->w;
	struct worker_key *k;

	if (n == 0)
		return;
	take_back(d, name, n);
	k = find(w, name, n);
	if (k == NULL) {
		k = xcalloc(1, sizeof *k);
		k->n = n;
		memcpy(k->name, name, n);
		put_in(w, k);
	} else {
		list_remove(&k->node);
	}
	list_push_back(&w->keys.waiting, &k->node);
	if (ping(w)) {
		k->ping = w->keys.pings;
	} else {
		forget(w, k); /* the NAK was lost as well */
	}
}

bool
worker_keys_refuses(const struct delivery *d)
{
	uint8_t name[LIMIT_GROUP + 1 + LIMIT_KEY];
	unsigned n;

	if (d->w->keys.by_name == NULL)
		return false;
	n = name_of(d, name);
	return n > 0 && find(d->w, name, n) != NULL;
}

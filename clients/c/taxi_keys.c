#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "clients/c/taxi_priv.h"

/* What was on its way before the broker read a NAK cannot be told from what it sent afterwards:
 * until the PONG to a PING behind the NAK, later envelopes of the key are given back too. */
struct refused {
	struct list node;
	uint8_t ping[16];
	size_t group_n, key_n;
	uint8_t name[]; /* the group, then the key */
};

static bool
is_about(const struct refused *r, struct span group, struct span key)
{
	return span_eq(span_of(r->name, r->group_n), group) &&
	       span_eq(span_of(r->name + r->group_n, r->key_n), key);
}

static struct refused *
find(struct taxi *t, const struct worker_msg *w)
{
	struct span group = env_s(&w->head, ENV_M_GROUP), key = env_s(&w->env, ENV_M_KEY);
	struct refused *r;

	if (group.p == NULL || key.p == NULL)
		return NULL;
	LIST_EACH (r, &t->refused, struct refused, node) {
		if (is_about(r, group, key))
			return r;
	}
	return NULL;
}

static void
drop(struct refused *r)
{
	list_remove(&r->node);
	free(r);
}

static void
on_pong(void *arg, const uint8_t id[16])
{
	struct taxi *t = arg;
	struct refused *r;

	LIST_EACH (r, &t->refused, struct refused, node) {
		if (memcmp(r->ping, id, 16) == 0)
			drop(r);
	}
}

static void
on_down(void *arg)
{
	struct taxi *t = arg;
	struct list *n;

	while ((n = list_pop(&t->refused)) != NULL)
		free(LIST_ITEM(n, struct refused, node));
}

void
priv_keys_init(struct taxi *t)
{
	list_init(&t->refused);
	link_listen(t->link, &(struct link_ops){.down = on_down, .pong = on_pong, .arg = t});
}

void
priv_keys_fini(struct taxi *t)
{
	on_down(t);
	link_unlisten(t->link, t);
}

static struct refused *
add(struct taxi *t, const struct worker_msg *w)
{
	struct span group = env_s(&w->head, ENV_M_GROUP), key = env_s(&w->env, ENV_M_KEY);
	struct refused *r = find(t, w);

	if (r || group.p == NULL || key.p == NULL || worker_msg_is_void(w))
		return r;
	r = xcalloc(1, sizeof *r + group.n + key.n);
	r->group_n = group.n;
	r->key_n = key.n;
	memcpy(r->name, group.p, group.n);
	memcpy(r->name + group.n, key.p, key.n);
	list_push_back(&t->refused, &r->node);
	return r;
}

/* In the turn of the NAK, so that one PACK holds both.  Is the queue full, both wait for room: then
 * the broker has read the NAK later than we think, and what comes until then comes again. */
static void
ping(struct taxi *t, struct refused *r)
{
	struct buf b;
	struct env e;

	uuid_v7(r->ping, clock_real_ms());
	env_init(&e, ENV_PING, span_str(""), r->ping);
	buf_init(&b, LIMIT_HEADER);
	if (env_encode(&e, &b) != ERR_OK || link_send(t->link, buf_span(&b)) != 0)
		drop(r);
	buf_fini(&b);
}

void
priv_give_back(struct taxi *t, struct worker_msg *w, int64_t delay_ms, const char *reason)
{
	struct refused *r = add(t, w);

	worker_nak(w, delay_ms, reason);
	if (r)
		ping(t, r);
}

bool
priv_key_is_refused(struct taxi *t, const struct worker_msg *w)
{
	return find(t, w) != NULL;
}

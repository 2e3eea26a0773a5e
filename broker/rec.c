#include "broker/rec.h"

#include <stdlib.h>

#include "base/die.h"

struct span
rec_rebase(const struct rec *r, struct span part, struct span frame)
{
	return part.p ? span_of(r->frame + (part.p - frame.p), part.n) : part;
}

static const uint8_t local[] = {0xa5, 'l', 'o', 'c', 'a', 'l'};

enum { FROM_MOST = 255, FROM_HEAD = 2 };

/* Behind the frame: a str of msgpack. */
static void
set_from(struct rec *r, struct span from)
{
	uint8_t *p = r->frame + r->n;

	if (from.p == NULL) {
		r->from = span_of(local, sizeof(local));
		return;
	}
	p[0] = 0xd9;
	p[1] = (uint8_t)from.n;
	memcpy(p + FROM_HEAD, from.p, from.n);
	r->from = span_of(p, FROM_HEAD + from.n);
}

struct span
rec_from(const struct rec *r)
{
	if (r->from.p == local)
		return (struct span){NULL, 0};
	return span_of(r->from.p + FROM_HEAD, r->from.n - FROM_HEAD);
}

struct rec *
rec_of_env(struct rec_pool *p, const struct env *e, struct span frame)
{
	return rec_of_env_from(p, e, frame, (struct span){NULL, 0});
}

struct rec *
rec_of_env_from(struct rec_pool *p, const struct env *e, struct span frame, struct span from)
{
	struct rec *r;

	if (from.n > FROM_MOST)
		from.n = FROM_MOST;
	r = malloc(sizeof(*r) + frame.n + (from.p ? FROM_HEAD + from.n : 0));
	if (r == NULL)
		return NULL;
	*r = (struct rec){.pool = p, .refs = 1, .n = frame.n};
	memcpy(r->frame, frame.p, frame.n);
	set_from(r, from);
	memcpy(r->id, e->id, sizeof(r->id));
	r->topic = rec_rebase(r, e->topic, frame);
	r->key = rec_rebase(r, env_s(e, ENV_M_KEY), frame);
	if (r->key.n == 0)
		r->key = (struct span){NULL, 0};
	r->as = rec_rebase(r, env_s(e, ENV_M_AS), frame);
	r->root = env_has(e, ENV_M_ROOT) ? rec_rebase(r, env_s(e, ENV_M_ROOT), frame)
					 : span_of(r->id, sizeof(r->id));
	r->exp_ms = (int64_t)env_u(e, ENV_M_EXP, 0);
	p->n++;
	p->bytes += sizeof(*r) + r->n;
	return r;
}

struct rec *
rec_of_row(struct rec_pool *p, const struct journal_row *row)
{
	struct env e;
	struct rec *r;

	if (env_decode(&e, row->frame, false, NULL) != ERR_OK)
		return NULL;
	r = rec_of_env_from(p, &e, row->frame, row->from);
	if (r == NULL)
		return NULL;
	r->seq = row->seq;
	r->at_ms = row->at_ms;
	r->exp_ms = row->exp_ms; /* of one that was retried the frame's counts no longer */
	rec_set_only(r, row->only);
	return r;
}

void
rec_set_only(struct rec *r, struct span group)
{
	if (group.p != NULL && r->only == NULL)
		r->only = span_dup(group);
}

struct rec *
rec_hold(struct rec *r)
{
	r->refs++;
	r->pool->holds++;
	return r;
}

void
rec_drop(struct rec *r)
{
	if (r == NULL)
		return;
	if (--r->refs > 0) {
		r->pool->holds--;
		return;
	}
	r->pool->n--;
	r->pool->bytes -= sizeof(*r) + r->n;
	free(r->only);
	free(r);
}

void
tail_init(struct tail *t, size_t max_bytes)
{
	*t = (struct tail){.max_bytes = max_bytes};
}

static void
pop(struct tail *t)
{
	struct rec *r = t->v[t->at];

	t->at = (t->at + 1) % t->cap;
	t->n--;
	t->bytes -= sizeof(*r) + r->n;
	rec_drop(r);
}

void
tail_fini(struct tail *t)
{
	while (t->n > 0)
		pop(t);
	free(t->v);
	*t = (struct tail){0};
}

static void
grow(struct tail *t)
{
	size_t cap = t->cap ? t->cap * 2 : 1024;
	struct rec **v = xcalloc(cap, sizeof(*v)); /* NOLINT(bugprone-sizeof-expression) */

	for (size_t i = 0; i < t->n; i++)
		v[i] = t->v[(t->at + i) % t->cap];
	free(t->v);
	t->v = v;
	t->cap = cap;
	t->at = 0;
}

void
tail_push(struct tail *t, struct rec *r)
{
	if (t->n > 0 && t->v[(t->at + t->n - 1) % t->cap]->seq + 1 != r->seq) {
		while (t->n > 0)
			pop(t);
	}
	if (t->n == t->cap)
		grow(t);
	t->v[(t->at + t->n++) % t->cap] = rec_hold(r);
	t->bytes += sizeof(*r) + r->n;
	while (t->bytes > t->max_bytes && t->n > 1)
		pop(t);
}

struct rec *
tail_get(const struct tail *t, uint64_t seq)
{
	uint64_t first = t->n > 0 ? t->v[t->at]->seq : 0;

	if (t->n == 0 || seq < first || seq - first >= t->n)
		return NULL;
	return t->v[(t->at + (size_t)(seq - first)) % t->cap];
}

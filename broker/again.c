#include "broker/again.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "broker/pub.h"
#include "proto/digest.h"

struct again {
	struct job job;
	struct broker *b;
	struct rec **items;
	struct journal_rec *recs;
	unsigned n, cap;
	size_t bytes;
	again_fn *done;
	void *arg;
	char group[LIMIT_GROUP + 1];
};

struct again *
again_new(struct broker *b, struct span group)
{
	struct again *a = xcalloc(1, sizeof(*a));

	INVARIANT(group.n <= LIMIT_GROUP);
	a->b = b;
	memcpy(a->group, group.p, group.n);
	return a;
}

void
again_free(struct again *a)
{
	if (a == NULL)
		return;
	for (unsigned i = 0; i < a->n; i++)
		rec_drop(a->items[i]);
	free(a->items);
	free(a->recs);
	free(a);
}

bool
again_add(struct again *a, const struct journal_row *row)
{
	struct rec *r = rec_of_row(&a->b->recs, row);

	if (r == NULL)
		return false;
	if (a->n == a->cap) {
		a->cap = a->cap ? a->cap * 2 : 16;
		a->items = xrealloc(a->items, a->cap * sizeof(struct rec *));
	}
	rec_set_only(r, span_str(a->group));
	a->items[a->n++] = r;
	a->bytes += r->n;
	return true;
}

bool
again_has_room(const struct again *a, size_t bytes)
{
	return a->n == 0 || (a->n < AGAIN_RECORDS && a->bytes + bytes <= AGAIN_BYTES);
}

static void
on_put(struct broker *b, struct job *j)
{
	struct again *a = LIST_ITEM(j, struct again, job);
	int64_t now = clock_real_ms();
	uint64_t last = 0;

	for (unsigned i = 0; j->op.err == ERR_OK && i < a->n; i++) {
		struct rec *r = a->items[i];

		r->seq = last = a->recs[i].seq;
		r->at_ms = now;
		pub_distribute(b, r);
	}
	a->done(b, a->arg, j->op.err, last);
	again_free(a);
}

static void
fill(struct again *a, unsigned i)
{
	const struct rec *r = a->items[i];
	struct journal_rec *jr = &a->recs[i];

	memcpy(jr->id, r->id, 16);
	jr->topic = r->topic;
	jr->key = r->key;
	jr->frame = rec_frame(r);
	jr->exp_ms = r->exp_ms;
	jr->groups = 1;
	jr->from = rec_from(r);
	jr->only = span_str(a->group);
	jr->anew = true;
	/* Nobody compares it: what is put anew leaves the window of known ids alone. */
	digest_parts(jr->dig, (struct span[]){r->topic}, 1);
}

bool
again_submit(struct again *a, uint64_t dead, again_fn *done, void *arg)
{
	struct broker *b = a->b;

	if (journal_queued_bytes(b->journal) + a->bytes > b->conf.max_bytes / 2) {
		again_free(a);
		return false;
	}
	a->recs = xcalloc(a->n + 1, sizeof(*a->recs));
	for (unsigned i = 0; i < a->n; i++)
		fill(a, i);
	a->done = done;
	a->arg = arg;
	a->job.op.kind = JOURNAL_PUT;
	a->job.op.u.put.recs = a->recs;
	a->job.op.u.put.n = a->n;
	a->job.op.u.put.dead = dead;
	a->job.done = on_put;
	broker_submit(b, &a->job);
	return true;
}

/* A journal: what was submitted between two flushes is one turn; a commit takes turns from the
 * front. */
#include "tests/sim/sim.h"

#include <string.h>

struct op *
disk_submit(struct sim *s, enum op_kind kind)
{
	struct disk *d = &s->disk;
	struct op *op = &d->q[d->n];

	if (d->n == OPS)
		return NULL;
	d->n++;
	memset(op, 0, sizeof(*op));
	op->kind = kind;
	op->turn = d->turn;
	buf_init(&op->blob, 1 << 20);
	return op;
}

void
disk_flush(struct disk *d)
{
	if (d->n > 0 && d->q[d->n - 1].turn == d->turn)
		d->turn++;
}

static void
take_state(struct kept *k, struct op *op)
{
	buf_fini(&k->blob);
	k->blob = op->blob;
	buf_init(&op->blob, 1);
	k->mem = op->mem;
	k->floor = op->floor;
	k->mark = op->mark;
	k->sealed = op->sealed;
	k->has_state = true;
}

static void
create(struct disk *d, struct op *op)
{
	struct kept *k = &d->kept[op->group];

	op->seq = op->seq == 0 || op->seq > d->head ? d->head + 1
		  : op->seq < d->first              ? d->first
						    : op->seq;
	*k = (struct kept){.there = true, .pattern = op->pattern, .next = op->seq};
	k->floor = op->seq - 1;
}

static void
execute(struct disk *d, struct op *op)
{
	struct kept *k = &d->kept[op->group];

	op->refused =
	    d->full && (op->kind == OP_PUT || op->kind == OP_DEAD || op->kind == OP_GROUP);
	if (op->refused)
		return;
	switch (op->kind) {
	case OP_PUT:
		op->seq = ++d->head;
		d->rec[op->seq] = op->rec;
		break;
	case OP_GROUP: create(d, op); break;
	case OP_GROUP_DEL:
		buf_fini(&k->blob);
		*k = (struct kept){0};
		break;
	case OP_STATE:
		if (k->there)
			take_state(k, op);
		break;
	case OP_DEAD:
		op->mark = ++d->letters;
		if (k->letter[op->seq] != 0)
			op->floor = UINT64_MAX; /* a second one */
		k->letter[op->seq] = op->mark;
		break;
	case OP_TRIM:
		if (op->seq > d->first)
			d->first = op->seq;
	}
}

static unsigned
first_turn(const struct disk *d)
{
	unsigned n = 0;

	while (n < d->n && d->q[n].turn == d->q[0].turn)
		n++;
	return n;
}

static void
shift(struct disk *d, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		buf_fini(&d->q[i].blob);
	memmove(d->q, d->q + n, (d->n - n) * sizeof(d->q[0]));
	d->n -= n;
}

void
disk_commit(struct sim *s)
{
	static struct op done[OPS];
	struct disk *d = &s->disk;
	unsigned n;

	disk_flush(d);
	n = first_turn(d);
	for (unsigned i = 0; i < n; i++)
		execute(d, &d->q[i]);
	memcpy(done, d->q, n * sizeof(done[0]));
	for (unsigned i = 0; i < n; i++)
		buf_init(&d->q[i].blob, 1); /* moved */
	shift(d, n);
	for (unsigned i = 0; i < n; i++) {
		owed_reaped(s, &done[i]);
		buf_fini(&done[i].blob);
	}
}

void
disk_crash(struct sim *s)
{
	struct disk *d = &s->disk;

	disk_flush(d);
	while (d->n > 0 && sim_one_in(s, 2)) {
		unsigned n = first_turn(d);

		for (unsigned i = 0; i < n; i++)
			execute(d, &d->q[i]);
		sim_trace(s, "disk: %u operations were committed unseen", n);
		shift(d, n);
	}
	sim_trace(s, "disk: %u operations are lost", d->n);
	shift(d, d->n);
}

void
disk_fini(struct disk *d)
{
	shift(d, d->n);
	for (int i = 0; i < GROUPS; i++)
		buf_fini(&d->kept[i].blob);
}

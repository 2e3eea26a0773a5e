#include "broker/journal.h"

#include <stdlib.h>

#include "base/die.h"
#include "broker/journal_impl.h"

struct journal *
journal_open_sqlite(const char *dir)
{
	return journal_sqlite_open(dir);
}

struct journal *
journal_open_mem(void)
{
	return journal_mem_open();
}

void
journal_close(struct journal *j)
{
	if (j != NULL)
		j->ops->close(j);
}

static size_t
put_bytes(const struct journal_op *op)
{
	size_t n = op->u.put.src.n + op->u.put.cur.n + op->u.put.was.n + op->u.put.owner.n;

	for (unsigned i = 0; i < op->u.put.n; i++) {
		const struct journal_rec *r = &op->u.put.recs[i];

		n += sizeof *r + r->topic.n + r->key.n + r->frame.n + r->from.n + r->only.n;
	}
	return n;
}

static size_t
op_bytes(const struct journal_op *op)
{
	switch (op->kind) {
	case JOURNAL_PUT: return put_bytes(op);
	case JOURNAL_GROUP: return op->u.group.name.n + op->u.group.settings.n;
	case JOURNAL_GROUP_STATE: return op->u.state.name.n + op->u.state.state.n;
	case JOURNAL_GROUP_DEL: return op->u.group.name.n;
	case JOURNAL_DEAD:
	case JOURNAL_DEAD_EDIT:
		return op->u.dead.group.n + op->u.dead.topic.n + op->u.dead.reason.n +
		       op->u.dead.frame.n + op->u.dead.key.n + op->u.dead.from.n;
	case JOURNAL_CLAIM: return op->u.claim.path.n + op->u.claim.name.n;
	case JOURNAL_CLAIM_DEL: return op->u.claim.path.n;
	case JOURNAL_POLICY: return op->u.policy.pattern.n + op->u.policy.settings.n;
	case JOURNAL_POLICY_DEL: return op->u.policy.pattern.n;
	case JOURNAL_BACKUP: return op->u.backup.dir.n;
	case JOURNAL_DEAD_DROP:
	case JOURNAL_TRIM: break;
	}
	return 0;
}

void
journal_submit(struct journal *j, struct journal_op *op)
{
	op->err = ERR_OK;
	op->conflict_at = -1;
	op->bytes = sizeof *op + op_bytes(op);
	j->queued += op->bytes;
	j->ops->submit(j, op);
}

void
journal_flush(struct journal *j)
{
	j->ops->flush(j);
}

int
journal_fd(const struct journal *j)
{
	return j->fd;
}

struct journal_op *
journal_reap(struct journal *j)
{
	struct journal_op *op = j->ops->reap(j);

	if (op == NULL)
		return NULL;
	j->queued -= op->bytes;
	j->head = op->head;
	j->first = op->first;
	return op;
}

void
journal_known(struct journal *j, uint64_t head)
{
	if (head > j->head)
		j->ops->known(j, head);
}

uint64_t
journal_head(const struct journal *j)
{
	return j->head;
}

uint64_t
journal_first(const struct journal *j)
{
	return j->first;
}

size_t
journal_queued_bytes(const struct journal *j)
{
	return j->queued;
}

bool
journal_failed(const struct journal *j)
{
	return j->ops->failed(j);
}

uint64_t
journal_read(struct journal *j, uint64_t from, journal_row_fn *fn, void *arg)
{
	if (from < j->first)
		from = j->first;
	if (from > j->head)
		return j->head + 1;
	return j->ops->read(j, from, fn, arg);
}

int
journal_cursor(struct journal *j, struct span src, uint8_t **p, size_t *n)
{
	*p = NULL;
	*n = 0;
	return j->ops->cursor(j, src, p, n);
}

int
journal_groups(struct journal *j, journal_group_fn *fn, void *arg)
{
	return j->ops->groups(j, fn, arg);
}

int
journal_dead_each(
    struct journal *j, struct span group, uint64_t after, journal_dead_fn *fn, void *arg)
{
	return j->ops->dead_each(j, group, after, fn, arg);
}

int
journal_claims(struct journal *j, journal_claim_fn *fn, void *arg)
{
	return j->ops->claims(j, fn, arg);
}

int
journal_policies(struct journal *j, journal_policy_fn *fn, void *arg)
{
	return j->ops->policies(j, fn, arg);
}

uint64_t
journal_seek(struct journal *j, int64_t at_ms)
{
	return j->first > j->head ? j->head + 1 : j->ops->seek(j, at_ms);
}

uint64_t
journal_find(struct journal *j, const uint8_t id[16])
{
	uint64_t seq = j->ops->find(j, id);

	return seq <= j->head ? seq : 0;
}

int
journal_retained(struct journal *j, struct span after, journal_row_fn *fn, void *arg)
{
	return j->ops->retained(j, after, fn, arg);
}

void
journal_stats(struct journal *j, struct journal_stats *s)
{
	*s = (struct journal_stats){0};
	j->ops->stats(j, s);
}

struct twin {
	const struct journal_rec *rec;
	unsigned at;
};

static int
twin_cmp(const void *va, const void *vb)
{
	const struct twin *a = va, *b = vb;
	int c = memcmp(a->rec->id, b->rec->id, sizeof a->rec->id);

	if (c != 0)
		return c;
	return a->at < b->at ? -1 : a->at > b->at;
}

struct journal_dead
journal_dead_of(const struct journal_op *op, int64_t at_ms)
{
	struct journal_dead l = {
	    .seq = op->u.dead.seq,
	    .group = op->u.dead.group,
	    .topic = op->u.dead.topic,
	    .reason = op->u.dead.reason,
	    .frame = op->u.dead.frame,
	    .key = op->u.dead.key,
	    .from = op->u.dead.from,
	    .tries = op->u.dead.tries,
	    .at_ms = at_ms,
	};

	memcpy(l.id, op->u.dead.id, sizeof l.id);
	return l;
}

unsigned
journal_twins(const struct journal_rec *recs, unsigned n, unsigned *leader)
{
	struct twin *v;
	unsigned bad = n, first = 0, m = 0;

	for (unsigned i = 0; i < n; i++)
		leader[i] = i;
	if (n < 2)
		return n;
	v = xcalloc(n, sizeof *v);
	for (unsigned i = 0; i < n; i++) {
		if (!recs[i].anew)
			v[m++] = (struct twin){&recs[i], i};
	}
	qsort(v, m, sizeof *v, twin_cmp);
	for (unsigned i = 1; i < m; i++) {
		if (memcmp(v[i].rec->id, v[first].rec->id, sizeof v[i].rec->id) != 0) {
			first = i;
			continue;
		}
		leader[v[i].at] = v[first].at;
		if (v[i].at < bad &&
		    memcmp(v[i].rec->dig, v[first].rec->dig, sizeof v[i].rec->dig) != 0)
			bad = v[i].at;
	}
	free(v);
	return bad;
}

bool
journal_fits(const struct journal_op *op, struct journal_kept have, struct journal_kept old)
{
	for (unsigned i = 0; i < op->u.put.n; i++) {
		const struct journal_rec *r = &op->u.put.recs[i];

		if (r->retain == JOURNAL_RETAIN_SET && !r->repeat) {
			have.n++;
			have.bytes += r->frame.n;
		}
	}
	if (op->u.put.n == 1) {
		have.n -= old.n;
		have.bytes -= old.bytes;
	}
	return have.n <= JOURNAL_RETAINED && have.bytes <= JOURNAL_RETAINED_BYTES;
}

enum journal_move
journal_move(const struct journal_op *op, const struct journal_src *s, bool all_repeats)
{
	struct span was = op->u.put.was, cur = op->u.put.cur;

	if (op->u.put.src.p == NULL)
		return JOURNAL_STAY;
	if (s->known && !s->mine)
		return JOURNAL_REFUSE;
	if (all_repeats && cur.p != NULL && s->known && s->is_cur)
		return JOURNAL_STAY;
	if (was.p != NULL && !(s->known ? s->is_was : was.n == 0)) {
		/* All that it holds is stored: it was sent again, and the cursor has moved on
		 * since. */
		return all_repeats && op->u.put.n > 0 && s->known ? JOURNAL_STAY : JOURNAL_REFUSE;
	}
	return cur.p != NULL ? JOURNAL_MOVE : JOURNAL_STAY;
}

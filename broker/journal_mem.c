#include "broker/journal_impl.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "broker/journal_tab.h"

struct rec {
	struct journal_row row;
	uint8_t *bytes; /* topic, key, frame */
};

struct letter {
	struct list node;
	struct journal_dead d;
	uint8_t *bytes;
};

struct mem {
	struct journal j;
	struct list done;
	struct rec *recs; /* recs[i] is seq first + i */
	size_t n, cap;
	uint64_t head, first, last_no;
	int64_t at_ms, since_ms;
	struct journal_tab ids, ids_before, cursors, groups, claims;
	struct list dead;
	struct journal_stats stats;
};

static struct mem *
of(struct journal *j)
{
	return (struct mem *)(void *)j;
}

/* ---- ids ---- */

static const struct journal_item *
known_find(const struct mem *m, const struct journal_rec *r)
{
	struct span id = span_of(r->id, sizeof r->id);
	const struct journal_item *it = journal_tab_find(&m->ids, id);

	return it != NULL ? it : journal_tab_find(&m->ids_before, id);
}

static void
known_add(struct mem *m, const struct journal_rec *r)
{
	struct journal_item *it = journal_tab_add(&m->ids, span_of(r->id, sizeof r->id));

	journal_tab_replace(&it->a_mem, &it->a, span_of(r->dig, sizeof r->dig));
	it->n = r->seq;
	it->m = r->groups;
}

static void
known_turn(struct mem *m)
{
	if (m->at_ms - m->since_ms < JOURNAL_DEDUP_MS)
		return;
	journal_tab_clear(&m->ids_before);
	m->ids_before = m->ids;
	m->ids = (struct journal_tab){NULL};
	m->since_ms = m->at_ms;
}

/* ---- records ---- */

static void
rec_add(struct mem *m, struct journal_rec *r)
{
	struct journal_row row = {.topic = r->topic, .key = r->key, .frame = r->frame};
	struct span *v[] = {&row.topic, &row.key, &row.frame};
	uint8_t *bytes = journal_tab_keep(v, 3);

	r->seq = row.seq = ++m->head;
	row.at_ms = m->at_ms;
	row.exp_ms = r->exp_ms;
	memcpy(row.id, r->id, sizeof row.id);
	if (m->n == m->cap) {
		m->cap = m->cap != 0 ? 2 * m->cap : 64;
		m->recs = xrealloc(m->recs, m->cap * sizeof *m->recs);
	}
	m->recs[m->n++] = (struct rec){row, bytes};
	known_add(m, r);
	m->stats.records++;
	m->stats.bytes += r->frame.n;
	m->stats.kept_bytes += r->frame.n;
}

static void
conflict(struct journal_op *op, int at)
{
	op->err = ERR_CONFLICT;
	op->conflict_at = at;
}

/* How many records are known already; op->err says when one of them is in conflict. */
static unsigned
put_look(const struct mem *m, struct journal_op *op, unsigned *leader)
{
	struct journal_rec *recs = op->u.put.recs;
	unsigned n = op->u.put.n, repeats = 0, twin = journal_twins(recs, n, leader);

	for (unsigned i = 0; i < n; i++) {
		const struct journal_item *k = known_find(m, &recs[i]);

		recs[i].repeat = k != NULL;
		if (i == twin ||
		    (k != NULL && !span_eq(k->a, span_of(recs[i].dig, sizeof recs[i].dig)))) {
			conflict(op, (int)i);
			break;
		}
		if (k == NULL)
			continue;
		recs[i].seq = k->n;
		recs[i].groups = k->m;
		repeats++;
	}
	return repeats;
}

static void
put_store(struct mem *m, struct journal_op *op, const unsigned *leader)
{
	struct journal_rec *recs = op->u.put.recs;

	for (unsigned i = 0; i < op->u.put.n; i++) {
		if (!recs[i].repeat && leader[i] == i) {
			rec_add(m, &recs[i]);
			continue;
		}
		m->stats.repeats++;
		recs[i].repeat = true;
		recs[i].seq = recs[leader[i]].seq;
		recs[i].groups = recs[leader[i]].groups;
	}
}

static void
src_set(struct mem *m, const struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->cursors, op->u.put.src);

	if (it == NULL) {
		it = journal_tab_add(&m->cursors, op->u.put.src);
		journal_tab_replace(&it->a_mem, &it->a, op->u.put.owner);
	}
	journal_tab_replace(&it->b_mem, &it->b, op->u.put.cur);
}

static void
put(struct mem *m, struct journal_op *op)
{
	unsigned *leader = xcalloc(op->u.put.n + 1, sizeof *leader);
	unsigned repeats = put_look(m, op, leader);
	const struct journal_item *it =
	    op->u.put.src.p != NULL ? journal_tab_find(&m->cursors, op->u.put.src) : NULL;
	struct journal_src src = {.known = it != NULL};

	if (it != NULL) {
		src.mine = span_eq(it->a, op->u.put.owner);
		src.is_cur = span_eq(it->b, op->u.put.cur);
		src.is_was = span_eq(it->b, op->u.put.was);
	}
	if (op->err == ERR_OK) {
		enum journal_move move = journal_move(op, &src, repeats == op->u.put.n);

		if (move == JOURNAL_REFUSE) {
			conflict(op, -1);
		} else {
			put_store(m, op, leader);
		}
		if (move == JOURNAL_MOVE)
			src_set(m, op);
	}
	free(leader);
}

static void
trim(struct mem *m, struct journal_op *op)
{
	size_t n = 0;

	while (n < m->n && n < JOURNAL_TRIM_MAX && m->first + n < op->u.trim.before) {
		m->stats.kept_bytes -= m->recs[n].row.frame.n;
		free(m->recs[n].bytes);
		n++;
	}
	if (n > 0)
		memmove(m->recs, m->recs + n, (m->n - n) * sizeof *m->recs);
	m->n -= n;
	m->first += n;
	op->u.trim.deleted = n;
}

/* ---- groups, dead letters, claims ---- */

static uint64_t
group_start(const struct mem *m, const struct journal_op *op)
{
	int64_t arg = op->u.group.from_arg;
	uint64_t end = m->head + 1, seq = m->first;

	switch (op->u.group.from) {
	case JOURNAL_FROM_NEW: return end;
	case JOURNAL_FROM_ALL: return m->first;
	case JOURNAL_FROM_SEQ:
		if (arg < 0 || (uint64_t)arg < m->first)
			return m->first;
		return (uint64_t)arg > end ? end : (uint64_t)arg;
	case JOURNAL_FROM_TIME:
		while (seq < end && m->recs[seq - m->first].row.at_ms < arg)
			seq++;
		return seq;
	}
	return end;
}

static void
group(struct mem *m, struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->groups, op->u.group.name);

	if (it == NULL) {
		it = journal_tab_add(&m->groups, op->u.group.name);
		it->n = group_start(m, op);
	}
	journal_tab_replace(&it->a_mem, &it->a, op->u.group.settings);
	op->u.group.next = it->n;
}

static void
group_state(struct mem *m, struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->groups, op->u.state.name);

	if (it == NULL) {
		op->err = ERR_NOT_FOUND;
	} else {
		journal_tab_replace(&it->b_mem, &it->b, op->u.state.state);
	}
}

static void
dead(struct mem *m, struct journal_op *op)
{
	struct letter *l = xcalloc(1, sizeof *l);
	struct span *v[] = {&l->d.group, &l->d.topic, &l->d.reason, &l->d.frame, &l->d.key};

	l->d = (struct journal_dead){
	    .no = ++m->last_no,
	    .seq = op->u.dead.seq,
	    .group = op->u.dead.group,
	    .topic = op->u.dead.topic,
	    .reason = op->u.dead.reason,
	    .frame = op->u.dead.frame,
	    .key = op->u.dead.key,
	    .tries = op->u.dead.tries,
	    .at_ms = m->at_ms,
	};
	memcpy(l->d.id, op->u.dead.id, sizeof l->d.id);
	l->bytes = journal_tab_keep(v, 5);
	list_push_back(&m->dead, &l->node);
	op->u.dead.no = l->d.no;
}

static void
letter_free(struct letter *l)
{
	list_remove(&l->node);
	free(l->bytes);
	free(l);
}

static void
dead_drop(struct mem *m, struct journal_op *op)
{
	struct letter *l;

	LIST_EACH (l, &m->dead, struct letter, node) {
		if (l->d.no == op->u.dead.no) {
			letter_free(l);
			return;
		}
	}
	op->err = ERR_NOT_FOUND;
}

static void
claim(struct mem *m, struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->claims, op->u.claim.path);

	if (it == NULL && HASH_COUNT(m->claims.head) >= JOURNAL_CLAIMS) {
		op->err = ERR_QUOTA;
		return;
	}
	if (it == NULL) {
		it = journal_tab_add(&m->claims, op->u.claim.path);
		journal_tab_replace(&it->a_mem, &it->a, op->u.claim.name);
	}
	(void)str_copy(op->u.claim.owner, sizeof op->u.claim.owner, it->a);
}

/* ---- the journal ---- */

static void
execute(struct mem *m, struct journal_op *op)
{
	switch (op->kind) {
	case JOURNAL_PUT: put(m, op); break;
	case JOURNAL_GROUP: group(m, op); break;
	case JOURNAL_GROUP_STATE: group_state(m, op); break;
	case JOURNAL_GROUP_DEL:
		journal_tab_del(&m->groups, journal_tab_find(&m->groups, op->u.group.name));
		break;
	case JOURNAL_DEAD: dead(m, op); break;
	case JOURNAL_DEAD_DROP: dead_drop(m, op); break;
	case JOURNAL_CLAIM: claim(m, op); break;
	case JOURNAL_CLAIM_DEL:
		journal_tab_del(&m->claims, journal_tab_find(&m->claims, op->u.claim.path));
		break;
	case JOURNAL_TRIM: trim(m, op); break;
	}
}

static void
mem_submit(struct journal *j, struct journal_op *op)
{
	struct mem *m = of(j);
	int64_t now = j->now_ms();

	if (now > m->at_ms)
		m->at_ms = now;
	known_turn(m);
	execute(m, op);
	m->stats.commits++;
	op->head = m->head;
	op->first = m->first;
	list_push_back(&m->done, &op->node);
	(void)eventfd_write(j->fd, 1);
}

static void
mem_flush(struct journal *j)
{
	(void)j;
}

static struct journal_op *
mem_reap(struct journal *j)
{
	struct journal_op *op = LIST_FIRST(&of(j)->done, struct journal_op, node);
	eventfd_t n;

	if (op == NULL) {
		(void)eventfd_read(j->fd, &n);
	} else {
		list_remove(&op->node);
	}
	return op;
}

static bool
mem_failed(const struct journal *j)
{
	(void)j;
	return false;
}

static uint64_t
mem_read(struct journal *j, uint64_t from, journal_row_fn *fn, void *arg)
{
	struct mem *m = of(j);
	size_t bytes = 0;

	/* Trimmed but not reaped: gone all the same. */
	if (from < m->first)
		from = m->first;
	while (from <= j->head && bytes < JOURNAL_PAGE_BYTES) {
		const struct journal_row *r = &m->recs[from - m->first].row;

		from++;
		bytes += r->topic.n + r->key.n + r->frame.n;
		if (!fn(arg, r))
			break;
	}
	return from > j->head ? j->head + 1 : from;
}

static int
mem_cursor(struct journal *j, struct span src, uint8_t **p, size_t *n)
{
	const struct journal_item *it = journal_tab_find(&of(j)->cursors, src);

	if (it != NULL) {
		struct span cur = it->b;

		journal_tab_replace(p, &cur, cur);
		*n = cur.n;
	}
	return 0;
}

struct lister {
	journal_group_fn *group;
	journal_claim_fn *claim;
	void *arg;
};

static void
list_group(void *arg, const struct journal_item *it)
{
	const struct lister *l = arg;
	struct journal_group g = {
	    .name = it->name, .settings = it->a, .state = it->b, .next = it->n};

	l->group(l->arg, &g);
}

static int
mem_groups(struct journal *j, journal_group_fn *fn, void *arg)
{
	journal_tab_each(&of(j)->groups, list_group, &(struct lister){.group = fn, .arg = arg});
	return 0;
}

static int
mem_dead_each(
    struct journal *j, struct span group_name, uint64_t after, journal_dead_fn *fn, void *arg)
{
	struct letter *l;

	LIST_EACH (l, &of(j)->dead, struct letter, node) {
		if (l->d.no <= after || (group_name.p != NULL && !span_eq(group_name, l->d.group)))
			continue;
		if (!fn(arg, &l->d))
			break;
	}
	return 0;
}

static void
list_claim(void *arg, const struct journal_item *it)
{
	const struct lister *l = arg;

	l->claim(l->arg, it->name, it->a);
}

static int
mem_claims(struct journal *j, journal_claim_fn *fn, void *arg)
{
	journal_tab_each(&of(j)->claims, list_claim, &(struct lister){.claim = fn, .arg = arg});
	return 0;
}

static void
mem_stats(struct journal *j, struct journal_stats *s)
{
	const struct mem *m = of(j);

	*s = m->stats;
	s->oldest_ms = m->n > 0 ? m->recs[0].row.at_ms : 0;
}

static void
mem_close(struct journal *j)
{
	struct mem *m = of(j);
	struct letter *l;

	for (size_t i = 0; i < m->n; i++)
		free(m->recs[i].bytes);
	free(m->recs);
	journal_tab_clear(&m->ids);
	journal_tab_clear(&m->ids_before);
	journal_tab_clear(&m->cursors);
	journal_tab_clear(&m->groups);
	journal_tab_clear(&m->claims);
	LIST_EACH (l, &m->dead, struct letter, node)
		letter_free(l);
	if (j->fd != -1)
		close(j->fd);
	free(m);
}

static const struct journal_ops mem_ops = {
    .close = mem_close,
    .submit = mem_submit,
    .flush = mem_flush,
    .reap = mem_reap,
    .failed = mem_failed,
    .read = mem_read,
    .cursor = mem_cursor,
    .groups = mem_groups,
    .dead_each = mem_dead_each,
    .claims = mem_claims,
    .stats = mem_stats,
};

struct journal *
journal_mem_open(void)
{
	struct mem *m = xcalloc(1, sizeof *m);

	m->j = (struct journal){.ops = &mem_ops, .now_ms = clock_real_ms, .first = 1};
	m->first = 1;
	list_init(&m->done);
	list_init(&m->dead);
	m->j.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->j.fd != -1)
		return &m->j;
	log_error("journal_open_failed", LOG_S("what", "eventfd"), LOG_ERRNO());
	mem_close(&m->j);
	return NULL;
}

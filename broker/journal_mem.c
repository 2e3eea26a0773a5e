#include "broker/journal_mem.h"

#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"

static struct journal_mem *
of(struct journal *j)
{
	return (struct journal_mem *)(void *)j;
}

/* ---- ids ---- */

static const struct journal_item *
known_find(const struct journal_mem *m, const struct journal_rec *r)
{
	struct span id = span_of(r->id, sizeof r->id);
	const struct journal_item *it = journal_tab_find(&m->ids, id);

	return it != NULL ? it : journal_tab_find(&m->ids_before, id);
}

static void
known_add(struct journal_mem *m, const struct journal_rec *r)
{
	struct journal_item *it = journal_tab_add(&m->ids, span_of(r->id, sizeof r->id));

	journal_tab_replace(&it->a_mem, &it->a, span_of(r->dig, sizeof r->dig));
	it->n = r->seq;
	it->m = r->groups;
}

static void
known_turn(struct journal_mem *m, int64_t now)
{
	/* By the clock as it is, which may have been set back. */
	if (now < m->since_ms)
		m->since_ms = now;
	if (now - m->since_ms < JOURNAL_DEDUP_MS)
		return;
	journal_tab_clear(&m->ids_before);
	m->ids_before = m->ids;
	m->ids = (struct journal_tab){NULL};
	m->since_ms = now;
}

/* ---- records ---- */

static void
rec_add(struct journal_mem *m, struct journal_rec *r)
{
	struct journal_row row = {
	    .topic = r->topic,
	    .key = r->key,
	    .frame = r->frame,
	    .from = r->from,
	    .only = r->only,
	};
	struct span *v[] = {&row.topic, &row.key, &row.frame, &row.from, &row.only};
	uint8_t *bytes = journal_tab_keep(v, 5);

	r->seq = row.seq = ++m->head;
	row.at_ms = m->at_ms;
	row.exp_ms = r->exp_ms;
	memcpy(row.id, r->id, sizeof row.id);
	if (m->n == m->cap) {
		m->cap = m->cap != 0 ? 2 * m->cap : 64;
		m->recs = xrealloc(m->recs, m->cap * sizeof *m->recs);
	}
	m->recs[m->n++] = (struct journal_mem_rec){row, bytes};
	if (!r->anew)
		known_add(m, r);
	if (r->retain != JOURNAL_RETAIN_NO)
		journal_mem_names_retain(m, &row, r->retain);
	m->stats.records++;
	m->stats.bytes += r->frame.n;
	m->stats.kept_bytes += r->frame.n;
}

static void
refuse(struct journal_op *op, enum err code, int at)
{
	op->err = code;
	op->conflict_at = at;
}

/* How many records are known already; op->err says when one of them is in conflict. */
static unsigned
put_look(const struct journal_mem *m, struct journal_op *op, unsigned *leader)
{
	struct journal_rec *recs = op->u.put.recs;
	unsigned n = op->u.put.n, repeats = 0, twin = journal_twins(recs, n, leader);

	for (unsigned i = 0; i < n; i++) {
		const struct journal_item *k = recs[i].anew ? NULL : known_find(m, &recs[i]);

		recs[i].repeat = k != NULL;
		if (i == twin ||
		    (k != NULL && !span_eq(k->a, span_of(recs[i].dig, sizeof recs[i].dig)))) {
			refuse(op, ERR_CONFLICT, (int)i);
			break;
		}
		if (k == NULL && recs[i].known) {
			refuse(op, ERR_NOT_FOUND, (int)i);
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
put_store(struct journal_mem *m, struct journal_op *op, const unsigned *leader)
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
src_set(struct journal_mem *m, const struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->cursors, op->u.put.src);

	if (it == NULL) {
		it = journal_tab_add(&m->cursors, op->u.put.src);
		journal_tab_replace(&it->a_mem, &it->a, op->u.put.owner);
	}
	journal_tab_replace(&it->b_mem, &it->b, op->u.put.cur);
}

/* Everything that can refuse, in the order of journal_exec.c. */
static enum journal_move
put_check(struct journal_mem *m, struct journal_op *op, unsigned *leader)
{
	const struct journal_item *it =
	    op->u.put.src.p != NULL ? journal_tab_find(&m->cursors, op->u.put.src) : NULL;
	struct journal_src src = {.known = it != NULL};
	enum journal_move move = JOURNAL_STAY;
	unsigned repeats = 0;

	if (it != NULL) {
		src.mine = span_eq(it->a, op->u.put.owner);
		src.is_cur = span_eq(it->b, op->u.put.cur);
		src.is_was = span_eq(it->b, op->u.put.was);
	}
	if (op->u.put.dead != 0 && journal_mem_names_letter(m, op->u.put.dead) == NULL) {
		op->err = ERR_NOT_FOUND;
	} else {
		repeats = put_look(m, op, leader);
	}
	if (op->err == ERR_OK)
		move = journal_move(op, &src, repeats == op->u.put.n);
	if (move == JOURNAL_REFUSE) {
		refuse(op, ERR_CONFLICT, -1);
	} else if (op->err == ERR_OK && !journal_mem_names_fits(m, op)) {
		op->err = ERR_QUOTA;
	}
	return move;
}

static void
put(struct journal_mem *m, struct journal_op *op)
{
	unsigned *leader = xcalloc(op->u.put.n + 1, sizeof *leader);
	enum journal_move move = put_check(m, op, leader);

	if (op->err == ERR_OK) {
		put_store(m, op, leader);
		if (move == JOURNAL_MOVE)
			src_set(m, op);
		if (op->u.put.dead != 0)
			journal_mem_names_bury(journal_mem_names_letter(m, op->u.put.dead));
	}
	free(leader);
}

static void
trim(struct journal_mem *m, struct journal_op *op)
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

/* ---- the journal ---- */

static void
execute(struct journal_mem *m, struct journal_op *op)
{
	if (op->kind == JOURNAL_PUT) {
		put(m, op);
	} else if (op->kind == JOURNAL_TRIM) {
		trim(m, op);
	} else {
		journal_mem_names_exec(m, op);
	}
}

static void
mem_submit(struct journal *j, struct journal_op *op)
{
	struct journal_mem *m = of(j);
	int64_t now = j->now_ms();

	if (now > m->at_ms)
		m->at_ms = now;
	known_turn(m, now);
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
	struct journal_mem *m = of(j);
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

static uint64_t
mem_seek(struct journal *j, int64_t at_ms)
{
	const struct journal_mem *m = of(j);
	uint64_t seq = m->first;

	while (seq <= j->head && m->recs[seq - m->first].row.at_ms < at_ms)
		seq++;
	return seq;
}

static uint64_t
mem_find(struct journal *j, const uint8_t id[16])
{
	const struct journal_mem *m = of(j);
	const struct journal_item *it = journal_tab_find(&m->ids, span_of(id, 16));

	if (it == NULL)
		it = journal_tab_find(&m->ids_before, span_of(id, 16));
	return it != NULL ? it->n : 0;
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

/* What is in memory is not lost while it is. */
static void
mem_known(struct journal *j, uint64_t head)
{
	(void)j;
	(void)head;
}

static void
mem_stats(struct journal *j, struct journal_stats *s)
{
	const struct journal_mem *m = of(j);

	*s = m->stats;
	s->oldest_ms = m->n > 0 ? m->recs[0].row.at_ms : 0;
}

static void
mem_close(struct journal *j)
{
	struct journal_mem *m = of(j);

	for (size_t i = 0; i < m->n; i++)
		free(m->recs[i].bytes);
	free(m->recs);
	journal_tab_clear(&m->ids);
	journal_tab_clear(&m->ids_before);
	journal_tab_clear(&m->cursors);
	journal_mem_names_free(m);
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
    .groups = journal_mem_names_groups,
    .dead_each = journal_mem_names_dead,
    .claims = journal_mem_names_claims,
    .policies = journal_mem_names_policies,
    .seek = mem_seek,
    .find = mem_find,
    .retained = journal_mem_names_retained,
    .known = mem_known,
    .stats = mem_stats,
};

struct journal *
journal_mem_open(void)
{
	struct journal_mem *m = xcalloc(1, sizeof *m);

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

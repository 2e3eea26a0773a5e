#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "broker/journal_mem.h"

static struct journal_mem *
of(struct journal *j)
{
	return (struct journal_mem *)(void *)j;
}

/* ---- groups ---- */

static uint64_t
group_start(const struct journal_mem *m, const struct journal_op *op)
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
group(struct journal_mem *m, struct journal_op *op)
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
group_state(struct journal_mem *m, struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->groups, op->u.state.name);

	if (it == NULL) {
		op->err = ERR_NOT_FOUND;
	} else {
		journal_tab_replace(&it->b_mem, &it->b, op->u.state.state);
	}
}

/* ---- dead letters ---- */

static void
letter_keep(struct journal_mem_letter *l)
{
	struct span *v[] = {
	    &l->d.group, &l->d.topic, &l->d.reason, &l->d.frame, &l->d.key, &l->d.from};
	uint8_t *old = l->bytes;

	l->bytes = journal_tab_keep(v, sizeof v / sizeof v[0]);
	free(old);
}

static void
dead(struct journal_mem *m, struct journal_op *op)
{
	struct journal_mem_letter *l = xcalloc(1, sizeof *l);

	l->d = journal_dead_of(op, m->at_ms);
	l->d.no = ++m->last_no;
	letter_keep(l);
	list_push_back(&m->dead, &l->node);
	op->u.dead.no = l->d.no;
}

struct journal_mem_letter *
journal_mem_names_letter(struct journal_mem *m, uint64_t no)
{
	struct journal_mem_letter *l;

	LIST_EACH (l, &m->dead, struct journal_mem_letter, node) {
		if (l->d.no == no)
			return l;
	}
	return NULL;
}

void
journal_mem_names_bury(struct journal_mem_letter *l)
{
	list_remove(&l->node);
	free(l->bytes);
	free(l);
}

static void
dead_change(struct journal_mem *m, struct journal_op *op)
{
	struct journal_mem_letter *l = journal_mem_names_letter(m, op->u.dead.no);

	if (l == NULL) {
		op->err = ERR_NOT_FOUND;
	} else if (op->kind == JOURNAL_DEAD_DROP) {
		journal_mem_names_bury(l);
	} else {
		l->d.frame = op->u.dead.frame;
		l->d.topic = op->u.dead.topic;
		l->d.key = op->u.dead.key;
		letter_keep(l);
	}
}

/* ---- claims, policies ---- */

static void
claim(struct journal_mem *m, struct journal_op *op)
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

static void
policy(struct journal_mem *m, struct journal_op *op)
{
	struct journal_item *it = journal_tab_find(&m->policies, op->u.policy.pattern);

	if (it == NULL && HASH_COUNT(m->policies.head) >= JOURNAL_POLICIES) {
		op->err = ERR_QUOTA;
		return;
	}
	if (it == NULL)
		it = journal_tab_add(&m->policies, op->u.policy.pattern);
	journal_tab_replace(&it->a_mem, &it->a, op->u.policy.settings);
}

static void
forget(struct journal_tab *t, struct span name)
{
	journal_tab_del(t, journal_tab_find(t, name));
}

void
journal_mem_names_exec(struct journal_mem *m, struct journal_op *op)
{
	switch ((int)op->kind) {
	case JOURNAL_GROUP: group(m, op); break;
	case JOURNAL_GROUP_STATE: group_state(m, op); break;
	case JOURNAL_GROUP_DEL: forget(&m->groups, op->u.group.name); break;
	case JOURNAL_DEAD: dead(m, op); break;
	case JOURNAL_DEAD_DROP:
	case JOURNAL_DEAD_EDIT: dead_change(m, op); break;
	case JOURNAL_CLAIM: claim(m, op); break;
	case JOURNAL_CLAIM_DEL: forget(&m->claims, op->u.claim.path); break;
	case JOURNAL_POLICY: policy(m, op); break;
	case JOURNAL_POLICY_DEL: forget(&m->policies, op->u.policy.pattern); break;
	case JOURNAL_BACKUP: op->err = ERR_NOT_FOUND; break;
	default: break;
	}
}

/* ---- retained values ---- */

bool
journal_mem_names_fits(const struct journal_mem *m, const struct journal_op *op)
{
	struct journal_kept have = {HASH_COUNT(m->retained.head), m->retained_bytes}, old = {0};
	const struct journal_rec *r = op->u.put.recs;
	const struct journal_item *it = NULL;

	if (op->u.put.n == 1 && r->retain == JOURNAL_RETAIN_SET && !r->repeat)
		it = journal_tab_find(&m->retained, r->topic);
	if (it != NULL)
		old = (struct journal_kept){1, it->row->frame.n};
	return journal_fits(op, have, old);
}

void
journal_mem_names_retain(
    struct journal_mem *m, const struct journal_row *row, enum journal_retain how)
{
	struct journal_item *it = journal_tab_find(&m->retained, row->topic);
	struct journal_row *copy;

	if (it != NULL) {
		m->retained_bytes -= it->row->frame.n;
		journal_tab_del(&m->retained, it);
	}
	if (how == JOURNAL_RETAIN_CLEAR)
		return;
	it = journal_tab_add(&m->retained, row->topic);
	it->row = copy = xcalloc(1, sizeof *copy);
	*copy = *row;
	copy->only = (struct span){NULL, 0};
	it->a_mem = journal_tab_keep(
	    (struct span *[]){&copy->topic, &copy->key, &copy->frame, &copy->from}, 4);
	m->retained_bytes += copy->frame.n;
}

/* ---- listing ---- */

struct lister {
	journal_group_fn *group;
	journal_claim_fn *pair;
	void *arg;
	/* retained */
	journal_row_fn *row;
	struct span after;
	uint64_t head;
	size_t bytes;
	bool over;
};

static void
list_group(void *arg, const struct journal_item *it)
{
	const struct lister *l = arg;
	struct journal_group g = {
	    .name = it->name, .settings = it->a, .state = it->b, .next = it->n};

	l->group(l->arg, &g);
}

int
journal_mem_names_groups(struct journal *j, journal_group_fn *fn, void *arg)
{
	journal_tab_each(&of(j)->groups, list_group, &(struct lister){.group = fn, .arg = arg});
	return 0;
}

static void
list_pair(void *arg, const struct journal_item *it)
{
	const struct lister *l = arg;

	l->pair(l->arg, it->name, it->a);
}

int
journal_mem_names_claims(struct journal *j, journal_claim_fn *fn, void *arg)
{
	journal_tab_each(&of(j)->claims, list_pair, &(struct lister){.pair = fn, .arg = arg});
	return 0;
}

int
journal_mem_names_policies(struct journal *j, journal_policy_fn *fn, void *arg)
{
	journal_tab_each(&of(j)->policies, list_pair, &(struct lister){.pair = fn, .arg = arg});
	return 0;
}

int
journal_mem_names_dead(
    struct journal *j, struct span group_name, uint64_t after, journal_dead_fn *fn, void *arg)
{
	struct journal_mem_letter *l;

	LIST_EACH (l, &of(j)->dead, struct journal_mem_letter, node) {
		if (l->d.no <= after || (group_name.p != NULL && !span_eq(group_name, l->d.group)))
			continue;
		if (!fn(arg, &l->d))
			break;
	}
	return 0;
}

static bool
is_after(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int c = n > 0 ? memcmp(a.p, b.p, n) : 0;

	return c != 0 ? c > 0 : a.n > b.n;
}

static void
list_row(void *arg, const struct journal_item *it)
{
	struct lister *l = arg;
	const struct journal_row *r = it->row;

	if (l->over || r->seq > l->head || !is_after(r->topic, l->after))
		return;
	l->bytes += r->topic.n + r->key.n + r->frame.n;
	l->over = !l->row(l->arg, r) || l->bytes >= JOURNAL_PAGE_BYTES;
}

int
journal_mem_names_retained(struct journal *j, struct span after, journal_row_fn *fn, void *arg)
{
	struct lister l = {.row = fn, .arg = arg, .after = after, .head = j->head};

	journal_tab_each(&of(j)->retained, list_row, &l);
	return 0;
}

void
journal_mem_names_free(struct journal_mem *m)
{
	struct journal_mem_letter *l;

	journal_tab_clear(&m->groups);
	journal_tab_clear(&m->claims);
	journal_tab_clear(&m->policies);
	journal_tab_clear(&m->retained);
	LIST_EACH (l, &m->dead, struct journal_mem_letter, node)
		journal_mem_names_bury(l);
}

/* Feeding the groups: what is committed now, and what those that are behind read again. */
#include "broker/groups_impl.h"

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "broker/hops.h"
#include "broker/out.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { PAGES_A_TURN = 4, TAIL_A_TURN = 4096, HOLD_COST = 320 /* an entry of a group */ };

void
groups_busy(struct owed_group *g)
{
	if (list_empty(&g->busy))
		list_push_back(&g->b->groups.busy, &g->busy);
}

void
groups_feed_drop(void *arg, void *frame)
{
	(void)arg;
	rec_drop(frame);
}

void
groups_feed_deliver(void *arg, void *user, const struct group_item *it)
{
	struct owed_group *g = arg;
	struct sub *s = user;
	const struct rec *r = it->frame;
	struct env e;

	env_init(&e, ENV_MSG, r->topic, r->id);
	env_set_s(&e, ENV_M_GROUP, span_str(g->name));
	env_set_u(&e, ENV_M_SEQ, it->seq);
	env_set_u(&e, ENV_M_TRY, it->try_no);
	env_set_s(&e, ENV_M_FROM, r->from);
	env_set_s(&e, ENV_M_AS, r->as);
	if (it->again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = rec_frame(r);
	g->b->delivered++;
	hops_rec(g->b, TRACE_DELIVERED, r, g->trace, s->peer->session, it->try_no,
	    (struct span){NULL, 0});
	out_env(g->b, s->peer, &e);
}

void
groups_feed_note(void *arg, enum group_event what, const struct group_item *it, uint64_t session,
    struct span reason)
{
	static const enum trace_what as[] = {
	    [GROUP_ACKED] = TRACE_ACKED,
	    [GROUP_NAKED] = TRACE_NAKED,
	    [GROUP_REJECTED] = TRACE_REJECTED,
	    [GROUP_EXTENDED] = TRACE_EXTENDED,
	    [GROUP_LATE] = TRACE_LOST,
	    [GROUP_LOST] = TRACE_LOST,
	    [GROUP_EXPIRED] = TRACE_EXPIRED,
	    [GROUP_DEAD] = TRACE_DEAD,
	    [GROUP_DROPPED] = TRACE_DROPPED,
	};
	struct owed_group *g = arg;

	/* A death that is told is on disk, with more to say about it. */
	if (what == GROUP_DEAD && !span_is(((const struct rec *)it->frame)->topic, "sys.dead"))
		return;
	hops_rec(
	    g->b, as[what], it->frame, g->trace, session, session != 0 ? it->try_no : 0, reason);
}

/* More than our share of memory is taken: records, and that groups have them in hand. */
static bool
is_scarce(const struct broker *b)
{
	return b->recs.bytes + b->recs.holds * HOLD_COST >= b->conf.max_bytes;
}

static bool
offer(struct owed_group *g, struct rec *r)
{
	struct group_rec gr = {.seq = r->seq,
	    .at_ms = r->at_ms,
	    .exp_ms = r->exp_ms,
	    .key = r->key,
	    .scarce = is_scarce(g->b),
	    .dead = groups_dead_has(g, r->seq),
	    .bytes = r->n,
	    .frame = r};

	if (group_offer(g->core, &gr))
		return true;
	rec_drop(r);
	return false;
}

void
groups_offer(struct broker *b, struct owed_group *g, struct rec *r)
{
	(void)b;
	if (g->core == NULL)
		return;
	group_commit(g->core, 1);
	if (!group_is_live(g->core))
		return;
	groups_busy(g);
	offer(g, rec_hold(r));
}

bool
groups_concerns(const struct owed_group *g, struct span topic, struct span only)
{
	return only.p != NULL ? span_is(only, g->name)
			      : topic_match(span_str(g->set.pattern), topic);
}

void
groups_offer_only(struct broker *b, struct rec *r)
{
	struct owed_group *g = groups_find(b, span_str(r->only));

	if (g != NULL && !g->deleting)
		groups_offer(b, g, r);
}

struct full {
	const struct owed_group *g;
};

static bool
is_full(void *arg, struct match_entry *e)
{
	const struct owed_group *g;

	if (e->kind != MATCH_GROUP)
		return true;
	g = LIST_ITEM(e, struct owed_group, match);
	if (g->core == NULL || !g->set.refuses || g->set.max_owed == 0 ||
	    g->set.paused != GROUP_RUNS || group_owed(g->core) < g->set.max_owed)
		return true;
	((struct full *)arg)->g = g;
	return false;
}

const struct owed_group *
groups_full(const struct broker *b, struct span topic)
{
	struct full f = {NULL};

	if (b->groups.may_refuse)
		match_each(b->match, topic, is_full, &f);
	return f.g;
}

/* ---- behind ---- */

struct page {
	struct owed_group *g;
	bool refused;
};

static bool
on_row(void *arg, const struct journal_row *row)
{
	struct page *pg = arg;
	struct owed_group *g = pg->g;
	struct rec *r;
	struct env e;

	if (!groups_concerns(g, row->topic, row->only))
		return true;
	r = rec_of_row(&g->b->recs, row);
	if (r == NULL && env_decode(&e, row->frame, false, NULL) != ERR_OK) {
		/* It will not be better the next time; groups_admin.c ends the count of it. */
		g->b->drops[DROP_BAD_ENVELOPE]++;
		return true;
	}
	if (r == NULL) {
		g->b->drops[DROP_NO_MEMORY]++;
		pg->refused = true;
		return false;
	}
	pg->refused = !offer(g, r);
	return !pg->refused;
}

/* A page from the journal.  False: stop for now. */
static bool
read_page(struct owed_group *g)
{
	struct broker *b = g->b;
	struct page pg = {.g = g};
	uint64_t next;

	if (b->groups.pages == 0)
		return false;
	b->groups.pages--;
	next = journal_read(b->journal, group_read(g->core), on_row, &pg);
	if (next == 0) {
		log_error("journal_read_failed", LOG_S("group", g->name),
		    LOG_U("from", group_read(g->core)));
		return false;
	}
	if (!pg.refused)
		group_seen(g->core, next, next > b->head);
	return !pg.refused;
}

/* From the records still in memory.  False: stop for now. */
static bool
read_tail(struct owed_group *g)
{
	struct broker *b = g->b;
	uint64_t seq = group_read(g->core);
	struct rec *r = NULL;

	for (unsigned i = 0; i < TAIL_A_TURN && (r = tail_get(&b->tail, seq)) != NULL; i++, seq++) {
		if (groups_concerns(g, r->topic, span_str(r->only)) && !offer(g, rec_hold(r)))
			return false;
	}
	group_seen(g->core, seq, seq > b->head);
	return true;
}

/* When it is scarce only who has nothing at all reads on. */
static bool
may_read(const struct owed_group *g)
{
	struct group_stats s;

	if (!is_scarce(g->b))
		return true;
	group_stats(g->core, g->b->head, &s);
	return s.ahead == 0;
}

static void
catch_up(struct owed_group *g)
{
	struct broker *b = g->b;

	while (!group_is_live(g->core) && group_wants(g->core) && may_read(g)) {
		uint64_t from = group_read(g->core);

		if (from > b->head) {
			group_seen(g->core, from, true);
		} else if (tail_get(&b->tail, from) != NULL ? !read_tail(g) : !read_page(g)) {
			return;
		}
	}
}

static void
on_group_timer(struct timer *t)
{
	struct owed_group *g = LIST_ITEM(t, struct owed_group, timer);

	groups_busy(g);
	broker_soon(g->b);
}

static void
run(struct owed_group *g)
{
	struct broker *b = g->b;
	int64_t now = broker_now(b), real = clock_real_ms(), next;
	bool starved = b->groups.pages == 0;

	if (g->unsealing)
		return;
	group_run(g->core, now, real);
	if (!group_is_live(g->core) && group_wants(g->core)) {
		catch_up(g);
		group_run(g->core, now, real);
	}
	if (group_is_dirty(g->core))
		groups_save_soon(g);
	next = group_next(g->core);
	g->timer.fn = on_group_timer;
	if (next == INT64_MAX) {
		loop_timer_clear(b->loop, &g->timer);
	} else if (!timer_is_set(&g->timer) || g->timer.at_ms != next) {
		loop_timer(b->loop, &g->timer, next > now ? next : now + 1);
	}
	if (!group_is_live(g->core) && group_wants(g->core) && may_read(g)) {
		groups_busy(g);
		broker_soon(b);
		if (starved) { /* the others had all the pages of this turn: first in the next */
			list_remove(&g->busy);
			list_push_front(&b->groups.busy, &g->busy);
		}
	}
}

/* ---- counting what is owed ---- */

struct count {
	struct owed_group *g;
	uint64_t n;
};

static bool
on_counted(void *arg, const struct journal_row *row)
{
	struct count *c = arg;

	if (row->seq > c->g->count_to)
		return false;
	if (groups_concerns(c->g, row->topic, row->only))
		c->n++;
	return true;
}

void
groups_feed_count(struct owed_group *g, uint64_t from, uint64_t to)
{
	g->count_at = from;
	g->count_to = to > from ? to : from;
	if (g->count_at == g->count_to)
		return;
	g->b->groups.counting++;
	group_counting(g->core, true);
}

static void
count_page(struct broker *b)
{
	struct owed_group *g = b->groups.all;
	struct count c = {0};
	uint64_t next;

	while (g != NULL && (g->core == NULL || g->count_at == g->count_to))
		g = g->hh.next;
	if (g == NULL) {
		b->groups.counting = 0;
		return;
	}
	c.g = g;
	b->groups.pages--;
	next = journal_read(b->journal, g->count_at + 1, on_counted, &c);
	group_commit(g->core, c.n);
	g->count_at = next == 0 || next > g->count_to ? g->count_to : next - 1;
	if (g->count_at == g->count_to) {
		b->groups.counting--;
		group_counting(g->core, false);
		groups_save_soon(g);
	}
	broker_soon(b);
}

void
groups_turn(struct broker *b)
{
	struct list now;
	struct owed_group *g;

	b->groups.pages = PAGES_A_TURN;
	/* What becomes busy meanwhile is for the next turn. */
	list_init(&now);
	while ((g = LIST_FIRST(&b->groups.busy, struct owed_group, busy)) != NULL) {
		list_remove(&g->busy);
		list_push_back(&now, &g->busy);
	}
	while ((g = LIST_FIRST(&now, struct owed_group, busy)) != NULL) {
		list_remove(&g->busy);
		if (g->core != NULL)
			run(g);
	}
	if (b->groups.counting > 0 && b->groups.pages > 0)
		count_page(b);
	groups_save_turn(b);
}

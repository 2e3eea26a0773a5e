/* Changing, deleting and watching over groups. */
#include "broker/groups_impl.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/auth.h"
#include "broker/peers.h"

struct change {
	struct job job;
	struct buf settings;
	struct group_settings set;
	char name[LIMIT_GROUP + 1];
	groups_done_fn *done;
	void *arg;
};

static struct change *
change_new(struct owed_group *g, groups_done_fn *done, void *arg)
{
	struct change *c = xcalloc(1, sizeof(*c));

	memcpy(c->name, g->name, sizeof(c->name));
	buf_init(&c->settings, LIMIT_HEADER);
	c->done = done;
	c->arg = arg;
	return c;
}

static void
change_end(struct broker *b, struct change *c, struct owed_group *g)
{
	if (c->done != NULL)
		c->done(b, c->arg, c->job.op.err, g);
	buf_fini(&c->settings);
	free(c);
	broker_changed(b, true, true);
}

/* It has another pattern now: who may not subscribe to that does not get what matches it. */
static void
expel(struct owed_group *g)
{
	struct broker *b = g->b;

	for (struct peer *p = b->reg.by_rid; p != NULL; p = p->hh.next) {
		if (groups_sub_of(p, g) != NULL &&
		    auth_refuses(b, p, ACL_SUBSCRIBE, span_str(g->set.pattern)) != NULL)
			peers_lost(b, p, "its group has a pattern it may not have");
	}
}

static void
configure(struct owed_group *g)
{
	struct group_conf conf = groups_settings_conf(g);

	group_configure(g->core, &conf);
	groups_busy(g);
	broker_soon(g->b);
}

static void
apply(struct owed_group *g, const struct group_settings *set)
{
	struct broker *b = g->b;
	bool moved = strcmp(g->set.pattern, set->pattern) != 0;

	if (moved) {
		match_del(b->match, &g->match);
		match_add(b->match, span_str(set->pattern), &g->match);
	}
	g->set = *set;
	if (moved)
		expel(g);
	b->groups.may_refuse |= set->refuses;
	configure(g);
}

static void
on_set(struct broker *b, struct job *j)
{
	struct change *c = LIST_ITEM(j, struct change, job);
	struct owed_group *g = groups_find(b, span_str(c->name));

	if (g == NULL || g->core == NULL) {
		j->op.err = ERR_NOT_FOUND;
	} else if (j->op.err == ERR_OK) {
		apply(g, &c->set);
	}
	if (g != NULL && --g->setting == 0)
		g->asked = g->set;
	change_end(b, c, g);
}

void
groups_set(struct broker *b, struct owed_group *g, const struct group_settings *set,
    groups_done_fn *done, void *arg)
{
	struct change *c = change_new(g, done, arg);

	c->set = g->asked = *set;
	g->setting++;
	groups_settings_put(set, &c->settings);
	c->job.op.kind = JOURNAL_GROUP;
	c->job.op.u.group.name = span_str(c->name);
	c->job.op.u.group.settings = buf_span(&c->settings);
	c->job.done = on_set;
	broker_submit(b, &c->job);
}

static void
on_deleted(struct broker *b, struct job *j)
{
	struct change *c = LIST_ITEM(j, struct change, job);
	struct owed_group *g = groups_find(b, span_str(c->name));

	if (g != NULL && j->op.err == ERR_OK) {
		log_info("group_deleted", LOG_S("group", g->name));
		groups_end(b, g);
		g = NULL;
	} else if (g != NULL) {
		g->deleting = false;
		match_add(b->match, span_str(g->set.pattern), &g->match);
	}
	change_end(b, c, g);
}

void
groups_delete(struct broker *b, struct owed_group *g, groups_done_fn *done, void *arg)
{
	struct change *c = change_new(g, done, arg);

	g->deleting = true;
	match_del(b->match, &g->match);
	c->job.op.kind = JOURNAL_GROUP_DEL;
	c->job.op.u.group.name = span_str(c->name);
	c->job.done = on_deleted;
	broker_submit(b, &c->job);
}

/* ---- limits ---- */

static void
pause_it(struct owed_group *g, enum group_pause why)
{
	struct group_settings set = g->asked;

	log_warn("group_paused", LOG_S("group", g->name),
	    LOG_S("reason", why == GROUP_PAUSED_IDLE ? "idle" : "owed"));
	set.paused = why;
	g->set.paused = why; /* at once, not only after the commit */
	configure(g);
	groups_set(g->b, g, &set, NULL, NULL);
}

/* Records that were owed could not be read: they will never come. */
static void
settle(struct owed_group *g, int64_t owed)
{
	if (!group_settle(g->core))
		return;
	log_error("owed_unreadable", LOG_S("group", g->name), LOG_I("owed", owed));
	if (owed > 0)
		g->b->drops[DROP_GROUP_DROPPED] += (uint64_t)owed;
	groups_save_soon(g);
}

static void
watch_over(struct owed_group *g)
{
	struct broker *b = g->b;
	int64_t idle = g->idle_since_ms ? broker_now(b) - g->idle_since_ms : 0;
	struct group_stats s;

	group_stats(g->core, b->head, &s);
	if (s.owed != 0 && s.floor == b->head && g->count_at == g->count_to)
		settle(g, s.owed);
	if (g->set.max_owed > 0 && s.owed > g->set.max_owed && !g->set.refuses) {
		pause_it(g, GROUP_PAUSED_OWED);
	} else if (g->set.idle_ms > 0 && idle > g->set.idle_ms) {
		pause_it(g, GROUP_PAUSED_IDLE);
	} else if (b->conf.idle_warn_ms > 0 && idle > b->conf.idle_warn_ms && !g->idle_warned) {
		g->idle_warned = true;
		log_warn("group_idle", LOG_S("group", g->name), LOG_I("idle_ms", idle),
		    LOG_I("owed", s.owed));
	}
}

void
groups_tick(struct broker *b)
{
	b->groups.may_refuse = false;
	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		b->groups.may_refuse |= g->set.refuses;
		if (g->core == NULL || g->deleting || g->set.paused != GROUP_RUNS)
			continue;
		watch_over(g);
		/* It may have stopped reading because of others, for want of memory. */
		if (!group_is_live(g->core) && group_wants(g->core))
			groups_busy(g);
	}
	groups_dead_tick(b);
	groups_save_tick(b);
}

uint64_t
groups_floor(const struct broker *b)
{
	uint64_t floor = UINT64_MAX;

	for (const struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->set.paused != GROUP_RUNS || g->deleting)
			continue;
		/* One that is being created may be owed anything. */
		if (g->core == NULL)
			return 0;
		if (g->saved_floor < floor)
			floor = g->saved_floor;
	}
	return floor;
}

static void
drop_one(struct owed_group *g, const struct journal_row *row)
{
	struct group_stats before, after;
	struct broker *b = g->b;

	group_stats(g->core, b->head, &before);
	if (row->topic.p == NULL) {
		group_seen(g->core, row->seq, group_is_live(g->core));
		groups_save_soon(g);
	} else if (groups_concerns(g, row->topic, row->only)) {
		group_drop(g->core, row->seq);
	}
	group_stats(g->core, b->head, &after);
	b->drops[DROP_GROUP_DROPPED] += after.dropped - before.dropped;
}

void
groups_drop(struct broker *b, const struct journal_row *row)
{
	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core != NULL && g->set.paused != GROUP_RUNS)
			drop_one(g, row);
	}
}

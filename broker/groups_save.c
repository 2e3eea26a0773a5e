/* What of a group goes to disk: its state. */
#include "broker/groups_impl.h"

#include <stdlib.h>

#include "base/die.h"

#define SAVE_IDLE_MS 20    /* without other work for the journal */
#define SAVE_EVERY_MS 5    /* one group, with other work */
#define SAVE_BEHIND 10000u /* records after which an unchanged state is written */
#define SAVE_LAG_MS 60000  /* or time, if there was any record */
#define STATE_MAX (16u * 1024 * 1024)

struct save {
	struct job job;
	struct buf blob;
	uint64_t floor;
	bool sealed;
	char name[LIMIT_GROUP + 1];
};

static void
on_saved(struct broker *b, struct job *j)
{
	struct save *s = LIST_ITEM(j, struct save, job);
	struct owed_group *g = groups_find(b, span_str(s->name));

	if (g != NULL) {
		g->saving = false;
		if (g->unsealing && !s->sealed && j->op.err != ERR_BUSY) {
			g->unsealing = false;
			groups_busy(g);
		}
		if (j->op.err == ERR_OK) {
			g->saved_floor = s->floor;
		} else if (j->op.err == ERR_BUSY) {
			groups_save_soon(g);
		}
	}
	buf_fini(&s->blob);
	free(s);
}

static void
save(struct owed_group *g, bool clean)
{
	struct broker *b = g->b;
	struct save *s = xcalloc(1, sizeof(*s));

	list_remove(&g->unsaved);
	group_take_dirty(g->core);
	buf_init(&s->blob, STATE_MAX);
	if (groups_dead_read(g))
		group_set_mark(g->core, b->groups.dead_no);
	s->sealed = g->sealed = clean || group_is_idle(g->core);
	group_encode(g->core, b->head, s->sealed, &s->blob);
	INVARIANT(!s->blob.failed);
	memcpy(s->name, g->name, sizeof(s->name));
	s->floor = group_floor(g->core, b->head);
	s->job.op.kind = JOURNAL_GROUP_STATE;
	s->job.op.u.state.name = span_str(s->name);
	s->job.op.u.state.state = buf_span(&s->blob);
	s->job.done = on_saved;
	g->saving = true;
	g->saved_head = b->head;
	g->saved_ms = broker_now(b);
	broker_submit(b, &s->job);
}

static void
on_save_timer(struct timer *t)
{
	struct groups *gs = LIST_ITEM(t, struct groups, save_timer);
	struct broker *b = LIST_ITEM(gs, struct broker, groups);

	b->submitted = true; /* as if there were other work: now is the time */
	broker_soon(b);
}

void
groups_save_soon(struct owed_group *g)
{
	if (list_empty(&g->unsaved))
		list_push_back(&g->b->groups.unsaved, &g->unsaved);
}

void
groups_save_unseal(struct owed_group *g)
{
	if (!g->sealed)
		return;
	g->unsealing = true;
	save(g, false);
}

void
groups_save_turn(struct broker *b)
{
	int64_t now = broker_now(b);
	struct owed_group *g;

	LIST_EACH (g, &b->groups.unsaved, struct owed_group, unsaved)
		if (b->submitted && !g->saving && g->saved_ms + SAVE_EVERY_MS <= now)
			save(g, false);
	if (list_empty(&b->groups.unsaved) || timer_is_set(&b->groups.save_timer))
		return;
	b->groups.save_timer.fn = on_save_timer;
	loop_timer(b->loop, &b->groups.save_timer, now + SAVE_IDLE_MS);
}

void
groups_close(struct broker *b)
{
	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core != NULL && !g->deleting)
			save(g, true);
	}
}

/* Nothing changed but the head: its count of what it owes, and what retention may take, lag behind.
 */
static bool
is_behind(const struct owed_group *g)
{
	const struct broker *b = g->b;

	return b->head - g->saved_head > SAVE_BEHIND ||
	       (b->head > g->saved_head && broker_now(b) - g->saved_ms > SAVE_LAG_MS);
}

void
groups_save_tick(struct broker *b)
{
	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core != NULL && is_behind(g))
			groups_save_soon(g);
	}
}

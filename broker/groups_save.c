/* What of a group goes to disk: its state, and its dead letters. */
#include "broker/groups_impl.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/uuid.h"
#include "broker/pub.h"
#include "proto/digest.h"
#include "proto/mp.h"

#define SAVE_IDLE_MS 20    /* without other work for the journal */
#define SAVE_EVERY_MS 5    /* one group, with other work */
#define SAVE_BEHIND 10000u /* records after which an unchanged state is written */
#define SAVE_LAG_MS 60000  /* or time, if there was any record */
#define STATE_MAX (16u * 1024 * 1024)

struct save {
	struct job job;
	struct buf blob;
	uint64_t floor;
	char name[LIMIT_GROUP + 1];
};

static void
on_saved(struct broker *b, struct job *j)
{
	struct save *s = LIST_ITEM(j, struct save, job);
	struct owed_group *g = groups_find(b, span_str(s->name));

	if (g != NULL) {
		g->saving = false;
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
	group_encode(g->core, b->head, clean, &s->blob);
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

/* ---- dead letters ---- */

struct burial {
	struct job job;
	struct list node; /* groups->dead_again */
	struct rec *rec;
	char name[LIMIT_GROUP + 1];
	char reason[LIMIT_REASON + 1];
};

static void
burial_free(struct burial *u)
{
	list_remove(&u->node);
	rec_drop(u->rec);
	free(u);
}

static void
on_buried(struct broker *b, struct job *j)
{
	struct burial *u = LIST_ITEM(j, struct burial, job);
	struct owed_group *g = groups_find(b, span_str(u->name));

	if (g == NULL || g->core == NULL) {
		burial_free(u);
	} else if (j->op.err == ERR_OK) {
		group_dead_done(g->core, u->rec->seq);
		groups_busy(g);
		burial_free(u);
	} else {
		/* The disk is full (tried again each second), or the journal failed for good. */
		list_push_back(&b->groups.dead_again, &u->node);
	}
}

static void
put_dead(const struct burial *u, struct buf *out)
{
	const struct rec *r = u->rec;
	char at[25];

	mp_put_map(out, r->key.p ? 8 : 7);
	mp_put_cstr(out, "group");
	mp_put_cstr(out, u->name);
	mp_put_cstr(out, "seq");
	mp_put_u64(out, r->seq);
	mp_put_cstr(out, "id");
	mp_put_bin(out, span_of(r->id, 16));
	mp_put_cstr(out, "topic");
	mp_put_str(out, r->topic);
	if (r->key.p != NULL) {
		mp_put_cstr(out, "key");
		mp_put_str(out, r->key);
	}
	mp_put_cstr(out, "reason");
	mp_put_cstr(out, u->reason);
	mp_put_cstr(out, "tries");
	mp_put_u64(out, u->job.op.u.dead.tries);
	mp_put_cstr(out, "at");
	mp_put_cstr(out, clock_rfc3339(clock_real_ms(), at));
}

/* sys.dead, in the same transaction; the same death is announced under the same id. */
static void
announce(struct broker *b, const struct burial *u)
{
	uint8_t digest[DIGEST_BYTES], id[16];
	const struct rec *r = u->rec;
	struct span root = {NULL, 0};
	struct buf body;
	struct env e;

	if (span_is(r->topic, "sys.dead")) {
		b->drops[DROP_DEAD_UNANNOUNCED]++; /* or one failing reader of sys.dead would feed
						      itself */
		return;
	}
	digest_parts(digest,
	    (struct span[]){span_str("sys.dead"), span_str(u->name),
		span_of(&r->seq, sizeof(r->seq)),
		span_of(&u->job.op.u.dead.tries, sizeof(uint32_t))},
	    4);
	uuid_v8(id, digest);
	if (env_decode(&e, rec_frame(r), false, NULL) == ERR_OK)
		root = env_s(&e, ENV_M_ROOT);
	buf_init(&body, LIMIT_HEADER);
	put_dead(u, &body);
	pub_own(b, "sys.dead", id, root.p ? root.p : r->id, buf_span(&body));
	buf_fini(&body);
}

static void
submit_dead(struct broker *b, struct burial *u)
{
	broker_submit(b, &u->job);
	announce(b, u);
}

void
groups_save_dead(void *arg, const struct group_item *it, struct span reason)
{
	struct owed_group *g = arg;
	struct burial *u = xcalloc(1, sizeof(*u));
	struct journal_op *op = &u->job.op;

	list_init(&u->node);
	u->rec = rec_hold(it->frame);
	memcpy(u->name, g->name, sizeof(u->name));
	if (reason.n > LIMIT_REASON)
		reason.n = LIMIT_REASON;
	memcpy(u->reason, reason.p, reason.n);
	op->kind = JOURNAL_DEAD;
	op->u.dead.group = span_str(u->name);
	op->u.dead.topic = u->rec->topic;
	op->u.dead.reason = span_str(u->reason);
	op->u.dead.frame = rec_frame(u->rec);
	op->u.dead.key = u->rec->key;
	memcpy(op->u.dead.id, u->rec->id, 16);
	op->u.dead.seq = it->seq;
	op->u.dead.tries = it->try_no;
	u->job.done = on_buried;
	log_warn("dead_letter", LOG_S("group", g->name), LOG_U("seq", it->seq),
	    LOG_ID("id", u->rec->id), LOG_B("topic", u->rec->topic), LOG_S("reason", u->reason),
	    LOG_U("tries", it->try_no));
	submit_dead(g->b, u);
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
	struct burial *u;

	LIST_EACH (u, &b->groups.dead_again, struct burial, node) {
		if (journal_failed(b->journal))
			break;
		list_remove(&u->node);
		b->groups.dead_retries++;
		submit_dead(b, u);
	}
	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core != NULL && is_behind(g))
			groups_save_soon(g);
	}
}

void
groups_save_free(struct broker *b)
{
	struct burial *u;

	LIST_EACH (u, &b->groups.dead_again, struct burial, node)
		burial_free(u);
}

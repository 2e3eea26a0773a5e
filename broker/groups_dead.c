/* Dead letters of groups: the letter and the word of it (sys.dead) in one transaction.  What the
 * disk has no room for is tried again each second, both halves, until both are there; only then is
 * the envelope done. */
#include "broker/groups_impl.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/uuid.h"
#include "broker/pub.h"
#include "proto/digest.h"
#include "proto/mp.h"

struct burial {
	struct job letter, word;
	struct list node; /* groups->dead_again */
	struct rec *rec, *said;
	struct journal_rec put;
	enum group_death why;
	bool buried, told;
	unsigned pending;
	char name[LIMIT_GROUP + 1];
	char reason[LIMIT_REASON + 1];
};

static void
burial_free(struct burial *u)
{
	list_remove(&u->node);
	rec_drop(u->rec);
	rec_drop(u->said);
	free(u);
}

/* Both halves are back from the journal. */
static void
look(struct broker *b, struct burial *u)
{
	struct owed_group *g = groups_find(b, span_str(u->name));

	if (u->pending > 0)
		return;
	if (!(u->buried && u->told) && g != NULL && g->core != NULL) {
		/* The disk is full, or the journal failed for good. */
		list_push_back(&b->groups.dead_again, &u->node);
		return;
	}
	if (g != NULL && g->core != NULL) {
		group_dead_done(g->core, u->rec->seq);
		groups_busy(g);
	}
	burial_free(u);
}

static void
on_buried(struct broker *b, struct job *j)
{
	struct burial *u = LIST_ITEM(j, struct burial, letter);

	u->pending--;
	u->buried |= j->op.err == ERR_OK;
	if (j->op.err == ERR_OK)
		b->dead[u->why]++;
	if (j->op.err == ERR_OK && j->op.u.dead.no > b->groups.dead_no)
		b->groups.dead_no = j->op.u.dead.no;
	look(b, u);
}

static void
on_told(struct broker *b, struct job *j)
{
	struct burial *u = LIST_ITEM(j, struct burial, word);

	u->pending--;
	if (j->op.err == ERR_OK && !u->put.repeat) {
		u->said->seq = u->put.seq;
		u->said->at_ms = clock_real_ms();
		pub_distribute(b, u->said);
	}
	u->told |= j->op.err == ERR_OK;
	look(b, u);
}

/* ---- the word ---- */

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
	mp_put_u64(out, u->letter.op.u.dead.tries);
	mp_put_cstr(out, "at");
	mp_put_cstr(out, clock_rfc3339(clock_real_ms(), at));
}

/* The same death is told under one id, so that a crash between the two does not tell it twice. */
static bool
word_new(struct broker *b, struct burial *u)
{
	const struct rec *r = u->rec;
	struct buf body, frame;
	uint8_t id[16];
	struct env e;

	digest_parts(u->put.dig,
	    (struct span[]){span_str("sys.dead"), span_str(u->name),
		span_of(&r->seq, sizeof(r->seq)),
		span_of(&u->letter.op.u.dead.tries, sizeof(uint32_t))},
	    4);
	uuid_v8(id, u->put.dig);
	buf_init(&body, LIMIT_HEADER);
	buf_init(&frame, LIMIT_FRAME);
	put_dead(u, &body);
	env_init(&e, ENV_PUB, span_str("sys.dead"), id);
	env_set_s(&e, ENV_M_ROOT, r->root);
	e.body = buf_span(&body);
	if (env_encode(&e, &frame) == ERR_OK &&
	    env_decode(&e, buf_span(&frame), false, NULL) == ERR_OK)
		u->said = rec_of_env(&b->recs, &e, buf_span(&frame));
	buf_fini(&frame);
	buf_fini(&body);
	if (u->said == NULL)
		return false;
	memcpy(u->put.id, id, 16);
	u->put.topic = u->said->topic;
	u->put.frame = rec_frame(u->said);
	return true;
}

static void
submit_word(struct broker *b, struct burial *u)
{
	if (span_is(u->rec->topic, "sys.dead")) {
		/* or one failing reader of sys.dead would feed itself */
		b->drops[DROP_DEAD_UNANNOUNCED]++;
		u->told = true;
		return;
	}
	if (u->said == NULL && !word_new(b, u)) {
		b->drops[DROP_NO_MEMORY]++; /* once more in a second */
		return;
	}
	u->put.groups = pub_groups(b, u->said->topic);
	u->word.op.kind = JOURNAL_PUT;
	u->word.op.u.put.recs = &u->put;
	u->word.op.u.put.n = 1;
	u->word.done = on_told;
	u->pending++;
	broker_submit(b, &u->word);
}

static void
submit(struct broker *b, struct burial *u)
{
	if (!u->buried) {
		u->pending++;
		broker_submit(b, &u->letter);
	}
	if (!u->told)
		submit_word(b, u);
	look(b, u);
}

void
groups_dead_save(void *arg, const struct group_item *it, enum group_death why, struct span reason)
{
	struct owed_group *g = arg;
	struct burial *u = xcalloc(1, sizeof(*u));
	struct journal_op *op = &u->letter.op;

	list_init(&u->node);
	u->rec = rec_hold(it->frame);
	u->why = why;
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
	op->u.dead.from = rec_from(u->rec);
	memcpy(op->u.dead.id, u->rec->id, 16);
	op->u.dead.seq = it->seq;
	op->u.dead.tries = it->try_no;
	u->letter.done = on_buried;
	log_warn("dead_letter", LOG_S("group", g->name), LOG_U("seq", it->seq),
	    LOG_ID("id", u->rec->id), LOG_B("topic", u->rec->topic), LOG_S("reason", u->reason),
	    LOG_U("tries", it->try_no));
	submit(g->b, u);
}

void
groups_dead_tick(struct broker *b)
{
	struct list now;
	struct burial *u;

	if (journal_failed(b->journal))
		return;
	/* What cannot be done now either is for the next time. */
	list_init(&now);
	LIST_EACH (u, &b->groups.dead_again, struct burial, node) {
		list_remove(&u->node);
		list_push_back(&now, &u->node);
	}
	LIST_EACH (u, &now, struct burial, node) {
		list_remove(&u->node);
		b->groups.dead_retries++;
		submit(b, u);
	}
}

void
groups_dead_free(struct broker *b)
{
	struct burial *u;

	LIST_EACH (u, &b->groups.dead_again, struct burial, node)
		burial_free(u);
}

/* ---- letters newer than their group's state ---- */

struct newer {
	struct broker *b;
	uint64_t after;
};

static bool
on_letter(void *arg, const struct journal_dead *d)
{
	struct broker *b = ((const struct newer *)arg)->b;
	struct owed_group *g = groups_find(b, d->group);

	if (d->no > b->groups.dead_no)
		b->groups.dead_no = d->no;
	if (g == NULL || d->no <= group_mark(g->core))
		return true;
	g->dead = xrealloc(g->dead, (g->ndead + 1) * sizeof(*g->dead));
	g->dead[g->ndead++] = d->seq;
	return true;
}

static int
by_seq(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y ? 1 : 0;
}

/* A crash may have come between a letter and the state that says that its envelope is done: it is
 * not to die twice. */
int
groups_dead_open(struct broker *b)
{
	struct newer n = {b, UINT64_MAX};
	struct owed_group *g;
	int err = 0;

	for (g = b->groups.all; g != NULL; g = g->hh.next) {
		uint64_t mark = group_mark(g->core);

		if (group_counted(g->core) >= g->from && mark < n.after)
			n.after = mark;
		if (mark > b->groups.dead_no)
			b->groups.dead_no = mark;
	}
	if (n.after != UINT64_MAX)
		err = journal_dead_each(b->journal, (struct span){NULL, 0}, n.after, on_letter, &n);
	for (g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->ndead > 1)
			qsort(g->dead, g->ndead, sizeof(*g->dead), by_seq);
	}
	return err;
}

bool
groups_dead_has(const struct owed_group *g, uint64_t seq)
{
	return g->ndead > 0 && bsearch(&seq, g->dead, g->ndead, sizeof(*g->dead), by_seq) != NULL;
}

bool
groups_dead_read(struct owed_group *g)
{
	if (g->ndead > 0 && (group_is_live(g->core) || group_read(g->core) > g->dead[g->ndead - 1]))
		g->ndead = 0;
	return g->ndead == 0;
}

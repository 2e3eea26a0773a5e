#include "broker/pub_impl.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "base/uuid.h"
#include "broker/auth.h"
#include "broker/feed.h"
#include "broker/hops.h"
#include "broker/out.h"
#include "broker/tails.h"
#include "proto/digest.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { SEQS_IN_META = 128 };

struct put *
pub_put_new(unsigned n, uint64_t session, const uint8_t id[16])
{
	struct put *u = xcalloc(1, sizeof(*u));

	u->job.op.kind = JOURNAL_PUT;
	u->session = session;
	memcpy(u->id, id, 16);
	u->job.op.u.put.recs = n > 1 ? xcalloc(n, sizeof(struct journal_rec)) : &u->first;
	u->recs = n > 1 ? xcalloc(n, sizeof(struct rec *)) : &u->first_rec;
	buf_init(&u->cursor, LIMIT_SRC + 2 * LIMIT_CUR);
	return u;
}

void
pub_put_free(struct put *u)
{
	for (unsigned i = 0; i < u->n; i++)
		rec_drop(u->recs[i]);
	if (u->recs != &u->first_rec)
		free(u->recs);
	if (u->job.op.u.put.recs != &u->first)
		free(u->job.op.u.put.recs);
	buf_fini(&u->cursor);
	free(u);
}

/* ---- who it concerns ---- */

static bool
count_group(void *arg, struct match_entry *e)
{
	if (e->kind == MATCH_GROUP)
		++*(uint32_t *)arg;
	return true;
}

uint32_t
pub_groups(struct broker *b, struct span topic)
{
	uint32_t n = 0;

	match_each(b->match, topic, count_group, &n);
	return n;
}

struct fan {
	struct broker *b;
	struct rec *r;
};

static bool
hand_on(void *arg, struct match_entry *e)
{
	struct fan *f = arg;

	switch (e->kind) {
	case MATCH_GROUP:
		if (f->r->seq != 0)
			groups_offer(f->b, LIST_ITEM(e, struct owed_group, match), f->r);
		break;
	case MATCH_TAIL: tails_deliver(f->b, LIST_ITEM(e, struct sub, match), f->r); break;
	case MATCH_POOL: break;
	}
	return true;
}

void
pub_distribute(struct broker *b, struct rec *r)
{
	struct fan f = {b, r};

	if (r->seq != 0) {
		b->head = r->seq;
		tail_push(&b->tail, r);
	}
	if (r->only != NULL) {
		groups_offer_only(b, r);
		return;
	}
	match_each(b->match, r->topic, hand_on, &f);
	feed_send(b, r);
}

/* ---- answers ---- */

static void
put_seqs(const struct put *u, struct buf *out)
{
	mp_put_array(out, u->n);
	for (unsigned i = 0; i < u->n; i++)
		mp_put_u64(out, u->job.op.u.put.recs[i].seq);
}

static void
answer_ok(struct broker *b, struct peer *p, const struct put *u)
{
	const struct journal_rec *r = u->job.op.u.put.recs;
	struct buf seqs;
	struct env e;

	env_init(&e, ENV_OK, span_str(""), u->id);
	buf_init(&seqs, LIMIT_BATCH * 10);
	if (u->batch) {
		put_seqs(u, &seqs);
		if (u->n <= SEQS_IN_META) {
			env_set_s(&e, ENV_M_SEQS, buf_span(&seqs));
		} else {
			e.body = buf_span(&seqs);
		}
	} else {
		env_set_u(&e, ENV_M_SEQ, r->seq);
		env_set_u(&e, ENV_M_GROUPS, r->groups);
		if (r->repeat)
			env_set_u(&e, ENV_M_AGAIN, 1);
	}
	out_env(b, p, &e);
	buf_fini(&seqs);
}

/* `at`: which envelope of a BATCH is at fault; -1: none alone. */
void
pub_refuse(
    struct broker *b, struct peer *p, const uint8_t id[16], enum err code, int at, const char *why)
{
	struct buf d;

	buf_init(&d, LIMIT_HEADER);
	mp_put_map(&d, at < 0 ? 1 : 2);
	mp_put_cstr(&d, "detail");
	mp_put_cstr(&d, why);
	if (at >= 0) {
		mp_put_cstr(&d, "index");
		mp_put_i64(&d, at);
	}
	out_err_detail(b, p, id, code, buf_span(&d));
	buf_fini(&d);
}

/* A group that is to lose nothing is owed as much as it may be. */
void
pub_refuse_full(struct broker *b, struct peer *p, const struct put *u, int at)
{
	struct buf d;

	buf_init(&d, LIMIT_HEADER);
	mp_put_map(&d, u->batch ? 3 : 2);
	mp_put_cstr(&d, "detail");
	mp_put_cstr(&d, "a group takes no more until it has done some of what it is owed");
	mp_put_cstr(&d, "group");
	mp_put_cstr(&d, u->full);
	if (u->batch) {
		mp_put_cstr(&d, "index");
		mp_put_i64(&d, at);
	}
	out_err_detail(b, p, u->id, ERR_BUSY, buf_span(&d));
	buf_fini(&d);
}

static void
answer_err(struct broker *b, struct peer *p, const struct put *u)
{
	const char *why = "the id is stored with other content";
	int at = -1;

	if (u->job.op.err == ERR_NOT_FOUND) {
		pub_refuse_full(b, p, u, u->job.op.conflict_at);
		return;
	}
	if (u->job.op.err == ERR_BUSY) {
		why = "the disk is full";
	} else if (u->job.op.err == ERR_QUOTA) {
		why = "no more last values are kept";
	} else if (u->job.op.err != ERR_CONFLICT) {
		why = "the journal failed";
	} else if (u->job.op.conflict_at < 0) {
		why = "the cursor is not as expected, or belongs to another identity";
	} else if (u->batch) {
		at = u->job.op.conflict_at;
	}
	pub_refuse(b, p, u->id, u->job.op.err, at, why);
}

static void
on_put_done(struct broker *b, struct job *j)
{
	struct put *u = LIST_ITEM(j, struct put, job);
	struct peer *p = u->session ? registry_by_session(&b->reg, u->session) : NULL;
	int64_t now = clock_real_ms();

	if (p != NULL) {
		p->put_bytes -= u->bytes;
		p->puts--;
		pace_done(b, p, u->pace.records, u->bytes);
		if (j->op.err == ERR_OK) {
			answer_ok(b, p, u);
		} else {
			answer_err(b, p, u);
		}
	}
	for (unsigned i = 0; j->op.err == ERR_OK && i < u->n; i++) {
		if (j->op.u.put.recs[i].repeat)
			continue;
		u->recs[i]->seq = j->op.u.put.recs[i].seq;
		u->recs[i]->at_ms = now;
		b->retained |= j->op.u.put.recs[i].retain == JOURNAL_RETAIN_SET;
		pub_distribute(b, u->recs[i]);
	}
	pub_put_free(u);
}

/* ---- in ---- */

void
pub_add(struct put *u, struct rec *r, const struct env *e)
{
	struct span dig = env_s(e, ENV_M_DIG);
	struct journal_rec *jr = &u->job.op.u.put.recs[u->n];

	u->recs[u->n++] = r;
	u->bytes += r->n;
	memcpy(jr->id, r->id, 16);
	jr->topic = r->topic;
	jr->key = r->key;
	jr->frame = rec_frame(r);
	jr->exp_ms = r->exp_ms;
	jr->from = rec_from(r);
	if (dig.p != NULL) {
		memcpy(jr->dig, dig.p, sizeof(jr->dig));
	} else {
		digest_parts(jr->dig, (struct span[]){r->topic, e->body}, 2);
	}
	if (env_u(e, ENV_M_RETAIN, 0) != 0) {
		bool nil = e->body.n == 0 || (e->body.n == 1 && e->body.p[0] == 0xc0);

		jr->retain = nil ? JOURNAL_RETAIN_CLEAR : JOURNAL_RETAIN_SET;
	}
}

/* Of the last record: no group it concerns is full; or it may be a repeat, which the journal knows:
 * one that is stored, or under way.  A file that is asked for every publisher who tries again would
 * be much, so only what may be known goes there. */
bool
pub_may_go(struct broker *b, struct put *u)
{
	struct journal_rec *r = &u->job.op.u.put.recs[u->n - 1];
	const struct owed_group *g = groups_full(b, r->topic);

	if (g == NULL)
		return true;
	(void)str_copy(u->full, sizeof(u->full), span_str(g->name));
	r->known = true;
	return journal_queued_bytes(b->journal) + b->held_bytes > 0 ||
	       journal_find(b->journal, r->id) != 0;
}

static void
go(struct broker *b, struct pace_item *it)
{
	struct put *u = LIST_ITEM(it, struct put, pace);

	if (b->ending) {
		pub_put_free(u);
		return;
	}
	for (unsigned i = 0; i < u->n; i++)
		u->job.op.u.put.recs[i].groups = pub_groups(b, u->recs[i]->topic);
	broker_submit(b, &u->job);
}

void
pub_submit(struct broker *b, struct put *u, struct peer *p)
{
	u->job.done = on_put_done;
	u->job.op.u.put.n = u->n;
	(void)str_copy(u->owner, sizeof(u->owner), span_str(p ? auth_name(p) : ACL_LOCAL));
	u->job.op.u.put.owner = span_str(u->owner);
	u->pace.go = go;
	u->pace.records = u->n > 0 ? u->n : 1;
	u->pace.bytes = u->bytes;
	if (p == NULL) {
		go(b, &u->pace);
		return;
	}
	p->put_bytes += u->bytes;
	p->puts++;
	pace_add(b, p, &u->pace);
}

bool
pub_has_room(const struct broker *b, const struct peer *p, size_t bytes)
{
	return journal_queued_bytes(b->journal) + b->held_bytes + bytes <= b->conf.max_bytes / 2 &&
	       p->put_bytes + bytes <= b->conf.peer_bytes;
}

/* NULL: it may be published; else what is wrong. */
const char *
pub_refuses(struct broker *b, struct peer *p, const struct env *e, enum err *code)
{
	const char *why = auth_refuses(b, p, ACL_PUBLISH, e->topic);

	if (why == NULL)
		why = auth_refuses_as(b, p, e);
	if (why == NULL && topic_is_sys(e->topic))
		why = "topic: sys is the broker's own";
	if (why != NULL)
		*code = ERR_DENIED;
	return why;
}

/* Whose a record is. */
struct span
pub_from(const struct peer *p)
{
	return auth_entry(p) != NULL ? span_str(auth_name(p)) : (struct span){NULL, 0};
}

static void
pub_ephemeral(struct broker *b, struct peer *p, const struct env *e, struct span frame)
{
	struct rec *r;

	if (env_has(e, ENV_M_SRC)) {
		out_err(b, p, e->id, ERR_INVALID, "src: a cursor goes with durable topics only");
		return;
	}
	if (env_u(e, ENV_M_RETAIN, 0) != 0) {
		out_err(b, p, e->id, ERR_INVALID, "retain: only durable topics have a last value");
		return;
	}
	r = rec_of_env_from(&b->recs, e, frame, pub_from(p));
	if (r == NULL) {
		out_err(b, p, e->id, ERR_BUSY, "no memory");
		return;
	}
	hops_rec(b, TRACE_PUBLISHED, r, 0, p->session, 0, r->topic);
	pub_distribute(b, r);
	rec_drop(r);
	out_ok(b, p, e->id);
}

static void
pub_durable(struct broker *b, struct peer *p, const struct env *e, struct span frame)
{
	struct rec *r;
	struct put *u;

	if (!pub_has_room(b, p, frame.n)) {
		out_err(b, p, e->id, ERR_BUSY, "too many bytes are being committed");
		return;
	}
	r = rec_of_env_from(&b->recs, e, frame, pub_from(p));
	if (r == NULL) {
		out_err(b, p, e->id, ERR_BUSY, "no memory");
		return;
	}
	u = pub_put_new(1, p->session, e->id);
	pub_add(u, r, e);
	if (!pub_may_go(b, u)) {
		pub_refuse_full(b, p, u, 0);
		pub_put_free(u);
		return;
	}
	u->job.op.u.put.src = rec_rebase(r, env_s(e, ENV_M_SRC), frame);
	u->job.op.u.put.cur = rec_rebase(r, env_s(e, ENV_M_CUR), frame);
	u->job.op.u.put.was = rec_rebase(r, env_s(e, ENV_M_WAS), frame);
	pub_submit(b, u, p);
}

void
pub_on_pub(struct broker *b, struct peer *p, const struct env *e, struct span frame)
{
	enum err code = ERR_OK;
	const char *why = pub_refuses(b, p, e, &code);

	if (why != NULL) {
		out_err(b, p, e->id, code, why);
	} else if (b->draining || b->shut) {
		out_err(b, p, e->id, ERR_DRAINING, "the broker takes nothing more");
	} else if (frame.n > LIMIT_FRAME) {
		out_err(b, p, e->id, ERR_TOO_BIG, "frame: over 16 MiB");
	} else if (topic_is_durable(e->topic)) {
		pub_durable(b, p, e, frame);
	} else {
		pub_ephemeral(b, p, e, frame);
	}
}

/* ---- the broker's own ---- */

void
pub_own(
    struct broker *b, const char *topic, const uint8_t *id, const uint8_t *root, struct span body)
{
	uint8_t fresh[16];
	struct buf frame;
	struct env e;
	struct rec *r = NULL;
	struct put *u;

	uuid_v7(fresh, clock_real_ms());
	env_init(&e, ENV_PUB, span_str(topic), id ? id : fresh);
	if (root != NULL)
		env_set_s(&e, ENV_M_ROOT, span_of(root, 16));
	e.body = body;
	buf_init(&frame, LIMIT_FRAME);
	if (env_encode(&e, &frame) == ERR_OK &&
	    env_decode(&e, buf_span(&frame), false, NULL) == ERR_OK)
		r = rec_of_env(&b->recs, &e, buf_span(&frame));
	buf_fini(&frame);
	if (r == NULL) {
		b->drops[DROP_NO_MEMORY]++;
	} else if (topic_is_durable(r->topic)) {
		u = pub_put_new(1, 0, r->id);
		pub_add(u, r, &e);
		pub_submit(b, u, NULL);
	} else {
		pub_distribute(b, r);
		rec_drop(r);
	}
}

/* sys.dead.retry, sys.dead.edit: a dead letter goes back to its group, as it was or mended. */
#include "base/die.h"
#include "broker/again.h"
#include "broker/ctl_impl.h"
#include "proto/topic.h"

/* ---- retry ---- */

struct retry {
	struct ctl_call call;
	uint64_t no;
	/* while the letter is read */
	struct broker *b;
	struct again *again;
	const char *why;
};

static void
take_letter(void *arg, const struct journal_dead *d)
{
	struct retry *y = arg;
	const struct owed_group *g = groups_find(y->b, d->group);
	struct journal_row row = {
	    .topic = d->topic, .key = d->key, .frame = d->frame, .from = d->from};

	if (g == NULL || g->deleting) {
		y->why = "its group is no more";
		return;
	}
	/* exp stays 0: whoever retries it wants it delivered. */
	memcpy(row.id, d->id, 16);
	y->again = again_new(y->b, d->group);
	if (!again_add(y->again, &row))
		y->why = "its frame cannot be read";
}

static void
on_retried(struct broker *b, void *arg, enum err err, uint64_t seq)
{
	struct retry *y = arg;
	struct buf body;

	if (err == ERR_OK) {
		buf_init(&body, 64);
		mp_put_map(&body, 2);
		ctl_put_u(&body, "dead", y->no);
		ctl_put_u(&body, "seq", seq);
		ctl_answer(b, &y->call, &body);
		buf_fini(&body);
	} else {
		ctl_refuse_op(b, &y->call, err, "no such dead letter");
	}
	free(y);
}

void
ctl_dead_retry(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct retry *y = xcalloc(1, sizeof(*y));

	y->call = *c;
	y->b = b;
	y->no = ctl_dead_no(b, c, o);
	if (y->no == 0 || !ctl_dead_get(b, c, y->no, take_letter, y)) {
		free(y);
		return;
	}
	if (y->why != NULL) {
		ctl_refuse(b, c, y->again != NULL ? ERR_INVALID : ERR_NOT_FOUND, y->why);
		again_free(y->again);
		free(y);
	} else if (!again_submit(y->again, y->no, on_retried, y)) {
		ctl_refuse(b, c, ERR_BUSY, "too many bytes are being committed");
		free(y);
	}
}

/* ---- edit ---- */

struct edit {
	struct job job;
	struct ctl_call call;
	const msgpack_object *body; /* NULL: stays */
	struct span topic, key;     /* topic {NULL,0}: stays */
	bool has_key;
	struct broker *b;
	struct buf frame;
	const char *pointer, *why; /* what is wrong */
};

/* The pairs of the sender's meta but `key`, byte for byte, then the key. */
static void
put_meta(struct edit *t, struct mp_r *r)
{
	unsigned n = mp_map(r), kept = 0;
	struct span pairs[LIMIT_META_KEYS * 2];

	for (unsigned i = 0; i < n && !r->bad; i++) {
		struct mp_r name;
		struct span k = mp_raw(r), v = mp_raw(r);

		mp_r_init(&name, k);
		if (kept == LIMIT_META_KEYS ||
		    (t->has_key && mp_peek(&name) == MP_STR && span_is(mp_str(&name, 8), "key")))
			continue;
		pairs[kept * 2] = k;
		pairs[kept++ * 2 + 1] = v;
	}
	mp_put_map(&t->frame, kept + (t->has_key && t->key.n > 0 ? 1 : 0));
	for (unsigned i = 0; i < kept * 2; i++)
		buf_put(&t->frame, pairs[i].p, pairs[i].n);
	if (t->has_key && t->key.n > 0) {
		mp_put_cstr(&t->frame, "key");
		mp_put_str(&t->frame, t->key);
	}
}

/* The sender's frame with what is to be changed changed; all else stays byte for byte. */
static bool
put_frame(struct edit *t, struct span frame)
{
	struct mp_r r;
	struct span part;
	unsigned n;

	mp_r_init(&r, frame);
	n = mp_array(&r);
	mp_put_array(&t->frame, n);
	for (unsigned i = 0; i < n && !r.bad; i++) {
		if (i == 4) {
			put_meta(t, &r);
			continue;
		}
		part = mp_raw(&r);
		if (i == 2 && t->topic.p != NULL) {
			mp_put_str(&t->frame, t->topic);
		} else {
			buf_put(&t->frame, part.p, part.n);
		}
	}
	if (t->body == NULL && !r.bad) {
		buf_put(&t->frame, r.p, (size_t)(r.end - r.p));
	} else if (t->body != NULL && t->body->type != MSGPACK_OBJECT_NIL) {
		mp_put_object(&t->frame, t->body);
	}
	return !r.bad && !t->frame.failed;
}

static void
edit_letter(void *arg, const struct journal_dead *d)
{
	struct edit *t = arg;
	const struct owed_group *g = groups_find(t->b, d->group);
	struct journal_op *op = &t->job.op;
	struct env e;

	t->pointer = "/topic";
	t->why = "the group's pattern does not match it";
	if (t->topic.p != NULL && g != NULL && !topic_match(span_str(g->set.pattern), t->topic))
		return;
	t->pointer = "";
	t->why = "the frame would be over 16 MiB, or cannot be read";
	if (!put_frame(t, d->frame) || env_decode(&e, buf_span(&t->frame), true, &t->why) != ERR_OK)
		return;
	t->why = NULL;
	op->kind = JOURNAL_DEAD_EDIT;
	op->u.dead.no = d->no;
	op->u.dead.frame = buf_span(&t->frame);
	op->u.dead.topic = e.topic;
	op->u.dead.key = env_s(&e, ENV_M_KEY);
}

static void
edit_free(struct edit *t)
{
	buf_fini(&t->frame);
	free(t);
}

static void
on_edited(struct broker *b, struct job *j)
{
	struct edit *t = LIST_ITEM(j, struct edit, job);

	if (j->op.err == ERR_OK) {
		ctl_dead_answer(b, &t->call, j->op.u.dead.no);
	} else {
		ctl_refuse_op(b, &t->call, j->op.err, "no such dead letter");
	}
	edit_free(t);
}

static void
take_changes(struct edit *t, const msgpack_object *o, struct faults *f)
{
	static const char *const keys[] = {"dead", "body", "topic", "key"};
	const msgpack_object *topic = doc_get(o, "topic"), *key = doc_get(o, "key");

	ctl_only_keys(o, keys, 4, f);
	t->body = doc_get(o, "body");
	t->topic = doc_span(topic);
	t->key = doc_span(key);
	t->has_key = key != NULL;
	if (t->body == NULL && topic == NULL && key == NULL)
		faults_add(f, "", "expected body, topic or key: what to change");
	if (topic != NULL && (!topic_is_valid(t->topic) || !topic_is_durable(t->topic)))
		faults_add(f, "/topic", "expected a durable topic");
	if (key != NULL && key->type != MSGPACK_OBJECT_NIL &&
	    (t->key.p == NULL || t->key.n > LIMIT_KEY))
		faults_add(f, "/key", "expected a string of at most 255 bytes, or nil");
}

void
ctl_dead_edit(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct edit *t = xcalloc(1, sizeof(*t));
	struct faults f;
	uint64_t no;

	t->call = *c;
	t->b = b;
	t->job.done = on_edited;
	buf_init(&t->frame, LIMIT_FRAME);
	faults_init(&f);
	take_changes(t, o, &f);
	if (f.n > 0) {
		ctl_invalid(b, c, &f);
		edit_free(t);
	} else if ((no = ctl_dead_no(b, c, o)) == 0 || !ctl_dead_get(b, c, no, edit_letter, t)) {
		edit_free(t);
	} else if (t->why != NULL) {
		ctl_missing(b, c, t->pointer, t->why);
		edit_free(t);
	} else {
		/* The body and the names belong to the call: what is kept is in the frame. */
		t->body = NULL;
		broker_submit(b, &t->job);
	}
	faults_fini(&f);
}

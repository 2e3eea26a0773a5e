#include "broker/batch.h"

#include "broker/out.h"
#include "broker/pub_impl.h"
#include "proto/mp.h"
#include "proto/topic.h"

/* [topic, id, meta, body] as the frame of a PUB, in out. */
static bool
frame_item(struct mp_r *r, struct buf *out)
{
	unsigned n = mp_array(r);
	struct span topic = mp_raw(r), id = mp_raw(r), meta = mp_raw(r), body = {NULL, 0};

	if (r->bad || n < 3)
		return false;
	if (n > 3)
		body = mp_raw(r);
	for (unsigned i = 4; i < n; i++)
		mp_raw(r);
	buf_reset(out);
	mp_put_array(out, 5);
	mp_put_u64(out, ENV_VERSION);
	mp_put_cstr(out, "PUB");
	buf_put(out, topic.p, topic.n);
	buf_put(out, id.p, id.n);
	buf_put(out, meta.p, meta.n);
	buf_put(out, body.p, body.n);
	return !r->bad && !out->failed;
}

static enum err
add_item(struct broker *b, struct peer *p, struct put *u, struct span frame, const char **why)
{
	struct env e;
	enum err code = env_decode(&e, frame, false, why);
	struct rec *r;

	if (code != ERR_OK)
		return code;
	*why = pub_refuses(b, p, &e, &code);
	if (*why != NULL)
		return code;
	*why = "only durable topics may be in a BATCH";
	if (!topic_is_durable(e.topic))
		return ERR_INVALID;
	*why = "src belongs to the BATCH, not to an envelope in it";
	if (env_has(&e, ENV_M_SRC))
		return ERR_INVALID;
	*why = "no memory";
	r = rec_of_env_from(&b->recs, &e, frame, pub_from(p));
	if (r == NULL)
		return ERR_BUSY;
	pub_add(u, r, &e);
	*why = NULL;
	return pub_may_go(b, u) ? ERR_OK : ERR_BUSY;
}

static bool
add_items(struct broker *b, struct peer *p, struct put *u, struct mp_r *r, unsigned n)
{
	enum err code = ERR_OK;
	const char *why = NULL;
	struct buf frame;

	buf_init(&frame, LIMIT_FRAME);
	for (unsigned i = 0; i < n && code == ERR_OK; i++) {
		why = "expected [topic, id, meta, body]";
		code = frame_item(r, &frame) ? add_item(b, p, u, buf_span(&frame), &why)
					     : ERR_BAD_ENVELOPE;
	}
	buf_fini(&frame);
	if (code == ERR_OK)
		return true;
	if (why == NULL) {
		pub_refuse_full(b, p, u, (int)u->n - 1);
	} else {
		pub_refuse(b, p, u->id, code, (int)u->n, why);
	}
	return false;
}

static void
set_cursor(struct put *u, const struct env *e)
{
	u->job.op.u.put.src = env_s(e, ENV_M_SRC);
	u->job.op.u.put.cur = env_s(e, ENV_M_CUR);
	u->job.op.u.put.was = env_s(e, ENV_M_WAS);
}

/* src, cur and was outlive the BATCH's frame. */
static void
keep_cursor(struct put *u, const struct env *e)
{
	static const enum env_meta keys[] = {ENV_M_SRC, ENV_M_CUR, ENV_M_WAS};
	struct env kept = *e;
	size_t at = 0;

	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++)
		buf_put(&u->cursor, env_s(e, keys[i]).p, env_s(e, keys[i]).n);
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		struct span s = env_s(e, keys[i]);

		if (s.p == NULL)
			continue;
		kept.m[keys[i]].s = span_of(buf_span(&u->cursor).p + at, s.n);
		at += s.n;
	}
	set_cursor(u, &kept);
}

void
batch_on_batch(struct broker *b, struct peer *p, const struct env *e)
{
	size_t len = mp_scan(e->body, LIMIT_NEST, LIMIT_BODY_ELEMENTS);
	struct put *u;
	struct mp_r r;
	unsigned n;

	mp_r_init(&r, e->body);
	n = e->body.n > 0 && len == e->body.n ? mp_array(&r) : 0;
	if (e->body.n > 0 && (len != e->body.n || r.bad)) {
		out_err(b, p, e->id, ERR_BAD_ENVELOPE,
		    "body: expected an array of [topic, id, meta, body]");
	} else if (b->draining || b->shut) {
		out_err(b, p, e->id, ERR_DRAINING, "the broker takes nothing more");
	} else if (n > LIMIT_BATCH) {
		out_err(b, p, e->id, ERR_TOO_BIG, "body: more than 1024 envelopes");
	} else if (n == 0 && !env_has(e, ENV_M_SRC)) {
		out_err(b, p, e->id, ERR_INVALID, "an empty BATCH moves a cursor: src is missing");
	} else if (!pub_has_room(b, p, e->body.n)) {
		out_err(b, p, e->id, ERR_BUSY, "too many bytes are being committed");
	} else {
		u = pub_put_new(n, p->session, e->id);
		u->batch = true;
		keep_cursor(u, e);
		if (add_items(b, p, u, &r, n)) {
			pub_submit(b, u, p);
		} else {
			pub_put_free(u);
		}
	}
}

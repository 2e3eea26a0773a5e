/* Cancels of events.  Whoever publishes cancel.<id of the envelope> (retained, so that it also
 * reaches who is handed the envelope later) ends it: one in hand is told so by the subscription's
 * `cancel`; one that comes later is not handed to the callee, but acked, with status.<id>
 * "cancelled". */
#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "proto/digest.h"
#include "proto/mp.h"
#include "proto/topic.h"
#include "proto/worker_priv.h"

enum { RECENT = 1024, ASK_MS = 2000, SAY_MS = 10000 };

struct worker_cancels {
	struct worker *w;
	struct list checks;
	uint8_t recent[RECENT][16]; /* ring: between our look and the delivery */
	unsigned at, n;
};

/* A delivery whose last cancel is asked for, or whose end is said. */
struct check {
	struct list node;
	struct delivery *d; /* NULL: it is gone */
};

static bool
is_recent(const struct worker_cancels *c, const uint8_t id[16])
{
	for (unsigned i = 0; i < c->n; i++) {
		if (memcmp(c->recent[i], id, 16) == 0)
			return true;
	}
	return false;
}

static bool
is_nil(struct span body)
{
	return body.n == 0 || (body.n == 1 && body.p[0] == 0xc0);
}

static void
on_cancel(void *arg, struct worker_msg *m)
{
	struct worker_cancels *c = arg;
	struct delivery *d;
	uint8_t id[16];
	bool is = uuid_parse(topic_token(m->env.topic, 1), id) == 0 && !is_nil(m->env.body);

	worker_drop(m);
	if (!is || is_recent(c, id))
		return;
	memcpy(c->recent[c->at], id, 16);
	c->at = (c->at + 1) % RECENT;
	c->n += c->n < RECENT ? 1 : 0;
	LIST_EACH (d, &c->w->hand, struct delivery, node) {
		if (d->kind != DELIVERY_EVENT || !d->m.sub->cancels || d->cancelled ||
		    memcmp(d->m.env.id, id, 16) != 0)
			continue;
		d->cancelled = true;
		if (!d->checked)
			continue; /* it is not handed over any more */
		if (d->m.sub->cancel)
			d->m.sub->cancel(d->m.sub->arg, &d->m);
		return; /* the callback may have finished any of them */
	}
}

void
worker_cancel_start(struct worker *w)
{
	if (w->cancels != NULL)
		return;
	w->cancels = xcalloc(1, sizeof *w->cancels);
	w->cancels->w = w;
	list_init(&w->cancels->checks);
	/* Before the first of its subscriptions, so that no cancel falls between. */
	(void)worker_sub(w, &(struct worker_sub_spec){.pattern = "cancel.*",
				.from = "new",
				.credit = 1024,
				.msg = on_cancel,
				.arg = w->cancels});
}

void
worker_cancel_end(struct worker *w)
{
	struct check *k;

	if (w->cancels == NULL)
		return;
	LIST_EACH (k, &w->cancels->checks, struct check, node) {
		list_remove(&k->node);
		k->d = NULL;
	}
	free(w->cancels);
	w->cancels = NULL;
}

static struct delivery *
check_end(struct check *k)
{
	struct delivery *d = k->d;

	list_remove(&k->node);
	free(k);
	return d;
}

static struct check *
check_new(struct delivery *d)
{
	struct check *k = xcalloc(1, sizeof *k);

	k->d = d;
	list_push_back(&d->w->cancels->checks, &k->node);
	return k;
}

/* ---- an end without the callee ---- */

static void
on_said(void *arg, const struct env *e)
{
	struct delivery *d = check_end(arg);

	if (d == NULL)
		return;
	if (e->verb == ENV_OK) {
		worker_ack(&d->m);
	} else {
		worker_nak(&d->m, -1, "cancelled, but its status could not be published");
	}
}

static void
put_status(const struct delivery *d, const char *uuid, struct buf *out)
{
	char at[25];

	mp_put_map(out, 4);
	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, uuid);
	mp_put_cstr(out, "status");
	mp_put_cstr(out, "cancelled");
	mp_put_cstr(out, "by");
	mp_put_cstr(out, d->m.sub->group);
	mp_put_cstr(out, "at");
	mp_put_cstr(out, clock_rfc3339(clock_real_ms(), at));
}

static void
end_cancelled(struct delivery *d)
{
	char uuid[UUID_TEXT + 1], topic[64];
	uint8_t digest[DIGEST_BYTES], id[16];
	struct check *k;
	struct buf body;
	struct env e;
	enum err err;

	uuid_text(d->m.env.id, uuid);
	(void)snprintf(topic, sizeof topic, "status.%s", uuid);
	digest_parts(digest,
	    (struct span[]){span_str("cancelled"), span_str(uuid), span_str(d->m.sub->group)}, 3);
	uuid_v8(id, digest);
	buf_init(&body, 1024);
	put_status(d, uuid, &body);
	env_init(&e, ENV_PUB, span_str(topic), id);
	env_set_s(&e, ENV_M_KEY, span_str(uuid));
	env_set_s(&e, ENV_M_DIG, span_of(digest, DIGEST_BYTES));
	worker_inherit(&d->m, &e);
	e.body = buf_span(&body);
	k = check_new(d);
	err = client_call(d->w->client, &e, SAY_MS, on_said, k);
	buf_fini(&body);
	if (err != ERR_OK) {
		(void)check_end(k);
		worker_nak(&d->m, -1, "cancelled, but its status could not be published");
	}
}

/* ---- a delivery comes ---- */

static void
go_on(struct delivery *d)
{
	struct worker_sub *s = d->m.sub;

	if (worker_msg_is_void(&d->m)) {
		worker_ack(&d->m); /* says nothing, frees it */
	} else if (d->taken_back) {
		worker_drop(&d->m);
	} else if (d->w->byed || s->gone) {
		worker_nak(&d->m, 0, "draining");
	} else if (d->cancelled || is_recent(d->w->cancels, d->m.env.id)) {
		log_info("cancelled_before_it_came", LOG_ID("id", d->m.env.id),
		    LOG_S("group", s->group));
		d->cancelled = true;
		end_cancelled(d);
	} else {
		d->checked = true;
		s->msg(s->arg, &d->m);
	}
}

static bool
says_cancelled(const struct env *e)
{
	struct mp_r r;
	bool found = false;

	if (e->verb != ENV_REP || mp_scan(e->body, LIMIT_NEST, 65536) != e->body.n)
		return false;
	mp_r_init(&r, e->body);
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		struct span key = mp_str(&r, 64), value = mp_raw(&r);

		found |= span_is(key, "seq") && value.n > 0 && value.p[0] != 0xc0;
	}
	return found && !r.bad;
}

static void
on_asked(void *arg, const struct env *e)
{
	struct delivery *d = check_end(arg);

	if (d == NULL)
		return;
	/* Who cannot be asked (no permission, an older broker) leaves it as it was without cancels.
	 */
	d->cancelled |= says_cancelled(e);
	go_on(d);
}

void
worker_cancel_check(struct delivery *d)
{
	char uuid[UUID_TEXT + 1], topic[64];
	struct check *k;
	struct buf body;
	struct env e;
	enum err err;

	(void)snprintf(topic, sizeof topic, "cancel.%s", uuid_text(d->m.env.id, uuid));
	buf_init(&body, 256);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "topic");
	mp_put_cstr(&body, topic);
	env_init(&e, ENV_REQ, span_str("sys.retained"), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = buf_span(&body);
	k = check_new(d);
	err = client_call(d->w->client, &e, ASK_MS, on_asked, k);
	buf_fini(&body);
	if (err == ERR_OK)
		return;
	(void)check_end(k);
	go_on(d);
}

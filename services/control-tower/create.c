#include "services/control-tower/create.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/uuid.h"
#include "proto/mp.h"
#include "services/control-tower/intake.h"
#include "services/control-tower/status.h"

/* Between the request and the broker's answer. */
struct create {
	struct tower *t;
	struct worker_msg *m;
	struct intake in; /* the bodies are gone by then */
};

static void
create_free(struct create *c)
{
	intake_fini(&c->in);
	free(c);
}

static void
put_headers(struct buf *out, const char *uuid, bool replayed)
{
	char location[sizeof "/triggers/" + UUID_TEXT] = "/triggers/";

	memcpy(location + sizeof "/triggers/" - 1, uuid, UUID_TEXT + 1);
	mp_put_map(out, replayed ? 2 : 1);
	mp_put_cstr(out, "Location");
	mp_put_cstr(out, location);
	if (!replayed)
		return;
	mp_put_cstr(out, "Idempotency-Replayed");
	mp_put_cstr(out, "true");
}

static void
put_place(struct buf *out, const struct intake_item *it, uint64_t seq)
{
	char uuid[UUID_TEXT + 1];

	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, uuid_text(it->id, uuid));
	mp_put_cstr(out, "topic");
	mp_put_str(out, buf_span(&it->topic));
	mp_put_cstr(out, "seq");
	mp_put_u64(out, seq);
}

static void
reply(struct create *c, const struct buf *body, const struct buf *headers)
{
	struct env rep;

	env_init(&rep, ENV_REP, span_str(""), NULL);
	env_set_u(&rep, ENV_M_STATUS, 202);
	if (headers->n > 0)
		env_set_s(&rep, ENV_M_HEADERS, buf_span(headers));
	rep.body = buf_span(body);
	worker_reply(c->m, &rep);
}

static void
one_stored(struct create *c, const struct env *ok)
{
	const struct intake_item *it = &c->in.items[0];
	bool replayed = env_u(ok, ENV_M_AGAIN, 0) != 0;
	uint64_t groups = env_u(ok, ENV_M_GROUPS, 0);
	char uuid[UUID_TEXT + 1];
	struct buf body, headers;

	buf_init(&body, 1024);
	buf_init(&headers, 512);
	mp_put_map(&body, 4);
	put_place(&body, it, env_u(ok, ENV_M_SEQ, 0));
	mp_put_cstr(&body, "workers");
	/* The recorder is one of the groups, and does nothing but write. */
	mp_put_u64(&body, groups > 0 ? groups - 1 : 0);
	put_headers(&headers, uuid_text(it->id, uuid), replayed);
	c->t->created += replayed ? 0 : 1;
	c->t->replayed += replayed ? 1 : 0;
	reply(c, &body, &headers);
	buf_fini(&body);
	buf_fini(&headers);
}

/* The broker gives the seqs of a long BATCH in the body. */
static void
many_stored(struct create *c, const struct env *ok)
{
	struct span seqs = env_has(ok, ENV_M_SEQS) ? env_s(ok, ENV_M_SEQS) : ok->body;
	struct buf body, headers;
	struct mp_r r;

	if (mp_scan(seqs, 1, LIMIT_BATCH + 1) != seqs.n)
		seqs.n = 0;
	mp_r_init(&r, seqs);
	(void)mp_array(&r);
	buf_init(&body, LIMIT_FRAME);
	buf_init(&headers, 1);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "items");
	mp_put_array(&body, c->in.n);
	for (size_t i = 0; i < c->in.n; i++) {
		mp_put_map(&body, 3);
		put_place(&body, &c->in.items[i], mp_u64(&r, UINT64_MAX));
	}
	c->t->created += c->in.n;
	reply(c, &body, &headers);
	buf_fini(&body);
}

static void
on_stored(void *arg, const struct env *e)
{
	struct create *c = arg;

	if (e->verb != ENV_OK) {
		tower_fail_as(c->m, e);
	} else if (c->in.batch) {
		many_stored(c, e);
	} else {
		one_stored(c, e);
	}
	create_free(c);
}

static enum err
publish_one(struct create *c)
{
	const struct intake_item *it = &c->in.items[0];
	struct env e;

	env_init(&e, ENV_PUB, buf_span(&it->topic), it->id);
	/* Of a CloudEvent only the trigger in it counts, however it was wrapped this time. */
	if (!c->in.events)
		env_set_s(&e, ENV_M_DIG, env_s(&c->m->env, ENV_M_DIG));
	worker_inherit(c->m, &e);
	e.body = buf_span(&it->body);
	if (it->body.failed)
		return ERR_TOO_BIG;
	return client_call(c->t->client, &e, tower_left(c->t, c->m), on_stored, c);
}

static enum err
publish_many(struct create *c)
{
	struct buf body;
	struct env e;
	enum err err;

	buf_init(&body, LIMIT_FRAME);
	mp_put_array(&body, c->in.n);
	for (size_t i = 0; i < c->in.n; i++) {
		const struct intake_item *it = &c->in.items[i];

		mp_put_array(&body, 4);
		mp_put_str(&body, buf_span(&it->topic));
		mp_put_bin(&body, span_of(it->id, 16));
		mp_put_map(&body, 0);
		buf_put(&body, it->body.p, it->body.n);
		body.failed |= it->body.failed;
	}
	env_init(&e, ENV_BATCH, span_str(""), c->m->env.id);
	worker_inherit(c->m, &e);
	e.body = buf_span(&body);
	err = body.failed ? ERR_TOO_BIG
			  : client_call(c->t->client, &e, tower_left(c->t, c->m), on_stored, c);
	buf_fini(&body);
	return err;
}

static void
publish(struct create *c)
{
	enum err err = c->in.batch ? publish_many(c) : publish_one(c);

	if (err != ERR_OK) {
		/* CONFLICT here is our own client's: this id is still under way.  Later it has an answer. */
		worker_fail(c->m, err == ERR_CONFLICT ? ERR_BUSY : err,
		    err == ERR_CONFLICT ? "the same request is still under way" : NULL);
		create_free(c);
		return;
	}
	for (size_t i = 0; i < c->in.n; i++)
		buf_fini(&c->in.items[i].body);
}

void
create_on_request(void *arg, struct worker_msg *m)
{
	char principal[STATUS_BY_MAX + 1];
	struct tower *t = arg;
	struct create *c;
	struct doc d;
	struct faults f;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(m, ERR_BAD_ENVELOPE, "the body is not one msgpack value");
		return;
	}
	c = xcalloc(1, sizeof *c);
	c->t = t;
	c->m = m;
	faults_init(&f);
	tower_principal(m, principal);
	if (intake_read(&c->in, &d.root, m->env.id, span_str(principal), &f) == 0) {
		publish(c);
	} else {
		t->refused++;
		tower_fail_faults(m, &f);
		create_free(c);
	}
	faults_fini(&f);
	doc_fini(&d);
}

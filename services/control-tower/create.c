#include "services/control-tower/create.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/uuid.h"
#include "proto/mp.h"
#include "services/control-tower/trigger.h"

#define SOURCE "service.control-tower.api"

/* Between the request and the broker's answer. */
struct create {
	struct tower *t;
	struct worker_msg *m;
	char topic[LIMIT_TOPIC + 1];
};

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
put_answer(struct buf *out, const char *uuid, const char *topic, const struct env *ok)
{
	uint64_t groups = env_u(ok, ENV_M_GROUPS, 0);

	mp_put_map(out, 4);
	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, uuid);
	mp_put_cstr(out, "topic");
	mp_put_cstr(out, topic);
	mp_put_cstr(out, "seq");
	mp_put_u64(out, env_u(ok, ENV_M_SEQ, 0));
	mp_put_cstr(out, "workers");
	/* The recorder is one of them, and does nothing but write. */
	mp_put_u64(out, groups > 0 ? groups - 1 : 0);
}

static void
accepted(struct create *c, const struct env *ok)
{
	char uuid[UUID_TEXT + 1];
	struct buf body, headers;
	struct env rep;
	bool replayed = env_u(ok, ENV_M_AGAIN, 0) != 0;

	buf_init(&body, 1024);
	buf_init(&headers, 512);
	uuid_text(c->m->env.id, uuid);
	put_answer(&body, uuid, c->topic, ok);
	put_headers(&headers, uuid, replayed);
	env_init(&rep, ENV_REP, span_str(""), NULL);
	env_set_u(&rep, ENV_M_STATUS, 202);
	env_set_s(&rep, ENV_M_HEADERS, buf_span(&headers));
	rep.body = buf_span(&body);
	c->t->created += replayed ? 0 : 1;
	c->t->replayed += replayed ? 1 : 0;
	worker_reply(c->m, &rep);
	buf_fini(&body);
	buf_fini(&headers);
}

static void
on_published(void *arg, const struct env *e)
{
	struct create *c = arg;

	if (e->verb == ENV_OK) {
		accepted(c, e);
	} else {
		tower_fail_as(c->m, e);
	}
	free(c);
}

/* The metadata.spec of a trigger that came without metadata. */
static void
put_own_spec(struct buf *out)
{
	mp_put_map(out, 1);
	mp_put_cstr(out, "endpoint");
	mp_put_cstr(out, "/triggers");
}

static void
publish(struct tower *t, struct worker_msg *m, const struct trigger *tr)
{
	struct create *c = xcalloc(1, sizeof *c);
	struct buf topic, spec, body;
	struct env e;
	enum err err;

	c->t = t;
	c->m = m;
	buf_init(&topic, (size_t)2 * LIMIT_TOPIC);
	buf_init(&spec, 64);
	buf_init(&body, LIMIT_FRAME);
	put_own_spec(&spec);
	trigger_put_body(tr, m->env.id, SOURCE, buf_span(&spec), &body);
	/* trigger_read has seen that the topic fits. */
	INVARIANT(trigger_put_topic(tr, &topic) == 0);
	memcpy(c->topic, topic.p, topic.n);
	env_init(&e, ENV_PUB, buf_span(&topic), m->env.id);
	env_set_s(&e, ENV_M_DIG, env_s(&m->env, ENV_M_DIG));
	worker_inherit(m, &e);
	e.body = buf_span(&body);
	err = body.failed ? ERR_TOO_BIG
			  : client_call(t->client, &e, tower_left(t, m), on_published, c);
	if (err != ERR_OK) {
		worker_fail(
		    m, err, err == ERR_CONFLICT ? "the same request is still under way" : NULL);
		free(c);
	}
	buf_fini(&topic);
	buf_fini(&spec);
	buf_fini(&body);
}

void
create_on_request(void *arg, struct worker_msg *m)
{
	struct tower *t = arg;
	struct doc d;
	struct faults f;
	struct trigger tr;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(m, ERR_BAD_ENVELOPE, "the body is not one msgpack value");
		return;
	}
	faults_init(&f);
	if (trigger_read(&tr, &d.root, NULL, &f) == 0) {
		publish(t, m, &tr);
	} else {
		t->refused++;
		tower_fail_faults(m, &f);
	}
	faults_fini(&f);
	doc_fini(&d);
}

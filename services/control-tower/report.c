#include "services/control-tower/report.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/uuid.h"
#include "proto/digest.h"
#include "proto/mp.h"
#include "services/control-tower/status.h"

struct report {
	struct tower *t;
	struct worker_msg *m;
	uint8_t uuid[16];
};

static void
on_published(void *arg, const struct env *e)
{
	struct report *r = arg;
	char uuid[UUID_TEXT + 1];
	struct buf body;

	if (e->verb != ENV_OK) {
		tower_fail_as(r->m, e);
		free(r);
		return;
	}
	buf_init(&body, 256);
	mp_put_map(&body, 2);
	mp_put_cstr(&body, "uuid");
	mp_put_cstr(&body, uuid_text(r->uuid, uuid));
	mp_put_cstr(&body, "seq");
	mp_put_u64(&body, env_u(e, ENV_M_SEQ, 0));
	tower_reply(r->m, &body, 202);
	buf_fini(&body);
	free(r);
}

/* The body holds the time, so a repeat is known by a digest over what was asked. */
static void
set_digest(const struct worker_msg *m, struct env *e, uint8_t digest[DIGEST_BYTES])
{
	struct span parts[] = {m->env.topic, m->env.body};

	if (env_has(&m->env, ENV_M_DIG)) {
		env_set_s(e, ENV_M_DIG, env_s(&m->env, ENV_M_DIG));
		return;
	}
	digest_parts(digest, parts, 2);
	env_set_s(e, ENV_M_DIG, span_of(digest, DIGEST_BYTES));
}

static void
publish(struct tower *t, struct worker_msg *m, const char *kind, const uint8_t uuid[16],
    const struct buf *body)
{
	struct report *r = xcalloc(1, sizeof *r);
	char key[UUID_TEXT + 1], topic[64];
	uint8_t digest[DIGEST_BYTES];
	struct env e;
	enum err err;

	r->t = t;
	r->m = m;
	memcpy(r->uuid, uuid, 16);
	(void)snprintf(topic, sizeof topic, "%s.%s", kind, uuid_text(uuid, key));
	env_init(&e, ENV_PUB, span_str(topic), m->env.id);
	env_set_s(&e, ENV_M_KEY, span_str(key));
	if (strcmp(kind, "cancel") == 0)
		env_set_u(&e, ENV_M_RETAIN, 1); /* for who is handed the trigger later */
	set_digest(m, &e, digest);
	worker_inherit(m, &e);
	e.body = buf_span(body);
	err = body->failed ? ERR_TOO_BIG
			   : client_call(t->client, &e, tower_left(t, m), on_published, r);
	if (err == ERR_OK)
		return;
	/* CONFLICT here is our own client's: this id is still under way.  Later it has an answer. */
	worker_fail(m, err == ERR_CONFLICT ? ERR_BUSY : err,
	    err == ERR_CONFLICT ? "the same request is still under way" : NULL);
	free(r);
}

void
report_on_status(void *arg, struct worker_msg *m)
{
	static const msgpack_object nothing = {.type = MSGPACK_OBJECT_NIL};
	char by[STATUS_BY_MAX + 1], now[25];
	uint8_t uuid[16];
	struct status s;
	struct faults f;
	struct buf body;
	struct doc d;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(m, ERR_BAD_ENVELOPE, "the body is not one msgpack value");
		return;
	}
	const msgpack_object *said = doc_get(&d.root, "body");

	faults_init(&f);
	buf_init(&body, LIMIT_FRAME);
	(void)tower_read_uuid(&d.root, uuid, &f);
	(void)status_read(&s, said ? said : &nothing, NULL, &f);
	if (f.n > 0) {
		tower_fail_faults(m, &f);
	} else {
		tower_principal(m, by);
		status_put_body(&s, uuid, by, clock_rfc3339(clock_real_ms(), now), &body);
		publish(arg, m, "status", uuid, &body);
	}
	buf_fini(&body);
	faults_fini(&f);
	doc_fini(&d);
}

static void
put_cancel(struct buf *out, const uint8_t uuid[16], const char *by)
{
	char text[UUID_TEXT + 1], now[25];

	mp_put_map(out, 3);
	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, uuid_text(uuid, text));
	mp_put_cstr(out, "by");
	mp_put_cstr(out, by);
	mp_put_cstr(out, "at");
	mp_put_cstr(out, clock_rfc3339(clock_real_ms(), now));
}

void
report_on_cancel(void *arg, struct worker_msg *m)
{
	char by[STATUS_BY_MAX + 1];
	uint8_t uuid[16];
	struct faults f;
	struct buf body;
	struct doc d;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(m, ERR_BAD_ENVELOPE, "the body is not one msgpack value");
		return;
	}
	faults_init(&f);
	buf_init(&body, 1024);
	if (tower_read_uuid(&d.root, uuid, &f) != 0) {
		tower_fail_faults(m, &f);
	} else {
		tower_principal(m, by);
		put_cancel(&body, uuid, by);
		publish(arg, m, "cancel", uuid, &body);
	}
	buf_fini(&body);
	faults_fini(&f);
	doc_fini(&d);
}

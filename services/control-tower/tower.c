#include "services/control-tower/tower.h"

#include "base/log.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "proto/mp.h"
#include "services/control-tower/plain.h"

int64_t
tower_left(const struct tower *t, const struct worker_msg *m)
{
	int64_t left = m->deadline_ms - loop_now(t->loop);

	return left > 0 ? left : 1;
}

void
tower_fail_faults(struct worker_msg *m, const struct faults *f)
{
	struct buf detail;

	buf_init(&detail, LIMIT_HEADER);
	faults_put(f, &detail);
	worker_fail_detail(m, ERR_INVALID, buf_span(&detail));
	buf_fini(&detail);
}

void
tower_fail_as(struct worker_msg *m, const struct env *e)
{
	if (env_has(e, ENV_M_DETAIL)) {
		worker_fail_detail(m, env_err_code(e), env_s(e, ENV_M_DETAIL));
	} else {
		worker_fail(m, env_err_code(e), NULL);
	}
}

void
tower_fail_read(struct worker_msg *m, const struct pg_done *d)
{
	if (d->end != PG_REFUSED) {
		worker_fail(m, ERR_BUSY, "the database is away");
		return;
	}
	log_error("read_refused", LOG_ID("id", m->env.id), LOG_S("sqlstate", d->sqlstate),
	    LOG_S("why", d->why));
	worker_fail(m, ERR_INTERNAL, "the database refused the query");
}

void
tower_reply(struct worker_msg *m, const struct buf *body, unsigned status)
{
	struct env rep;

	if (body->failed) {
		worker_fail(m, ERR_TOO_BIG, "the answer is over the limit of a frame");
		return;
	}
	env_init(&rep, ENV_REP, span_str(""), NULL);
	env_set_u(&rep, ENV_M_STATUS, status);
	rep.body = buf_span(body);
	worker_reply(m, &rep);
}

int
tower_read_uuid(const msgpack_object *body, uint8_t uuid[16], struct faults *f)
{
	if (uuid_parse(doc_str(body, "uuid"), uuid) == 0)
		return 0;
	faults_add(f, "/uuid", "expected a UUID of 36 characters");
	return -1;
}

void
tower_principal(const struct worker_msg *m, char by[STATUS_BY_MAX + 1])
{
	struct span raw[] = {env_s(&m->head, ENV_M_AS), env_s(&m->head, ENV_M_FROM)};

	(void)str_copy(by, STATUS_BY_MAX + 1, span_str("unknown"));
	for (unsigned i = 0; i < 2; i++) {
		struct doc d;

		if (doc_parse(&d, raw[i]) != 0)
			continue;
		struct span s = i == 0 ? doc_str(&d.root, "principal") : doc_span(&d.root);
		bool found = plain_is_label(s, STATUS_BY_MAX);

		if (found)
			(void)str_copy(by, STATUS_BY_MAX + 1, s);
		doc_fini(&d);
		if (found)
			return;
	}
}

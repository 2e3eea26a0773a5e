#include "services/control-tower/tower.h"

#include "base/log.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "proto/mp.h"

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

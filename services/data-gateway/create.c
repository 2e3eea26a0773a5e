#include "services/data-gateway/create.h"

#include <stdlib.h>

#include "base/die.h"
#include "proto/mp.h"
#include "services/data-gateway/rows.h"

/* Between the request and the broker's answer. */
struct create {
	struct list link; /* gateway.creates */
	struct gateway *g;
	struct worker_msg *m; /* NULL: torn down meanwhile */
	uint8_t receipt[16];  /* what the caller gets */
	unsigned new_rows;
	uint64_t rows; /* of a stream: in all its pieces so far */
};

static void
put_headers(struct buf *out, const char *receipt, bool replayed)
{
	char location[16 + UUID_TEXT];

	(void)snprintf(location, sizeof location, "/receipts/%s", receipt);
	mp_put_map(out, replayed ? 2 : 1);
	mp_put_cstr(out, "Location");
	mp_put_cstr(out, location);
	if (replayed) {
		mp_put_cstr(out, "Idempotency-Replayed");
		mp_put_cstr(out, "true");
	}
}

static void
answer(struct create *c, bool replayed)
{
	char receipt[UUID_TEXT + 1];
	struct buf body, headers;
	struct env rep;

	buf_init(&body, 1024);
	buf_init(&headers, 1024);
	(void)uuid_text(c->receipt, receipt);
	put_headers(&headers, receipt, replayed);
	mp_put_map(&body, 2);
	mp_put_cstr(&body, "receipt");
	mp_put_cstr(&body, receipt);
	mp_put_cstr(&body, "rows");
	mp_put_u64(&body, c->rows);
	env_init(&rep, ENV_REP, span_str(""), NULL);
	env_set_u(&rep, ENV_M_STATUS, 202);
	env_set_s(&rep, ENV_M_HEADERS, buf_span(&headers));
	rep.body = buf_span(&body);
	worker_reply(c->m, &rep);
	buf_fini(&body);
	buf_fini(&headers);
}

/* As the broker said it. */
static void
fail_as(struct worker_msg *m, const struct env *e)
{
	char text[200];
	struct span said = env_err_text(e);

	(void)snprintf(text, sizeof text, "%.*s", (int)(said.n < 190 ? said.n : 190),
	    said.p ? (const char *)said.p : "");
	worker_fail(m, env_err_code(e), text);
}

static void
on_published(void *arg, const struct env *e)
{
	struct create *c = arg;
	struct gateway *g = c->g;
	bool replayed = env_u(e, ENV_M_AGAIN, 0) != 0;

	if (c->m == NULL) {
		free(c);
		return;
	}
	if (e->verb == ENV_OK) {
		g->n.accepted += !replayed;
		g->n.replayed += replayed;
		g->n.rows += replayed ? 0 : c->new_rows;
		answer(c, replayed);
	} else {
		g->n.failed++;
		fail_as(c->m, e);
	}
	list_remove(&c->link);
	free(c);
}

static struct create *
create_new(struct gateway *g, struct worker_msg *m, const struct rows *r)
{
	struct create *c = xcalloc(1, sizeof *c);

	c->g = g;
	c->m = m;
	c->rows = r->first + r->n;
	c->new_rows = r->n;
	/* The pieces of a stream have one receipt between them. */
	memcpy(c->receipt, r->is_part ? r->of : m->env.id, 16);
	list_push_back(&g->creates, &c->link);
	return c;
}

static void
publish(struct gateway *g, struct worker_msg *m, const struct rows *r)
{
	struct create *c = create_new(g, m, r);
	struct buf body;
	struct env e;
	enum err err;

	buf_init(&body, LIMIT_FRAME);
	rows_put_in(r, &body);
	env_init(&e, ENV_PUB, span_str("rows.in"), m->env.id);
	env_set_s(&e, ENV_M_KEY, span_str(r->uuid_text));
	env_set_s(&e, ENV_M_DIG, env_s(&m->env, ENV_M_DIG));
	worker_inherit(m, &e);
	e.body = buf_span(&body);
	err = body.failed
		  ? ERR_TOO_BIG
		  : client_call(svc_client(g->svc), &e, gateway_left(g, m), on_published, c);
	buf_fini(&body);
	if (err == ERR_OK)
		return;
	g->n.failed++;
	list_remove(&c->link);
	free(c);
	/* CONFLICT here is our own client's: this id is still under way.  Later it has an answer. */
	worker_fail(m, err == ERR_CONFLICT ? ERR_BUSY : err,
	    err == ERR_TOO_BIG    ? "more than 16 MiB of rows at once; send them as "
				    "application/x-ndjson, one row a line"
	    : err == ERR_CONFLICT ? "the same request is still under way"
				  : NULL);
}

static void
take(struct gateway *g, struct worker_msg *m, enum rows_form form, struct span body,
    struct span beside)
{
	struct faults f;
	struct rows r;

	faults_init(&f);
	if (!rows_read(&r, form, body, beside, &f)) {
		g->n.refused++;
		gateway_fail_faults(m, &f);
	} else {
		publish(g, m, &r);
	}
	faults_fini(&f);
}

static void
on_create(void *arg, struct worker_msg *m)
{
	take(arg, m, ROWS_ONE, m->env.body, (struct span){NULL, 0});
}

static void
on_batch(void *arg, struct worker_msg *m)
{
	struct span body = m->env.body, beside;
	enum rows_form form = rows_unwrap(&body, &beside);

	take(arg, m, form, body, beside);
}

void
create_start(struct gateway *g)
{
	struct worker_sub_spec one = {.pattern = "data-gateway.rows.create",
	    .serve = true,
	    .credit = 1024,
	    .credit_bytes = 2 * LIMIT_FRAME_RX,
	    .msg = on_create,
	    .arg = g};
	struct worker_sub_spec batch = one;

	batch.pattern = "data-gateway.rows.batch";
	batch.msg = on_batch;
	(void)worker_sub(svc_worker(g->svc), &one);
	(void)worker_sub(svc_worker(g->svc), &batch);
}

void
create_stop(struct gateway *g)
{
	struct create *c;

	LIST_EACH (c, &g->creates, struct create, link) {
		c->m = NULL;
		list_remove(&c->link);
	}
}

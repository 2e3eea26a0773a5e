#include "services/data-gateway/query.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "base/uuid.h"
#include "proto/doc.h"
#include "proto/faults.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "services/data-gateway/groups.h"
#include "services/data-gateway/query_sql.h"

#define CATCH_UP_MS 1000 /* for the recorder, before the answer is 503 */
#define LOOK_AGAIN_MS 20
#define LIST_DEFAULT 100
#define LIST_MAX 1000

/* A request in hand.  At most one call is under way for it: sys.groups, or a statement. */
struct query {
	struct list link;     /* gateway.queries */
	struct gateway *g;    /* NULL: torn down meanwhile */
	struct worker_msg *m; /* NULL: torn down meanwhile */
	char id[UUID_TEXT + 1];
	int64_t since_ms;
	bool has_head, caught_up;
	uint64_t head; /* as of the request */
	struct timer again;
};

static void ask_groups(struct query *q);

static struct query *
query_new(struct gateway *g, struct worker_msg *m)
{
	struct query *q = xcalloc(1, sizeof *q);

	q->g = g;
	q->m = m;
	q->since_ms = loop_now(svc_loop(g->svc));
	list_push_back(&g->queries, &q->link);
	g->n.looked++;
	return q;
}

static void
query_end(struct query *q)
{
	list_remove(&q->link);
	loop_timer_clear(svc_loop(q->g->svc), &q->again);
	free(q);
}

/* Not now: LATER, so that the caller may ask again. */
static void
not_ready(struct query *q, const char *why)
{
	q->g->n.not_ready++;
	worker_fail(q->m, ERR_BUSY, why);
	query_end(q);
}

static void
reply_json(struct query *q, const char *text)
{
	struct buf body;
	struct env rep;

	buf_init(&body, LIMIT_FRAME);
	env_init(&rep, ENV_REP, span_str(""), NULL);
	if (json_to_mp(span_str(text), &body, NULL) == 0) {
		rep.body = buf_span(&body);
		worker_reply(q->m, &rep);
	} else {
		worker_fail(q->m, ERR_INTERNAL, "the database's answer cannot be read");
	}
	buf_fini(&body);
	query_end(q);
}

/* The statement failed, or the query is gone. */
static bool
is_over(struct query *q, const struct pg_done *d)
{
	if (q->m == NULL) {
		free(q);
		return true;
	}
	if (d->end == PG_OK)
		return false;
	if (d->end == PG_REFUSED) {
		worker_fail(q->m, ERR_INTERNAL, d->why);
	} else {
		not_ready(q, "the database is away; what was accepted is safe");
	}
	if (d->end == PG_REFUSED)
		query_end(q);
	return true;
}

/* --- one receipt --- */

static void
on_again(struct timer *t)
{
	ask_groups(LIST_ITEM(t, struct query, again));
}

static bool
may_wait(const struct query *q)
{
	return !q->caught_up && loop_now(svc_loop(q->g->svc)) - q->since_ms < CATCH_UP_MS;
}

static void
look_again(struct query *q)
{
	q->again.fn = on_again;
	loop_timer(svc_loop(q->g->svc), &q->again, loop_now(svc_loop(q->g->svc)) + LOOK_AGAIN_MS);
}

static void
not_found(struct query *q)
{
	if (q->caught_up) {
		q->g->n.not_found++;
		worker_fail(q->m, ERR_NOT_FOUND, "no such receipt");
		query_end(q);
	} else if (may_wait(q)) {
		look_again(q);
	} else {
		not_ready(q, "the record of receipts is behind the journal; ask again");
	}
}

static void
on_looked(void *arg, const struct pg_done *d)
{
	struct query *q = arg;

	if (is_over(q, d))
		return;
	if (PQntuples(d->res) == 0) {
		not_found(q);
	} else if (PQgetvalue(d->res, 0, 1)[0] == 'f' && may_wait(q)) {
		look_again(q); /* a stream whose end may be on its way here */
	} else {
		reply_json(q, PQgetvalue(d->res, 0, 0));
	}
}

static void
look(struct query *q, const struct groups *g)
{
	struct pg_param p[3] = {{span_str(q->id)}, {buf_span(&g->destinations)},
	    {span_str(g->reported ? "true" : "false")}};

	if (!pg_is_up(q->g->reads) || pg_query(q->g->reads, query_sql_get, p, 3, on_looked, q) != 0)
		not_ready(q, "the database is away; what was accepted is safe");
}

/* What the recorder had passed when this was said is in the database when the statement runs. */
static void
on_groups(void *arg, const struct env *e)
{
	struct query *q = arg;
	struct groups g;

	if (q->m == NULL) {
		free(q);
		return;
	}
	if (e->verb == ENV_ERR) {
		not_ready(q, "the broker cannot say how far the record is");
		return;
	}
	if (groups_read(&g, e->body) != 0) {
		worker_fail(q->m, ERR_INTERNAL, "the broker's answer to sys.groups cannot be read");
		query_end(q);
	} else {
		if (!q->has_head)
			q->head = g.head;
		q->has_head = true;
		q->caught_up = g.has_recorder && g.recorded_to >= q->head;
		look(q, &g);
	}
	groups_fini(&g);
}

static void
ask_groups(struct query *q)
{
	static const uint8_t empty_map[] = {0x80};
	struct env e;

	env_init(&e, ENV_REQ, span_str("sys.groups"), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = span_of(empty_map, 1);
	if (client_call(svc_client(q->g->svc), &e, gateway_left(q->g, q->m), on_groups, q) !=
	    ERR_OK)
		not_ready(q, "too much waits for the broker");
}

static void
on_get(void *arg, struct worker_msg *m)
{
	struct gateway *g = arg;
	uint8_t id[16];
	struct faults f;
	struct doc d;

	faults_init(&f);
	if (doc_parse(&d, m->env.body) != 0 || uuid_parse(doc_str(&d.root, "id"), id) != 0) {
		faults_add(&f, "/id", "expected a receipt: a uuid in its 36-character text form");
		gateway_fail_faults(m, &f);
	} else {
		struct query *q = query_new(g, m);

		(void)uuid_text(id, q->id);
		ask_groups(q);
	}
	doc_fini(&d);
	faults_fini(&f);
}

/* --- receipts of a trigger --- */

static void
on_listed(void *arg, const struct pg_done *d)
{
	struct query *q = arg;

	if (!is_over(q, d))
		reply_json(q, PQgetvalue(d->res, 0, 0));
}

struct list_args {
	uint8_t uuid[16];
	int64_t limit, before;
};

static void
read_list_args(const msgpack_object *o, struct list_args *a, struct faults *f)
{
	const msgpack_object *limit = doc_get(o, "limit"), *cursor = doc_get(o, "cursor");

	*a = (struct list_args){.limit = LIST_DEFAULT, .before = INT64_MAX};
	if (uuid_parse(doc_str(o, "uuid"), a->uuid) != 0)
		faults_add(f, "/uuid", "expected a uuid in its 36-character text form");
	if (limit != NULL && limit->type != MSGPACK_OBJECT_NIL) {
		a->limit = doc_i64(o, "limit", 0);
		if (a->limit < 1 || a->limit > LIST_MAX)
			faults_add(f, "/limit", "expected an integer from 1 to %d", LIST_MAX);
	}
	if (cursor != NULL && cursor->type != MSGPACK_OBJECT_NIL &&
	    str_i64(doc_span(cursor), 0, INT64_MAX, &a->before) != 0)
		faults_add(f, "/cursor", "expected `next` of the page before");
}

static void
list(struct gateway *g, struct worker_msg *m, const struct list_args *a)
{
	struct query *q = query_new(g, m);
	char limit[24], before[24];
	struct pg_param p[3];

	(void)snprintf(limit, sizeof limit, "%lld", (long long)a->limit);
	(void)snprintf(before, sizeof before, "%lld", (long long)a->before);
	p[0].v = span_str(uuid_text(a->uuid, q->id));
	p[1].v = span_str(limit);
	p[2].v = span_str(before);
	if (!pg_is_up(g->reads) || pg_query(g->reads, query_sql_list, p, 3, on_listed, q) != 0)
		not_ready(q, "the database is away; what was accepted is safe");
}

static void
on_list(void *arg, struct worker_msg *m)
{
	struct list_args a = {.limit = 0};
	struct faults f;
	struct doc d;

	faults_init(&f);
	if (doc_parse(&d, m->env.body) != 0) {
		faults_add(&f, "", "expected an object with uuid");
	} else {
		read_list_args(&d.root, &a, &f);
	}
	if (f.n > 0) {
		gateway_fail_faults(m, &f);
	} else {
		list(arg, m, &a);
	}
	doc_fini(&d);
	faults_fini(&f);
}

void
query_start(struct gateway *g)
{
	struct worker_sub_spec get = {.pattern = "data-gateway.receipts.get",
	    .serve = true,
	    .credit = 256,
	    .msg = on_get,
	    .arg = g};
	struct worker_sub_spec ls = get;

	ls.pattern = "data-gateway.receipts.list";
	ls.msg = on_list;
	(void)worker_sub(svc_worker(g->svc), &get);
	(void)worker_sub(svc_worker(g->svc), &ls);
}

/* What waits for its timer has no call under way that would free it. */
void
query_stop(struct gateway *g)
{
	struct query *q;

	LIST_EACH (q, &g->queries, struct query, link) {
		if (timer_is_set(&q->again)) {
			query_end(q);
			continue;
		}
		list_remove(&q->link);
		q->m = NULL;
		q->g = NULL;
	}
}

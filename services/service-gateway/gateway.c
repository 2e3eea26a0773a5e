#include "services/service-gateway/gateway.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/faults.h"
#include "proto/mp.h"
#include "services/service-gateway/api.h"
#include "services/service-gateway/choose.h"
#include "services/service-gateway/found.h"
#include "services/service-gateway/schema.h"

#define CREDIT 4096 /* calls under way at once; more wait at the broker */

struct gateway {
	struct worker *w;
	struct catalogue_service *catalogue;
	struct found *found;
	struct list calls;
	uint64_t answered, failed, failovers, refused;
};

/* One client's call, from the request to the one answer. */
struct call {
	struct list node;
	struct gateway *g;
	struct worker_msg *m;
	const struct catalogue_service *service;
	const struct catalogue_method *method;
	struct choose_list order;
	unsigned at;        /* the provider being asked */
	uint8_t asking[16]; /* id of the request to it */
	int64_t asked_ms;
	/* How those before it failed: may have done something, do not know it, are not there. */
	unsigned touched, unknown, absent;
	bool cancelled;
	struct buf args;     /* request with defaults filled in */
	struct buf attempts; /* maps {provider, code, detail?, ms}, back to back */
};

static void ask_next(struct call *call);

static int64_t
now(const struct gateway *g)
{
	return loop_now(link_loop(client_link(worker_client(g->w))));
}

static void
call_free(struct call *call)
{
	list_remove(&call->node);
	buf_fini(&call->args);
	buf_fini(&call->attempts);
	free(call);
}

static void
put_headers(struct buf *b, const char *provider, unsigned attempts)
{
	char n[16];

	snprintf(n, sizeof n, "%u", attempts);
	mp_put_map(b, 2);
	mp_put_cstr(b, "X-Provider");
	mp_put_cstr(b, provider);
	mp_put_cstr(b, "X-Attempts");
	mp_put_cstr(b, n);
}

static void
answer(struct call *call, const struct env *rep)
{
	struct env out;
	struct buf headers;

	buf_init(&headers, 1024);
	put_headers(&headers, call->order.v[call->at].name, call->at + 1);
	env_init(&out, ENV_REP, (struct span){NULL, 0}, NULL);
	env_set_s(&out, ENV_M_HEADERS, buf_span(&headers));
	if (env_has(rep, ENV_M_TYPE))
		env_set_s(&out, ENV_M_TYPE, env_s(rep, ENV_M_TYPE));
	out.body = rep->body;
	worker_reply(call->m, &out);
	call->g->answered++;
	call->g->failovers += call->at > 0;
	buf_fini(&headers);
	call_free(call);
}

static void
give_up(struct call *call, enum err code, const char *text)
{
	unsigned tried = call->at < call->order.n ? call->at + 1 : call->order.n;
	struct buf d;

	buf_init(&d, LIMIT_HEADER);
	mp_put_map(&d, 2);
	mp_put_cstr(&d, "detail");
	mp_put_cstr(&d, text);
	mp_put_cstr(&d, "attempts");
	mp_put_array(&d, tried);
	buf_put(&d, call->attempts.p, call->attempts.n);
	log_info("call_failed", LOG_ID("id", call->m->env.id),
	    LOG_S("service", call->service->name), LOG_S("code", err_name(code)),
	    LOG_U("attempts", tried));
	if (d.failed || call->attempts.failed) {
		worker_fail(call->m, code, text);
	} else {
		worker_fail_detail(call->m, code, buf_span(&d));
	}
	call->g->failed++;
	buf_fini(&d);
	call_free(call);
}

static void
note_attempt(struct call *call, enum err code, struct span text)
{
	struct buf *b = &call->attempts;

	if (text.n > 200)
		text.n = 200;
	mp_put_map(b, 4);
	mp_put_cstr(b, "provider");
	mp_put_cstr(b, call->order.v[call->at].name);
	mp_put_cstr(b, "code");
	mp_put_cstr(b, err_name(code));
	mp_put_cstr(b, "detail");
	mp_put_str(b, text.p ? text : span_str(""));
	mp_put_cstr(b, "ms");
	mp_put_i64(b, now(call->g) - call->asked_ms);
}

static void
attempt_failed(struct call *call, enum err code, struct span text)
{
	note_attempt(call, code, text);
	call->unknown += code == ERR_NOT_FOUND;
	call->absent += code == ERR_NO_WORKERS;
	call->touched += err_retry(code) != ERR_LATER && code != ERR_NOT_FOUND;
	if (call->cancelled) {
		give_up(call, ERR_GONE, "cancelled by the caller");
	} else if (!choose_next(code, call->method->repeatable)) {
		give_up(call, code, "the provider refused, or may have done it already");
	} else {
		call->at++;
		ask_next(call);
	}
}

static void
provider_answered(void *arg, const struct env *e)
{
	struct call *call = arg;

	if (e->verb == ENV_REP) {
		answer(call, e);
	} else {
		attempt_failed(call, env_err_code(e), env_err_text(e));
	}
}

/* When all have failed: what the caller may conclude. */
static enum err
outcome(const struct call *call)
{
	if (call->touched > 0)
		return ERR_UPSTREAM;
	if (call->absent == call->order.n)
		return ERR_NO_WORKERS;
	return call->unknown == call->order.n ? ERR_NOT_FOUND : ERR_BUSY;
}

static void
ask_next(struct call *call)
{
	struct gateway *g = call->g;
	const struct choose_candidate *p = &call->order.v[call->at];
	int64_t left = call->m->deadline_ms - now(g);
	char topic[LIMIT_TOPIC + 1];
	struct env e;
	enum err refused;

	if (call->at >= call->order.n) {
		give_up(call, outcome(call), "no provider could answer");
		return;
	}
	if (left <= 0) {
		call->order.n = call->at; /* those after it were never asked */
		give_up(call, ERR_TIMEOUT, "the deadline passed before a provider answered");
		return;
	}
	snprintf(topic, sizeof topic, "provider.%s.%s.%s", call->service->name, p->name,
	    call->method->name);
	env_init(&e, ENV_REQ, span_str(topic), NULL);
	worker_inherit(call->m, &e);
	e.body = buf_span(&call->args);
	call->asked_ms = now(g);
	refused = client_call(worker_client(g->w), &e, left < p->timeout_ms ? left : p->timeout_ms,
	    provider_answered, call);
	memcpy(call->asking, e.id, sizeof call->asking);
	if (refused != ERR_OK)
		attempt_failed(call, refused, span_str("not sent"));
}

static void
refuse(struct gateway *g, struct worker_msg *m, const struct faults *f)
{
	struct buf d;

	buf_init(&d, LIMIT_HEADER);
	faults_put(f, &d);
	worker_fail_detail(m, ERR_INVALID, buf_span(&d));
	buf_fini(&d);
	g->refused++;
}

/* The arguments of the request, checked and with defaults; false when m was answered. */
static bool
take_args(struct gateway *g, struct worker_msg *m, const struct catalogue_method *method,
    struct buf *args)
{
	struct faults f;
	struct doc d;
	bool ok = false;

	if (doc_parse(&d, m->env.body) != 0) {
		worker_fail(
		    m, ERR_BAD_ENVELOPE, "the body is not one msgpack object within the limits");
		return false;
	}
	const msgpack_object *given = d.root.type == MSGPACK_OBJECT_NIL ? NULL : &d.root;
	faults_init(&f);
	schema_apply(method->request, given, "", &f);
	if (f.n > 0) {
		refuse(g, m, &f);
	} else {
		schema_put_defaults(method->request, given, args);
		ok = true;
	}
	faults_fini(&f);
	doc_fini(&d);
	return ok;
}

static void
on_call(void *arg, struct worker_msg *m)
{
	const char *names[CATALOGUE_MAX_PROVIDERS];
	struct gateway *g = arg;
	struct catalogue_service *service;
	struct catalogue_method *method;
	struct call *call;
	unsigned n;

	if (!catalogue_find(g->catalogue, m->env.topic, &service, &method)) {
		worker_fail(m, ERR_NOT_FOUND,
		    "no such service, version or method; GET /services/_schema lists them");
		return;
	}
	call = xcalloc(1, sizeof *call);
	list_init(&call->node);
	buf_init(&call->args, LIMIT_FRAME);
	buf_init(&call->attempts, LIMIT_HEADER / 2);
	if (!take_args(g, m, method, &call->args)) {
		call_free(call);
		return;
	}
	call->g = g;
	call->m = m;
	call->service = service;
	call->method = method;
	m->user = call;
	list_push_back(&g->calls, &call->node);
	n = found_names(g->found, service->name, names, CATALOGUE_MAX_PROVIDERS);
	choose_order(service, names, n, &call->order);
	ask_next(call);
}

static void
on_cancel(void *arg, struct worker_msg *m)
{
	struct call *call = m->user;

	(void)arg;
	call->cancelled = true;
	client_cancel(worker_client(call->g->w), call->asking);
}

static void
reply_body(struct worker_msg *m, struct buf *body)
{
	struct env rep;

	env_init(&rep, ENV_REP, (struct span){NULL, 0}, NULL);
	rep.body = buf_span(body);
	worker_reply(m, &rep);
}

static void
on_schema(void *arg, struct worker_msg *m)
{
	struct gateway *g = arg;
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	api_put_schema(g->catalogue, &b);
	reply_body(m, &b);
	buf_fini(&b);
}

static void
on_describe(void *arg, struct worker_msg *m)
{
	struct catalogue_service *s = arg;
	struct buf b;

	buf_init(&b, LIMIT_FRAME);
	api_put_service(s, &b);
	reply_body(m, &b);
	buf_fini(&b);
}

static void
subscribe(struct gateway *g, const char *pattern, worker_msg_fn *fn, void *arg)
{
	struct worker_sub_spec spec = {
	    .pattern = pattern, .serve = true, .credit = CREDIT, .msg = fn, .arg = arg};

	spec.cancel = fn == on_call ? on_cancel : NULL;
	worker_sub(g->w, &spec);
}

struct gateway *
gateway_new(struct worker *w, struct catalogue_service *catalogue)
{
	struct gateway *g = xcalloc(1, sizeof *g);
	char pattern[LIMIT_TOPIC + 1];

	g->w = w;
	g->catalogue = catalogue;
	list_init(&g->calls);
	g->found = found_new(w);
	subscribe(g, "services.schema", on_schema, g);
	for (struct catalogue_service *s = catalogue; s != NULL; s = s->next) {
		snprintf(pattern, sizeof pattern, "services.describe.%s.v%lld", s->name,
		    (long long)s->version);
		subscribe(g, pattern, on_describe, s);
		snprintf(
		    pattern, sizeof pattern, "service.%s.v%lld.*", s->name, (long long)s->version);
		subscribe(g, pattern, on_call, g);
	}
	return g;
}

void
gateway_free(struct gateway *g)
{
	struct call *call;

	if (g == NULL)
		return;
	LIST_EACH (call, &g->calls, struct call, node)
		call_free(call);
	found_free(g->found);
	free(g);
}

bool
gateway_is_idle(const struct gateway *g)
{
	return list_empty(&g->calls);
}

unsigned
gateway_stats(const struct gateway *g, struct buf *out)
{
	const struct {
		const char *name;
		uint64_t v;
	} rows[] = {
	    {"calls_answered", g->answered},
	    {"calls_failed", g->failed},
	    {"calls_failed_over", g->failovers},
	    {"calls_refused", g->refused},
	};

	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		mp_put_cstr(out, rows[i].name);
		mp_put_u64(out, rows[i].v);
	}
	return sizeof rows / sizeof rows[0];
}

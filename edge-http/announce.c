#include "edge-http/announce.h"

#include <stdlib.h>

#include "base/die.h"
#include "edge-http/http.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum {
	AGAIN_MS = 10000,
	RETRY_MS = 1000, /* after a failure */
	GATHER_MS = 20,  /* several changes at once are one load */
	CALL_MS = 5000,
	CLAIMS_MAX = 4096,
	MISS_MS = 100, /* between loads that a missing path asks for */
	MISSES_MAX = 256,
};

struct announce {
	struct shard *sh;
	struct worker_sub *changed;
	struct timer timer;
	bool loading, dirty, failed;
	struct registry *next, *shown; /* the one being loaded, the one in use */
	unsigned claiming;             /* answers of sys.claim that are still to come */
	struct log_limit lines;
	struct list misses, served; /* http_req: wait for the next load, for this one */
	unsigned nmisses;           /* in both */
	int64_t began_ms;           /* of the last load */
	struct buf last;            /* the answer that `shown` was made of */
};

/* Whose path it is, asked of the broker. */
struct claiming {
	struct announce *a;
	char *path, *service;
};

static void load(struct announce *a);

static void
set_timer(struct announce *a, int64_t in_ms)
{
	loop_timer(a->sh->loop, &a->timer, loop_now(a->sh->loop) + in_ms);
}

static void
on_timer(struct timer *t)
{
	load(LIST_ITEM(t, struct announce, timer));
}

static void
look_again(struct announce *a, struct list *l)
{
	struct http_req *r;

	LIST_EACH (r, l, struct http_req, miss) {
		a->nmisses--;
		http_look_again(r);
	}
}

static int64_t
next_in(const struct announce *a)
{
	int64_t since = loop_now(a->sh->loop) - a->began_ms;

	if (!list_empty(&a->misses))
		return since < MISS_MS ? MISS_MS - since : 0;
	if (a->failed)
		return RETRY_MS;
	return a->dirty ? GATHER_MS : AGAIN_MS;
}

static void
load_ended(struct announce *a)
{
	a->loading = false;
	registry_free(a->next);
	a->next = NULL;
	look_again(a, &a->served);
	if (!shard_bus_is_up(a->sh))
		look_again(a, &a->misses);
	set_timer(a, next_in(a));
}

static void
build(struct announce *a)
{
	struct registry_own own = builtin_own(&a->sh->own);
	struct registry_built built;

	registry_build(a->next, &own, &built);
	shard_load(a->sh, &built);
	registry_free(a->shown);
	a->shown = a->next;
	a->next = NULL;
	load_ended(a);
}

static void
claim_failed(struct claiming *c, const char *code)
{
	struct announce *a = c->a;

	a->failed = true;
	if (log_allow(&a->lines, loop_now(a->sh->loop), 5)) {
		log_warn("claim_failed", LOG_S("path", c->path), LOG_S("service", c->service),
		    LOG_S("code", code), LOG_U("suppressed", a->lines.last));
	}
}

static void
on_claim(void *arg, const struct env *e)
{
	struct claiming *c = arg;
	struct announce *a = c->a;
	struct doc d = {0};
	struct span owner;
	char *name;

	if (e->verb == ENV_REP && doc_parse(&d, e->body) == 0) {
		owner = doc_str(&d.root, "name");
		if (owner.n > 0) {
			name = span_dup(owner);
			registry_claimed(a->next, c->path, name);
			free(name);
		}
	} else {
		claim_failed(c, e->verb == ENV_ERR ? err_name(env_err_code(e)) : "unreadable");
	}
	doc_fini(&d);
	free(c->path);
	free(c->service);
	free(c);
	if (--a->claiming == 0)
		build(a);
}

static void
claim(void *arg, const char *path, const char *service)
{
	struct announce *a = arg;
	struct claiming *c;
	struct buf body;
	struct env e;

	if (a->claiming >= CLAIMS_MAX)
		return;
	c = xcalloc(1, sizeof *c);
	*c = (struct claiming){a, xstrdup(path), xstrdup(service)};
	buf_init(&body, LIMIT_FRAME);
	mp_put_map(&body, 2);
	mp_put_cstr(&body, "path");
	mp_put_cstr(&body, path);
	mp_put_cstr(&body, "name");
	mp_put_cstr(&body, service);
	env_init(&e, ENV_REQ, span_str("sys.claim"), NULL);
	e.body = buf_span(&body);
	env_set_u(&e, ENV_M_AGAIN, 1);
	if (client_call(a->sh->client, &e, CALL_MS, on_claim, c) == ERR_OK) {
		a->claiming++;
	} else {
		a->failed = true;
		free(c->path);
		free(c->service);
		free(c);
	}
	buf_fini(&body);
}

/* The same answer as last time, with every path claimed then, means the same table. */
static bool
is_known(const struct announce *a, struct span body)
{
	return a->sh->routes && span_eq(buf_span(&a->last), body);
}

static void
on_services(void *arg, const struct env *e)
{
	struct announce *a = arg;

	a->failed = false;
	if (e->verb == ENV_REP && is_known(a, e->body)) {
		load_ended(a);
		return;
	}
	a->next = e->verb == ENV_REP ? registry_read(e->body) : NULL;
	if (a->next == NULL) {
		a->failed = true;
		if (e->verb == ENV_REP)
			log_error("services_unreadable", LOG_U("bytes", e->body.n));
		load_ended(a);
		return;
	}
	buf_reset(&a->last);
	if (registry_wants(a->next, claim, a) == 0)
		buf_put(&a->last, e->body.p, e->body.n);
	if (a->claiming == 0)
		build(a);
}

static void
load(struct announce *a)
{
	struct http_req *miss;
	struct env e;

	if (a->loading) {
		a->dirty = true;
		return;
	}
	if (!shard_bus_is_up(a->sh)) { /* its coming up starts the next */
		look_again(a, &a->misses);
		return;
	}
	loop_timer_clear(a->sh->loop, &a->timer);
	a->dirty = false;
	a->began_ms = loop_now(a->sh->loop);
	while ((miss = LIST_FIRST(&a->misses, struct http_req, miss)) != NULL) {
		list_remove(&miss->miss);
		list_push_back(&a->served, &miss->miss);
	}
	env_init(&e, ENV_REQ, span_str("sys.services"), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	a->loading = client_call(a->sh->client, &e, CALL_MS, on_services, a) == ERR_OK;
	if (!a->loading) {
		a->failed = true;
		load_ended(a);
	}
}

static void
forget_miss(void *job)
{
	struct http_req *r = job;

	list_remove(&r->miss);
	r->sh->announce->nmisses--;
}

bool
announce_miss(struct announce *a, struct http_req *r)
{
	if (a == NULL || !shard_bus_is_up(a->sh) || a->nmisses >= MISSES_MAX)
		return false;
	list_push_back(&a->misses, &r->miss);
	a->nmisses++;
	r->job = r;
	r->job_end = forget_miss;
	if (!a->loading)
		set_timer(a, next_in(a));
	return true;
}

static void
on_changed(void *arg, struct worker_msg *m)
{
	struct announce *a = arg;

	worker_drop(m);
	if (a->loading) {
		a->dirty = true;
	} else {
		set_timer(a, GATHER_MS);
	}
}

struct announce *
announce_new(struct shard *sh)
{
	struct announce *a = xcalloc(1, sizeof *a);
	struct worker_sub_spec spec = {.pattern = "sys.changed", .msg = on_changed, .arg = a};

	a->sh = sh;
	a->timer.fn = on_timer;
	list_init(&a->misses);
	list_init(&a->served);
	a->began_ms = -MISS_MS;
	buf_init(&a->last, LIMIT_FRAME);
	a->changed = worker_sub(sh->worker, &spec);
	return a;
}

void
announce_free(struct announce *a)
{
	if (a == NULL)
		return;
	loop_timer_clear(a->sh->loop, &a->timer);
	registry_free(a->next);
	registry_free(a->shown);
	buf_fini(&a->last);
	free(a);
}

void
announce_start(struct announce *a)
{
	load(a);
}

const char *
announce_process(const struct announce *a, size_t i)
{
	return a && a->shown ? registry_process(a->shown, i) : NULL;
}

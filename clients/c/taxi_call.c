#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "clients/c/taxi_priv.h"
#include "proto/json.h"
#include "proto/mp.h"

#define DEFAULT_PARTS 8

#define X(name, retry, http, title) \
	_Static_assert((int)TAXI_##name == (int)ERR_##name, "the header and the bus agree");
ERR_TABLE(X)
#undef X

struct pending {
	struct taxi *t;
	taxi_done_fn *done;
	void *arg;
	taxi_part_fn *part;
	void *part_arg;
	bool hold;
};

/* What a blocking call waits for. */
struct waiting {
	struct taxi *t;
	bool done, wanted;
	enum taxi_code code;
	struct taxi_answer *answer;
};

const char *
taxi_code_name(enum taxi_code code)
{
	return (unsigned)code < ERR_COUNT ? err_name((enum err)code) : "INTERNAL";
}

enum taxi_code
taxi_code_of(const char *name)
{
	return (enum taxi_code)err_of(span_str(name));
}

enum taxi_retry
taxi_code_retry(enum taxi_code code)
{
	static const enum taxi_retry retry[] = {TAXI_NEVER, TAXI_LATER, TAXI_UNCERTAIN};

	return retry[err_retry((unsigned)code < ERR_COUNT ? (enum err)code : ERR_INTERNAL)];
}

const char *
taxi_version(void)
{
	return TAXI_VERSION;
}

/* ---- Answers ---- */
struct taxi_answer
priv_answer(const struct env *e)
{
	struct taxi_answer a = {.env = *e};

	a.text = e->verb == ENV_ERR ? span_dup(env_err_text(e)) : xstrdup("");
	return a;
}

void
priv_answer_fini(struct taxi_answer *a)
{
	free(a->frame);
	free(a->text);
}

/* An answer that outlives its frame; NULL when there is no memory for it. */
static struct taxi_answer *
keep(const struct env *e)
{
	struct taxi_answer *a = xcalloc(1, sizeof *a);
	struct buf b;
	size_t n;

	buf_init(&b, LIMIT_FRAME_RX);
	if (env_encode(e, &b) == ERR_OK) {
		buf_take(&b, &a->frame, &n);
		if (env_decode(&a->env, span_of(a->frame, n), false, NULL) == ERR_OK) {
			a->text =
			    e->verb == ENV_ERR ? span_dup(env_err_text(&a->env)) : xstrdup("");
			return a;
		}
	}
	buf_fini(&b);
	taxi_answer_free(a);
	return NULL;
}

void
taxi_answer_free(struct taxi_answer *a)
{
	if (a == NULL)
		return;
	priv_answer_fini(a);
	free(a);
}

enum taxi_code
taxi_answer_code(const struct taxi_answer *a)
{
	return a->env.verb == ENV_ERR ? (enum taxi_code)env_err_code(&a->env) : TAXI_OK;
}

const char *
taxi_answer_text(const struct taxi_answer *a)
{
	return a->text;
}

static const void *
give(struct span s, size_t *n)
{
	if (n)
		*n = s.n;
	return s.p;
}

const void *
taxi_answer_detail(const struct taxi_answer *a, size_t *n)
{
	return give(env_s(&a->env, ENV_M_DETAIL), n);
}

const void *
taxi_answer_body(const struct taxi_answer *a, size_t *n)
{
	return give(a->env.body, n);
}

const uint8_t *
taxi_answer_id(const struct taxi_answer *a)
{
	return a->env.id;
}

uint64_t
taxi_answer_seq(const struct taxi_answer *a)
{
	return env_u(&a->env, ENV_M_SEQ, 0);
}

uint64_t
taxi_answer_groups(const struct taxi_answer *a)
{
	return env_u(&a->env, ENV_M_GROUPS, 0);
}

size_t
taxi_answer_seqs(const struct taxi_answer *a, uint64_t *out, size_t max)
{
	struct span list = env_s(&a->env, ENV_M_SEQS);
	struct mp_r r;
	size_t n;

	if (list.p == NULL)
		list = a->env.body;
	if (list.p == NULL || mp_scan(list, 2, LIMIT_BATCH + 1) == 0)
		return 0;
	mp_r_init(&r, list);
	n = mp_array(&r);
	for (size_t i = 0; i < n && i < max; i++)
		out[i] = mp_u64(&r, INT64_MAX);
	return r.bad ? 0 : n;
}

int
taxi_answer_status(const struct taxi_answer *a)
{
	return (int)env_u(&a->env, ENV_M_STATUS, 0);
}

/* ---- Calls ---- */
static void
on_part(void *arg, const struct env *e)
{
	struct pending *p = arg;
	struct taxi_answer a = priv_answer(e);
	struct taxi *t = p->t;
	bool hold = p->hold;
	uint8_t id[16];

	memcpy(id, e->id, 16);
	priv_enter(t);
	p->part(p->part_arg, &a);
	priv_leave(t);
	priv_answer_fini(&a);
	if (!hold)
		client_more(t->client, id, 1); /* nothing when the callback cancelled it */
}

static void
on_done(void *arg, const struct env *e)
{
	struct pending *p = arg;
	struct taxi_answer a = priv_answer(e);

	priv_enter(p->t);
	p->done(p->arg, &a);
	priv_leave(p->t);
	priv_answer_fini(&a);
	free(p);
}

static enum taxi_code
call(struct taxi *t, struct env *e, int64_t timeout_ms, const struct pending *how)
{
	struct pending *p = xcalloc(1, sizeof *p);
	enum err err;

	*p = *how;
	p->t = t;
	err = client_stream(t->client, e, timeout_ms, p->part ? on_part : NULL, on_done, p);
	if (err != ERR_OK)
		free(p);
	return (enum taxi_code)err;
}

static void
on_waited(void *arg, const struct taxi_answer *a)
{
	struct waiting *w = arg;

	w->done = true;
	w->code = taxi_answer_code(a);
	if (w->wanted) {
		w->answer = keep(&a->env);
		if (w->answer == NULL)
			w->code = TAXI_INTERNAL;
	}
	loop_stop(w->t->loop);
}

/* The end of a blocking call that was accepted or not. */
static enum taxi_code
wait_for(struct waiting *w, enum taxi_code accepted, struct taxi_answer **answer)
{
	if (accepted != TAXI_OK)
		return accepted;
	(void)priv_block(w->t, &w->done, 0);
	if (answer)
		*answer = w->answer;
	return w->code;
}

static bool
may_block(const struct taxi *t, struct taxi_answer **answer)
{
	if (answer)
		*answer = NULL;
	return t->depth == 0 && !t->blocking;
}

bool
priv_body(struct buf *b, const char *json, const void *body, size_t n, struct span *out)
{
	*out = body ? span_of(body, n) : (struct span){NULL, 0};
	if (json == NULL)
		return true;
	if (json_to_mp(span_str(json), b, NULL) != 0)
		return false;
	*out = buf_span(b);
	return true;
}

static void
set_cursor(struct env *e, const char *src, struct span cur, struct span was)
{
	env_set_s(e, ENV_M_SRC, span_str(src));
	env_set_s(e, ENV_M_CUR, cur);
	env_set_s(e, ENV_M_WAS, was);
}

/* e borrows from p and b. */
static enum taxi_code
fill_pub(const struct taxi_pub *p, struct env *e, struct buf *b)
{
	if (p->topic == NULL)
		return TAXI_BAD_TOPIC;
	env_init(e, ENV_PUB, span_str(p->topic), p->id);
	env_set_s(e, ENV_M_KEY, span_str(p->key));
	if (p->exp > 0)
		env_set_u(e, ENV_M_EXP, (uint64_t)p->exp);
	if (p->retain)
		env_set_u(e, ENV_M_RETAIN, 1);
	set_cursor(e, p->src, span_of(p->cur, p->cur_n), span_of(p->was, p->was_n));
	if (p->because)
		worker_inherit(p->because->w, e);
	return priv_body(b, p->json, p->body, p->body_n, &e->body) ? TAXI_OK : TAXI_INVALID;
}

enum taxi_code
taxi_publish_async(
    struct taxi *t, const struct taxi_pub *p, int64_t timeout_ms, taxi_done_fn *done, void *arg)
{
	enum taxi_code code;
	struct buf b;
	struct env e;

	buf_init(&b, LIMIT_FRAME);
	code = fill_pub(p, &e, &b);
	if (code == TAXI_OK)
		code = call(t, &e, timeout_ms, &(struct pending){.done = done, .arg = arg});
	buf_fini(&b);
	return code;
}

enum taxi_code
taxi_publish(
    struct taxi *t, const struct taxi_pub *p, int64_t timeout_ms, struct taxi_answer **answer)
{
	struct waiting w = {.t = t, .wanted = answer != NULL};

	if (!may_block(t, answer))
		return TAXI_INVALID;
	return wait_for(&w, taxi_publish_async(t, p, timeout_ms, on_waited, &w), answer);
}

static enum taxi_code
put_item(const struct taxi_pub *p, struct buf *out)
{
	enum taxi_code code;
	struct buf b;
	struct env e;

	buf_init(&b, LIMIT_FRAME);
	code = fill_pub(p, &e, &b);
	e.has &= ~(UINT64_C(1) << ENV_M_SRC | UINT64_C(1) << ENV_M_CUR | UINT64_C(1) << ENV_M_WAS);
	if (code == TAXI_OK && p->id == NULL)
		taxi_new_id(e.id);
	if (code == TAXI_OK)
		code = (enum taxi_code)env_put_item(&e, out);
	buf_fini(&b);
	return code;
}

enum taxi_code
taxi_batch_async(struct taxi *t, const struct taxi_items *items, int64_t timeout_ms,
    taxi_done_fn *done, void *arg)
{
	enum taxi_code code = items->n <= LIMIT_BATCH ? TAXI_OK : TAXI_TOO_BIG;
	struct buf b;
	struct env e;

	env_init(&e, ENV_BATCH, span_str(""), items->id);
	set_cursor(
	    &e, items->src, span_of(items->cur, items->cur_n), span_of(items->was, items->was_n));
	buf_init(&b, LIMIT_FRAME);
	mp_put_array(&b, items->n);
	for (size_t i = 0; i < items->n && code == TAXI_OK; i++)
		code = put_item(&items->v[i], &b);
	if (code == TAXI_OK && b.failed)
		code = TAXI_TOO_BIG;
	e.body = buf_span(&b);
	if (code == TAXI_OK)
		code = call(t, &e, timeout_ms, &(struct pending){.done = done, .arg = arg});
	buf_fini(&b);
	return code;
}

enum taxi_code
taxi_batch(
    struct taxi *t, const struct taxi_items *items, int64_t timeout_ms, struct taxi_answer **answer)
{
	struct waiting w = {.t = t, .wanted = answer != NULL};

	if (!may_block(t, answer))
		return TAXI_INVALID;
	return wait_for(&w, taxi_batch_async(t, items, timeout_ms, on_waited, &w), answer);
}

static enum taxi_code
request(struct taxi *t, const struct taxi_req *r, const struct pending *how, uint8_t *id)
{
	enum taxi_code code = TAXI_INVALID;
	struct buf b;
	struct env e;

	if (r->topic == NULL)
		return TAXI_BAD_TOPIC;
	env_init(&e, ENV_REQ, span_str(r->topic), r->id);
	if (r->again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	if (r->part && r->window != DEFAULT_PARTS && r->window > 0)
		env_set_u(&e, ENV_M_WINDOW, r->window);
	if (r->because)
		worker_inherit(r->because->w, &e);
	buf_init(&b, LIMIT_FRAME);
	if (priv_body(&b, r->json, r->body, r->body_n, &e.body))
		code = call(t, &e, r->ttl_ms, how);
	buf_fini(&b);
	if (id)
		memcpy(id, e.id, 16);
	return code;
}

enum taxi_code
taxi_request_async(struct taxi *t, const struct taxi_req *r, taxi_done_fn *done, uint8_t *id)
{
	const struct pending how = {
	    .done = done, .arg = r->arg, .part = r->part, .part_arg = r->arg, .hold = r->hold};

	return request(t, r, &how, id);
}

enum taxi_code
taxi_request(struct taxi *t, const struct taxi_req *r, struct taxi_answer **answer)
{
	struct waiting w = {.t = t, .wanted = answer != NULL};

	const struct pending how = {
	    .done = on_waited, .arg = &w, .part = r->part, .part_arg = r->arg, .hold = r->hold};

	if (!may_block(t, answer))
		return TAXI_INVALID;
	return wait_for(&w, request(t, r, &how, NULL), answer);
}

void
taxi_more(struct taxi *t, const uint8_t *id, unsigned n)
{
	client_more(t->client, id, n);
}

void
taxi_cancel(struct taxi *t, const uint8_t *id)
{
	client_cancel(t->client, id);
}

void
taxi_new_id(uint8_t id[16])
{
	uuid_v7(id, clock_real_ms());
}

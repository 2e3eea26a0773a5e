#include "edge-http/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "edge-http/reply.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum { PUBLISH_MS = 10000, ANSWER_MAX = 64 * 1024 * 1024 };

/* A call outlives its request when the client goes first. */
struct call {
	struct http_req *r; /* NULL: nobody waits any more */
	struct client *client;
	uint8_t id[16];
	bool request; /* REQ: may be cancelled */
	bool last, chunk;
	unsigned nlines;
};

static void
abandon(void *job)
{
	struct call *c = job;

	c->r = NULL;
	if (c->request)
		client_cancel(c->client, c->id);
}

void
call_abandon(struct http_req *r)
{
	struct call *c = r->job;

	/* its end, ERR GONE, comes back as the answer */
	if (c && r->job_end == abandon && c->request)
		client_cancel(c->client, c->id);
}

static struct call *
call_new(struct http_req *r, const struct env *e)
{
	struct call *c = xcalloc(1, sizeof *c);

	c->r = r;
	c->client = r->sh->client;
	c->request = e->verb == ENV_REQ;
	memcpy(c->id, e->id, sizeof c->id);
	return c;
}

static struct http_req *
call_done(struct call *c)
{
	struct http_req *r = c->r;

	if (r) {
		r->job = NULL;
		r->job_end = NULL;
	}
	return r;
}

/* `stored`: of a stream, how many lines are safe. */
static void
answer_error(struct http_req *r, const struct env *e, bool chunk)
{
	struct answer_about about = {.instance = r->root_text, .keyed = r->keyed, .stored = -1};

	if (chunk)
		about.stored = (int64_t)r->stored;
	answer_err(&r->answer, e, &about);
}

static void
on_end(void *arg, const struct env *e)
{
	struct call *c = arg;
	struct http_req *r = call_done(c);

	free(c);
	if (r == NULL)
		return;
	if (r->stream) {
		if (e->verb == ENV_REP)
			reply_stream_put(r->stream, e->body);
		reply_stream_end(r->stream, e->verb != ENV_REP);
		return;
	}
	if (e->verb == ENV_REP) {
		answer_rep(&r->answer, e, r->op->status);
	} else {
		answer_error(r, e, false);
	}
	http_answered(r);
}

static void
on_part(void *arg, const struct env *e)
{
	struct call *c = arg;
	struct http_req *r = c->r;

	if (r == NULL)
		return;
	if (r->stream) {
		reply_stream_put(r->stream, e->body);
		return;
	}
	answer_rep(&r->answer, e, r->op->status);
	if (!env_has(e, ENV_M_TYPE)) {
		(void)str_copy(
		    r->answer.type, sizeof r->answer.type, span_str("application/x-ndjson"));
	}
	buf_reset(&r->answer.body);
	r->stream = reply_stream_new(r, c->id);
	reply_stream_put(r->stream, e->body);
	http_answered(r);
}

static void
put_published(struct buf *b, const struct env *e)
{
	char text[UUID_TEXT + 1];
	bool durable = env_has(e, ENV_M_SEQ), groups = env_has(e, ENV_M_GROUPS);

	mp_put_map(b, 1u + durable + groups);
	mp_put_cstr(b, "id");
	mp_put_cstr(b, uuid_text(e->id, text));
	if (durable) {
		mp_put_cstr(b, "seq");
		mp_put_u64(b, env_u(e, ENV_M_SEQ, 0));
	}
	if (groups) {
		mp_put_cstr(b, "groups");
		mp_put_u64(b, env_u(e, ENV_M_GROUPS, 0));
	}
}

static void
on_published(void *arg, const struct env *e)
{
	struct call *c = arg;
	struct http_req *r = call_done(c);
	struct buf b;

	free(c);
	if (r == NULL)
		return;
	if (e->verb == ENV_OK) {
		buf_init(&b, 1024);
		put_published(&b, e);
		answer_json(&r->answer, env_has(e, ENV_M_SEQ) ? 202 : 200, buf_span(&b));
		buf_fini(&b);
	} else {
		answer_error(r, e, false);
	}
	http_answered(r);
}

static bool
is_sum(struct mp_r *key)
{
	struct span name = mp_peek(key) == MP_STR ? mp_str(key, LIMIT_HEADER) : span_str("");

	return span_is(name, "chunks") || span_is(name, "lines");
}

/* Append the pairs of a map but for those two; their number. */
static unsigned
copy_pairs(struct span map, struct buf *out)
{
	struct mp_r in, k;
	unsigned n, kept = 0;

	mp_r_init(&in, map);
	n = mp_map(&in);
	for (unsigned i = 0; i < n && !in.bad; i++) {
		struct span key = mp_raw(&in), value = mp_raw(&in);

		mp_r_init(&k, key);
		if (in.bad || is_sum(&k))
			continue;
		buf_put(out, key.p, key.n);
		buf_put(out, value.p, value.n);
		kept++;
	}
	return kept;
}

/* The last answer with `chunks` and `lines`, when it is a map. */
static void
answer_sum(struct http_req *r, const struct env *e)
{
	bool whole = e->body.n && mp_scan(e->body, LIMIT_NEST, LIMIT_BODY_ELEMENTS) == e->body.n;
	struct env sum = *e;
	struct buf pairs, b;
	struct mp_r in;
	unsigned n;

	buf_init(&pairs, LIMIT_FRAME_RX);
	buf_init(&b, LIMIT_FRAME_RX);
	mp_r_init(&in, e->body);
	if (whole && mp_peek(&in) == MP_MAP) {
		n = copy_pairs(e->body, &pairs);
		mp_put_map(&b, n + 2u);
		buf_put(&b, pairs.p, pairs.n);
		mp_put_cstr(&b, "chunks");
		mp_put_u64(&b, r->chunks);
		mp_put_cstr(&b, "lines");
		mp_put_u64(&b, r->stored);
		if (!b.failed && !pairs.failed)
			sum.body = buf_span(&b);
	}
	answer_rep(&r->answer, &sum, r->op->status);
	buf_fini(&pairs);
	buf_fini(&b);
}

static void
on_chunk(void *arg, const struct env *e)
{
	struct call *c = arg;
	struct http_req *r = call_done(c);
	bool last = c->last;
	unsigned nlines = c->nlines;

	free(c);
	if (r == NULL)
		return;
	if (e->verb != ENV_REP || env_u(e, ENV_M_STATUS, 200) >= 400) {
		if (e->verb == ENV_REP) {
			answer_rep(&r->answer, e, r->op->status);
		} else {
			answer_error(r, e, true);
		}
		http_answered(r);
		return;
	}
	r->stored += nlines;
	r->chunks++;
	if (!last) {
		http_continue(r);
		return;
	}
	answer_sum(r, e);
	http_answered(r);
}

static void
fail_early(struct http_req *r, enum err code)
{
	switch ((int)code) {
	case ERR_CONFLICT:
		http_fail_later(r, code, "a request with this Idempotency-Key is still running");
		break;
	case ERR_BUSY: http_fail(r, code, "too much is under way to the broker"); break;
	default: http_fail(r, code, NULL); break;
	}
}

/* Hand e over.  An id that is under way already may only be a caller's X-Request-Id, used twice:
 * then the request gets an id of its own; under an Idempotency-Key it is a repeat that came too
 * soon. */
static void
launch(struct http_req *r, struct env *e, int64_t timeout_ms, client_part_fn *part,
    client_done_fn *done)
{
	struct call *c;
	enum err err;

	if (!shard_bus_is_up(r->sh)) {
		http_fail(r, ERR_BUSY, "the broker cannot be reached");
		return;
	}
	env_set_s(e, ENV_M_ROOT, span_of(r->root, sizeof r->root));
	env_set_s(e, ENV_M_TRACE, span_str(r->trace));
	c = call_new(r, e);
	err = client_stream(r->sh->client, e, timeout_ms, part, done, c);
	if (err == ERR_CONFLICT && !r->keyed) {
		uuid_v7(e->id, clock_real_ms());
		memcpy(r->id, e->id, sizeof r->id);
		memcpy(c->id, e->id, sizeof c->id);
		err = client_stream(r->sh->client, e, timeout_ms, part, done, c);
	}
	if (err != ERR_OK) {
		free(c);
		fail_early(r, err);
		return;
	}
	r->job = c;
	r->job_end = abandon;
}

void
call_request(struct http_req *r, struct span topic, int64_t ttl_ms, struct span body)
{
	struct env e;

	env_init(&e, ENV_REQ, topic, r->id);
	e.body = body;
	if (r->op->again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	if (r->keyed)
		env_set_s(&e, ENV_M_DIG, span_of(r->dig, sizeof r->dig));
	launch(r, &e, ttl_ms, on_part, on_end);
}

void
call_publish(struct http_req *r, struct span topic, struct span body)
{
	struct span key = r->h.order_key;
	struct env e;

	env_init(&e, ENV_PUB, topic, r->id);
	e.body = body;
	if (key.p && (key.n == 0 || key.n > LIMIT_KEY || !str_is_utf8(key))) {
		http_fail_status(r, 400, "X-Order-Key is UTF-8 text of 1 to 255 bytes");
		return;
	}
	env_set_s(&e, ENV_M_KEY, key);
	if (r->keyed)
		env_set_s(&e, ENV_M_DIG, span_of(r->dig, sizeof r->dig));
	launch(r, &e, PUBLISH_MS, NULL, on_published);
}

static void
too_big(struct http_req *r)
{
	http_fail(r, ERR_TOO_BIG,
	    r->op && r->op->stream
		? "the body does not fit a frame of the bus (16 MiB); send it as "
		  "application/x-ndjson, which has no limit"
		: "the body does not fit a frame of the bus (16 MiB)");
}

/* Body of the REQ by the operation's parameters.  False with the answer filled. */
static bool
build(struct http_req *r, const struct request_in *in, struct buf *out)
{
	struct faults f;
	struct problem p = problem_of(ERR_INVALID);
	struct buf detail;
	enum request_say say;

	faults_init(&f);
	say = request_body(in, out, &f);
	if (say == REQUEST_UNREADABLE) {
		http_fail_status(r, 400, "the query has a broken escape");
	} else if (say == REQUEST_TOO_BIG) {
		too_big(r);
	} else if (say == REQUEST_INVALID) {
		buf_init(&detail, LIMIT_FRAME);
		faults_put(&f, &detail);
		p.instance = r->root_text;
		p.detail = span_str(f.first);
		p.more = buf_span(&detail);
		answer_problem(&r->answer, &p);
		buf_fini(&detail);
	}
	faults_fini(&f);
	return say == REQUEST_OK;
}

static struct request_in
input_of(const struct http_req *r)
{
	struct request_in in = {.op = r->op, .value = r->value, .query = r->target.query};

	if (r->has_payload)
		in.body = buf_span(&r->payload);
	return in;
}

void
call_chunk(struct http_req *r, bool last)
{
	const struct ndjson *lines = r->body.lines;
	struct request_in in = input_of(r);
	struct buf body;
	struct env e;
	uint8_t id[16];

	in.is_chunk = true;
	in.last = last;
	in.lines = buf_span(&lines->lines);
	in.nlines = lines->nlines;
	in.chunk = lines->chunk;
	in.first = r->stored;
	memcpy(in.of, r->id, sizeof in.of);
	buf_init(&body, LIMIT_FRAME);
	if (!build(r, &in, &body))
		goto out;
	request_chunk_id(id, r->id, lines->chunk);
	env_init(&e, ENV_REQ, span_str(r->op->topic), id);
	e.body = buf_span(&body);
	if (r->op->again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	if (r->keyed) {
		request_digest(r->dig, r->method, buf_span(&r->raw), in.lines);
		env_set_s(&e, ENV_M_DIG, span_of(r->dig, sizeof r->dig));
	}
	launch(r, &e, r->op->ttl_ms, NULL, on_chunk);
	if (r->job) {
		struct call *c = r->job;

		c->last = last;
		c->nlines = in.nlines;
	}
out:
	buf_fini(&body);
}

/* The bytes of the body into r->payload.  False with the answer filled. */
static bool
decode(struct http_req *r)
{
	struct span bytes = buf_span(&r->body.bytes);
	struct json_error err = {0};
	char text[240];

	if (r->keyed)
		request_digest(r->dig, r->method, buf_span(&r->raw), bytes);
	if (r->body.kind == BODY_NONE || bytes.n == 0) {
		if (!r->op->body_required)
			return true;
		http_fail_status(r, 400, "a request body is required");
		return false;
	}
	if (!r->as_json) {
		mp_put_bin(&r->payload, bytes);
	} else if (json_to_mp(bytes, &r->payload, &err) != 0 && !r->payload.failed) {
		snprintf(
		    text, sizeof text, "line %d, column %d: %s", err.line, err.column, err.text);
		http_fail_status(r, 400, text);
		return false;
	}
	if (r->payload.failed) {
		too_big(r);
		return false;
	}
	buf_fini(&r->body.bytes);
	r->has_payload = true;
	return true;
}

void
call_run(struct http_req *r)
{
	struct request_in in;
	struct buf body;

	if (!decode(r))
		return;
	if (r->table == r->sh->own.routes) {
		builtin_run(r);
		return;
	}
	in = input_of(r);
	if (r->op->nparams == 0) {
		call_request(r, span_str(r->op->topic), r->op->ttl_ms, in.body);
		return;
	}
	buf_init(&body, LIMIT_FRAME);
	if (build(r, &in, &body))
		call_request(r, span_str(r->op->topic), r->op->ttl_ms, buf_span(&body));
	buf_fini(&body);
}

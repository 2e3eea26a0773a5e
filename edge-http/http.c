#include "edge-http/http.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "edge-http/announce.h"
#include "edge-http/call.h"
#include "edge-http/intake.h"
#include "edge-http/reply.h"
#include "edge-http/text.h"
#include "edge-http/wait.h"
#include "proto/limits.h"

enum {
	TARGET_MAX = 32 * 1024,
	ANSWER_MAX = 64 * 1024 * 1024,
	DISCARD_MAX = 64 * 1024, /* what is read of an unwanted body to keep the connection */
	SPARE = 256,             /* requests kept for the next ones */
	SPARE_BUF = 1024,
};

static struct http_req *
req_make(void)
{
	struct http_req *r = xcalloc(1, sizeof *r);

	buf_init(&r->raw, TARGET_MAX);
	buf_init(&r->scratch, TARGET_MAX);
	buf_init(&r->payload, LIMIT_FRAME);
	answer_init(&r->answer, ANSWER_MAX);
	return r;
}

static void
req_destroy(struct http_req *r)
{
	buf_fini(&r->raw);
	buf_fini(&r->scratch);
	buf_fini(&r->payload);
	answer_fini(&r->answer);
	free(r);
}

/* One that was used before keeps its small buffers. */
static struct http_req *
req_new(struct shard *sh)
{
	struct http_req *r = LIST_FIRST(&sh->spare, struct http_req, node);
	struct http_req kept;

	if (r == NULL)
		return req_make();
	list_remove(&r->node);
	sh->nspare--;
	kept = (struct http_req){.raw = r->raw, .scratch = r->scratch, .payload = r->payload};
	kept.answer.body = r->answer.body;
	*r = kept;
	buf_reset(&r->raw);
	buf_reset(&r->scratch);
	buf_reset(&r->payload);
	return r;
}

static void
req_free(struct http_req *r)
{
	struct shard *sh = r->sh;

	answer_reset(&r->answer);
	if (sh->nspare < SPARE && r->raw.cap <= SPARE_BUF && r->scratch.cap <= SPARE_BUF &&
	    r->payload.cap <= SPARE_BUF && r->answer.body.cap <= SPARE_BUF) {
		list_push_front(&sh->spare, &r->node);
		sh->nspare++;
		return;
	}
	req_destroy(r);
}

void
http_free_spare(struct shard *sh)
{
	struct http_req *r;

	while ((r = LIST_FIRST(&sh->spare, struct http_req, node)) != NULL) {
		list_remove(&r->node);
		req_destroy(r);
	}
}

void *
http_on_uri(void *cls, const char *uri, struct MHD_Connection *mhd)
{
	struct shard *sh = cls;
	struct http_req *r = req_new(sh);

	r->sh = sh;
	r->mhd = mhd;
	r->conn = conn_of(mhd);
	r->method = "";
	r->started_us = clock_mono_us();
	r->slot = sh->unrouted;
	list_init(&r->node);
	list_init(&r->miss);
	buf_puts(&r->raw, uri ? uri : "");
	conn_header_begins(r->conn, r);
	return r;
}

static void
put_problem(struct http_req *r, struct problem p, const char *detail)
{
	p.detail = span_str(detail);
	p.instance = http_request_id(r);
	answer_problem(&r->answer, &p);
}

void
http_fail(struct http_req *r, enum err code, const char *detail)
{
	put_problem(r, problem_of(code), detail);
}

void
http_fail_later(struct http_req *r, enum err code, const char *detail)
{
	struct problem p = problem_of(code);

	p.retry = ERR_LATER;
	put_problem(r, p, detail);
}

void
http_fail_status(struct http_req *r, int status, const char *detail)
{
	put_problem(r, problem_of_status(status), detail);
}

bool
http_reads_body(const struct http_req *r)
{
	return r->phase == HTTP_BODY || r->phase == HTTP_DISCARD;
}

const char *
http_request_id(const struct http_req *r)
{
	return r->root_text[0] ? r->root_text : NULL;
}

static void
hold(struct http_req *r, size_t bytes)
{
	struct shard *sh = r->sh;

	sh->held = sh->held - r->held + bytes;
	r->held = bytes;
	metrics_set(sh->m, METRICS_HELD_BYTES, sh->held);
}

void
http_answered(struct http_req *r)
{
	r->phase = r->unread ? HTTP_DISCARD : HTTP_READY;
	if (r->unread)
		conn_body_moved(r->conn, r->body.in);
	wait_end(r);
}

void
http_continue(struct http_req *r)
{
	body_next(&r->body);
	conn_body_moved(r->conn, r->body.in);
	wait_end(r);
}

static void
refuse_body(struct http_req *r, enum body_say say)
{
	char text[320];
	const struct ndjson *n = r->body.lines;
	struct problem p = problem_of_status(400);
	int64_t stored = (int64_t)r->stored;

	switch (say) {
	case BODY_GZIP: snprintf(text, sizeof text, "the body is no gzip, or is damaged"); break;
	case BODY_LINE:
		snprintf(text, sizeof text, "line %llu (from 1), column %d: %s",
		    (unsigned long long)n->line, n->error.column, n->error.text);
		break;
	case BODY_LONG:
		p = problem_of(ERR_TOO_BIG);
		snprintf(text, sizeof text, "line %llu (from 1) is over 1 MiB",
		    (unsigned long long)n->line);
		break;
	case BODY_TOO_BIG:
		p = problem_of(ERR_TOO_BIG);
		snprintf(text, sizeof text, "the body is over --max-body");
		break;
	case BODY_MORE:
	case BODY_CHUNK:
	case BODY_DONE: return;
	}
	p.stored = n ? &stored : NULL;
	put_problem(r, p, text);
}

static void
drop_body(struct http_req *r)
{
	body_fini(&r->body);
	r->body.kind = BODY_NONE;
	hold(r, 0);
}

/* Where libmicrohttpd cannot answer: write it ourselves, and end. */
static enum MHD_Result
answer_past(struct http_req *r, const char *reason)
{
	conn_refuse(r->conn, r->answer.status, reason, buf_span(&r->answer.body));
	r->phase = HTTP_QUEUED;
	return MHD_NO;
}

/* The answer is known while the body still comes.  libmicrohttpd takes no answer now: a short rest
 * is read first, so that the connection can be kept; at a long one the answer is written past it.
 */
static enum MHD_Result
discard(struct http_req *r, size_t *n)
{
	const char *reason = r->answer.status == 413 ? "Content Too Large" : "Refused";

	r->discarded += *n;
	*n = 0;
	if (r->discarded <= DISCARD_MAX)
		return MHD_YES;
	return answer_past(r, reason);
}

/* A chunk goes out while the rest of the body waits in libmicrohttpd's buffer. */
static enum MHD_Result
send_chunk(struct http_req *r, bool last, size_t *n)
{
	call_chunk(r, last);
	if (r->answer.status == 0) {
		wait_suspend(r);
		return MHD_YES;
	}
	drop_body(r);
	if (r->unread) {
		r->phase = HTTP_DISCARD;
		return discard(r, n);
	}
	return reply_queue(r);
}

/* Whole bodies and lines have limits of their own; what nobody wants has this one. */
static bool
is_over(const struct http_req *r)
{
	return r->body.kind == BODY_NONE && r->body.in > (uint64_t)r->sh->edge->conf.max_body;
}

static enum MHD_Result
take(struct http_req *r, const char *data, size_t *n)
{
	size_t taken;
	enum body_say say = body_feed(&r->body, span_of(data, *n), &taken);

	*n -= taken;
	metrics_add(r->sh->m, METRICS_BODY_IN, (int64_t)taken);
	conn_body_moved(r->conn, r->body.in);
	hold(r, body_held(&r->body));
	if (is_over(r))
		say = BODY_TOO_BIG;
	if (say == BODY_MORE && r->sh->held > SHARD_HELD_MAX) {
		metrics_add(r->sh->m, METRICS_BUSY, 1);
		http_fail(r, ERR_BUSY, "too many request bodies are in memory");
	}
	if (say == BODY_CHUNK)
		return send_chunk(r, false, n);
	refuse_body(r, say);
	if (r->answer.status == 0)
		return MHD_YES;
	drop_body(r);
	r->phase = HTTP_DISCARD;
	return discard(r, n);
}

static enum MHD_Result
finish_body(struct http_req *r, size_t *n)
{
	enum body_say say = body_end(&r->body);

	r->unread = false;
	if (say == BODY_CHUNK)
		return send_chunk(r, false, n);
	if (say == BODY_DONE && r->body.kind == BODY_LINES)
		return send_chunk(r, true, n);
	if (say == BODY_DONE) {
		call_run(r);
	} else {
		refuse_body(r, say);
	}
	drop_body(r);
	if (r->answer.status == 0) {
		wait_begin(r);
		return MHD_YES;
	}
	return reply_queue(r);
}

/* Would the client send more than is worth reading?  Then it is answered now and the connection
 * ends. */
static bool
is_long(const struct http_req *r)
{
	uint64_t n = 0;

	if (r->must_close || text_is(text_trim(r->h.expect), "100-continue"))
		return true;
	return r->h.nlength &&
	       (str_u64(text_trim(r->h.length), UINT64_MAX, &n) != 0 || n > DISCARD_MAX);
}

/* A path that nobody has may have been announced a moment ago: a worker that is subscribed can be
 * asked at once, at every shard.  The same goes for the document. */
static bool
looks_again(struct http_req *r)
{
	struct shard *sh = r->sh;
	bool missed = r->op == NULL && (r->route == NULL || r->route->orphan) &&
		      (r->answer.status == 404 || r->answer.status == 503);
	bool shown = r->op && r->answer.status == 0 && r->table == sh->own.routes &&
		     builtin_shows_routes(r->op);

	if (r->looked || sh->routes == NULL || (!missed && !shown))
		return false;
	r->looked = announce_miss(sh->announce, r);
	return r->looked;
}

static void
forget_intake(struct http_req *r)
{
	answer_reset(&r->answer);
	routes_unref(r->table);
	r->table = NULL;
	r->route = NULL;
	r->op = NULL;
	r->h = (struct http_head){.nhost = 0};
	r->slot = r->sh->unrouted;
}

void
http_look_again(struct http_req *r)
{
	list_remove(&r->miss);
	r->job = NULL;
	r->job_end = NULL;
	wait_end(r);
}

static enum MHD_Result
begin(struct http_req *r, const char *method)
{
	r->method = method;
	forget_intake(r);
	intake(r);
	if (looks_again(r)) {
		wait_suspend(r);
		return MHD_YES;
	}
	if (r->answer.status == 414) /* all the memory there is may be in the query */
		return answer_past(r, "URI Too Long");
	r->unread = intake_has_body(r);
	if (r->unread) {
		conn_body_begins(r->conn);
	} else {
		r->conn->deadline_ms = 0;
	}
	if (r->answer.status == 0) {
		r->phase = HTTP_BODY;
		return MHD_YES;
	}
	if (r->must_close || (r->unread && is_long(r))) {
		r->conn->linger = true;
		return reply_queue(r);
	}
	r->phase = r->unread ? HTTP_DISCARD : HTTP_READY;
	return MHD_YES;
}

/* The number of parameters is libmicrohttpd's: NOLINTBEGIN(readability-function-size) */
enum MHD_Result
http_on_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
    const char *version, const char *data, size_t *n, void **ctx)
{
	struct http_req *r = *ctx;

	(void)cls;
	(void)mhd;
	(void)url;
	(void)version;
	if (r->conn->ended)
		return MHD_NO;
	/* with several chunks of an upload in its buffer libmicrohttpd goes on although it was
	 * suspended */
	if (r->suspended) {
		wait_asked(r);
		return MHD_YES;
	}
	r->sh->moved |= *n > 0 || r->phase > HTTP_BODY;
	switch (r->phase) {
	case HTTP_HEADER: return begin(r, method);
	case HTTP_BODY: return *n > 0 ? take(r, data, n) : finish_body(r, n);
	case HTTP_DISCARD:
		if (*n > 0)
			return discard(r, n);
		return reply_queue(r);
	case HTTP_READY: return reply_queue(r);
	case HTTP_QUEUED: *n = 0; return MHD_YES;
	}
	return MHD_NO;
}
/* NOLINTEND(readability-function-size) */

void
http_refuse_length(struct shard *sh)
{
	struct conn *c;

	LIST_EACH (c, &sh->conns, struct conn, node) {
		struct http_req *r = c->req;
		const char *text = NULL;
		uint64_t n;

		if (r == NULL || r->phase != HTTP_HEADER || c->ended)
			continue;
		text = MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, "Content-Length");
		if (text == NULL || str_u64(span_str(text), UINT64_MAX, &n) == 0)
			continue;
		intake_identify(r);
		if (text[0] && text[strspn(text, "0123456789")] == '\0') {
			http_fail(r, ERR_TOO_BIG, "Content-Length is over every limit");
		} else {
			http_fail_status(r, 400, "Content-Length is no number of bytes");
		}
		conn_refuse(c, r->answer.status, "Refused", buf_span(&r->answer.body));
	}
}

void
http_refuse_query(struct shard *sh)
{
	struct conn *c;

	LIST_EACH (c, &sh->conns, struct conn, node) {
		struct http_req *r = c->req;
		struct span rest;

		if (r == NULL || r->phase != HTTP_HEADER || c->ended)
			continue;
		rest = buf_span(&r->raw);
		(void)text_cut(&rest, '?');
		if (!target_is_long(rest))
			continue;
		intake_identify(r);
		intake_refuse_query(r);
		conn_refuse(c, 414, "URI Too Long", buf_span(&r->answer.body));
	}
}

static void
log_request(struct http_req *r, int status, int64_t us)
{
	struct shard *sh = r->sh;
	const char *route = r->route ? r->route->path : "";

	if (status >= 500 && log_allow(&sh->fail_lines, us / 1000 + r->started_us / 1000, 5)) {
		log_warn("request_failed", LOG_ID("id", r->root), LOG_S("method", r->method),
		    LOG_S("route", route), LOG_I("status", status), LOG_I("ms", us / 1000),
		    LOG_U("suppressed", sh->fail_lines.last));
	}
	if (sh->edge->conf.access_log) {
		log_info("access", LOG_ID("id", r->root), LOG_S("method", r->method),
		    LOG_B("target", buf_span(&r->raw)), LOG_S("route", route),
		    LOG_I("status", status), LOG_I("us", us), LOG_U("in", r->body.in),
		    LOG_U("out", r->out));
	}
}

static void
account(struct http_req *r, enum MHD_RequestTerminationCode how)
{
	struct shard *sh = r->sh;
	int64_t us = clock_mono_us() - r->started_us;
	int status = r->answer.status;

	if (r->phase == HTTP_HEADER) {
		if (!r->conn->ended)
			metrics_add(sh->m, METRICS_MALFORMED, 1);
		return;
	}
	if (r->phase != HTTP_QUEUED && r->conn->ended) {
		status = 408;
	} else if (r->phase != HTTP_QUEUED ||
		   (how != MHD_REQUEST_TERMINATED_COMPLETED_OK && !r->conn->ended)) {
		metrics_add(sh->m, METRICS_GONE, 1);
		status = r->phase == HTTP_QUEUED ? status : 499;
	}
	metrics_add(sh->m, METRICS_BODY_OUT, (int64_t)r->out);
	metrics_done(r->slot, status, us);
	log_request(r, status, us);
}

void
http_end(struct http_req *r, enum MHD_RequestTerminationCode how)
{
	if (r->job)
		r->job_end(r->job);
	account(r, how);
	wait_forget(r);
	conn_idles(r->conn);
	drop_body(r);
	reply_stream_free(r->stream);
	routes_unref(r->table);
	req_free(r);
}

void
http_on_completed(
    void *cls, struct MHD_Connection *mhd, void **ctx, enum MHD_RequestTerminationCode how)
{
	struct http_req *r = *ctx;

	(void)cls;
	(void)mhd;
	if (r == NULL)
		return;
	*ctx = NULL;
	r->sh->moved = true; /* its connection may have the next one already */
	http_end(r, how);
}

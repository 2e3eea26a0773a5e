#include "edge-http/intake.h"

#include <stddef.h>

#include "base/clock.h"
#include "base/str.h"
#include "edge-http/media.h"
#include "edge-http/text.h"

static const struct {
	const char *name;
	size_t n, at, count; /* length of the name; count 0: not counted */
} HEADERS[] = {
#define H(name, field)                                                       \
	{                                                                    \
		name, sizeof(name) - 1, offsetof(struct http_head, field), 0 \
	}
#define HN(name, field)                                                    \
	{                                                                  \
		name, sizeof(name) - 1, offsetof(struct http_head, field), \
		    offsetof(struct http_head, n##field)                   \
	}
    HN("Host", host),
    H("Origin", origin),
    H("Sec-Fetch-Site", site),
    H("Content-Type", type),
    H("Content-Encoding", coding),
    H("Accept-Encoding", accept_coding),
    HN("Idempotency-Key", key),
    H("X-Request-Id", request_id),
    H("traceparent", trace),
    H("X-Order-Key", order_key),
    H("Expect", expect),
    HN("Content-Length", length),
    HN("Transfer-Encoding", te),
#undef H
#undef HN
};

static enum MHD_Result
on_header(
    void *cls, enum MHD_ValueKind kind, const char *key, size_t key_n, const char *value, size_t n)
{
	struct http_head *h = cls;
	struct span name = span_of(key, key_n);

	(void)kind;
	for (size_t i = 0; i < sizeof HEADERS / sizeof HEADERS[0]; i++) {
		char *base = (char *)h;

		if (!text_same(name, span_of(HEADERS[i].name, HEADERS[i].n)))
			continue;
		*(struct span *)(void *)(base + HEADERS[i].at) = span_of(value ? value : "", n);
		if (HEADERS[i].count)
			++*(unsigned *)(void *)(base + HEADERS[i].count);
		return MHD_YES;
	}
	h->bad_name |= key_n == 0 || strpbrk(key, " \t") != NULL;
	h->proxied |= guard_is_proxy_header(key);
	h->upgrade |= text_is(name, "Upgrade");
	return MHD_YES;
}

void
intake_identify(struct http_req *r)
{
	uint8_t other[16], *span_id = other + 8; /* the random end of an id */

	if (r->root_text[0])
		return;
	if (r->h.request_id.p == NULL || uuid_parse(text_trim(r->h.request_id), r->root) != 0)
		uuid_v7(r->root, clock_real_ms());
	(void)uuid_text(r->root, r->root_text);
	memcpy(r->id, r->root, sizeof r->id);
	uuid_v7(other, 0); /* what is fixed of it is never all zero */
	request_trace(text_trim(r->h.trace), r->root, span_id, r->trace);
}

/* Two lengths, or a length beside chunks, is how one request is hidden in another (RFC 9112, 6.3).
 */
static bool
frame_is_clear(struct http_req *r)
{
	const struct http_head *h = &r->h;
	const char *why = NULL;

	if (h->bad_name) { /* "Content-Length : 5" is a length to some */
		why = "a header has a space in its name";
	} else if (h->nte > 1 || (h->nte && !text_is(text_trim(h->te), "chunked"))) {
		why = "Transfer-Encoding is not chunked alone";
	} else if (h->nte && h->nlength) {
		why = "both Transfer-Encoding and Content-Length are given";
	} else if (h->nlength > 1) {
		why = "Content-Length is given more than once";
	} else if (h->nhost > 1) {
		why = "Host is given more than once";
	}
	if (why == NULL)
		return true;
	r->must_close = true;
	http_fail_status(r, 400, why);
	return false;
}

/* GET for HEAD; ROUTES_METHODS for what no route can have. */
static enum routes_method
method_of(struct http_req *r)
{
	int m;

	r->head = strcmp(r->method, "HEAD") == 0;
	m = routes_method_of(r->head ? "GET" : r->method);
	return m < 0 ? ROUTES_METHODS : (enum routes_method)m;
}

static void
find(struct http_req *r, struct routes *t, enum routes_method m, struct routes_match *out)
{
	buf_reset(&r->scratch);
	routes_match(t, m, r->target.path, &r->scratch, out);
	if (out->route == NULL)
		return;
	r->table = routes_ref(t);
	r->route = out->route;
	r->op = out->op;
	memcpy(r->value, out->value, sizeof r->value);
	r->slot = out->op ? out->op->slot : out->route->slot;
}

static bool
is_guarded(struct http_req *r)
{
	struct guard_ask ask = {.host = r->target.authority.p ? r->target.authority : r->h.host,
	    .origin = r->h.origin,
	    .sec_fetch_site = r->h.site,
	    .proxied = r->h.proxied,
	    .upgrade = r->h.upgrade,
	    .safe = r->op ? r->op->safe : r->head || strcmp(r->method, "GET") == 0};
	enum guard_say say;

	ask.safe |= strcmp(r->method, "OPTIONS") == 0;
	say = guard_ask(&r->sh->edge->conf.guard, &ask);
	if (say == GUARD_OK)
		return false;
	metrics_add(r->sh->m, METRICS_GUARD, 1);
	if (say == GUARD_NO_HOST) {
		http_fail_status(r, 400, guard_text(say));
	} else {
		http_fail(r, ERR_DENIED, guard_text(say));
	}
	return true;
}

/* Behind a proxy nobody is the local operator, and there is nobody else to be yet. */
static bool
is_stranger(struct http_req *r)
{
	bool own = r->op && r->table == r->sh->own.routes;

	if (!r->sh->edge->conf.behind_proxy || (own && builtin_is_open(r->op)))
		return false;
	http_fail(r, ERR_UNAUTHENTICATED,
	    "behind a proxy nobody is trusted without a key, and keys are not served yet");
	(void)answer_header(&r->answer, "WWW-Authenticate", span_str("Bearer"));
	return true;
}

static void
allow(struct http_req *r)
{
	struct buf b;

	buf_init(&b, 256);
	routes_allow(r->route, &b);
	(void)answer_header(&r->answer, "Allow", buf_span(&b));
	buf_fini(&b);
}

/* Why there is no operation to run. */
static void
refuse_route(struct http_req *r)
{
	bool options = strcmp(r->method, "OPTIONS") == 0;

	if (options && (r->route || span_is(r->target.path, "*"))) {
		r->answer.status = 204;
		if (r->route)
			allow(r);
	} else if (r->route && r->route->orphan) {
		http_fail(r, ERR_NO_WORKERS, "the service that has this path is not running");
	} else if (r->route) {
		http_fail_status(r, 405, NULL);
		allow(r);
	} else if (r->sh->routes == NULL) {
		http_fail(
		    r, ERR_BUSY, "the routes are not loaded yet: no answer from the broker so far");
	} else if (!shard_bus_is_up(r->sh)) { /* somebody may have announced it since */
		http_fail(r, ERR_BUSY, "no service had this path, and the broker cannot be asked");
	} else {
		http_fail_status(r, 404, "no service has this path");
	}
}

static bool
take_key(struct http_req *r)
{
	const struct http_head *h = &r->h;

	if (!r->op->keyed || h->nkey == 0)
		return true;
	if (h->nkey > 1 || h->key.n == 0 || h->key.n > REQUEST_KEY_MAX) {
		http_fail_status(r, 400, "Idempotency-Key is given once, with 1 to 255 bytes");
		return false;
	}
	r->keyed = true;
	request_key_id(r->id, r->method, r->target.path, h->key);
	return true;
}

/* What the operation takes: lines, JSON or bytes.  False with the answer filled: 415. */
static bool
type_is_taken(struct http_req *r, enum body_kind *kind)
{
	const struct routes_op *op = r->op;
	struct span type = media_type(r->h.type);
	bool declared = !op->body_declared;

	*kind = BODY_WHOLE;
	if (type.n == 0) { /* not said: what the operation takes, if that is JSON */
		r->as_json = true;
		for (size_t i = 0; i < op->ntypes; i++)
			declared |= media_is_json(span_str(op->types[i]));
	} else {
		r->as_json = media_is_json(type);
		declared = declared && r->as_json;
		for (size_t i = 0; i < op->ntypes; i++) {
			declared |= media_match(op->types[i], type) ||
				    (r->as_json && media_is_json(span_str(op->types[i])));
		}
		if (declared && op->stream && text_is(type, "application/x-ndjson"))
			*kind = BODY_LINES;
	}
	if (declared && (!r->as_json || media_charset_ok(r->h.type)))
		return true;
	http_fail_status(r, 415,
	    declared ? "the charset has to be UTF-8"
		     : "the operation does not take this Content-Type; /openapi.json names those "
		       "it does");
	return false;
}

static bool
coding_is_known(struct http_req *r, bool *zipped)
{
	struct span c = text_trim(r->h.coding);

	*zipped = text_is(c, "gzip") || text_is(c, "x-gzip");
	if (c.n == 0 || *zipped || text_is(c, "identity"))
		return true;
	http_fail_status(r, 415, "the only Content-Encoding is gzip");
	(void)answer_header(&r->answer, "Accept-Encoding", span_str("gzip"));
	return false;
}

bool
intake_has_body(const struct http_req *r)
{
	uint64_t n;

	return r->h.nte > 0 ||
	       (r->h.nlength && str_u64(text_trim(r->h.length), UINT64_MAX, &n) == 0 && n > 0);
}

/* A body where none has a meaning is read and dropped. */
static bool
wants_body(const struct routes_op *op)
{
	return op->method != ROUTES_GET && (op->body_declared || op->method != ROUTES_DELETE);
}

/* No lines at all are still a stream, if the request says that it is one. */
static bool
is_empty_stream(const struct http_req *r)
{
	return r->op->stream && text_is(media_type(r->h.type), "application/x-ndjson");
}

static bool
length_is_over(const struct http_req *r)
{
	uint64_t n, max = (uint64_t)r->sh->edge->conf.max_body;

	return r->h.nlength && (str_u64(text_trim(r->h.length), UINT64_MAX, &n) != 0 || n > max);
}

static void
open_body(struct http_req *r)
{
	enum body_kind kind = BODY_NONE;
	bool zipped = false;

	if (wants_body(r->op) && (intake_has_body(r) || is_empty_stream(r))) {
		if (!type_is_taken(r, &kind) || !coding_is_known(r, &zipped))
			return;
		if (kind == BODY_WHOLE && length_is_over(r)) {
			http_fail(r, ERR_TOO_BIG, "the body is over --max-body");
			return;
		}
	}
	if (body_init(&r->body, kind, zipped, (size_t)r->sh->edge->conf.max_body) != 0)
		http_fail(r, ERR_BUSY, "no memory to inflate the body");
}

void
intake_refuse_query(struct http_req *r)
{
	http_fail_status(r, 414, "the query has more than 256 parts");
}

void
intake(struct http_req *r)
{
	enum routes_method m = method_of(r);
	struct routes_match match = {0};

	(void)MHD_get_connection_values_n(r->mhd, MHD_HEADER_KIND, on_header, &r->h);
	intake_identify(r);
	if (!frame_is_clear(r))
		return;
	if (target_split(buf_span(&r->raw), &r->target) != 0) {
		http_fail_status(r, 400, "the request target cannot be read");
		return;
	}
	if (target_is_long(r->target.query)) {
		intake_refuse_query(r);
		return;
	}
	if (!span_is(r->target.path, "*")) {
		find(r, r->sh->own.routes, m, &match);
		if (r->route == NULL && r->sh->routes)
			find(r, r->sh->routes, m, &match);
	}
	if (is_guarded(r) || is_stranger(r))
		return;
	if (match.bad) {
		http_fail_status(r, 400, "the path has a broken escape, or too many segments");
	} else if (r->op == NULL) {
		refuse_route(r);
	} else if (take_key(r)) {
		open_body(r);
	}
}

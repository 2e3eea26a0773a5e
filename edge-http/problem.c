#include "edge-http/problem.h"

#include <inttypes.h>

#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"

static const struct problem OF_STATUS[] = {
    {.status = 400, .code = "BAD_REQUEST", .title = "The request cannot be read"},
    {.status = 404, .code = "NOT_FOUND", .title = "Not found"},
    {.status = 405, .code = "METHOD_NOT_ALLOWED", .title = "The path has no such method"},
    {.status = 408,
	.code = "REQUEST_TIMEOUT",
	.title = "The request came too slowly",
	.retry = ERR_LATER},
    {.status = 413, .code = "TOO_BIG", .title = "Too big"},
    {.status = 414, .code = "URI_TOO_LONG", .title = "The request target is too long"},
    {.status = 415, .code = "UNSUPPORTED_TYPE", .title = "The content type is not accepted"},
    {.status = 501, .code = "NOT_IMPLEMENTED", .title = "Not implemented"},
};

struct problem
problem_of(enum err code)
{
	return (struct problem){.status = err_http(code),
	    .code = err_name(code),
	    .title = err_title(code),
	    .retry = err_retry(code)};
}

struct problem
problem_of_status(int status)
{
	for (size_t i = 0; i < sizeof OF_STATUS / sizeof OF_STATUS[0]; i++) {
		if (OF_STATUS[i].status == status)
			return OF_STATUS[i];
	}
	return problem_of(ERR_INTERNAL);
}

static bool
is_own(struct span key)
{
	/* `headers` of an ERR's detail are sent as such */
	static const char *const own[] = {"type", "title", "status", "detail", "instance",
	    "retryable", "retry", "code", "headers"};

	for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
		if (span_is(key, own[i]))
			return true;
	}
	return false;
}

static void
put_text(struct buf *out, const char *key, struct span value)
{
	if (value.p == NULL)
		return;
	buf_printf(out, ",\"%s\":", key);
	json_put_str(out, value);
}

static void
put_more(struct buf *out, const struct problem *p)
{
	struct span more = p->more;
	struct mp_r r;
	unsigned n;

	if (more.p == NULL || mp_scan(more, LIMIT_NEST, LIMIT_BODY_ELEMENTS) != more.n)
		return;
	mp_r_init(&r, more);
	if (mp_peek(&r) != MP_MAP)
		return;
	n = mp_map(&r);
	for (unsigned i = 0; i < n && !r.bad; i++) {
		bool text = mp_peek(&r) == MP_STR;
		struct span key = mp_raw(&r), value = mp_raw(&r), name;
		struct mp_r k;

		if (!text || r.bad)
			continue;
		mp_r_init(&k, key);
		name = mp_str(&k, LIMIT_HEADER);
		if (k.bad || (is_own(name) || (p->stored && span_is(name, "stored"))))
			continue;
		buf_putc(out, ',');
		json_put_str(out, name);
		buf_putc(out, ':');
		if (json_from_mp(value, out, 0) != 0)
			buf_puts(out, "null");
	}
}

void
problem_put(const struct problem *p, struct buf *out)
{
	buf_printf(out, "{\"type\":\"urn:taxiway:error:%s\"", p->code);
	put_text(out, "title", span_str(p->title));
	buf_printf(out, ",\"status\":%d", p->status);
	put_text(out, "detail", p->detail);
	put_text(out, "instance", span_str(p->instance));
	buf_printf(out, ",\"retryable\":%s", p->retry == ERR_LATER ? "true" : "false");
	put_text(out, "retry",
	    span_str(p->retry == ERR_LATER       ? "later"
		     : p->retry == ERR_UNCERTAIN ? "uncertain"
						 : "never"));
	put_text(out, "code", span_str(p->code));
	if (p->stored)
		buf_printf(out, ",\"stored\":%" PRId64, *p->stored);
	put_more(out, p);
	buf_puts(out, "}\n");
}

#include "edge-http/answer.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "edge-http/text.h"
#include "proto/json.h"
#include "proto/mp.h"

void
answer_init(struct answer *a, size_t max_body)
{
	*a = (struct answer){.status = 0};
	buf_init(&a->body, max_body);
}

void
answer_reset(struct answer *a)
{
	for (unsigned i = 0; i < a->nh; i++) {
		free(a->h[i].name);
		free(a->h[i].value);
	}
	a->nh = 0;
	a->status = 0;
	a->type[0] = '\0';
	buf_reset(&a->body);
}

void
answer_fini(struct answer *a)
{
	answer_reset(a);
	buf_fini(&a->body);
}

static bool
is_token(const char *s)
{
	static const char ok[] = "!#$%&'*+-.^_`|~0123456789"
				 "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return s[0] && s[strspn(s, ok)] == '\0';
}

/* What frames the message, and what the edge itself says of it. */
static bool
is_ours(const char *name)
{
	static const char *const ours[] = {"Connection", "Keep-Alive", "Transfer-Encoding", "TE",
	    "Trailer", "Upgrade", "Content-Length", "Content-Encoding", "Content-Type", "Date",
	    "X-Request-Id", "traceparent"};

	for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
		if (text_is(span_str(name), ours[i]))
			return true;
	}
	return text_begins(span_str(name), "Proxy-");
}

static bool
is_value(struct span v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < 0x20 || v.p[i] == 0x7f)
			return false;
	}
	return true;
}

bool
answer_header(struct answer *a, const char *name, struct span value)
{
	if (a->nh == ANSWER_HEADERS || !is_token(name) || is_ours(name) || !is_value(value))
		return false;
	a->h[a->nh].name = xstrdup(name);
	a->h[a->nh++].value = span_dup(value.p ? value : span_str(""));
	return true;
}

static bool
has_header(const struct answer *a, const char *name)
{
	for (unsigned i = 0; i < a->nh; i++) {
		if (text_is(span_str(a->h[i].name), name))
			return true;
	}
	return false;
}

/* The value under `name` of a map; {NULL, 0} when there is none. */
static struct span
member(struct span map, const char *name)
{
	struct span none = {NULL, 0};
	struct mp_r r;
	unsigned n;

	mp_r_init(&r, map);
	if (map.p == NULL || mp_peek(&r) != MP_MAP)
		return none;
	n = mp_map(&r);
	for (unsigned i = 0; i < n && !r.bad; i++) {
		struct span key = mp_raw(&r), value = mp_raw(&r);
		struct mp_r k;

		mp_r_init(&k, key);
		if (!r.bad && mp_peek(&k) == MP_STR && span_is(mp_str(&k, LIMIT_HEADER), name))
			return value;
	}
	return none;
}

/* A map of str to str; what is not is left out. */
static void
headers_of(struct answer *a, struct span raw)
{
	struct mp_r r;
	unsigned n;

	if (raw.p == NULL)
		return;
	mp_r_init(&r, raw);
	if (mp_peek(&r) != MP_MAP)
		return;
	n = mp_map(&r);
	for (unsigned i = 0; i < n; i++) {
		struct span key = mp_str(&r, 128), value = mp_str(&r, LIMIT_HEADER);
		char name[129];

		if (r.bad)
			return;
		if (str_copy(name, sizeof name, key) && strlen(name) == key.n)
			(void)answer_header(a, name, value);
	}
}

static void
set_type(struct answer *a, const char *type)
{
	(void)str_copy(a->type, sizeof a->type, span_str(type));
}

void
answer_problem(struct answer *a, const struct problem *p)
{
	a->status = p->status;
	set_type(a, "application/problem+json");
	buf_reset(&a->body);
	problem_put(p, &a->body);
	if (p->retry == ERR_LATER && p->status != 408 && !has_header(a, "Retry-After"))
		(void)answer_header(a, "Retry-After", span_str("1"));
}

void
answer_json(struct answer *a, int status, struct span body)
{
	struct problem p;

	a->status = status;
	set_type(a, "application/json");
	if (status == 204 || status == 304)
		return;
	if (json_from_mp(body, &a->body, 0) == 0) {
		buf_putc(&a->body, '\n');
		if (!a->body.failed)
			return;
	}
	p = problem_of(ERR_UPSTREAM);
	p.detail = span_str("the service's answer cannot be written as JSON");
	answer_problem(a, &p);
}

void
answer_rep(struct answer *a, const struct env *rep, int status)
{
	struct span type = env_s(rep, ENV_M_TYPE), raw;
	uint64_t st = env_u(rep, ENV_M_STATUS, (uint64_t)status);
	enum mp_type kind;
	struct mp_r r;

	answer_reset(a);
	headers_of(a, env_s(rep, ENV_M_HEADERS));
	if (st < 200 || st > 599)
		st = 500;
	mp_r_init(&r, rep->body);
	kind = rep->body.n ? mp_peek(&r) : MP_NIL;
	if (kind != MP_BIN && (kind != MP_STR || type.p == NULL)) {
		answer_json(a, (int)st, rep->body);
		if (type.p && a->status == (int)st && is_value(type))
			(void)str_copy(a->type, sizeof a->type, type);
		return;
	}
	raw = kind == MP_BIN ? mp_bin(&r, LIMIT_FRAME) : mp_str(&r, LIMIT_FRAME);
	a->status = (int)st;
	if (type.p == NULL || !is_value(type) || !str_copy(a->type, sizeof a->type, type))
		set_type(a, "application/octet-stream");
	buf_put(&a->body, raw.p, raw.n);
}

void
answer_err(struct answer *a, const struct env *err, const struct answer_about *about)
{
	enum err code = env_err_code(err);
	struct problem p = problem_of(code);

	answer_reset(a);
	headers_of(a, env_s(err, ENV_M_HEADERS));
	headers_of(a, member(env_s(err, ENV_M_DETAIL), "headers"));
	p.instance = about->instance;
	p.detail = env_err_text(err);
	p.more = env_s(err, ENV_M_DETAIL);
	p.stored = about->stored < 0 ? NULL : &about->stored;
	if (code == ERR_CONFLICT && about->keyed)
		p.status = 422;
	answer_problem(a, &p);
}

#include "proto/env_impl.h"

#include <string.h>

#include "base/str.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { DETAIL_MAX = 2048 };

const char env_verb_names[ENV_VERB_COUNT][ENV_NAME] = {
#define X(v) [ENV_##v] = #v,
    ENV_VERBS(X)
#undef X
};

const char env_meta_names[ENV_M_COUNT][ENV_NAME] = {
#define X(id, name, kind, max) [ENV_M_##id] = #name,
    ENV_METAS(X)
#undef X
};

#define X(v) _Static_assert(sizeof #v - 1 <= ENV_NAME, "a verb fits a word");
ENV_VERBS(X)
#undef X
#define X(id, name, kind, max) _Static_assert(sizeof #name - 1 <= ENV_NAME, "a key fits a word");
ENV_METAS(X)
#undef X

const struct env_meta_rule env_meta_rules[ENV_M_COUNT] = {
#define X(id, name, k, limit) \
	[ENV_M_##id] = {.kind = #k[0], .len = sizeof #name - 1, .max = (uint64_t)(limit)},
    ENV_METAS(X)
#undef X
};

const char *
env_verb_name(enum env_verb v)
{
	static const char *const names[ENV_VERB_COUNT] = {[ENV_NONE] = "NONE",
#define X(v) [ENV_##v] = #v,
	    ENV_VERBS(X)
#undef X
	};

	return names[(unsigned)v < ENV_VERB_COUNT ? v : ENV_NONE];
}

void
env_init(struct env *e, enum env_verb verb, struct span topic, const uint8_t *id)
{
	e->verb = verb;
	e->topic = topic;
	e->has = 0;
	e->body = (struct span){NULL, 0};
	if (id != NULL) {
		memcpy(e->id, id, sizeof e->id);
	} else {
		memset(e->id, 0, sizeof e->id);
	}
}

static unsigned
find_name(const char (*names)[ENV_NAME], unsigned count, unsigned hint, struct span s)
{
	if (s.n == 0 || s.n > ENV_NAME || memchr(s.p, 0, s.n) != NULL)
		return count;
	return env_find_name(names, count, hint, s);
}

static bool
read_value(struct env *e, enum env_meta k, struct mp_r *r)
{
	switch (env_meta_rules[k].kind) {
	case 'U': env_set_u(e, k, mp_u64(r, env_meta_rules[k].max)); break;
	case 'T': env_set_u(e, k, mp_bool(r)); break;
	case 'S': env_set_s(e, k, mp_str(r, env_meta_rules[k].max)); break;
	case 'B': env_set_s(e, k, mp_bin(r, env_meta_rules[k].max)); break;
	default: env_set_s(e, k, mp_raw(r)); break;
	}
	if (env_meta_rules[k].kind == 'A' && e->m[k].s.n > env_meta_rules[k].max)
		return false;
	return !r->bad && (!env_meta_is_fixed(k) || e->m[k].s.n == env_meta_rules[k].max);
}

/* Sentences for a known key with a value that is not what it must be. */
static const char *const meta_why[ENV_M_COUNT] = {
#define WHY_U "an unsigned integer within its limit"
#define WHY_T "a bool"
#define WHY_S "a str within its limit"
#define WHY_B "a bin of its length"
#define WHY_A "a msgpack value within its limit"
#define X(id, name, kind, max) [ENV_M_##id] = "meta key " #name ": expected " WHY_##kind,
    ENV_METAS(X)
#undef X
};

static const char *
read_meta(struct env *e, struct mp_r *r)
{
	unsigned n = mp_map(r), hint = 0;

	if (r->bad)
		return "meta: expected a map";
	if (n > LIMIT_META_KEYS)
		return "meta: more than 32 keys";
	for (unsigned i = 0; i < n; i++) {
		unsigned k = ENV_M_COUNT;

		if (mp_peek(r) == MP_STR) {
			k = find_name(env_meta_names, ENV_M_COUNT, hint, mp_str(r, SIZE_MAX));
		} else {
			mp_raw(r);
		}
		if (k == ENV_M_COUNT) {
			mp_raw(r);
			continue;
		}
		if (!read_value(e, (enum env_meta)k, r))
			return meta_why[k];
		hint = k + 1;
	}
	return NULL;
}

/* The id of a header that may be bad everywhere else; reads strings and numbers only, so the cost
 * does not grow with the frame. */
static void
recover_id(uint8_t id[16], struct span frame)
{
	struct span s;
	struct mp_r r;

	mp_r_init(&r, frame);
	mp_array(&r);
	for (int i = 0; i < 3; i++) {
		enum mp_type t = mp_peek(&r);

		if (t == MP_ARRAY || t == MP_MAP)
			return;
		mp_raw(&r);
	}
	s = mp_bin(&r, 16);
	if (s.n == 16)
		memcpy(id, s.p, 16);
}

static const char *
read_header(struct env *e, struct span header)
{
	struct mp_r r;
	uint64_t version;
	unsigned n, verb;

	mp_r_init(&r, header);
	n = mp_array(&r);
	if (r.bad || n < 5)
		return "header: expected an array of version, verb, topic, id, meta";
	version = mp_u64(&r, UINT64_MAX);
	if (r.bad || version != ENV_VERSION)
		return "version: expected 1";
	verb = find_name(env_verb_names, ENV_VERB_COUNT, ENV_NONE, mp_str(&r, SIZE_MAX));
	if (r.bad || verb == ENV_NONE || verb == ENV_VERB_COUNT)
		return "verb: not one of this version";
	e->verb = (enum env_verb)verb;
	e->topic = mp_str(&r, SIZE_MAX);
	if (r.bad)
		return "topic: expected a str";
	if (mp_bin(&r, 16).n != 16)
		return "id: expected a bin of 16 bytes";
	return read_meta(e, &r);
}

static const char *
check_topic(const struct env *e)
{
	bool needs = e->verb == ENV_PUB || e->verb == ENV_REQ || e->verb == ENV_MSG;

	if (e->verb == ENV_SUB || e->verb == ENV_UNSUB)
		return topic_is_pattern(e->topic) ? NULL : "topic: expected a pattern";
	if (e->topic.n == 0 && !needs)
		return NULL;
	return topic_is_valid(e->topic) ? NULL
					: "topic: expected tokens of A-Z a-z 0-9 _ - and dots";
}

static size_t
scan_header(struct span s)
{
	if (s.n > LIMIT_HEADER)
		s.n = LIMIT_HEADER;
	return mp_scan(s, LIMIT_NEST, LIMIT_HEADER_ELEMENTS);
}

/* A header of any kind, from the start. */
static const char *
read_frame(struct env *e, struct span frame, size_t *header)
{
	env_init(e, ENV_NONE, (struct span){NULL, 0}, NULL);
	recover_id(e->id, frame);
	if (frame.n > LIMIT_FRAME_RX)
		return "frame: over 16 MiB";
	*header = scan_header(frame);
	if (*header == 0)
		return "header: not msgpack within 8 KiB, 256 elements, 32 levels";
	return read_header(e, span_of(frame.p, *header));
}

/* Nothing, or one object. */
static bool
is_body(struct span s)
{
	return s.n == 0 || mp_scan(s, LIMIT_NEST, LIMIT_BODY_ELEMENTS) == s.n;
}

static const char *
check_body(const struct env *e, bool scan)
{
	struct span s = e->body;
	size_t n;

	if (e->verb == ENV_MSG) {
		if (s.n == 0)
			return "body: a MSG holds the sender's frame";
		if (!scan)
			return NULL;
		n = scan_header(s);
		if (n == 0)
			return "body: expected the sender's header";
		s = span_of(s.p + n, s.n - n);
	}
	return !scan || is_body(s) ? NULL : "body: expected one msgpack object or nothing";
}

enum err
env_decode(struct env *e, struct span frame, bool scan_body, const char **why)
{
	const char *unused, *bad = NULL;
	size_t n;

	if (why == NULL)
		why = &unused;
	*why = "";
	env_init(e, ENV_NONE, (struct span){NULL, 0}, NULL);
	n = frame.n <= LIMIT_FRAME_RX ? env_fast(e, frame) : 0;
	if (n == 0)
		bad = read_frame(e, frame, &n);
	if (frame.n > LIMIT_FRAME_RX) {
		*why = bad;
		return ERR_TOO_BIG;
	}
	if (bad == NULL) {
		if (n < frame.n)
			e->body = span_of(frame.p + n, frame.n - n);
		bad = check_body(e, scan_body);
	}
	if (bad != NULL) {
		*why = bad;
		return ERR_BAD_ENVELOPE;
	}
	bad = check_topic(e);
	if (bad != NULL) {
		*why = bad;
		return ERR_BAD_TOPIC;
	}
	return ERR_OK;
}

static enum err
put_value(const struct env *e, enum env_meta k, struct buf *out)
{
	const union env_value *v = &e->m[k];

	switch (env_meta_rules[k].kind) {
	case 'U':
		if (v->u > env_meta_rules[k].max)
			return ERR_BAD_ENVELOPE;
		mp_put_u64(out, v->u);
		return ERR_OK;
	case 'T': mp_put_bool(out, v->u != 0); return ERR_OK;
	default: break;
	}
	if (v->s.n > env_meta_rules[k].max)
		return ERR_TOO_BIG;
	if (env_meta_rules[k].kind == 'A') {
		buf_put(out, v->s.p, v->s.n);
		return ERR_OK;
	}
	if (env_meta_is_fixed(k) && v->s.n != env_meta_rules[k].max)
		return ERR_BAD_ENVELOPE;
	if (env_meta_rules[k].kind == 'S') {
		mp_put_str(out, v->s);
	} else {
		mp_put_bin(out, v->s);
	}
	return ERR_OK;
}

static enum err
put_meta(const struct env *e, struct buf *out)
{
	enum err rc;

	mp_put_map(out, (size_t)__builtin_popcountll(e->has));
	for (uint64_t left = e->has; left != 0; left &= left - 1) {
		enum env_meta k = (enum env_meta)__builtin_ctzll(left);

		mp_put_str(out, span_of(env_meta_names[k], env_meta_rules[k].len));
		rc = put_value(e, k, out);
		if (rc != ERR_OK)
			return rc;
	}
	return ERR_OK;
}

/* Raw values and text come from callers: what a reader would refuse is not sent. */
static bool
is_readable(struct span header)
{
	struct env e;

	e.has = 0;
	return env_fast(&e, header) == header.n || scan_header(header) == header.n;
}

static enum err
put_header(const struct env *e, struct buf *out)
{
	unsigned n = (unsigned)__builtin_popcountll(e->has);
	size_t from = out->n;
	enum err rc;

	if (n > LIMIT_META_KEYS)
		return ERR_TOO_BIG;
	mp_put_array(out, 5);
	mp_put_u64(out, ENV_VERSION);
	mp_put_cstr(out, env_verb_name(e->verb));
	mp_put_str(out, e->topic);
	mp_put_bin(out, span_of(e->id, sizeof e->id));
	rc = put_meta(e, out);
	if (rc != ERR_OK)
		return rc;
	if (out->failed || out->n - from > LIMIT_HEADER)
		return ERR_TOO_BIG;
	return is_readable(span_of(out->p + from, out->n - from)) ? ERR_OK : ERR_BAD_ENVELOPE;
}

enum err
env_encode(const struct env *e, struct buf *out)
{
	size_t from = out->n, limit = e->verb == ENV_MSG ? LIMIT_FRAME_RX : LIMIT_FRAME;
	enum err rc = put_header(e, out);

	if (rc == ERR_OK && (e->body.n > limit || out->n - from > limit - e->body.n))
		rc = ERR_TOO_BIG;
	if (rc == ERR_OK) {
		buf_put(out, e->body.p, e->body.n);
		if (out->failed)
			rc = ERR_TOO_BIG;
	}
	if (rc != ERR_OK)
		out->n = from;
	return rc;
}

enum err
env_put_item(const struct env *e, struct buf *out)
{
	size_t from = out->n;
	enum err rc;

	mp_put_array(out, 4);
	mp_put_str(out, e->topic);
	mp_put_bin(out, span_of(e->id, sizeof e->id));
	rc = put_meta(e, out);
	if (e->body.n > 0) {
		buf_put(out, e->body.p, e->body.n);
	} else {
		mp_put_nil(out);
	}
	if (rc == ERR_OK && out->failed)
		rc = ERR_TOO_BIG;
	if (rc != ERR_OK)
		out->n = from;
	return rc;
}

/* The longest start of s that is UTF-8, up to max bytes. */
static struct span
utf8_prefix(struct span s, size_t max)
{
	size_t n = 0;

	while (n < s.n) {
		size_t len = str_utf8_len(span_of(s.p + n, s.n - n));

		if (len == 0 || n + len > max)
			break;
		n += len;
	}
	return span_of(s.p, n);
}

enum err
env_encode_err(struct buf *out, const uint8_t id[16], enum err code, const char *text)
{
	uint8_t room[DETAIL_MAX + 64];
	struct buf detail = {.p = room, .cap = sizeof room, .max = sizeof room};
	struct env e;

	env_init(&e, ENV_ERR, span_str(""), id);
	env_set_s(&e, ENV_M_CODE, span_str(err_name(code)));
	env_set_s(&e, ENV_M_RETRY, span_str(err_retry_name(code)));
	if (text != NULL) {
		mp_put_map(&detail, 1);
		mp_put_cstr(&detail, "detail");
		mp_put_str(&detail, utf8_prefix(span_str(text), DETAIL_MAX));
		env_set_s(&e, ENV_M_DETAIL, buf_span(&detail));
	}
	return env_encode(&e, out);
}

enum err
env_err_code(const struct env *e)
{
	enum err code = err_of(env_s(e, ENV_M_CODE));

	return code == ERR_OK ? ERR_INTERNAL : code;
}

struct span
env_err_text(const struct env *e)
{
	struct span raw = env_s(e, ENV_M_DETAIL), text = {NULL, 0};
	struct mp_r r;
	unsigned n;

	if (raw.p == NULL)
		return raw;
	mp_r_init(&r, raw);
	if (mp_peek(&r) == MP_STR)
		return mp_str(&r, SIZE_MAX);
	n = mp_map(&r);
	for (unsigned i = 0; i < n && !r.bad; i++) {
		struct span key = mp_peek(&r) == MP_STR ? mp_str(&r, SIZE_MAX) : mp_raw(&r);

		if (span_is(key, "detail") && mp_peek(&r) == MP_STR) {
			text = mp_str(&r, SIZE_MAX);
		} else {
			mp_raw(&r);
		}
	}
	return text;
}

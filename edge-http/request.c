#include "edge-http/request.h"

#include <math.h>
#include <stdio.h>

#include "base/str.h"
#include "base/uuid.h"
#include "edge-http/target.h"
#include "proto/limits.h"
#include "proto/mp.h"

enum { NAME_MAX_BYTES = 512 };

static const char PRINCIPAL[] = "local";

/* The map being written: pairs first, so that their number is known. */
struct writing {
	const struct request_in *in;
	struct buf pairs, text;
	unsigned n;
	struct faults *faults;
};

static void
fault(struct writing *w, const struct routes_param *p, const char *text)
{
	char pointer[NAME_MAX_BYTES] = "";

	faults_push(pointer, sizeof pointer, span_str(p->name));
	faults_add(w->faults, pointer, "%s", text);
}

static bool
put_number(struct buf *b, struct span s, bool whole)
{
	int64_t i;
	uint64_t u;
	double d;

	if (str_i64(s, INT64_MIN, INT64_MAX, &i) == 0) {
		mp_put_i64(b, i);
	} else if (str_u64(s, UINT64_MAX, &u) == 0) {
		mp_put_u64(b, u);
	} else if (!whole && str_double(s, &d) == 0 && isfinite(d)) {
		mp_put_double(b, d);
	} else {
		return false;
	}
	return true;
}

static void
put_value(struct writing *w, const struct routes_param *p, struct span s)
{
	mp_put_cstr(&w->pairs, p->name);
	w->n++;
	switch (p->type) {
	case ROUTES_STR: mp_put_str(&w->pairs, s); return;
	case ROUTES_INT:
		if (!put_number(&w->pairs, s, true))
			fault(w, p, "expected an integer");
		return;
	case ROUTES_NUM:
		if (!put_number(&w->pairs, s, false))
			fault(w, p, "expected a number");
		return;
	case ROUTES_BOOL:
		if (!span_is(s, "true") && !span_is(s, "false"))
			fault(w, p, "expected true or false");
		mp_put_bool(&w->pairs, span_is(s, "true"));
		return;
	}
}

/* Look for p in the query.  REQUEST_OK with *found telling whether it is there. */
static enum request_say
put_query(struct writing *w, const struct routes_param *p, bool *found)
{
	struct span rest = w->in->query, name, value;

	for (int n = 0; n < TARGET_PAIRS && target_next(&rest, &name, &value); n++) {
		buf_reset(&w->text);
		if (target_decode(name, true, &w->text) != 0)
			return REQUEST_UNREADABLE;
		if (!span_is(buf_span(&w->text), p->name))
			continue;
		buf_reset(&w->text);
		if (target_decode(value, true, &w->text) != 0)
			return REQUEST_UNREADABLE;
		if (*found) {
			fault(w, p, "given more than once");
		} else {
			put_value(w, p, buf_span(&w->text));
		}
		*found = true;
	}
	return REQUEST_OK;
}

static enum request_say
put_params(struct writing *w)
{
	const struct routes_op *op = w->in->op;

	for (size_t i = 0; i < op->nparams; i++) {
		const struct routes_param *p = &op->params[i];
		bool found = false;

		if (p->place >= 0) {
			put_value(w, p, w->in->value[p->place]);
			continue;
		}
		if (put_query(w, p, &found) != REQUEST_OK)
			return REQUEST_UNREADABLE;
		if (found)
			continue;
		if (p->def.n > 0) {
			mp_put_cstr(&w->pairs, p->name);
			buf_put(&w->pairs, p->def.p, p->def.n);
			w->n++;
		} else if (p->required) {
			fault(w, p, "is required");
		}
	}
	return REQUEST_OK;
}

static void
put_payload(struct writing *w)
{
	const struct request_in *in = w->in;
	char of[UUID_TEXT + 1];

	if (in->is_chunk) {
		mp_put_cstr(&w->pairs, "lines");
		mp_put_array(&w->pairs, in->nlines);
		buf_put(&w->pairs, in->lines.p, in->lines.n);
		mp_put_cstr(&w->pairs, "chunk");
		mp_put_u64(&w->pairs, in->chunk);
		mp_put_cstr(&w->pairs, "last");
		mp_put_bool(&w->pairs, in->last);
		mp_put_cstr(&w->pairs, "first");
		mp_put_u64(&w->pairs, in->first);
		mp_put_cstr(&w->pairs, "of");
		mp_put_cstr(&w->pairs, uuid_text(in->of, of));
		w->n += 5;
	} else if (in->body.p) {
		mp_put_cstr(&w->pairs, "body");
		buf_put(&w->pairs, in->body.p, in->body.n);
		w->n++;
	}
}

enum request_say
request_body(const struct request_in *in, struct buf *out, struct faults *f)
{
	struct writing w = {.in = in, .faults = f};
	enum request_say say;

	if (in->op->nparams == 0 && !in->is_chunk) {
		buf_put(out, in->body.p, in->body.n);
		return out->failed ? REQUEST_TOO_BIG : REQUEST_OK;
	}
	buf_init(&w.pairs, LIMIT_FRAME);
	buf_init(&w.text, LIMIT_FRAME);
	say = put_params(&w);
	put_payload(&w);
	mp_put_map(out, w.n);
	buf_put(out, w.pairs.p, w.pairs.n);
	if (say == REQUEST_OK && f->n > 0)
		say = REQUEST_INVALID;
	if (say == REQUEST_OK && (out->failed || w.pairs.failed || w.text.failed))
		say = REQUEST_TOO_BIG;
	buf_fini(&w.pairs);
	buf_fini(&w.text);
	return say;
}

void
request_key_id(uint8_t id[16], const char *method, struct span path, struct span key)
{
	const struct span parts[] = {span_str(PRINCIPAL), span_str(method), path, key};
	uint8_t d[DIGEST_BYTES];

	digest_parts(d, parts, 4);
	uuid_v8(id, d);
}

void
request_chunk_id(uint8_t id[16], const uint8_t of[16], uint64_t chunk)
{
	char text[24];
	uint8_t d[DIGEST_BYTES];
	struct span parts[2] = {span_of(of, 16)};

	snprintf(text, sizeof text, "%llu", (unsigned long long)chunk);
	parts[1] = span_str(text);
	digest_parts(d, parts, 2);
	uuid_v8(id, d);
}

void
request_digest(uint8_t dig[DIGEST_BYTES], const char *method, struct span target, struct span body)
{
	const struct span parts[] = {span_str(method), target, body};

	digest_parts(dig, parts, 3);
}

static bool
is_hex(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!((p[i] >= '0' && p[i] <= '9') || (p[i] >= 'a' && p[i] <= 'f')))
			return false;
	}
	return true;
}

static bool
is_zero(const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (p[i] != '0')
			return false;
	}
	return true;
}

/* version-traceid-parentid-flags (W3C Trace Context); a later version may go on after a dash. */
static bool
is_trace(struct span s)
{
	if (s.n < REQUEST_TRACE || s.p[2] != '-' || s.p[35] != '-' || s.p[52] != '-')
		return false;
	if (!is_hex(s.p, 2) || !is_hex(s.p + 3, 32) || !is_hex(s.p + 36, 16) ||
	    !is_hex(s.p + 53, 2))
		return false;
	if (is_zero(s.p + 3, 32) || is_zero(s.p + 36, 16) || (s.p[0] == 'f' && s.p[1] == 'f'))
		return false;
	if (is_zero(s.p, 2))
		return s.n == REQUEST_TRACE;
	return s.n == REQUEST_TRACE || s.p[REQUEST_TRACE] == '-';
}

static char *
put_hex(char *to, const uint8_t *p, size_t n)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*to++ = digits[p[i] >> 4];
		*to++ = digits[p[i] & 15];
	}
	return to;
}

void
request_trace(struct span incoming, const uint8_t root[16], const uint8_t span_id[8],
    char out[REQUEST_TRACE + 1])
{
	bool known = is_trace(incoming);
	char *to = out;

	memcpy(to, "00-", 3);
	to += 3;
	if (known) {
		memcpy(to, incoming.p + 3, 32);
	} else {
		(void)put_hex(to, root, 16);
	}
	to += 32;
	*to++ = '-';
	to = put_hex(to, span_id, 8);
	*to++ = '-';
	memcpy(to, known ? (const char *)incoming.p + 53 : "01", 2);
	to[2] = '\0';
}

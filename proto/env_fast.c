#include "proto/env_impl.h"

struct cur {
	const uint8_t *p, *end;
	bool odd; /* not of the plain kind; sticky */
};

static uint8_t
byte(struct cur *c)
{
	if (c->p == c->end) {
		c->odd = true;
		return 0;
	}
	return *c->p++;
}

static uint64_t
number(struct cur *c, unsigned width)
{
	uint64_t v = 0;

	if ((size_t)(c->end - c->p) < width) {
		c->odd = true;
		return 0;
	}
	for (unsigned i = 0; i < width; i++)
		v = v << 8 | *c->p++;
	return v;
}

static struct span
bytes(struct cur *c, size_t n)
{
	struct span s = {c->p, n};

	if (c->odd || n > (size_t)(c->end - c->p)) {
		c->odd = true;
		return (struct span){NULL, 0};
	}
	c->p += n;
	return s;
}

static bool
is_ascii(struct span s)
{
	uint64_t all = 0, w;
	size_t i = 0;

	for (; i + sizeof w <= s.n; i += sizeof w) {
		memcpy(&w, s.p + i, sizeof w);
		all |= w;
	}
	for (; i < s.n; i++)
		all |= s.p[i];
	return (all & UINT64_C(0x8080808080808080)) == 0;
}

static struct span
text(struct cur *c)
{
	uint8_t lead = byte(c);
	struct span s = {NULL, 0};

	if (lead >= 0xa0 && lead <= 0xbf) {
		s = bytes(c, lead & 0x1f);
	} else if (lead == 0xd9) {
		s = bytes(c, number(c, 1));
	} else {
		c->odd = true;
	}
	c->odd |= !is_ascii(s);
	return s;
}

static struct span
bin(struct cur *c)
{
	if (byte(c) != 0xc4) {
		c->odd = true;
		return (struct span){NULL, 0};
	}
	return bytes(c, number(c, 1));
}

static uint64_t
whole(struct cur *c)
{
	uint8_t lead = byte(c);

	if (lead <= 0x7f)
		return lead;
	if (lead >= 0xcc && lead <= 0xcf)
		return number(c, 1u << (lead - 0xcc));
	c->odd = true;
	return 0;
}

static uint64_t
truth(struct cur *c)
{
	uint8_t lead = byte(c);

	c->odd |= lead != 0xc2 && lead != 0xc3;
	return lead == 0xc3;
}

/* A value with nothing inside it, as it is. */
static struct span
raw(struct cur *c)
{
	const uint8_t *from = c->p;

	if (from == c->end) {
		c->odd = true;
	} else if (*from == 0xc0) {
		c->p++;
	} else if (*from <= 0x7f || (*from >= 0xcc && *from <= 0xcf)) {
		(void)whole(c);
	} else {
		(void)text(c);
	}
	return span_of(from, (size_t)(c->p - from));
}

static void
value(struct cur *c, struct env *e, enum env_meta k)
{
	uint64_t max = env_meta_rules[k].max, u;
	struct span s;

	switch (env_meta_rules[k].kind) {
	case 'U':
	case 'T':
		u = env_meta_rules[k].kind == 'U' ? whole(c) : truth(c);
		c->odd |= u > max;
		env_set_u(e, k, u);
		return;
	case 'A':
		s = raw(c);
		c->odd |= s.n > max;
		env_set_s(e, k, s);
		return;
	default:
		s = env_meta_rules[k].kind == 'S' ? text(c) : bin(c);
		c->odd |= s.n > max || (env_meta_is_fixed(k) && s.n != max);
		env_set_s(e, k, s);
	}
}

static void
meta(struct cur *c, struct env *e)
{
	uint8_t lead = byte(c);
	unsigned hint = 0;

	c->odd |= lead < 0x80 || lead > 0x8f;
	for (unsigned n = lead & 0x0f; n > 0 && !c->odd; n--) {
		struct span name = text(c);
		unsigned k;

		if (c->odd || name.n == 0 || name.n > ENV_NAME) {
			c->odd = true;
			break;
		}
		k = env_find_name(env_meta_names, ENV_M_COUNT, hint, name);
		if (k == ENV_M_COUNT || name.n != env_meta_rules[k].len) {
			c->odd = true;
			break;
		}
		value(c, e, (enum env_meta)k);
		hint = k + 1;
	}
}

size_t
env_fast(struct env *e, struct span frame)
{
	struct cur c = {
	    frame.p, frame.p + (frame.n < LIMIT_HEADER ? frame.n : LIMIT_HEADER), false};
	struct span verb, id;
	unsigned k;

	if (frame.n < 2 || byte(&c) != 0x95 || byte(&c) != ENV_VERSION)
		return 0;
	verb = text(&c);
	e->topic = text(&c);
	id = bin(&c);
	if (c.odd || verb.n == 0 || verb.n > ENV_NAME || id.n != sizeof e->id)
		return 0;
	k = env_find_name(env_verb_names, ENV_VERB_COUNT, ENV_NONE, verb);
	if (k == ENV_NONE || k == ENV_VERB_COUNT || verb.p[verb.n - 1] == 0)
		return 0;
	e->verb = (enum env_verb)k;
	memcpy(e->id, id.p, sizeof e->id);
	meta(&c, e);
	return c.odd ? 0 : (size_t)(c.p - frame.p);
}

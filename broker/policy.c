#include "broker/policy.h"

#include <stdlib.h>

#include "base/die.h"
#include "proto/topic.h"

struct policies {
	struct policy *v[POLICIES_MOST]; /* most specific pattern first */
	unsigned n;
};

static const struct {
	const char *name;
	int64_t least, most;
} fields[] = {
#define X(id, name, least, most) {name, least, most},
    POLICY_TABLE(X)
#undef X
};

const char *
policy_name(enum policy_field f)
{
	return fields[f].name;
}

int64_t
policy_least(enum policy_field f)
{
	return fields[f].least;
}

int64_t
policy_most(enum policy_field f)
{
	return fields[f].most;
}

struct policies *
policies_new(void)
{
	return xcalloc(1, sizeof(struct policies));
}

void
policies_free(struct policies *s)
{
	for (unsigned i = 0; s != NULL && i < s->n; i++)
		free(s->v[i]);
	free(s);
}

static unsigned
place_of(const struct policies *s, struct span pattern)
{
	unsigned i = 0;

	while (i < s->n && topic_cmp_specific(span_str(s->v[i]->pattern), pattern) < 0)
		i++;
	/* Patterns that are as specific as each other stand together. */
	while (i < s->n && !span_is(pattern, s->v[i]->pattern) &&
	       topic_cmp_specific(span_str(s->v[i]->pattern), pattern) == 0)
		i++;
	return i;
}

const struct policy *
policies_find(const struct policies *s, struct span pattern)
{
	unsigned i = place_of(s, pattern);

	return i < s->n && span_is(pattern, s->v[i]->pattern) ? s->v[i] : NULL;
}

bool
policies_set(struct policies *s, const struct policy *p)
{
	unsigned i = place_of(s, span_str(p->pattern));

	if (i == s->n || strcmp(s->v[i]->pattern, p->pattern) != 0) {
		if (s->n == POLICIES_MOST)
			return false;
		memmove(s->v + i + 1, s->v + i, (s->n - i) * sizeof(struct policy *));
		s->v[i] = xcalloc(1, sizeof(struct policy));
		s->n++;
	}
	*s->v[i] = *p;
	return true;
}

void
policies_del(struct policies *s, struct span pattern)
{
	unsigned i = place_of(s, pattern);

	if (i == s->n || !span_is(pattern, s->v[i]->pattern))
		return;
	free(s->v[i]);
	s->n--;
	memmove(s->v + i, s->v + i + 1, (s->n - i) * sizeof(struct policy *));
}

unsigned
policies_count(const struct policies *s)
{
	return s->n;
}

const struct policy *
policies_at(const struct policies *s, unsigned i)
{
	return s->v[i];
}

void
policies_resolve(const struct policies *s, struct span pattern, int64_t v[POLICY_FIELDS])
{
	for (unsigned i = 0; i < s->n; i++) {
		if (!topic_within(pattern, span_str(s->v[i]->pattern)))
			continue;
		for (int f = 0; f < POLICY_FIELDS; f++)
			v[f] = v[f] == POLICY_UNSAID ? s->v[i]->v[f] : v[f];
	}
}

#include "services/service-gateway/choose.h"

#include <stdio.h>

static bool
has(const struct choose_list *l, const char *name)
{
	for (unsigned i = 0; i < l->n; i++) {
		if (strcmp(l->v[i].name, name) == 0)
			return true;
	}
	return false;
}

void
choose_order(const struct catalogue_service *s, const char *const *found, unsigned nfound,
    struct choose_list *out)
{
	int64_t longest = 0;

	out->n = 0;
	for (unsigned i = 0; i < s->nproviders; i++) {
		struct choose_candidate *c = &out->v[out->n++];

		snprintf(c->name, sizeof c->name, "%s", s->providers[i].name);
		c->timeout_ms = s->providers[i].timeout_ms;
		if (c->timeout_ms > longest)
			longest = c->timeout_ms;
	}
	for (unsigned i = 0; s->unlisted && i < nfound && out->n < CATALOGUE_MAX_PROVIDERS; i++) {
		struct choose_candidate *c = &out->v[out->n];

		if (has(out, found[i]))
			continue;
		snprintf(c->name, sizeof c->name, "%s", found[i]);
		c->timeout_ms = longest ? longest : 2000;
		out->n++;
	}
}

bool
choose_next(enum err code, bool repeatable)
{
	switch (err_retry(code)) {
	case ERR_LATER: return true;
	case ERR_UNCERTAIN: return repeatable;
	case ERR_NEVER:
		return code == ERR_NOT_FOUND; /* this provider does not serve it; another may */
	}
	return false;
}

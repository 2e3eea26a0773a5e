/* Patterns, said a second time: recursion over text, no trie. */
#include <stdio.h>
#include <string.h>

#include "tests/sim/sim.h"

const char *const pick_topics[TOPICS] = {"t.a", "t.b", "t.a.c", "t.b.c", "u", "sys.dead"};
const char *const pick_patterns[PATTERNS] = {"t.a", "t.*", "t.*.c", "t.>", "*.>"};

static bool
matches(const char *p, const char *t)
{
	size_t np = strcspn(p, "."), nt = strcspn(t, ".");

	if (nt == 0)
		return false;
	if (*p == '>')
		return true;
	if (!(np == 1 && *p == '*') && !(np == nt && memcmp(p, t, np) == 0))
		return false;
	if (p[np] == '\0' || t[nt] == '\0')
		return p[np] == t[nt];
	return matches(p + np + 1, t + nt + 1);
}

bool
pick_matches(int pattern, int topic)
{
	const char *p = pick_patterns[pattern], *t = pick_topics[topic];

	/* In first place no wildcard matches sys. */
	return matches(p, t) && !(strncmp(t, "sys.", 4) == 0 && *p == '*');
}

struct seen {
	struct sim *s;
	int topic, last, n[GROUPS], pools[PATTERNS];
};

static bool
on_entry(void *arg, struct match_entry *e)
{
	struct seen *x = arg;
	const struct owed *g = (const void *)e;

	if (e->kind != MATCH_GROUP)
		return true;
	x->n[g->at]++;
	if (g->pattern < x->last)
		sim_wrong(x->s, "%s before %s for %s", pick_patterns[x->last],
		    pick_patterns[g->pattern], pick_topics[x->topic]);
	x->last = g->pattern;
	return true;
}

void
pick_check(struct sim *s, int topic)
{
	struct seen x = {.s = s, .topic = topic};

	match_each(s->match, span_str(pick_topics[topic]), on_entry, &x);
	for (int i = 0; i < GROUPS; i++) {
		const struct owed *g = &s->g[i];
		bool want = g->there && pick_matches(g->pattern, topic);

		if (x.n[i] != (want ? 1 : 0))
			sim_wrong(s, "group %d (%s) was called %d times for %s", i,
			    pick_patterns[g->pattern], x.n[i], pick_topics[topic]);
	}
}

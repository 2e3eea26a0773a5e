/* The trie of patterns against topic_match on every one of them. */
#include <stdlib.h>

#include "broker/match.h"
#include "proto/topic.h"
#include "tests/unit/check.h"

enum { ENTRIES = 200, SEEDS = 300 };

static const char *const words[] = {"a", "b", "c", "sys", "live", "dead", "a-long-token_42"};

struct sub {
	struct match_entry e;
	char pattern[128];
	bool in;
	unsigned seen;
};

struct found {
	const char *last; /* pattern of the one before */
	bool out_of_order;
	unsigned n, stop_at;
};

static uint64_t state;

static unsigned
rnd(unsigned n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state % n);
}

static void
make(char *out, size_t size, bool pattern)
{
	unsigned n = 1 + rnd(4);
	size_t at = 0;

	for (unsigned i = 0; i < n; i++) {
		const char *w = words[rnd(sizeof words / sizeof *words)];

		if (pattern && rnd(4) == 0)
			w = i + 1 == n && rnd(2) ? ">" : "*";
		at += (size_t)snprintf(out + at, size - at, "%s%s", i ? "." : "", w);
	}
}

static bool
on_match(void *arg, struct match_entry *e)
{
	struct found *f = arg;
	struct sub *s = LIST_ITEM(e, struct sub, e);

	s->seen++;
	if (f->last && topic_cmp_specific(span_str(f->last), span_str(s->pattern)) > 0)
		f->out_of_order = true;
	f->last = s->pattern;
	return ++f->n != f->stop_at;
}

static bool
one_topic(struct match *m, struct sub *subs)
{
	struct found f = {0}, some = {.stop_at = 2};
	char topic[128];
	unsigned want = 0;

	make(topic, sizeof topic, false);
	for (int i = 0; i < ENTRIES; i++)
		subs[i].seen = 0;
	match_each(m, span_str(topic), on_match, &f);
	for (int i = 0; i < ENTRIES; i++) {
		bool should = subs[i].in && topic_match(span_str(subs[i].pattern), span_str(topic));

		want += should;
		if (subs[i].seen != should) {
			printf(
			    "# %s: %s was found %u times\n", topic, subs[i].pattern, subs[i].seen);
			return false;
		}
	}
	match_each(m, span_str(topic), on_match, &some);
	return f.n == want && !f.out_of_order && some.n == (want < 2 ? want : 2);
}

static bool
run(uint64_t seed)
{
	struct sub *subs = calloc(ENTRIES, sizeof *subs);
	struct match *m = match_new();
	bool ok = true;

	state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	for (int step = 0; step < 400 && ok; step++) {
		struct sub *s = &subs[rnd(ENTRIES)];

		if (s->in)
			match_del(m, &s->e);
		else
			make(s->pattern, sizeof s->pattern, true);
		s->in = !s->in;
		if (s->in)
			match_add(m, span_str(s->pattern), &s->e);
		ok = one_topic(m, subs);
	}
	for (int i = 0; i < ENTRIES; i++)
		match_del(m, &subs[i].e);
	ok = ok && match_nodes(m) == 1; /* nothing is left but the root */
	match_free(m);
	free(subs);
	return ok;
}

static bool
count(void *arg, struct match_entry *e)
{
	(void)e;
	++*(unsigned *)arg;
	return true;
}

static unsigned
hits(const char *pattern, const char *topic)
{
	struct match *m = match_new();
	struct match_entry e = {0};
	unsigned n = 0;

	match_add(m, span_str(pattern), &e);
	match_each(m, span_str(topic), count, &n);
	match_free(m); /* lets the entry go */
	match_del(m, &e);
	return n;
}

int
main(void)
{
	bool ok = true;

	CHECK(hits("a.b", "a.b") == 1);
	CHECK(hits("a.*", "a.b") == 1 && hits("a.*", "a") == 0 && hits("a.*", "a.b.c") == 0);
	CHECK(hits("a.>", "a.b.c") == 1 && hits("a.>", "a") == 0);
	CHECK(hits(">", "a.b") == 1 && hits(">", "sys.x") == 0 && hits(">", "live.x") == 0);
	CHECK(hits("*.x", "sys.x") == 0 && hits("sys.>", "sys.x") == 1 &&
	      hits("live.*", "live.x") == 1);
	for (uint64_t s = 1; s <= SEEDS && ok; s++) {
		ok = run(s);
		if (!ok)
			printf("# seed %llu\n", (unsigned long long)s);
	}
	CHECK(ok);
	return check_done();
}

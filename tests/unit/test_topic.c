#include "tests/unit/check.h"

#include <stdlib.h>

#include "proto/limits.h"
#include "proto/topic.h"

static bool
valid(const char *t)
{
	return topic_is_valid(span_str(t));
}

static bool
pattern(const char *t)
{
	return topic_is_pattern(span_str(t));
}

static bool
match(const char *p, const char *t)
{
	return topic_match(span_str(p), span_str(t));
}

static void
test_valid(void)
{
	char big[300];

	CHECK(valid("a") && valid("a.b") && valid("A-Z_09.x") && valid("_"));
	CHECK(!valid("") && !valid(".") && !valid("a.") && !valid(".a") && !valid("a..b"));
	CHECK(!valid("a.*") && !valid(">") && !valid("a b") && !valid("a/b") && !valid("\xc3\xa4"));
	CHECK(!topic_is_valid(span_of("a\0b", 3)) && !topic_is_valid((struct span){NULL, 0}));
	memset(big, 'x', sizeof big);
	CHECK(topic_is_valid(span_of(big, LIMIT_TOPIC)) &&
	      !topic_is_valid(span_of(big, LIMIT_TOPIC + 1)));
	CHECK(valid("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p") &&
	      !valid("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"));
	CHECK(pattern("a") && pattern("*") && pattern(">") && pattern("a.*.c") && pattern("*.>"));
	CHECK(!pattern("a.>.b") && !pattern(">.a") && !pattern("a*") && !pattern("**") &&
	      !pattern(""));
	CHECK(!pattern("a.") && !pattern(">.") && !pattern("a.>>"));
	CHECK(pattern("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.>") &&
	      !pattern("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.>"));
}

static void
test_match(void)
{
	CHECK(match("a.b", "a.b") && !match("a.b", "a.c") && !match("a.b", "a") &&
	      !match("a", "a.b"));
	CHECK(!match("a", "ab") && !match("ab", "a"));
	CHECK(match("a.*", "a.b") && !match("a.*", "a") && !match("a.*", "a.b.c"));
	CHECK(match("*.b", "a.b") && match("*", "a") && !match("*", "a.b"));
	CHECK(match("a.>", "a.b") && match("a.>", "a.b.c") && !match("a.>", "a"));
	CHECK(match(">", "a") && match(">", "a.b.c"));
	CHECK(match("a.*.c.>", "a.b.c.d.e") && !match("a.*.c.>", "a.b.c"));
	/* in first place a wildcard does not reach what belongs to the house */
	CHECK(
	    !match(">", "sys.changed") && !match("*.changed", "sys.changed") && !match("*", "sys"));
	CHECK(!match(">", "live.x") && !match("*.>", "live.x"));
	CHECK(match("sys.>", "sys.changed") && match("sys.*", "sys.dead") &&
	      match("live.>", "live.x"));
	CHECK(match("a.*", "a.sys") && match("a.>", "a.live.x") && match(">", "system.x") &&
	      match("*", "lives"));
}

static void
test_classes(void)
{
	CHECK(topic_is_durable(span_str("a.b")) && topic_is_durable(span_str("sys.dead")));
	CHECK(!topic_is_durable(span_str("sys.changed")) &&
	      !topic_is_durable(span_str("sys.dead.x")));
	CHECK(!topic_is_durable(span_str("live.x")) && !topic_is_durable(span_str("live")));
	CHECK(!topic_is_durable(span_str("sys")) && topic_is_durable(span_str("a.live")));
	CHECK(topic_is_sys(span_str("sys")) && topic_is_sys(span_str("sys.x")));
	CHECK(!topic_is_sys(span_str("a.sys")) && !topic_is_sys(span_str("system")) &&
	      !topic_is_sys(span_str("")));
	CHECK(span_is(topic_token(span_str("a.bc.d"), 1), "bc") &&
	      span_is(topic_token(span_str("a.bc.d"), 2), "d"));
	CHECK(
	    topic_token(span_str("a.bc.d"), 3).p == NULL && topic_token(span_str(""), 0).p == NULL);
	CHECK(topic_token(span_str("a"), 4000000000u).p == NULL);
}

static int
by_specific(const void *a, const void *b)
{
	return topic_cmp_specific(
	    span_str(*(const char *const *)a), span_str(*(const char *const *)b));
}

static void
test_order(void)
{
	const char *v[] = {">", "a.>", "*.>", "a.*.>", "a.*.c", "a.b.>", "a.b.*", "*.b.c", "a.b.c"};
	const char *want[] = {
	    "a.b.c", "a.b.*", "a.b.>", "a.*.c", "a.*.>", "a.>", "*.b.c", "*.>", ">"};
	unsigned wrong = 0, lopsided = 0;

	qsort(v, 9, sizeof v[0], by_specific);
	for (int i = 0; i < 9; i++) {
		wrong += strcmp(v[i], want[i]) != 0;
		for (int k = 0; k < 9; k++) {
			int ab = topic_cmp_specific(span_str(v[i]), span_str(v[k]));
			int ba = topic_cmp_specific(span_str(v[k]), span_str(v[i]));

			lopsided +=
			    (ab < 0) != (ba > 0) || (i == k && ab != 0) || (i < k && ab >= 0);
		}
	}
	CHECK(wrong == 0);
	CHECK(lopsided == 0);
	CHECK(topic_cmp_specific(span_str("a.b"), span_str("x.y")) == 0);
}

static bool
token_is(struct span text, const char *token)
{
	struct buf b, back;
	bool same;

	buf_init(&b, 1000);
	buf_init(&back, 1000);
	same = topic_put_token(&b, text) == 0 && span_is(buf_span(&b), token) &&
	       topic_is_valid(buf_span(&b)) && topic_token_text(buf_span(&b), &back) == 0 &&
	       span_eq(buf_span(&back), text);
	buf_fini(&b);
	buf_fini(&back);
	return same;
}

static bool
no_text(const char *token)
{
	size_t n = strlen(token);
	struct buf b;
	char *exact;
	bool refused;

	buf_init(&b, 1000);
	/* in memory of exactly its size, so that a sanitizer sees a read past it */
	exact = malloc(n ? n : 1);
	memcpy(exact, token, n);
	refused = topic_token_text(span_of(exact, n), &b) == -1 && b.n == 0;
	free(exact);
	buf_fini(&b);
	return refused;
}

static void
test_tokens(void)
{
	char all[256], many[80];
	struct buf b;
	unsigned bad = 0;

	CHECK(token_is(span_str("OT-2"), "OT-2"));
	CHECK(token_is(span_str("azAZ09-"), "azAZ09-"));
	CHECK(token_is((struct span){NULL, 0}, "_"));
	CHECK(token_is(span_str(""), "_"));
	CHECK(token_is(span_str("_"), "_5F"));
	CHECK(token_is(span_str("a.b/c d"), "a_2Eb_2Fc_20d"));
	CHECK(token_is(span_str("\xc3\xa4*>"), "_C3_A4_2A_3E"));
	CHECK(token_is(span_of("\0", 1), "_00"));
	for (int c = 0; c < 256; c++) {
		all[c] = (char)c;
		buf_init(&b, 1000);
		bad +=
		    topic_put_token(&b, span_of(&all[c], 1)) != 0 || !topic_is_valid(buf_span(&b));
		bad += !token_is(span_of(&all[c], 1), buf_cstr(&b));
		buf_fini(&b);
	}
	CHECK(bad == 0);
	memset(many, '.', sizeof many);
	buf_init(&b, 1000);
	CHECK(topic_put_token(&b, span_of(many, LIMIT_TOKEN)) == 0 && b.n == 3 * LIMIT_TOKEN);
	buf_reset(&b);
	CHECK(topic_put_token(&b, span_of(many, LIMIT_TOKEN + 1)) == -1 && b.n == 0);
	CHECK(no_text("") && no_text("__") && no_text("_2") && no_text("_") == false &&
	      no_text("a_2") && no_text("_2e") && no_text("_41") && no_text("_2D"));
	CHECK(no_text("a.b") && no_text("a_") && no_text("_G0") && no_text("*") &&
	      no_text("\xc3\xa4"));
	memset(many, 'x', sizeof many);
	many[LIMIT_TOKEN + 1] = 0;
	CHECK(no_text(many));
	many[LIMIT_TOKEN] = 0;
	CHECK(token_is(span_str(many), many));
	buf_fini(&b);
}

int
main(void)
{
	test_valid();
	test_match();
	test_classes();
	test_order();
	test_tokens();
	return check_done();
}

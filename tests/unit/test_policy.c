/* Policies: the most specific that says something. */
#include <stdio.h>

#include "broker/policy.h"
#include "tests/unit/check.h"

static struct policies *s;

static void
set(const char *pattern, enum policy_field f, int64_t v)
{
	struct policy p = {0};

	for (int i = 0; i < POLICY_FIELDS; i++)
		p.v[i] = POLICY_UNSAID;
	snprintf(p.pattern, sizeof(p.pattern), "%s", pattern);
	p.v[f] = v;
	CHECK(policies_set(s, &p));
}

static int64_t
get(const char *pattern, enum policy_field f)
{
	int64_t v[POLICY_FIELDS];

	for (int i = 0; i < POLICY_FIELDS; i++)
		v[i] = POLICY_UNSAID;
	policies_resolve(s, span_str(pattern), v);
	return v[f];
}

int
main(void)
{
	struct policy p = {.pattern = "x.last"};
	char name[16];

	s = policies_new();
	CHECK(get("t.x", POLICY_TRIES) == POLICY_UNSAID);
	set(">", POLICY_TRIES, 1);
	set("t.*", POLICY_TRIES, 2);
	set("t.>", POLICY_TRIES, 3);
	set("t.x", POLICY_TRIES, 4);
	set("*.x", POLICY_ACK_MS, 5);
	CHECK(get("u.x", POLICY_TRIES) == 1 && get("t.x", POLICY_TRIES) == 4);
	CHECK(get("t.y", POLICY_TRIES) == 2 && get("t.*", POLICY_TRIES) == 2);
	CHECK(get("t.y.z", POLICY_TRIES) == 3 && get("t.>", POLICY_TRIES) == 3);
	CHECK(get("*.x", POLICY_TRIES) == 1 && get(">", POLICY_TRIES) == 1);
	/* field by field */
	CHECK(get("t.x", POLICY_ACK_MS) == 5 && get("t.y", POLICY_ACK_MS) == POLICY_UNSAID);
	/* first place: neither * nor > is sys */
	CHECK(get("sys.dead", POLICY_TRIES) == POLICY_UNSAID);
	set("sys.dead", POLICY_TRIES, 9);
	CHECK(get("sys.dead", POLICY_TRIES) == 9);
	CHECK(policies_count(s) == 6);
	set("t.x", POLICY_TRIES, 7);
	CHECK(policies_count(s) == 6 && get("t.x", POLICY_TRIES) == 7);
	CHECK(policies_find(s, span_str("t.x"))->v[POLICY_TRIES] == 7);
	CHECK(policies_find(s, span_str("t.z")) == NULL);
	policies_del(s, span_str("t.x"));
	policies_del(s, span_str("t.z"));
	CHECK(policies_count(s) == 5 && get("t.x", POLICY_TRIES) == 2);
	for (unsigned i = policies_count(s); i < POLICIES_MOST; i++) {
		snprintf(name, sizeof(name), "p%u.>", i);
		set(name, POLICY_TRIES, i);
	}
	CHECK(!policies_set(s, &p));
	CHECK(get("p100.x", POLICY_TRIES) == 100);
	policies_free(s);
	policies_free(NULL);
	return check_done();
}

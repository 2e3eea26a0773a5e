/* Permissions: what the file says is what is allowed, and nothing else. */
#include <stdlib.h>

#include "broker/acl.h"
#include "proto/topic.h"
#include "proto/zpl.h"
#include "tests/unit/check.h"

#define K1 "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"
#define K2 "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"

static const char example[] = "# who may what\n"
			      "\n"
			      "lab-7   # the robot\n"
			      "    key = \"" K1 "\"\n"
			      "    publish = \"trigger.> rows.in\"\n"
			      "    subscribe = 'status.*'\n"
			      "    request = \"control-tower.> sys.ping.>\"\n"
			      "    serve = provider.email.*   # unquoted\r\n"
			      "    groups = \"lab.* backup\"\n"
			      "    route = \"provider-email\"\n"
			      "    act-as = 0\n"
			      "edge\n"
			      "    key = \"" K2 "\"\n"
			      "    subscribe = \"> sys.changed\"\n"
			      "    request = \">  sys.services sys.claim\"\n"
			      "    route = *\n"
			      "    act-as = 1";

static struct span
s(const char *t)
{
	return span_str(t);
}

static struct acl *
parse(const char *text, struct acl_fault *f)
{
	return acl_parse(s(text), f);
}

static void
test_an_entry_may_what_it_says(void)
{
	struct acl_fault f;
	struct acl *a = parse(example, &f);
	const struct acl_entry *lab = acl_find(a, K1), *edge = acl_find(a, K2);

	CHECK(a != NULL && a->n == 2 && a->local == NULL);
	CHECK_STR(lab->name, "lab-7");
	CHECK_STR(edge->name, "edge");
	CHECK(!lab->act_as && edge->act_as);
	CHECK(acl_allows(lab, ACL_PUBLISH, s("trigger.a.b")));
	CHECK(acl_allows(lab, ACL_PUBLISH, s("rows.in")));
	CHECK(!acl_allows(lab, ACL_PUBLISH, s("rows.in.x")));
	CHECK(!acl_allows(lab, ACL_PUBLISH, s("trigger")));
	CHECK(!acl_allows(lab, ACL_PUBLISH, s("status.x")));
	CHECK(acl_allows(lab, ACL_SUBSCRIBE, s("status.x")));
	CHECK(acl_allows(lab, ACL_SUBSCRIBE, s("status.*")));
	CHECK(!acl_allows(lab, ACL_SUBSCRIBE, s("status.>")));
	CHECK(!acl_allows(lab, ACL_SUBSCRIBE, s(">")));
	CHECK(acl_allows(lab, ACL_SERVE, s("provider.email.v1")));
	CHECK(!acl_allows(lab, ACL_SERVE, s("provider.*.v1")));
	CHECK(acl_allows(lab, ACL_REQUEST, s("sys.ping.x")));
	CHECK(!acl_allows(lab, ACL_REQUEST, s("sys.acl.reload")));
	CHECK(acl_allows(lab, ACL_GROUPS, s("lab.7")) && acl_allows(lab, ACL_GROUPS, s("backup")));
	CHECK(!acl_allows(lab, ACL_GROUPS, s("other")) && acl_allows(edge, ACL_GROUPS, s("other")));
	CHECK(acl_allows(lab, ACL_ROUTE, s("provider-email")));
	CHECK(!acl_allows(lab, ACL_ROUTE, s("provider-sms")));
	CHECK(acl_allows(edge, ACL_ROUTE, s("provider-sms")));
	CHECK(!acl_allows_feed(lab) && acl_allows_feed(edge));
	CHECK(!acl_allows(edge, ACL_PUBLISH, s("trigger.a")));
	acl_free(a);
}

static void
test_sys_and_live_are_named_or_not_allowed(void)
{
	struct acl_fault f;
	struct acl *a = parse("e\n    key = \"" K1 "\"\n    publish = \"> live.x\"\n"
			      "    subscribe = \"> sys.changed\"\n    request = \"> *.ping.a\"\n",
	    &f);
	const struct acl_entry *e = acl_find(a, K1);

	CHECK(acl_allows(e, ACL_PUBLISH, s("a.b")) && acl_allows(e, ACL_PUBLISH, s("live.x")));
	CHECK(!acl_allows(e, ACL_PUBLISH, s("live.y")) && !acl_allows(e, ACL_PUBLISH, s("sys.x")));
	CHECK(!acl_allows(e, ACL_REQUEST, s("sys.ping.a")) &&
	      !acl_allows(e, ACL_REQUEST, s("sys.drain")));
	CHECK(acl_allows(e, ACL_SUBSCRIBE, s(">")) && acl_allows(e, ACL_SUBSCRIBE, s("*.b")));
	CHECK(acl_allows(e, ACL_SUBSCRIBE, s("sys.changed")));
	CHECK(!acl_allows(e, ACL_SUBSCRIBE, s("sys.>")) &&
	      !acl_allows(e, ACL_SUBSCRIBE, s("sys.dead")) &&
	      !acl_allows(e, ACL_SUBSCRIBE, s("live.>")));
	acl_free(a);
}

static void
test_local_may_be_limited(void)
{
	struct acl_fault f;
	struct acl *a = parse("local\n    publish = a.>\n", &f);

	CHECK(a != NULL && a->local != NULL);
	CHECK(a && acl_allows(a->local, ACL_PUBLISH, s("a.b")));
	CHECK(a && !acl_allows(a->local, ACL_PUBLISH, s("b.b")));
	acl_free(a);
	a = parse("", &f);
	CHECK(a != NULL && a->n == 0);
	acl_free(a);
}

static void
test_two_keys_of_one_name(void)
{
	struct acl_fault f;
	struct acl *a =
	    parse("w\n    key = \"" K1 "\"\nw\n    key = \"" K2 "\"\n    publish = a\n", &f);

	CHECK(a && strcmp(acl_find(a, K1)->name, acl_find(a, K2)->name) == 0);
	CHECK(a && !acl_allows(acl_find(a, K1), ACL_PUBLISH, s("a")));
	CHECK(a && acl_allows(acl_find(a, K2), ACL_PUBLISH, s("a")));
	CHECK(a && acl_find(a, "0000000000000000000000000000000000000000") == NULL);
	acl_free(a);
}

static void
check_fault(const char *text, unsigned line, const char *entry, const char *field)
{
	struct acl_fault f;
	struct acl *a = parse(text, &f);

	CHECK(a == NULL);
	if (f.line != line || strcmp(f.entry, entry) != 0 || strcmp(f.field, field) != 0)
		printf("# line %u entry '%s' field '%s': %s\n", f.line, f.entry, f.field, f.why);
	CHECK(f.line == line && strcmp(f.entry, entry) == 0 && strcmp(f.field, field) == 0);
	CHECK(f.why != NULL);
	acl_free(a);
}

static void
test_a_mistake_says_where(void)
{
	check_fault("a\n", 1, "a", "key");
	check_fault("a\n    key = \"" K1 "\"\nb\n", 3, "b", "key");
	check_fault("a\n    key = short\n", 2, "a", "key");
	check_fault("a\n    key = \"\\ne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI_\"\n", 2, "a", "key");
	check_fault("a\n    key = \"" K1 "\"\n    key = \"" K2 "\"\n", 3, "a", "key");
	check_fault("a\n    key = \"" K1 "\"\nb\n    key = \"" K1 "\"\n", 4, "b", "key");
	check_fault("local\n    key = \"" K1 "\"\n", 2, "local", "key");
	check_fault("local\nlocal\n", 2, "local", "");
	check_fault("a\n    publish = a..b\n", 2, "a", "publish");
	check_fault("a\n    publish = a.>.b\n", 2, "a", "publish");
	check_fault("a\n    publish = a,b\n", 2, "a", "publish");
	check_fault("a\n    publish = a\n    publish = b\n", 3, "a", "publish");
	check_fault("a\n    publsh = a\n", 2, "a", "publsh");
	check_fault("a\n    act-as = yes\n", 2, "a", "act-as");
	check_fault("a\n    route = a.b\n", 2, "a", "route");
	check_fault("    publish = a\n", 1, "", "");
	check_fault("a = b\n", 1, "", "");
	check_fault("a\n  key = b\n", 2, "a", "");
	check_fault("a\n\tkey = b\n", 2, "a", "");
	check_fault("a\n    key = \"b\n", 2, "a", "");
	check_fault("a\n    key = \"b\" c\n", 2, "a", "");
	check_fault("a\n    publish\n", 2, "a", "");
	check_fault("a\n    publish\n        x = 1\n", 2, "a", "");
	check_fault("\x01\x02\x7f", 1, "", "");
}

static void
test_sizes_are_bounded(void)
{
	char *big = calloc(1, ACL_BYTES + 2);
	struct acl_fault f;
	size_t n = 0;

	memset(big, '#', ACL_BYTES + 1);
	CHECK(acl_parse(span_of(big, ACL_BYTES + 1), &f) == NULL);
	memset(big, 'a', 2000);
	CHECK(acl_parse(span_of(big, 2000), &f) == NULL && f.line == 1);
	for (unsigned i = 0; i <= ACL_ENTRIES; i++)
		n += (size_t)snprintf(big + n, ACL_BYTES - n, "e%u\n    key = \"%s%05u\"\n", i,
		    "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaL", i);
	CHECK(acl_parse(span_of(big, n), &f) == NULL && f.line == 2 * ACL_ENTRIES + 1);
	n = (size_t)snprintf(big, ACL_BYTES, "e\n    publish = ");
	for (unsigned i = 0; i <= ACL_PATTERNS; i++)
		n += (size_t)snprintf(big + n, ACL_BYTES - n, "a ");
	CHECK(acl_parse(span_of(big, n), &f) == NULL && strcmp(f.field, "publish") == 0);
	free(big);
}

/* Whatever the bytes: an answer, in time that follows the size. */
static void
test_garbage_is_refused(void)
{
	uint32_t x = 12345;
	uint8_t junk[8192];
	struct acl_fault f;
	int refused = 0;

	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < sizeof(junk); i++) {
			x = x * 1664525u + 1013904223u;
			junk[i] =
			    round % 2 ? (uint8_t)(x >> 24) : (uint8_t) "ab =\n\"'#>."[x >> 24 & 7];
		}
		struct acl *a = acl_parse(span_of(junk, sizeof(junk)), &f);

		refused += a == NULL;
		acl_free(a);
	}
	CHECK(refused == 200);
}

static void
test_every_cut_of_the_example_is_read_or_refused(void)
{
	struct acl_fault f;
	int whole = 0;

	for (size_t n = 0; n < sizeof(example); n++) {
		struct acl *a = acl_parse(span_of(example, n), &f);

		if (a != NULL)
			whole++;
		else
			check_bad += f.why == NULL;
		acl_free(a);
	}
	CHECK(whole > 0 && check_bad == 0);
}

/* topic_within against its definition, over every pattern and topic of a small world. */
static void
test_within_is_what_matching_says(void)
{
	static const char *const tokens[] = {"a", "b", "sys", "*", ">"};
	static char all[160][16];
	int n = 0, wrong = 0, pairs = 0;

	for (int i = 0; i < 5; i++) {
		snprintf(all[n++], 16, "%s", tokens[i]);
		for (int j = 0; j < 5 && i != 4; j++) {
			snprintf(all[n++], 16, "%s.%s", tokens[i], tokens[j]);
			for (int k = 0; k < 5 && j != 4; k++)
				snprintf(all[n++], 16, "%s.%s.%s", tokens[i], tokens[j], tokens[k]);
		}
	}
	for (int p = 0; p < n; p++) {
		for (int q = 0; q < n; q++) {
			bool within = topic_within(s(all[p]), s(all[q])), covered = true;

			pairs++;
			for (int t = 0; t < n && covered; t++) {
				if (topic_is_valid(s(all[t])) && topic_match(s(all[p]), s(all[t])))
					covered = topic_match(s(all[q]), s(all[t]));
			}
			/* Never more than what matches; and all of it, but for patterns that only
			 * the world's smallness makes equal. */
			if (within && !covered)
				wrong++;
		}
	}
	CHECK(pairs > 10000 && wrong == 0);
	CHECK(topic_within(s("a.b"), s("a.*")) && topic_within(s("a.*"), s("a.>")));
	CHECK(topic_within(s("a.>"), s("a.>")) && !topic_within(s("a.>"), s("a.*")));
	CHECK(!topic_within(s("a"), s("a.>")) && !topic_within(s("a.b.c"), s("a.*")));
	CHECK(!topic_within(s("sys.a"), s(">")) && topic_within(s(">"), s(">")));
	CHECK(topic_within(s("*.a"), s(">")) && !topic_within(s(">"), s("*")));
}

int
main(void)
{
	test_an_entry_may_what_it_says();
	test_sys_and_live_are_named_or_not_allowed();
	test_local_may_be_limited();
	test_two_keys_of_one_name();
	test_a_mistake_says_where();
	test_sizes_are_bounded();
	test_garbage_is_refused();
	test_every_cut_of_the_example_is_read_or_refused();
	test_within_is_what_matching_says();
	return check_done();
}

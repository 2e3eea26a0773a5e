/* --where. */
#include "tests/unit/check.h"

#include "cli/filter.h"
#include "proto/doc.h"
#include "proto/json.h"

static const char *const body =
    "{\"status\":\"failed\",\"n\":12,\"big\":9007199254740993,\"f\":1.5,\"neg\":-3,\"ok\":true,"
    "\"no\":false,\"nil\":null,\"spec\":{\"plate\":{\"rows\":8,\"a.b\":1}},"
    "\"items\":[{\"id\":\"x\"},{\"id\":\"y\"}],\"tags\":[\"a\",\"b, c\",7],\"text\":\"one, two\"}";

static bool
match(const char *where)
{
	struct filter f;
	struct doc d;
	struct buf b;
	const char *why;
	bool yes;

	buf_init(&b, 4096);
	yes = json_to_mp(span_str(body), &b, NULL) == 0 && doc_parse(&d, buf_span(&b)) == 0 &&
	    filter_parse(&f, where, &why) == 0 && filter_match(&f, &d.root);
	doc_fini(&d);
	buf_fini(&b);
	return yes;
}

static bool
is_bad(const char *where)
{
	struct filter f;
	const char *why = NULL;

	return filter_parse(&f, where, &why) == -1 && why != NULL;
}

static void
equal(void)
{
	CHECK(match(""));
	CHECK(match("status=failed"));
	CHECK(match("status==failed"));
	CHECK(match(".status=failed"));
	CHECK(!match("status=fail"));
	CHECK(match("n=12"));
	CHECK(match("n=12.0"));
	CHECK(!match("n=\"12\""));
	CHECK(match("big=9007199254740993"));
	CHECK(!match("big=9007199254740992"));
	CHECK(match("f=1.5"));
	CHECK(match("neg=-3"));
	CHECK(match("ok=true"));
	CHECK(match("nil=null"));
	CHECK(!match("absent=null"));
	CHECK(match("status!=done"));
	CHECK(match("absent!=done"));
	CHECK(!match("status!=failed"));
}

static void
compared(void)
{
	CHECK(match("n>11"));
	CHECK(!match("n>12"));
	CHECK(match("n>=12"));
	CHECK(match("n<12.5"));
	CHECK(match("n<=12"));
	CHECK(!match("n<12"));
	CHECK(match("neg<0"));
	CHECK(match("status>able"));
	CHECK(match("status>=failed"));
	CHECK(!match("ok>0"));
	CHECK(!match("absent>0"));
	CHECK(!match("n>x"));
}

static void
paths(void)
{
	CHECK(match("spec.plate.rows=8"));
	CHECK(!match("spec.plate.cols=8"));
	CHECK(!match("spec.plate.rows.x=8"));
	CHECK(match("items.0.id=x"));
	CHECK(match("items.1.id=y"));
	CHECK(!match("items.2.id=y"));
	CHECK(!match("items.x.id=y"));
	CHECK(match("status"));
	CHECK(match("no=false"));
	CHECK(!match("no"));
	CHECK(!match("nil"));
	CHECK(!match("absent"));
	CHECK(match("!absent"));
	CHECK(match("!no"));
	CHECK(!match("!status"));
}

static void
contained(void)
{
	CHECK(match("status~ail"));
	CHECK(!match("status~x"));
	CHECK(match("text~\"one, t\""));
	CHECK(match("tags~a"));
	CHECK(match("tags~\"b, c\""));
	CHECK(match("tags~7"));
	CHECK(!match("tags~b"));
	CHECK(!match("n~1"));
}

static void
joined(void)
{
	CHECK(match("status=failed,n>11,!absent"));
	CHECK(!match("status=failed,n>12"));
	CHECK(match("text=\"one, two\",ok"));
}

static void
refused(void)
{
	CHECK(is_bad("=x"));
	CHECK(is_bad(",a"));
	CHECK(is_bad("a,"));
	CHECK(is_bad("a=\"x"));
	CHECK(is_bad("a=\"x\"y"));
	CHECK(is_bad("!a=x"));
	CHECK(is_bad("!"));
	CHECK(is_bad("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a"));
}

int
main(void)
{
	equal();
	compared();
	paths();
	contained();
	joined();
	refused();
	return check_done();
}

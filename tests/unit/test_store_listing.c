#include "tests/unit/check.h"

#include "services/data-store/listing.h"

static char text[2000];

/* "name=path name=path", or "!why". */
static const char *
names(const char *type, const char *body, const char *pattern)
{
	static const char base[] = "http://files.example:8000/pub/2026/";
	struct listing l = {0};
	char why[200] = "";

	text[0] = '\0';
	if (listing_read(&l, &(struct listing_page){type, span_str(body), base}, pattern, why,
		sizeof why) == -1)
		snprintf(text, sizeof text, "!%s", why);
	for (size_t i = 0; i < l.n; i++) {
		size_t n = strlen(text);

		snprintf(text + n, sizeof text - n, "%s%s=%s", i ? " " : "", l.v[i].name,
		    l.v[i].url + strlen("http://files.example:8000"));
	}
	listing_fini(&l);
	return text;
}

static void
test_html(void)
{
	CHECK_STR(
	    names("text/html; charset=utf-8",
		"<!DOCTYPE HTML><ul><li><a href=\"b.csv\">b</a></li><li><a href='a%20b.csv'>x</a>"
		"<a name=x href=c.csv>c</a><a href=\"sub/\">d</a><a href=\"../\">up</a>",
		"*"),
	    "a b.csv=/pub/2026/a%20b.csv b.csv=/pub/2026/b.csv c.csv=/pub/2026/c.csv");
	CHECK_STR(names("text/html", "<A HREF = \"/x/f.csv?a=1&amp;b=2#top\">f</A>", "*"),
	    "f.csv=/x/f.csv?a=1&b=2");
	CHECK_STR(names("text/html", "<a href=\"?C=N;O=D\">Name</a><a href=\"?C=M\">", "*"), "");
	CHECK_STR(names("text/html", "<a href=\"http://other.example/f.csv\">f</a>", "*"), "");
	CHECK_STR(
	    names("text/html", "<a href=\"file:///etc/passwd\"><a href=\"javascript:x()\">", "*"),
	    "");
	CHECK_STR(names("text/html",
		      "<a href=\"..%2f..%2fetc\"><a href=\"%2e%2e\"><a href=\"a%0ab\">", "*"),
	    "");
	CHECK_STR(
	    names("text/html", "<a href=\"a%5cb\"><a href=\"%ff\"><a href=\"a%00b\">", "*"), "");
	CHECK_STR(names("text/html",
		      "<abbr href=\"x.csv\"><link href=\"y.csv\"><a data-href=\"z.csv\">", "*"),
	    "");
	CHECK_STR(names("text/html", "<a href=\"x.csv", "*"), "");
	CHECK_STR(
	    names("text/html", "<a href=\"x.csv\"><a href=\"./x.csv\"><a href=\"sub/x.csv\">", "*"),
	    "x.csv=/pub/2026/sub/x.csv");
	CHECK_STR(names("text/html", "<a href=\"&amp;&lt;\">", "*"), "&<=/pub/2026/&<");
}

static void
test_lists(void)
{
	CHECK_STR(names("text/plain", "b.csv\r\n\n  a.csv\n/top.csv", "*.csv"),
	    "a.csv=/pub/2026/a.csv b.csv=/pub/2026/b.csv top.csv=/top.csv");
	CHECK_STR(names("application/json",
		      "[\"b.csv\", {\"name\": \"a.csv\"}, {\"url\": \"/c.csv\"}, 7, {}]", "*"),
	    "a.csv=/pub/2026/a.csv b.csv=/pub/2026/b.csv c.csv=/c.csv");
	CHECK_STR(names("application/json", "{\"a\": 1}", "*"),
	    "!the listing is JSON, but no array of names");
	CHECK(strncmp(names("application/json", "[", "*"),
		  "!the listing is not JSON: line 1: ", 30) == 0);
	CHECK_STR(names("image/png", "", "*"),
	    "!a listing is HTML, plain text or JSON, not \"image/png\"");
	CHECK_STR(names("text/plain", "a.csv\nb.txt\nab.csv", "a*.csv"),
	    "a.csv=/pub/2026/a.csv ab.csv=/pub/2026/ab.csv");
}

static void
test_match(void)
{
	static const char stars[] = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
	static char many[200];

	CHECK(listing_match("*", span_str("")));
	CHECK(listing_match("*.csv", span_str(".csv")));
	CHECK(!listing_match("*.csv", span_str("a.csv.gz")));
	CHECK(listing_match("a?c*", span_str("abcd")));
	CHECK(!listing_match("a?c", span_str("ac")));
	CHECK(listing_match("*ab*ab", span_str("ababxab")));
	CHECK(!listing_match("abc", span_str("ab")) && !listing_match("ab", span_str("abc")));
	CHECK(listing_match("[x].csv", span_str("[x].csv")));
	/* Exponential in a matcher that recurses. */
	memset(many, 'a', sizeof many);
	CHECK(!listing_match(stars, span_of(many, sizeof many)));
}

static void
test_one(void)
{
	struct listing l = {0};
	char why[200] = "";

	CHECK(listing_one(&l, "https://h/x/f%2bg.csv?k=1", why, sizeof why) == 0);
	CHECK(l.n == 1);
	CHECK_STR(l.v[0].name, "f+g.csv");
	CHECK_STR(l.v[0].url, "https://h/x/f%2bg.csv?k=1");
	listing_fini(&l);
	CHECK(listing_one(&l, "https://h", why, sizeof why) == -1);
	CHECK_STR(why, "the address names no file: to load files it lists, give source.pattern");
	CHECK(listing_one(&l, "https://h/x/", why, sizeof why) == -1);
	listing_fini(&l);
}

static void
test_too_many(void)
{
	struct listing l = {0};
	char why[200] = "";
	struct buf b;

	buf_init(&b, 1 << 20);
	for (int i = 0; i <= LISTING_FILES; i++)
		buf_printf(&b, "f%d\n", i);
	struct listing_page page = {"text/plain", buf_span(&b), "http://h/"};

	CHECK(listing_read(&l, &page, "*", why, sizeof why) == -1);
	CHECK_STR(why, "the listing offers more than 10000 files");
	listing_fini(&l);
	buf_fini(&b);
}

int
main(void)
{
	test_html();
	test_lists();
	test_match();
	test_one();
	test_too_many();
	return check_done();
}

/* Who may come in while loopback is trusted, and what headers say of types and codings. */
#include "edge-http/guard.h"
#include "edge-http/media.h"
#include "tests/unit/check.h"

static struct guard g;

static enum guard_say
ask(const char *host, const char *origin, const char *site, bool safe)
{
	struct guard_ask a = {.host = span_str(host),
	    .origin = span_str(origin),
	    .sec_fetch_site = span_str(site),
	    .safe = safe};

	return guard_ask(&g, &a);
}

static void
hosts(void)
{
	CHECK(guard_hosts(&g, "localhost, 127.0.0.1,[::1]") == 0);
	CHECK(g.nhosts == 3);
	CHECK(ask("localhost", NULL, NULL, false) == GUARD_OK);
	CHECK(ask("LOCALHOST:8080", NULL, NULL, false) == GUARD_OK);
	CHECK(ask("127.0.0.1:1", NULL, NULL, true) == GUARD_OK);
	CHECK(ask("[::1]:8080", NULL, NULL, true) == GUARD_OK);
	CHECK(ask("[::1", NULL, NULL, true) == GUARD_HOST);
	CHECK(ask("evil.example", NULL, NULL, true) == GUARD_HOST);
	CHECK(ask("localhost.evil.example", NULL, NULL, true) == GUARD_HOST);
	CHECK(ask("localhos", NULL, NULL, true) == GUARD_HOST);
	CHECK(ask("", NULL, NULL, true) == GUARD_NO_HOST);
	CHECK(ask(NULL, NULL, NULL, true) == GUARD_NO_HOST);
}

static void
sites(void)
{
	CHECK(ask("localhost:8080", "http://localhost:8080", "same-origin", false) == GUARD_OK);
	CHECK(ask("localhost:8080", "http://localhost:3000", NULL, false) == GUARD_ORIGIN);
	CHECK(ask("localhost:8080", "http://evil.example", NULL, false) == GUARD_ORIGIN);
	CHECK(ask("localhost:8080", "null", NULL, false) == GUARD_ORIGIN);
	CHECK(ask("localhost:8080", "", NULL, false) == GUARD_ORIGIN);
	CHECK(ask("localhost:8080", NULL, "cross-site", false) == GUARD_CROSS_SITE);
	CHECK(ask("localhost:8080", NULL, "none", false) == GUARD_OK);
	CHECK(ask("localhost:8080", "http://evil.example", "cross-site", true) == GUARD_OK);
	struct guard_ask up = {.host = span_str("localhost"),
	    .safe = true,
	    .upgrade = true,
	    .origin = span_str("http://x")};
	CHECK(guard_ask(&g, &up) == GUARD_ORIGIN);
}

static void
proxies(void)
{
	struct guard_ask a = {.host = span_str("localhost"), .proxied = true, .safe = true};

	CHECK(guard_ask(&g, &a) == GUARD_PROXIED);
	g.behind_proxy = true;
	CHECK(guard_ask(&g, &a) == GUARD_OK);
	g.behind_proxy = false;
	CHECK(guard_is_proxy_header("forwarded"));
	CHECK(guard_is_proxy_header("VIA"));
	CHECK(guard_is_proxy_header("x-forwarded-for"));
	CHECK(guard_is_proxy_header("X-Forwarded-Proto"));
	CHECK(!guard_is_proxy_header("X-Forwarded"));
	CHECK(!guard_is_proxy_header("Host"));
	CHECK(guard_hosts(&g, " , ") == -1);
	CHECK(guard_hosts(&g, "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17") == -1);
}

static void
media(void)
{
	CHECK(
	    span_is(media_type(span_str(" application/json ; charset=utf-8")), "application/json"));
	CHECK(media_type(span_str("json")).p == NULL);
	CHECK(media_type(span_str("/json")).p == NULL);
	CHECK(media_type(span_str("json/")).p == NULL);
	CHECK(media_type((struct span){NULL, 0}).p == NULL);
	CHECK(media_is_json(span_str("Application/JSON")));
	CHECK(media_is_json(span_str("application/cloudevents+json")));
	CHECK(!media_is_json(span_str("application/json-seq")));
	CHECK(!media_is_json(span_str("+json")));
	CHECK(media_match("image/*", span_str("image/png")));
	CHECK(!media_match("image/*", span_str("imagex/png")));
	CHECK(!media_match("image/*", span_str("image/")));
	CHECK(media_match("*/*", span_str("a/b")));
	CHECK(media_match("text/csv", span_str("TEXT/CSV")));
	CHECK(!media_match("*/*", (struct span){NULL, 0}));
	CHECK(media_charset_ok(span_str("a/b")));
	CHECK(media_charset_ok(span_str("a/b; charset=UTF-8")));
	CHECK(media_charset_ok(span_str("a/b; charset=\"utf-8\"")));
	CHECK(!media_charset_ok(span_str("a/b; x=1; charset=latin1")));
	CHECK(media_accepts_gzip(span_str("deflate, gzip;q=0.5")));
	CHECK(!media_accepts_gzip(span_str("gzip;q=0")));
	CHECK(!media_accepts_gzip(span_str("*, gzip;q=0.0")));
	CHECK(media_accepts_gzip(span_str("br, *")));
	CHECK(!media_accepts_gzip(span_str("identity")));
	CHECK(!media_accepts_gzip((struct span){NULL, 0}));
}

int
main(void)
{
	hosts();
	sites();
	proxies();
	media();
	return check_done();
}

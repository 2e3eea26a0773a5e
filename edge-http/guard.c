#include "edge-http/guard.h"

#include "edge-http/text.h"

int
guard_hosts(struct guard *g, const char *list)
{
	g->nhosts = 0;
	while (*list) {
		size_t n = strcspn(list, ",");
		struct span name = text_trim(span_of(list, n));

		if (name.n > 0) {
			if (g->nhosts == GUARD_HOSTS)
				return -1;
			g->hosts[g->nhosts++] = name;
		}
		list += n + (list[n] == ',');
	}
	return g->nhosts > 0 ? 0 : -1;
}

struct span
guard_name(struct span a)
{
	size_t n = 0;

	if (a.n && a.p[0] == '[') {
		while (n < a.n && a.p[n] != ']')
			n++;
		return span_of(a.p, n < a.n ? n + 1 : a.n);
	}
	while (n < a.n && a.p[n] != ':')
		n++;
	return span_of(a.p, n);
}

static bool
is_known(const struct guard *g, struct span host)
{
	struct span name = guard_name(host);

	for (unsigned i = 0; i < g->nhosts; i++) {
		if (text_same(g->hosts[i], name))
			return true;
	}
	return false;
}

/* An Origin is "scheme://host[:port]", or "null" for a page that hides where it comes from.  Behind
 * a proxy that ends TLS the scheme is https while ours is http, so only the authority is compared.
 */
static bool
origin_matches(struct span origin, struct span host)
{
	static const char sep[] = "://";
	size_t i = 0;

	while (i + 3 <= origin.n && memcmp(origin.p + i, sep, 3) != 0)
		i++;
	if (i == 0 || i + 3 > origin.n)
		return false;
	return text_same(span_of(origin.p + i + 3, origin.n - i - 3), host);
}

enum guard_say
guard_ask(const struct guard *g, const struct guard_ask *a)
{
	struct span host = text_trim(a->host);

	if (host.n == 0)
		return GUARD_NO_HOST;
	if (!is_known(g, host))
		return GUARD_HOST;
	if (a->proxied && !g->behind_proxy)
		return GUARD_PROXIED;
	if (a->safe && !a->upgrade)
		return GUARD_OK;
	if (text_is(text_trim(a->sec_fetch_site), "cross-site"))
		return GUARD_CROSS_SITE;
	if (a->origin.p && !origin_matches(text_trim(a->origin), host))
		return GUARD_ORIGIN;
	return GUARD_OK;
}

const char *
guard_text(enum guard_say say)
{
	switch (say) {
	case GUARD_OK: return "";
	case GUARD_NO_HOST: return "the request has no Host";
	case GUARD_HOST: return "Host is none of the names this server answers to (--hosts)";
	case GUARD_PROXIED:
		return "the request came through a proxy; start the server with --behind-proxy";
	case GUARD_CROSS_SITE: return "a page of another site may not do this";
	case GUARD_ORIGIN: return "Origin does not match Host";
	}
	return "";
}

bool
guard_is_proxy_header(const char *name)
{
	struct span s = span_str(name);

	return text_is(s, "Forwarded") || text_is(s, "Via") || text_begins(s, "X-Forwarded-");
}

#ifndef EDGE_HTTP_GUARD_H
#define EDGE_HTTP_GUARD_H
/* Who may come in while loopback callers are trusted: neither a web page in the operator's browser
 * nor a proxy on the same machine may borrow that trust (design: HTTP contract).  Pure. */
#include "base/span.h"

#define GUARD_HOSTS 16

struct guard {
	struct span hosts[GUARD_HOSTS]; /* names without port; lower or upper case */
	unsigned nhosts;
	bool behind_proxy; /* proxies are expected, and nobody is trusted */
};

/* What the request says of itself; absent headers are {NULL, 0}. */
struct guard_ask {
	struct span host, origin, sec_fetch_site;
	bool proxied; /* Forwarded, Via or X-Forwarded-* is there */
	bool safe;    /* a method that is declared to change nothing */
	bool upgrade;
};

enum guard_say {
	GUARD_OK,
	GUARD_NO_HOST, /* 400 */
	GUARD_HOST,    /* 403, and so on */
	GUARD_PROXIED,
	GUARD_CROSS_SITE,
	GUARD_ORIGIN,
};

/* "localhost,127.0.0.1,[::1]"; 0, or -1: empty or too many.  Borrows from `list`. */
int guard_hosts(struct guard *g, const char *list) __attribute__((warn_unused_result));

enum guard_say guard_ask(const struct guard *g, const struct guard_ask *a);
/* A sentence for the one who was refused. */
const char *guard_text(enum guard_say say);

/* "name:port" without its port; "[::1]:80" keeps its brackets. */
struct span guard_name(struct span authority);

/* True for "Forwarded", "Via" and "X-Forwarded-…". */
bool guard_is_proxy_header(const char *name);

#endif

/* provider-http-rates: exchange rates from any HTTP server that answers in the shape
 *	GET <url>/<YYYY-MM-DD or latest>?base=USD[&symbols=EUR,GBP]
 *	-> {"base": "USD", "date": "2026-11-20", "rates": {"EUR": 0.92, …}}            (README.md)
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "fetch/http.h"
#include "proto/json.h"
#include "proto/mp.h"
#include "services/service-gateway/provider.h"

static struct {
	const char *url;
	struct fetch *fetch;
} cfg;

static const struct opt rows[] = {
    {"url", OPT_STR, &cfg.url, "", 0, 0, 0,
	"base address of the server, without a slash at the end"},
};

static int
open_fetch(struct provider *p)
{
	size_t n = strlen(cfg.url);

	if (n > 0 &&
	    ((strncmp(cfg.url, "http://", 7) != 0 && strncmp(cfg.url, "https://", 8) != 0) ||
		cfg.url[n - 1] == '/')) {
		fprintf(stderr,
		    "--url: expected http://… or https://… without a slash at the end, got '%s'\n",
		    cfg.url);
		return EXIT_NORESTART;
	}
	cfg.fetch = fetch_new(provider_loop(p));
	return 0;
}

static void
close_fetch(struct provider *p)
{
	(void)p;
	fetch_free(cfg.fetch);
}

static bool
is_number(const msgpack_object *o)
{
	const char *t = doc_type_name(o);

	return strcmp(t, "number") == 0 || strcmp(t, "integer") == 0;
}

/* The server's answer in the shape of our service; false when it is not in the declared shape. */
static bool
put_answer(const msgpack_object *in, struct buf *out)
{
	const msgpack_object *rates = doc_get(in, "rates");
	struct span base = doc_str(in, "base"), date = doc_str(in, "date");

	if (base.p == NULL || date.p == NULL || rates == NULL || rates->type != MSGPACK_OBJECT_MAP)
		return false;
	mp_put_map(out, 3);
	mp_put_cstr(out, "base");
	mp_put_str(out, base);
	mp_put_cstr(out, "datetime");
	mp_put_str(out, date);
	mp_put_cstr(out, "rates");
	mp_put_array(out, rates->via.map.size);
	for (uint32_t i = 0; i < rates->via.map.size; i++) {
		if (!is_number(&rates->via.map.ptr[i].val))
			return false;
		mp_put_map(out, 2);
		mp_put_cstr(out, "currency");
		mp_put_object(out, &rates->via.map.ptr[i].key);
		mp_put_cstr(out, "value");
		mp_put_object(out, &rates->via.map.ptr[i].val);
	}
	return true;
}

static void
translate(struct provider_call *c, struct span text)
{
	struct buf mp, out;
	struct doc d;

	buf_init(&mp, LIMIT_FRAME);
	buf_init(&out, LIMIT_FRAME);
	if (json_to_mp(text, &mp, NULL) != 0 || doc_parse(&d, buf_span(&mp)) != 0) {
		provider_fail(c, ERR_UPSTREAM, "the server's answer is not JSON");
	} else {
		if (put_answer(&d.root, &out) && !out.failed) {
			provider_answer(c, buf_span(&out));
		} else {
			provider_fail(c, ERR_UPSTREAM,
			    "the server's answer is not {base, date, rates:{code: number}}");
		}
		doc_fini(&d);
	}
	buf_fini(&mp);
	buf_fini(&out);
}

static void
fetched(void *arg, const struct fetch_answer *a)
{
	struct provider_call *c = arg;
	char why[256];

	c->user = NULL;
	if (a->end == FETCH_OK && a->status == 200) {
		translate(c, a->body);
	} else if (a->end == FETCH_OK) {
		snprintf(why, sizeof why, "the server answered %d", a->status);
		provider_fail(
		    c, a->status == 400 || a->status == 422 ? ERR_INVALID : ERR_UPSTREAM, why);
	} else {
		snprintf(why, sizeof why, "%.200s", a->why);
		provider_fail(c,
		    a->end == FETCH_NOT_SENT || a->end == FETCH_BAD_URL ? ERR_BUSY : ERR_UPSTREAM,
		    why);
	}
}

static void
call(struct provider *p, struct provider_call *c)
{
	struct span base = doc_str(c->args, "base"), symbols = doc_str(c->args, "currencies"),
		    date = doc_str(c->args, "date");
	struct fetch_spec spec = {.max_bytes = 1024 * 1024, .to_fd = -1};
	char *url;

	(void)p;
	if (!span_is(c->method, "rates")) {
		provider_fail(c, ERR_NOT_FOUND, "this provider knows the method rates");
		return;
	}
	if (cfg.url[0] == '\0') {
		provider_fail(c, ERR_BUSY, "PLUGIN_HTTP_RATES_URL is not set");
		return;
	}
	/* The gateway's schema lets only capitals, digits, commas and dashes through to here. */
	url = xasprintf("%s/%.*s?base=%.*s%s%.*s", cfg.url, date.n ? (int)date.n : 6,
	    date.n ? (const char *)date.p : "latest", (int)base.n, (const char *)base.p,
	    symbols.n ? "&symbols=" : "", (int)symbols.n, symbols.n ? (const char *)symbols.p : "");
	spec.url = url;
	spec.timeout_ms = provider_left_ms(c) > 0 ? provider_left_ms(c) : 1;
	c->user = fetch_start(cfg.fetch, &spec, fetched, c);
	if (c->user == NULL)
		provider_fail(c, ERR_BUSY, "no memory for the call");
	free(url);
}

static void
cancel(struct provider *p, struct provider_call *c)
{
	(void)p;
	if (c->user == NULL)
		return;
	fetch_cancel(c->user);
	c->user = NULL;
	provider_fail(c, ERR_GONE, "cancelled");
}

static const struct provider_ops ops = {
    .name = "http-rates",
    .service = "currency_exchange",
    .about = "Exchange rates from an HTTP server",
    .options = rows,
    .noptions = sizeof rows / sizeof rows[0],
    .env_prefix = "PLUGIN_HTTP_RATES_",
    .open = open_fetch,
    .close = close_fetch,
    .call = call,
    .cancel = cancel,
};

int
main(int argc, char **argv)
{
	return provider_main(argc, argv, &ops);
}

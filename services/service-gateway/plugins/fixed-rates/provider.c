/* provider-fixed-rates: exchange rates from a table in its settings, for when nobody better
 * answers. */
#include <stdio.h>

#include "base/die.h"
#include "base/str.h"
#include "proto/mp.h"
#include "services/service-gateway/provider.h"

#define MAX_RATES 256u

struct rate {
	char currency[4];
	double per_unit; /* units of this currency for 1 of the table's base */
};

static struct {
	const char *table, *date;
	struct rate v[MAX_RATES];
	unsigned n;
} fixed;

static const struct opt rows[] = {
    {"table", OPT_STR, &fixed.table,
	"EUR=1,USD=1.08,GBP=0.85,CHF=0.95,JPY=165,SEK=11.3,NOK=11.6,DKK=7.46,PLN=4.3,CZK=25.2", 0,
	0, 0,
	"CODE=RATE,… : how much of each currency one unit of the first-named kind of money buys"},
    {"date", OPT_STR, &fixed.date, "fixed", 0, 0, 0, "what the answer says as datetime"},
};

/* "USD=1.08" */
static int
take_rate(struct span item, struct rate *r)
{
	if (item.n < 5 || item.p[3] != '=' ||
	    str_double(span_of(item.p + 4, item.n - 4), &r->per_unit) != 0)
		return -1;
	for (int i = 0; i < 3; i++) {
		if (item.p[i] < 'A' || item.p[i] > 'Z')
			return -1;
	}
	memcpy(r->currency, item.p, 3);
	r->currency[3] = '\0';
	return r->per_unit > 0 ? 0 : -1;
}

static int
open_table(struct provider *p)
{
	const char *at = fixed.table, *end;

	(void)p;
	for (; *at != '\0'; at = *end ? end + 1 : end) {
		end = at + strcspn(at, ",");
		if (fixed.n == MAX_RATES ||
		    take_rate(span_of(at, (size_t)(end - at)), &fixed.v[fixed.n]) != 0) {
			fprintf(stderr,
			    "--table: expected CODE=RATE with three capitals and a number above 0, "
			    "at '%s'\n",
			    at);
			return EXIT_NORESTART;
		}
		fixed.n++;
	}
	return 0;
}

static const struct rate *
find(struct span currency)
{
	for (unsigned i = 0; i < fixed.n; i++) {
		if (span_is(currency, fixed.v[i].currency))
			return &fixed.v[i];
	}
	return NULL;
}

static void
put_rate(struct buf *b, const struct rate *r, const struct rate *base)
{
	mp_put_map(b, 2);
	mp_put_cstr(b, "currency");
	mp_put_cstr(b, r->currency);
	mp_put_cstr(b, "value");
	mp_put_double(b, r->per_unit / base->per_unit);
}

/* The rates asked for; false when one is not in the table. */
static bool
put_rates(struct buf *b, struct span wanted, const struct rate *base)
{
	unsigned n = 1;

	if (wanted.n == 0) {
		mp_put_array(b, fixed.n);
		for (unsigned i = 0; i < fixed.n; i++)
			put_rate(b, &fixed.v[i], base);
		return true;
	}
	for (size_t i = 0; i < wanted.n; i++)
		n += wanted.p[i] == ',';
	mp_put_array(b, n);
	for (size_t at = 0; at < wanted.n; at += 4) {
		const struct rate *r = find(span_of(wanted.p + at, 3));

		if (r == NULL)
			return false;
		put_rate(b, r, base);
	}
	return true;
}

static void
call(struct provider *p, struct provider_call *c)
{
	struct span base_name = doc_str(c->args, "base");
	const struct rate *base = find(base_name);
	struct buf b;

	(void)p;
	if (!span_is(c->method, "rates")) {
		provider_fail(c, ERR_NOT_FOUND, "this provider knows the method rates");
		return;
	}
	buf_init(&b, LIMIT_PART);
	mp_put_map(&b, 3);
	mp_put_cstr(&b, "base");
	mp_put_str(&b, base_name);
	mp_put_cstr(&b, "datetime");
	mp_put_cstr(&b, fixed.date);
	mp_put_cstr(&b, "rates");
	if (base == NULL || !put_rates(&b, doc_str(c->args, "currencies"), base)) {
		provider_fail(
		    c, ERR_NOT_FOUND, "a currency asked for is not in this provider's table");
	} else {
		provider_answer(c, buf_span(&b));
	}
	buf_fini(&b);
}

static const struct provider_ops ops = {
    .name = "fixed-rates",
    .service = "currency_exchange",
    .about = "Exchange rates from a fixed table",
    .options = rows,
    .noptions = sizeof rows / sizeof rows[0],
    .env_prefix = "PLUGIN_FIXED_RATES_",
    .open = open_table,
    .call = call,
};

int
main(int argc, char **argv)
{
	return provider_main(argc, argv, &ops);
}

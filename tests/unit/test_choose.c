/* Order of providers, and which failures move on. */
#include "services/service-gateway/choose.h"
#include "tests/unit/check.h"

static void
order(void)
{
	static struct catalogue_service s = {
	    .providers = {{"b", 100}, {"a", 300}}, .nproviders = 2, .unlisted = true};
	const char *found[] = {"a", "c", "d"};
	struct choose_list l;

	choose_order(&s, found, 3, &l);
	CHECK(l.n == 4);
	CHECK_STR(l.v[0].name, "b");
	CHECK_STR(l.v[1].name, "a");
	CHECK_STR(l.v[2].name, "c");
	CHECK_STR(l.v[3].name, "d");
	CHECK(l.v[1].timeout_ms == 300 && l.v[3].timeout_ms == 300);
	s.unlisted = false;
	choose_order(&s, found, 3, &l);
	CHECK(l.n == 2);
}

static void
bounded(void)
{
	static struct catalogue_service s = {.unlisted = true};
	char text[64][16];
	const char *found[64];
	struct choose_list l;

	for (int i = 0; i < 64; i++) {
		snprintf(text[i], sizeof text[i], "p%d", i);
		found[i] = text[i];
	}
	choose_order(&s, found, 64, &l);
	CHECK(l.n == CATALOGUE_MAX_PROVIDERS);
}

static void
failures(void)
{
	CHECK(choose_next(ERR_NO_WORKERS, false));
	CHECK(choose_next(ERR_BUSY, false));
	CHECK(choose_next(ERR_NOT_FOUND, false));
	CHECK(!choose_next(ERR_TIMEOUT, false));
	CHECK(choose_next(ERR_TIMEOUT, true));
	CHECK(!choose_next(ERR_WORKER_LOST, false));
	CHECK(choose_next(ERR_WORKER_LOST, true));
	CHECK(choose_next(ERR_UPSTREAM, true));
	CHECK(!choose_next(ERR_INVALID, true));
	CHECK(!choose_next(ERR_DENIED, true));
}

int
main(void)
{
	order();
	bounded();
	failures();
	return check_done();
}

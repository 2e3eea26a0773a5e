/* service-gateway: third-party services, called through whichever provider is up. */
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "proto/json.h"
#include "proto/svc.h"
#include "services/service-gateway/api.h"
#include "services/service-gateway/gateway.h"

struct state {
	const char *dir;
	struct catalogue_service *catalogue;
	struct gateway *gateway;
	struct buf api; /* the announced OpenAPI fragment, as JSON text */
};

static struct state state;

static const struct opt rows[] = {
    {"catalogue", OPT_STR, &state.dir, NULL, 0, 0, OPT_REQUIRED,
	"directory of *.yaml, one service each"},
};
static const struct opt_table tables[] = {
    {"TAXI_", "service-gateway", rows, sizeof rows / sizeof rows[0]}};

static struct svc_spec spec;

static int
announce(struct state *st)
{
	struct buf mp;
	int rc;

	buf_init(&mp, LIMIT_FRAME);
	api_put_openapi(st->catalogue, &mp);
	rc = mp.failed ? -1 : json_from_mp(buf_span(&mp), &st->api, 0);
	buf_fini(&mp);
	if (rc != 0)
		return -1;
	spec.api_json = buf_cstr(&st->api);
	return 0;
}

static int
open_state(void *arg, struct svc *s)
{
	struct state *st = arg;

	(void)s;
	buf_init(&st->api, LIMIT_DESC);
	st->catalogue = catalogue_load(st->dir);
	if (st->catalogue == NULL)
		return EXIT_NORESTART;
	if (announce(st) != 0) {
		log_error("catalogue_refused", LOG_S("why", "its description is over 256 KiB"));
		return EXIT_NORESTART;
	}
	return 0;
}

static int
start(void *arg, struct svc *s)
{
	struct state *st = arg;

	st->gateway = gateway_new(svc_worker(s), st->catalogue);
	return 0;
}

static bool
idle(void *arg)
{
	struct state *st = arg;

	return st->gateway == NULL || gateway_is_idle(st->gateway);
}

static void
close_state(void *arg)
{
	struct state *st = arg;

	gateway_free(st->gateway);
	catalogue_free(st->catalogue);
	buf_fini(&st->api);
}

static unsigned
stats(void *arg, struct buf *out)
{
	struct state *st = arg;

	return st->gateway ? gateway_stats(st->gateway, out) : 0;
}

int
main(int argc, char **argv)
{
	spec = (struct svc_spec){
	    .name = "service-gateway",
	    .about = "Calls third-party services through whichever provider is up",
	    .options = tables,
	    .noptions = 1,
	    .open = open_state,
	    .start = start,
	    .idle = idle,
	    .close = close_state,
	    .stats = stats,
	};
	return svc_main(argc, argv, &spec, &state);
}

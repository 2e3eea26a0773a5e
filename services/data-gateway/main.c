/* data-gateway: takes rows, has them in the journal before it says so, and knows what became of
 * them. */
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "proto/faults.h"
#include "proto/mp.h"
#include "services/data-gateway/create.h"
#include "services/data-gateway/query.h"
#include "services/data-gateway/recording.h"

#define KEEP_BACK_MS 50 /* of a request's time, for the answer's way */
#define PG_MS 20000

extern const char api_json[]; /* api.json, embedded */

int64_t
gateway_left(const struct gateway *g, const struct worker_msg *m)
{
	int64_t left = m->deadline_ms - loop_now(svc_loop(g->svc)) - KEEP_BACK_MS;

	if (m->deadline_ms == 0)
		return DEFAULT_TTL_MS;
	return left > 1 ? left : 1;
}

void
gateway_fail_faults(struct worker_msg *m, const struct faults *f)
{
	struct buf detail;

	buf_init(&detail, LIMIT_HEADER);
	faults_put(f, &detail);
	worker_fail_detail(m, ERR_INVALID, buf_span(&detail));
	buf_fini(&detail);
}

static int
on_open(void *state, struct svc *s)
{
	struct gateway *g = state;

	g->svc = s;
	list_init(&g->creates);
	list_init(&g->queries);
	g->writes = pg_new(svc_loop(s), g->database_url, PG_MS);
	g->reads = pg_new(svc_loop(s), g->database_url, PG_MS);
	return 0;
}

static int
on_start(void *state, struct svc *s)
{
	const struct recording_spec receipts = {.group = "data-gateway.receipts",
	    .pattern = "rows.in",
	    .read = record_receipt,
	    .sql = record_receipt_sql};
	const struct recording_spec deliveries = {.group = "data-gateway.deliveries",
	    .pattern = "delivery.>",
	    .read = record_delivery,
	    .sql = record_delivery_sql};
	const struct recording_spec dead = {.group = "data-gateway.dead",
	    .pattern = "sys.dead",
	    .read = record_dead,
	    .sql = record_delivery_sql};
	struct gateway *g = state;

	create_start(g);
	query_start(g);
	g->receipts = recording_new(s, g->writes, &receipts);
	g->deliveries = recording_new(s, g->writes, &deliveries);
	g->dead = recording_new(s, g->writes, &dead);
	return 0;
}

static void
on_drain(void *state)
{
	struct gateway *g = state;

	recording_drain(g->receipts);
	recording_drain(g->deliveries);
	recording_drain(g->dead);
}

static void
on_close(void *state)
{
	struct gateway *g = state;

	create_stop(g);
	query_stop(g);
	recording_free(g->receipts);
	recording_free(g->deliveries);
	recording_free(g->dead);
	pg_free(g->writes);
	pg_free(g->reads);
}

static unsigned
put_recording(struct buf *out, const char *name, const struct recording *r)
{
	struct recording_stats s = recording_stats(r);

	mp_put_cstr(out, name);
	mp_put_map(out, 5);
	mp_put_cstr(out, "recorded");
	mp_put_u64(out, s.recorded);
	mp_put_cstr(out, "skipped");
	mp_put_u64(out, s.skipped);
	mp_put_cstr(out, "rejected");
	mp_put_u64(out, s.rejected);
	mp_put_cstr(out, "retries");
	mp_put_u64(out, s.retries);
	mp_put_cstr(out, "waiting");
	mp_put_u64(out, s.waiting);
	return 1;
}

static unsigned
on_stats(void *state, struct buf *out)
{
	const struct gateway *g = state;
	const struct {
		const char *name;
		uint64_t v;
	} all[] = {{"accepted", g->n.accepted}, {"replayed", g->n.replayed},
	    {"refused", g->n.refused}, {"rows", g->n.rows}, {"failed", g->n.failed},
	    {"looked", g->n.looked}, {"notFound", g->n.not_found}, {"notReady", g->n.not_ready}};
	const unsigned n = sizeof all / sizeof *all;

	for (unsigned i = 0; i < n; i++) {
		mp_put_cstr(out, all[i].name);
		mp_put_u64(out, all[i].v);
	}
	mp_put_cstr(out, "databaseUp");
	mp_put_bool(out, pg_is_up(g->reads));
	return n + 1 + put_recording(out, "receipts", g->receipts) +
	       put_recording(out, "deliveries", g->deliveries) +
	       put_recording(out, "dead", g->dead);
}

int
main(int argc, char **argv)
{
	static struct gateway g;
	const struct opt rows[] = {{"database-url", OPT_STR, &g.database_url, NULL, 0, 0,
	    OPT_REQUIRED | OPT_SECRET, "Postgres address with the schema data_gateway"}};
	const struct opt_table table = {"TAXI_", "Data gateway", rows, 1};
	const struct svc_spec spec = {.name = "data-gateway",
	    .about =
		"Takes rows that belong to triggers and keeps the receipts of their deliveries.",
	    .options = &table,
	    .noptions = 1,
	    .api_json = api_json,
	    .open = on_open,
	    .start = on_start,
	    .drain = on_drain,
	    .close = on_close,
	    .stats = on_stats};

	return svc_main(argc, argv, &spec, &g);
}

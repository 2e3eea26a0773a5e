/* control-tower: triggers in, on the record, and what becomes of them. */
#include "base/log.h"
#include "proto/mp.h"
#include "proto/svc.h"
#include "services/control-tower/create.h"
#include "services/control-tower/listing.h"
#include "services/control-tower/lookup.h"
#include "services/control-tower/markers.h"
#include "services/control-tower/recorder.h"
#include "services/control-tower/report.h"
#include "services/control-tower/sweep.h"

#define READ_MS 2000 /* for its turn, the database being away included, and then for itself */
#define WRITE_MS 10000

extern const char api_json[];

struct state {
	const char *database;
	int64_t keep_days;
	struct tower tower;
	struct pg *writes;
	struct lookups *lookups;
	struct recorder *triggers, *events;
	struct sweep *sweep;
	struct markers *markers;
};

static struct state state;

static const struct opt rows[] = {
    {"database-url", OPT_STR, &state.database, NULL, 0, 0, OPT_REQUIRED | OPT_SECRET,
	"postgresql:// address or conninfo of the database"},
    {"keep-days", OPT_INT, &state.keep_days, "0", 0, 36500, 0,
	"forget triggers that were recorded longer ago; 0: never"},
};
static const struct opt_table tables[] = {{"TAXI_", "control-tower", rows, 2}};

static int
open_state(void *arg, struct svc *s)
{
	struct state *st = arg;

	st->tower.loop = svc_loop(s);
	st->tower.reads = pg_new(svc_loop(s), st->database, READ_MS);
	st->writes = pg_new(svc_loop(s), st->database, WRITE_MS);
	return 0;
}

static void
serve(struct state *st, const char *topic, worker_msg_fn *fn, void *arg, unsigned credit)
{
	(void)worker_sub(st->tower.worker, &(struct worker_sub_spec){
					       .pattern = topic,
					       .serve = true,
					       .credit = credit,
					       .msg = fn,
					       .arg = arg,
					   });
}

static int
start(void *arg, struct svc *s)
{
	struct state *st = arg;
	struct tower *t = &st->tower;

	t->client = svc_client(s);
	t->worker = svc_worker(s);
	st->lookups = lookups_new(t);
	serve(st, "control-tower.triggers.create", create_on_request, t, 256);
	serve(st, "control-tower.triggers.get", lookup_on_request, st->lookups, 64);
	serve(st, "control-tower.triggers.list", listing_on_request, t, 16);
	serve(st, "control-tower.triggers.status", report_on_status, t, 256);
	serve(st, "control-tower.triggers.cancel", report_on_cancel, t, 256);
	st->triggers = recorder_new(t->worker, st->writes, &record_triggers);
	st->events = recorder_new(t->worker, st->writes, &record_events);
	st->markers = markers_new(t->worker);
	st->sweep = sweep_new(t->loop, st->tower.reads, st->keep_days);
	return 0;
}

static void
drain(void *arg)
{
	struct state *st = arg;

	recorder_drain(st->triggers);
	recorder_drain(st->events);
}

static void
close_state(void *arg)
{
	struct state *st = arg;

	/* Their last callbacks still speak to the recorders and to those who asked. */
	pg_free(st->tower.reads);
	pg_free(st->writes);
	lookups_free(st->lookups);
	recorder_free(st->triggers);
	recorder_free(st->events);
	sweep_free(st->sweep);
	markers_free(st->markers);
}

static unsigned
put_recorder(const struct recorder *r, const char *name, struct buf *out)
{
	struct recorder_stats s = r ? recorder_stats(r) : (struct recorder_stats){0};

	mp_put_cstr(out, name);
	mp_put_map(out, 5);
	mp_put_cstr(out, "recorded");
	mp_put_u64(out, s.recorded);
	mp_put_cstr(out, "rejected");
	mp_put_u64(out, s.rejected);
	mp_put_cstr(out, "batches");
	mp_put_u64(out, s.batches);
	mp_put_cstr(out, "retried");
	mp_put_u64(out, s.retried);
	mp_put_cstr(out, "waiting");
	mp_put_u64(out, s.waiting);
	return 1;
}

static unsigned
stats(void *arg, struct buf *out)
{
	struct state *st = arg;
	const struct {
		const char *name;
		uint64_t n;
	} count[] = {
	    {"created", st->tower.created},
	    {"replayed", st->tower.replayed},
	    {"refused", st->tower.refused},
	    {"forgotten", sweep_count(st->sweep)},
	    {"cancelsForgotten", markers_count(st->markers)},
	    {"databaseUp", pg_is_up(st->writes)},
	    {"databaseJobs", pg_waiting(st->writes) + pg_waiting(st->tower.reads)},
	};
	unsigned n = sizeof count / sizeof *count;

	for (unsigned i = 0; i < n; i++) {
		mp_put_cstr(out, count[i].name);
		mp_put_u64(out, count[i].n);
	}
	n += put_recorder(st->triggers, "triggers", out);
	return n + put_recorder(st->events, "events", out);
}

int
main(int argc, char **argv)
{
	static const struct svc_spec spec = {
	    .name = "control-tower",
	    .about = "Takes triggers, records them, and shows what became of them",
	    .options = tables,
	    .noptions = 1,
	    .api_json = api_json,
	    .open = open_state,
	    .start = start,
	    .drain = drain,
	    .close = close_state,
	    .stats = stats,
	};

	return svc_main(argc, argv, &spec, &state);
}

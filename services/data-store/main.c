/* data-store: the tables, behind an API. */
#include "base/die.h"
#include "proto/mp.h"
#include "proto/svc.h"
#include "services/data-store/lists.h"
#include "services/data-store/tables.h"

enum { QUERY_MS = 10000, CREDIT = 64 };

extern const char api_json[];

struct state {
	const char *database;
	struct answer_house house;
};

static struct state state;

static const struct opt rows[] = {
    {"database-url", OPT_STR, &state.database, NULL, 0, 0, OPT_REQUIRED | OPT_SECRET,
	"Postgres, as a libpq address"},
};
static const struct opt_table tables[] = {{"TAXI_", "The house", rows, sizeof rows / sizeof *rows}};

static int
start_up(void *arg, struct svc *s)
{
	struct state *st = arg;

	st->house.pg = pg_new(svc_loop(s), st->database, QUERY_MS);
	return 0;
}

static int
start(void *arg, struct svc *s)
{
	static const struct {
		const char *topic;
		worker_msg_fn *fn;
	} served[] = {
	    {"data-store.tables.structure", tables_on_structure},
	    {"data-store.tables.data", tables_on_data},
	    {"data-store.datafiles.list", lists_on_datafiles},
	    {"data-store.datasets.list", lists_on_datasets},
	};
	struct state *st = arg;

	for (size_t i = 0; i < sizeof served / sizeof *served; i++) {
		struct worker_sub_spec spec = {.pattern = served[i].topic,
		    .serve = true,
		    .credit = CREDIT,
		    .msg = served[i].fn,
		    .arg = &st->house};

		worker_sub(svc_worker(s), &spec);
	}
	return 0;
}

static bool
idle(void *arg)
{
	struct state *st = arg;

	return pg_waiting(st->house.pg) == 0;
}

static void
shut(void *arg)
{
	struct state *st = arg;

	pg_free(st->house.pg);
}

static unsigned
stats(void *arg, struct buf *out)
{
	struct state *st = arg;

	mp_put_cstr(out, "pages");
	mp_put_u64(out, st->house.pages);
	mp_put_cstr(out, "rows");
	mp_put_u64(out, st->house.rows);
	return 2;
}

int
main(int argc, char **argv)
{
	static const struct svc_spec spec = {
	    .name = "data-store",
	    .about = "Tables that were loaded from files, page by page.",
	    .options = tables,
	    .noptions = sizeof tables / sizeof *tables,
	    .api_json = api_json,
	    .open = start_up,
	    .start = start,
	    .idle = idle,
	    .close = shut,
	    .stats = stats,
	};

	return svc_main(argc, argv, &spec, &state);
}

/* source-http: files that a web server lists become tables.  Several of these may run. */
#include "services/data-store/ingest.h"

#include "base/die.h"

static struct ingest_options options;

struct state {
	struct ingest *in;
};

static const struct opt house[] = {
    {"database-url", OPT_STR, &options.database, NULL, 0, 0, OPT_REQUIRED | OPT_SECRET,
	"Postgres, as a libpq address"},
    {"objects", OPT_STR, &options.objects, NULL, 0, 0, OPT_REQUIRED,
	"folder where fetched files are kept"},
};

static const struct opt own[] = {
    {"runs", OPT_INT, &options.runs, "2", 1, 64, 0, "triggers worked on at once"},
    {"max-file", OPT_INT, &options.max_file, "4g", 1, INT64_MAX / 2, 0,
	"the largest file that is fetched, bytes"},
    {"pull-ms", OPT_INT, &options.pull_ms, "3600000", 1000, 86400000, 0,
	"how long one file may take to come"},
    {"load-ms", OPT_INT, &options.load_ms, "21600000", 1000, 86400000, 0,
	"how long one load may take"},
};

static const struct opt_table tables[] = {
    {"TAXI_", "The house", house, sizeof house / sizeof *house},
    {"PLUGIN_HTTP_", "This source", own, sizeof own / sizeof *own},
};

static int
start_up(void *state, struct svc *s)
{
	struct state *st = state;

	st->in = ingest_new(s, &options);
	return st->in ? 0 : EXIT_NORESTART;
}

static int
start(void *state, struct svc *s)
{
	struct state *st = state;

	(void)s;
	ingest_start(st->in);
	return 0;
}

static void
drain(void *state)
{
	struct state *st = state;

	ingest_drain(st->in);
}

static bool
idle(void *state)
{
	struct state *st = state;

	return ingest_is_idle(st->in);
}

static void
shut(void *state)
{
	struct state *st = state;

	ingest_free(st->in);
}

static unsigned
stats(void *state, struct buf *out)
{
	struct state *st = state;

	return ingest_stats(st->in, out);
}

int
main(int argc, char **argv)
{
	static const struct svc_spec spec = {
	    .name = "source-http",
	    .about = "Fetches the files a web server lists and loads them into versioned tables.",
	    .options = tables,
	    .noptions = sizeof tables / sizeof *tables,
	    .open = start_up,
	    .start = start,
	    .drain = drain,
	    .idle = idle,
	    .close = shut,
	    .stats = stats,
	};
	struct state state = {NULL};

	return svc_main(argc, argv, &spec, &state);
}

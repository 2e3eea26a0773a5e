/* pusher-postgres: rows into one table, once.  A batch is one transaction (COPY into a temporary
 * table, INSERT … ON CONFLICT DO NOTHING by (receipt, position)); a batch that is refused is halved
 * until the delivery that is to blame stands alone. */
#include "services/data-gateway/pusher.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "proto/mp.h"
#include "services/data-gateway/bisect.h"
#include "services/data-gateway/plugins/postgres/copy.h"
#include "store/pg.h"

#define COPY_MAX (60u * 1024 * 1024) /* bytes of COPY text in one job; pg.h takes 64 MiB */
#define UP_WAIT_MS 2000              /* for a connection, before a batch is given back */
#define UP_POLL_MS 50

static struct {
	const char *url, *table;
	int64_t timeout_ms;
} conf;

struct dest {
	struct loop *loop;
	struct pg *pg;
	struct copy_sql sql;
	bool has_table;
	struct pusher_batch batch;
	struct bisect ranges;
	struct timer wait;
	int64_t give_up_ms;
	uint64_t jobs, refused;
};

static void next_range(struct dest *d);

/* --- ends of a batch, or of a range of it --- */

/* Everything from the present range on.  The batch may be over, and another begun, when this
 * returns. */
static void
give_back_rest(struct dest *d, const char *why)
{
	struct pusher_batch b = d->batch;
	size_t lo, hi;

	if (!bisect_next(&d->ranges, &lo, &hi))
		return;
	bisect_init(&d->ranges, 0);
	for (size_t i = lo; i < b.n; i++)
		pusher_done(b.items[i], PUSHER_RETRY, 0, why);
}

static void
range_done(struct dest *d)
{
	struct pusher_batch b = d->batch;
	size_t lo = 0, hi = 0, x, y;
	bool more;

	(void)bisect_next(&d->ranges, &lo, &hi);
	bisect_done(&d->ranges);
	more = bisect_next(&d->ranges, &x, &y);
	for (size_t i = lo; i < hi; i++)
		pusher_done(b.items[i], PUSHER_OK, 0, NULL);
	if (more)
		next_range(d);
}

static void
range_refused(struct dest *d, const char *why)
{
	struct pusher_item *it;
	size_t lo = 0, hi = 0;
	bool more;

	(void)bisect_next(&d->ranges, &lo, &hi);
	it = d->batch.items[lo];
	d->refused++;
	more = bisect_refused(&d->ranges);
	if (!more) {
		size_t x, y;

		more = bisect_next(&d->ranges, &x, &y);
		pusher_done(it, PUSHER_DEAD, 0, why);
	}
	if (more)
		next_range(d);
}

/* Is it the rows that the server does not like?  Data exceptions, constraints, limits: yes.  A
 * missing table or right is the operator's to mend. */
static bool
is_about_rows(const char *sqlstate)
{
	return strncmp(sqlstate, "22", 2) == 0 || strncmp(sqlstate, "23", 2) == 0 ||
	       strncmp(sqlstate, "54", 2) == 0 || strncmp(sqlstate, "P0", 2) == 0;
}

static void
explain(char *out, size_t size, const struct pg_done *end)
{
	(void)snprintf(
	    out, size, "%s%s%s", end->why, *end->sqlstate ? ", SQLSTATE " : "", end->sqlstate);
}

static void
on_copied(void *arg, const struct pg_done *end)
{
	struct dest *d = arg;
	char why[600];

	explain(why, sizeof why, end);
	if (end->end == PG_OK) {
		range_done(d);
	} else if (end->end == PG_REFUSED && is_about_rows(end->sqlstate)) {
		range_refused(d, why);
	} else {
		d->has_table = false;
		give_back_rest(d, why);
	}
}

/* --- the table --- */

static void
on_created(void *arg, const struct pg_done *end)
{
	struct dest *d = arg;
	char why[600];

	explain(why, sizeof why, end);
	if (end->end != PG_OK) {
		give_back_rest(d, why);
		return;
	}
	log_info("table_created", LOG_S("table", conf.table));
	d->has_table = true;
	next_range(d);
}

static void
create_table(struct dest *d, bool has_schema)
{
	const struct pg_step steps[] = {{.sql = buf_cstr(&d->sql.schema)},
	    {.sql = buf_cstr(&d->sql.table)}, {.sql = buf_cstr(&d->sql.index)}};
	/* CREATE SCHEMA asks for a right on the database even when the schema is there. */
	size_t skip = has_schema;

	if (pg_run(d->pg, steps + skip, 3 - skip, on_created, d) != 0)
		give_back_rest(d, "too much waits for the database");
}

static bool
is_true(const PGresult *res, int column)
{
	return PQntuples(res) == 1 && PQgetvalue(res, 0, column)[0] == 't';
}

static void
on_looked(void *arg, const struct pg_done *end)
{
	struct dest *d = arg;
	char why[600];

	explain(why, sizeof why, end);
	if (end->end != PG_OK) {
		give_back_rest(d, why);
	} else if (is_true(end->res, 0)) {
		d->has_table = true;
		next_range(d);
	} else {
		create_table(d, is_true(end->res, 1));
	}
}

static void
look_for_table(struct dest *d)
{
	static const char sql[] =
	    "SELECT to_regclass($1) IS NOT NULL, to_regnamespace($2) IS NOT NULL";
	const struct pg_param names[] = {{buf_span(&d->sql.name)}, {buf_span(&d->sql.space)}};

	if (pg_query(d->pg, sql, names, 2, on_looked, d) != 0)
		give_back_rest(d, "too much waits for the database");
}

/* --- a range --- */

static void
send_copy(struct dest *d, struct span text)
{
	const struct pg_step steps[] = {{.sql = copy_sql_temp},
	    {.sql = copy_sql_copy, .copy = text}, {.sql = buf_cstr(&d->sql.insert)}};

	d->jobs++;
	if (pg_run(d->pg, steps, 3, on_copied, d) != 0)
		give_back_rest(d, "too much waits for the database");
}

static void
next_range(struct dest *d)
{
	size_t lo = 0, hi = 0;
	struct buf text;
	int bad = 0;

	if (!d->has_table) {
		look_for_table(d);
		return;
	}
	(void)bisect_next(&d->ranges, &lo, &hi);
	buf_init(&text, COPY_MAX);
	for (size_t i = lo; bad == 0 && i < hi; i++)
		bad = copy_put_item(&text, d->batch.items[i]);
	if (bad == 0)
		send_copy(d, buf_span(&text));
	buf_fini(&text);
	if (bad != 0)
		range_refused(d, "the rows are over 60 MiB when written as JSON");
}

static void
start(struct dest *d)
{
	int64_t now = loop_now(d->loop);

	if (pg_is_up(d->pg)) {
		next_range(d);
	} else if (now >= d->give_up_ms) {
		give_back_rest(d, "the database cannot be reached");
	} else {
		loop_timer(d->loop, &d->wait, now + UP_POLL_MS);
	}
}

static void
on_wait(struct timer *t)
{
	start(LIST_ITEM(t, struct dest, wait));
}

static void
on_push(void *state, const struct pusher_batch *b)
{
	struct dest *d = state;

	d->batch = *b;
	bisect_init(&d->ranges, b->n);
	d->give_up_ms = loop_now(d->loop) + UP_WAIT_MS;
	start(d);
}

/* --- life --- */

static int
on_open(void *state, struct pusher *p)
{
	struct dest *d = state;
	const char *url = conf.url[0] != '\0' ? conf.url : getenv("TAXI_DATABASE_URL");

	d->loop = pusher_loop(p);
	d->wait.fn = on_wait;
	if (copy_sql_init(&d->sql, conf.table) != 0) {
		log_error("bad_option", LOG_S("option", "table"),
		    LOG_S("expected", "schema.table, each of letters, digits and _"));
		return EXIT_NORESTART;
	}
	if (url == NULL || url[0] == '\0') {
		log_error("bad_option", LOG_S("option", "url"),
		    LOG_S("expected", "a postgresql:// address, here or in TAXI_DATABASE_URL"));
		return EXIT_NORESTART;
	}
	d->pg = pg_new(d->loop, url, conf.timeout_ms);
	return 0;
}

static void
on_close(void *state)
{
	struct dest *d = state;

	loop_timer_clear(d->loop, &d->wait);
	bisect_init(&d->ranges, 0);
	pg_free(d->pg);
	copy_sql_fini(&d->sql);
}

static unsigned
on_stats(void *state, struct buf *out)
{
	const struct dest *d = state;

	mp_put_cstr(out, "databaseUp");
	mp_put_bool(out, pg_is_up(d->pg));
	mp_put_cstr(out, "transactions");
	mp_put_u64(out, d->jobs);
	mp_put_cstr(out, "transactionsRefused");
	mp_put_u64(out, d->refused);
	return 3;
}

static const struct opt options[] = {
    {"url", OPT_STR, &conf.url, "", 0, 0, OPT_SECRET,
	"address of the database (default: TAXI_DATABASE_URL)"},
    {"table", OPT_STR, &conf.table, "data_gateway_out.rows", 0, 0, 0,
	"schema.table the rows go to; made when absent"},
    {"timeout-ms", OPT_INT, &conf.timeout_ms, "30000", 1000, 600000, 0,
	"a transaction that takes longer is given up"},
};

static const struct pusher_ops ops = {
    .name = "postgres",
    .about = "Writes rows into a Postgres table, each exactly once.",
    .options = options,
    .noptions = sizeof options / sizeof *options,
    .open = on_open,
    .push = on_push,
    .close = on_close,
    .stats = on_stats,
};

int
main(int argc, char **argv)
{
	static struct dest dest;

	return pusher_main(argc, argv, &ops, &dest);
}

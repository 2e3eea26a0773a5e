#include "services/control-tower/sweep.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"

#define REST_MS 60000
#define MORE_MS 500
#define A_TIME 1000

struct sweep {
	struct loop *loop;
	struct pg *pg;
	int64_t days;
	struct timer timer;
	uint64_t count;
};

static const char query[] = "WITH old AS (DELETE FROM control_tower.triggers WHERE uuid IN"
			    "  (SELECT uuid FROM control_tower.triggers WHERE created_at < now() - "
			    "$1::int * interval '1 day'"
			    "   ORDER BY created_at LIMIT 1000) RETURNING uuid),"
			    " events AS (DELETE FROM control_tower.trigger_events USING old WHERE "
			    "trigger_events.uuid = old.uuid),"
			    " states AS (DELETE FROM control_tower.trigger_states USING old WHERE "
			    "trigger_states.uuid = old.uuid)"
			    " SELECT count(*) FROM old";

static void
on_swept(void *arg, const struct pg_done *d)
{
	struct sweep *s = arg;
	int64_t n = 0;

	if (d->end == PG_OK && PQntuples(d->res) == 1 &&
	    str_i64(span_str(PQgetvalue(d->res, 0, 0)), 0, A_TIME, &n) == 0 && n > 0) {
		s->count += (uint64_t)n;
		log_info("triggers_forgotten", LOG_I("n", n), LOG_I("days", s->days));
	}
	if (d->end == PG_REFUSED)
		log_error("sweep_refused", LOG_S("sqlstate", d->sqlstate), LOG_S("why", d->why));
	loop_timer(s->loop, &s->timer, loop_now(s->loop) + (n == A_TIME ? MORE_MS : REST_MS));
}

static void
on_timer(struct timer *t)
{
	struct sweep *s = LIST_ITEM(t, struct sweep, timer);
	char days[24];
	struct pg_param p;

	(void)snprintf(days, sizeof days, "%lld", (long long)s->days);
	p.v = span_str(days);
	if (!pg_is_up(s->pg) || pg_query(s->pg, query, &p, 1, on_swept, s) != 0)
		loop_timer(s->loop, &s->timer, loop_now(s->loop) + MORE_MS);
}

struct sweep *
sweep_new(struct loop *l, struct pg *pg, int64_t days)
{
	struct sweep *s;

	if (days == 0)
		return NULL;
	s = xcalloc(1, sizeof *s);
	s->loop = l;
	s->pg = pg;
	s->days = days;
	s->timer.fn = on_timer;
	loop_timer(l, &s->timer, loop_now(l) + MORE_MS);
	return s;
}

void
sweep_free(struct sweep *s)
{
	if (s == NULL)
		return;
	loop_timer_clear(s->loop, &s->timer);
	free(s);
}

uint64_t
sweep_count(const struct sweep *s)
{
	return s ? s->count : 0;
}

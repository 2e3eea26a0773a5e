/* sys.groups, sys.groups.set, sys.groups.delete. */
#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "broker/ctl_impl.h"
#include "proto/topic.h"

enum { PAGES = 16 };

static const char *
state_name(const struct owed_group *g, const struct group_stats *s)
{
	switch (g->set.paused) {
	case GROUP_PAUSED: return "paused";
	case GROUP_PAUSED_IDLE: return "paused-idle";
	case GROUP_PAUSED_OWED: return "paused-owed";
	case GROUP_RUNS: break;
	}
	return s->workers > 0 ? "active" : "idle";
}

struct first {
	const struct owed_group *g;
	int64_t at_ms;
};

static bool
first_owed(void *arg, const struct journal_row *r)
{
	struct first *f = arg;

	if (!groups_concerns(f->g, r->topic, r->only))
		return true;
	f->at_ms = r->at_ms;
	return false;
}

/* Age of the oldest owed record: what is read knows it, else a page of the journal is looked at,
 * for a few groups a call; `floor` tells whether what was seen last time still holds. */
static int64_t
oldest_ms(
    const struct broker *b, struct owed_group *g, const struct group_stats *s, unsigned *pages)
{
	struct first f = {g, s->oldest_ms};
	int64_t age;

	if (s->owed <= 0)
		return 0;
	if (f.at_ms == 0 && g->oldest_at != 0 && g->oldest_floor == s->floor)
		f.at_ms = g->oldest_at;
	if (f.at_ms == 0 && *pages > 0) {
		--*pages;
		(void)journal_read(b->journal, s->floor + 1, first_owed, &f);
	}
	g->oldest_at = f.at_ms;
	g->oldest_floor = s->floor;
	age = f.at_ms ? clock_real_ms() - f.at_ms : 0;
	return age > 0 ? age : 0;
}

static void
put_group(const struct broker *b, struct owed_group *g, struct buf *out, unsigned *pages)
{
	struct group_stats s;
	int64_t v[POLICY_FIELDS];

	group_stats(g->core, b->head, &s);
	mp_put_map(out, 25);
	ctl_put_str(out, "group", g->name);
	ctl_put_str(out, "pattern", g->set.pattern);
	ctl_put_str(out, "state", state_name(g, &s));
	ctl_put_u(out, "next", group_is_live(g->core) ? b->head + 1 : group_read(g->core));
	ctl_put_u(out, "from", g->from);
	ctl_put_u(out, "floor", s.floor);
	ctl_put_i(out, "owed", s.owed > 0 ? s.owed : 0);
	ctl_put_u(out, "inFlight", s.in_flight);
	ctl_put_u(out, "workers", s.workers);
	groups_settings_get_fields(&g->set, v);
	for (int f = 0; f < POLICY_FIELDS; f++)
		ctl_put_field(out, (enum policy_field)f, v[f]);
	ctl_put_i(out, "oldestMs", oldest_ms(b, g, &s, pages));
	mp_put_cstr(out, "blocked");
	mp_put_bool(out, s.blocked);
	ctl_put_u(out, "received", s.received);
	ctl_put_u(out, "delivered", s.delivered);
	ctl_put_u(out, "acked", s.acked);
	ctl_put_u(out, "redelivered", s.redelivered);
	ctl_put_u(out, "dead", s.dead);
	ctl_put_u(out, "dropped", s.dropped);
	ctl_put_u(out, "stale", s.stale);
}

void
ctl_no_group(struct broker *b, const struct ctl_call *c, struct span name)
{
	char text[LIMIT_GROUP + 32] = "no such group";

	if (groups_is_name(name)) {
		snprintf(
		    text, sizeof(text), "no such group: %.*s", (int)name.n, (const char *)name.p);
	}
	ctl_refuse(b, c, ERR_NOT_FOUND, text);
}

void
ctl_groups(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct span only = doc_str(o, "group");
	struct buf body;
	unsigned n = 0, pages = PAGES;

	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next)
		n += g->core && (only.p == NULL || span_is(only, g->name)) ? 1 : 0;
	if (only.p != NULL && n == 0) {
		ctl_no_group(b, c, only);
		return;
	}
	buf_init(&body, CTL_BODY_MAX);
	mp_put_map(&body, 2);
	ctl_put_u(&body, "head", b->head);
	mp_put_cstr(&body, "groups");
	mp_put_array(&body, n);
	for (struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core && (only.p == NULL || span_is(only, g->name)))
			put_group(b, g, &body, &pages);
	}
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

/* ---- set ---- */

static void
on_done(struct broker *b, void *arg, enum err err, struct owed_group *g)
{
	struct ctl_call *c = arg;
	struct buf body;

	if (err != ERR_OK) {
		ctl_refuse_op(b, c, err, "no such group");
	} else {
		buf_init(&body, LIMIT_HEADER);
		put_group(b, g, &body, &(unsigned){1});
		ctl_answer(b, c, &body);
		buf_fini(&body);
	}
	free(c);
}

static void
take_settings(struct group_settings *s, const msgpack_object *o, struct faults *f)
{
	static const char *const keys[] = {"group", "tries", "ackMs", "backoffMs", "backoffMaxMs",
	    "idleMs", "maxOwed", "full", "paused", "pattern"};
	const msgpack_object *pattern = doc_get(o, "pattern"), *paused = doc_get(o, "paused");
	int64_t v[POLICY_FIELDS];

	ctl_only_keys(o, keys, sizeof(keys) / sizeof(*keys), f);
	groups_settings_get_fields(s, v);
	ctl_take_fields(o, v, f);
	if (v[POLICY_BACKOFF_MAX_MS] < v[POLICY_BACKOFF_MS] && doc_get(o, "backoffMaxMs") != NULL)
		faults_add(f, "/backoffMaxMs", "expected at least backoffMs");
	groups_settings_set_fields(s, v);
	if (paused != NULL && paused->type != MSGPACK_OBJECT_BOOLEAN) {
		faults_add(f, "/paused", "expected true or false");
	} else if (paused != NULL) {
		s->paused = paused->via.boolean ? GROUP_PAUSED : GROUP_RUNS;
	}
	if (pattern == NULL)
		return;
	if (!groups_can_be_owed(doc_span(pattern)) ||
	    !str_copy(s->pattern, sizeof(s->pattern), doc_span(pattern)))
		faults_add(f, "/pattern", "expected a pattern of durable topics");
}

static struct owed_group *
named(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct span name = doc_str(o, "group");
	struct owed_group *g = name.n > 0 ? groups_find(b, name) : NULL;

	if (name.n == 0) {
		ctl_missing(b, c, "/group", "expected the name of a group");
	} else if (g == NULL || g->core == NULL || g->deleting) {
		ctl_no_group(b, c, name);
	}
	return g && g->core && !g->deleting ? g : NULL;
}

static struct ctl_call *
keep(const struct ctl_call *c)
{
	struct ctl_call *k = xcalloc(1, sizeof(*k));

	*k = *c;
	return k;
}

void
ctl_groups_set(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct owed_group *g = named(b, c, o);
	struct group_settings s;
	struct faults f;

	if (g == NULL)
		return;
	s = g->asked; /* what an earlier call has set is not undone, though it is not committed yet
		       */
	faults_init(&f);
	take_settings(&s, o, &f);
	if (f.n > 0) {
		ctl_invalid(b, c, &f);
	} else {
		groups_set(b, g, &s, on_done, keep(c));
	}
	faults_fini(&f);
}

struct deletion {
	struct ctl_call call;
	char name[LIMIT_GROUP + 1];
};

static void
on_deleted(struct broker *b, void *arg, enum err err, struct owed_group *g)
{
	struct deletion *d = arg;
	struct buf body;

	(void)g;
	if (err != ERR_OK) {
		ctl_refuse_op(b, &d->call, err, "no such group");
	} else {
		buf_init(&body, 256);
		mp_put_map(&body, 1);
		ctl_put_str(&body, "group", d->name);
		ctl_answer(b, &d->call, &body);
		buf_fini(&body);
	}
	free(d);
}

void
ctl_groups_delete(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct owed_group *g = named(b, c, o);
	struct deletion *d;

	if (g == NULL)
		return;
	d = xcalloc(1, sizeof(*d));
	d->call = *c;
	memcpy(d->name, g->name, sizeof(d->name));
	groups_delete(b, g, on_deleted, d);
}

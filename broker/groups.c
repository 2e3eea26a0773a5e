#include "broker/groups.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "broker/auth.h"
#include "broker/groups_impl.h"
#include "broker/out.h"
#include "broker/trace.h"
#include "proto/mp.h"
#include "proto/topic.h"

/* A SUB that waits for the commit of its group. */
struct join {
	struct list node;
	uint64_t session;
	uint8_t id[16];
	uint32_t credit;
	uint64_t bytes;
	uint8_t *desc;
	size_t ndesc;
};

struct create {
	struct job job;
	struct buf settings;
	char name[LIMIT_GROUP + 1];
};

struct owed_group *
/* NOLINTNEXTLINE(readability-function-size): uthash */
groups_find(const struct broker *b, struct span name)
{
	struct owed_group *g = NULL;

	if (name.n == 0)
		return NULL;
	HASH_FIND(hh, b->groups.all, name.p, (unsigned)name.n, g);
	return g;
}

struct group *
groups_core_new(struct owed_group *g, uint64_t next)
{
	struct group_ops ops = {
	    groups_feed_deliver, groups_dead_save, groups_feed_drop, groups_feed_note, g};
	struct group_conf conf = groups_settings_conf(g);

	return group_new(&ops, &conf, next);
}

static struct owed_group *
/* NOLINTNEXTLINE(readability-function-size): uthash */
group_add(struct broker *b, const char *name, const struct group_settings *set)
{
	struct owed_group *g = xcalloc(1, sizeof(*g));

	g->b = b;
	g->set = g->asked = *set;
	g->match.kind = MATCH_GROUP;
	memcpy(g->name, name, strlen(name));
	list_init(&g->joins);
	list_init(&g->busy);
	list_init(&g->unsaved);
	g->idle_since_ms = broker_now(b);
	b->groups.may_refuse |= set->refuses;
	g->trace = trace_name(b->trace, span_str(name));
	HASH_ADD(hh, b->groups.all, name, (unsigned)strlen(g->name), g);
	match_add(b->match, span_str(g->set.pattern), &g->match);
	return g;
}

static void
join_free(const struct broker *b, struct join *j)
{
	struct peer *p = registry_by_session(&b->reg, j->session);

	if (p != NULL)
		p->joining--;
	list_remove(&j->node);
	free(j->desc);
	free(j);
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
groups_remove(struct owed_group *g)
{
	struct broker *b = g->b;
	struct join *j;

	while ((j = LIST_FIRST(&g->joins, struct join, node)) != NULL)
		join_free(b, j); /* NOLINT(clang-analyzer-unix.Malloc): it leaves the list */
	match_del(b->match, &g->match);
	list_remove(&g->busy);
	list_remove(&g->unsaved);
	loop_timer_clear(b->loop, &g->timer);
	HASH_DEL(b->groups.all, g);
	group_free(g->core);
	free(g->dead);
	free(g);
}

/* ---- from the journal ---- */

static void
on_recovered(void *arg, const struct journal_group *jg)
{
	struct broker *b = arg;
	struct group_settings set;
	char name[LIMIT_GROUP + 1] = {0};
	struct owed_group *g;

	if (jg->name.n > LIMIT_GROUP || groups_settings_get(&set, jg->settings) != 0) {
		log_error("group_unreadable", LOG_B("group", jg->name));
		return;
	}
	memcpy(name, jg->name.p, jg->name.n);
	g = group_add(b, name, &set);
	g->from = jg->next;
	g->core = groups_core_new(g, jg->next);
	if (group_restore(g->core, jg->state, b->head) != 0) {
		/* Better all of it once more than any of it lost. */
		log_error(
		    "group_state_unreadable", LOG_S("group", g->name), LOG_U("next", jg->next));
		group_free(g->core);
		g->core = groups_core_new(g, jg->next);
		(void)group_restore(g->core, span_str(""), b->head);
	}
	/* Done to beyond the end: the end was lost. */
	journal_known(b->journal, group_floor(g->core, b->head));
	b->head = journal_head(b->journal);
	g->saved_head = group_counted(g->core);
	g->saved_floor = group_floor(g->core, b->head);
	groups_feed_count(g, group_counted(g->core), b->head);
	/* From now on its state is not the last word of a clean end any more. */
	groups_save_soon(g);
}

int
groups_open(struct broker *b)
{
	list_init(&b->groups.busy);
	list_init(&b->groups.unsaved);
	list_init(&b->groups.dead_again);
	if (journal_groups(b->journal, on_recovered, b) != 0)
		return -1;
	return groups_dead_open(b);
}

void
groups_free(struct broker *b)
{
	struct owed_group *g, *tmp;

	groups_dead_free(b);
	loop_timer_clear(b->loop, &b->groups.save_timer);
	HASH_ITER (hh, b->groups.all, g, tmp) {
		groups_remove(g);
	}
}

/* ---- SUB ---- */

static void
answer_next(struct broker *b, struct peer *p, const uint8_t id[16], const struct owed_group *g)
{
	struct env e;

	env_init(&e, ENV_OK, span_str(""), id);
	env_set_u(&e, ENV_M_NEXT, group_floor(g->core, b->head) + 1);
	env_set_u(&e, ENV_M_ACK_MS, (uint64_t)g->set.ack_ms);
	out_env(b, p, &e);
}

static void
resume_idle(struct owed_group *g)
{
	struct group_settings set = g->asked;

	if (g->set.paused != GROUP_PAUSED_IDLE)
		return;
	set.paused = GROUP_RUNS;
	groups_set(g->b, g, &set, NULL, NULL);
}

struct sub *
groups_sub_of(const struct peer *p, const struct owed_group *g)
{
	struct sub *s;

	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (s->group == g)
			return s;
	return NULL;
}

static void
take_in(struct owed_group *g, struct peer *p, const struct join *j)
{
	struct broker *b = g->b;
	struct sub *s = groups_sub_of(p, g);
	bool fresh = s == NULL;
	/* While its group was committed, it may have lost what it was allowed. */
	const char *why = auth_refuses(b, p, ACL_SUBSCRIBE, span_str(g->set.pattern));

	if (why == NULL)
		why = auth_refuses(b, p, ACL_GROUPS, span_str(g->name));
	if (why != NULL) {
		out_err(b, p, j->id, ERR_DENIED, why);
		return;
	}
	if (fresh)
		s = registry_sub_add(p, SUB_GROUP, span_str(g->set.pattern));
	if (s == NULL) {
		out_err(b, p, j->id, ERR_QUOTA, "too many subscriptions");
		return;
	}
	g->subs += fresh ? 1 : 0;
	s->group = g;
	s->closing = false;
	memcpy(s->id, j->id, 16);
	registry_describe(&b->reg, s, span_of(j->desc, j->ndesc));
	answer_next(b, p, j->id, g);
	group_join(g->core, p->session, j->credit, (size_t)j->bytes, s);
	groups_save_unseal(g);
	g->idle_since_ms = 0;
	g->idle_warned = false;
	resume_idle(g);
	groups_busy(g);
	broker_changed(b, true, fresh);
}

static void
take_all_in(struct owed_group *g)
{
	struct join *j;

	LIST_EACH (j, &g->joins, struct join, node) {
		struct peer *p = registry_by_session(&g->b->reg, j->session);

		if (p != NULL && p->lost == NULL)
			take_in(g, p, j);
		join_free(g->b, j);
	}
}

static void
turn_all_away(struct owed_group *g, enum err code)
{
	struct join *j;

	LIST_EACH (j, &g->joins, struct join, node) {
		struct peer *p = registry_by_session(&g->b->reg, j->session);

		if (p != NULL) {
			out_err(g->b, p, j->id, code,
			    code == ERR_BUSY ? "the disk is full" : "the journal failed");
		}
		join_free(g->b, j);
	}
}

static struct create *
create_new(const struct owed_group *g, const struct group_settings *set)
{
	struct create *c = xcalloc(1, sizeof(*c));

	memcpy(c->name, g->name, sizeof(c->name));
	buf_init(&c->settings, LIMIT_HEADER);
	groups_settings_put(set, &c->settings);
	c->job.op.kind = JOURNAL_GROUP;
	c->job.op.u.group.name = span_str(c->name);
	c->job.op.u.group.settings = buf_span(&c->settings);
	return c;
}

static void
create_free(struct create *c)
{
	buf_fini(&c->settings);
	free(c);
}

static void
on_created(struct broker *b, struct job *j)
{
	struct create *c = LIST_ITEM(j, struct create, job);
	struct owed_group *g = groups_find(b, span_str(c->name));
	uint64_t next = j->op.u.group.next;

	if (g == NULL || g->core != NULL) {
		create_free(c);
		return;
	}
	if (j->op.err != ERR_OK) {
		turn_all_away(g, j->op.err);
		groups_remove(g);
		create_free(c);
		return;
	}
	g->from = next;
	g->core = groups_core_new(g, next);
	g->saved_head = b->head;
	g->saved_floor = next - 1;
	if (next > b->head) {
		group_seen(g->core, next, true);
	} else {
		groups_feed_count(g, next - 1, b->head);
	}
	log_info("group_created", LOG_S("group", g->name), LOG_S("pattern", g->set.pattern),
	    LOG_U("next", next));
	groups_save_soon(g); /* with it, nothing older need be looked at after a restart */
	take_all_in(g);
	create_free(c);
}

bool
groups_from(struct span raw, enum journal_from *from, int64_t *arg)
{
	struct mp_r r;
	struct span key;

	*from = JOURNAL_FROM_NEW;
	*arg = 0;
	if (raw.p == NULL)
		return true;
	mp_r_init(&r, raw);
	if (mp_peek(&r) == MP_STR) {
		key = mp_str(&r, 8);
		*from = span_is(key, "all") ? JOURNAL_FROM_ALL : JOURNAL_FROM_NEW;
		return span_is(key, "all") || span_is(key, "new");
	}
	if (mp_map(&r) != 1)
		return false;
	key = mp_str(&r, 8);
	*from = span_is(key, "seq") ? JOURNAL_FROM_SEQ : JOURNAL_FROM_TIME;
	*arg = (int64_t)mp_u64(&r, INT64_MAX);
	return mp_done(&r) && (span_is(key, "seq") || span_is(key, "time"));
}

/* What the SUB says, then the policies, then the defaults. */
static struct group_settings
start_of(const struct broker *b, const struct env *e)
{
	struct group_settings set = {.paused = GROUP_RUNS},
			      def = {.tries = DEFAULT_TRIES,
				  .ack_ms = DEFAULT_ACK_MS,
				  .idle_ms = b->conf.idle_ms,
				  .backoff_ms = DEFAULT_BACKOFF_MS,
				  .backoff_max_ms = DEFAULT_BACKOFF_MAX_MS};
	int64_t v[POLICY_FIELDS], d[POLICY_FIELDS];

	groups_settings_get_fields(&def, d);
	for (int f = 0; f < POLICY_FIELDS; f++)
		v[f] = POLICY_UNSAID;
	if (env_has(e, ENV_M_TRIES))
		v[POLICY_TRIES] = (int64_t)env_u(e, ENV_M_TRIES, 0);
	if (env_has(e, ENV_M_ACK_MS))
		v[POLICY_ACK_MS] = (int64_t)env_u(e, ENV_M_ACK_MS, 0);
	policies_resolve(b->policies, e->topic, v);
	for (int f = 0; f < POLICY_FIELDS; f++)
		v[f] = v[f] == POLICY_UNSAID ? d[f] : v[f];
	groups_settings_set_fields(&set, v);
	return set;
}

static void
create(struct broker *b, struct peer *p, const struct env *e, struct join *j)
{
	struct group_settings set = start_of(b, e);
	char name[LIMIT_GROUP + 1] = {0};
	enum journal_from from;
	int64_t arg;
	struct owed_group *g;
	struct create *c;

	if (!groups_from(env_s(e, ENV_M_FROM), &from, &arg) || set.tries == 0 || set.ack_ms == 0) {
		out_err(b, p, e->id, ERR_INVALID,
		    "from: expected \"new\", \"all\", {seq} or {time}; tries and ack_ms: above 0");
		join_free(b, j);
		return;
	}
	/* Refused before it is created, and those on their way to the disk count. */
	if (HASH_COUNT(b->groups.all) >= GROUPS_MOST || p->nsubs + p->joining > REGISTRY_SUBS) {
		out_err(b, p, e->id, ERR_QUOTA,
		    HASH_COUNT(b->groups.all) >= GROUPS_MOST ? "too many groups"
							     : "too many subscriptions");
		join_free(b, j);
		return;
	}
	memcpy(set.pattern, e->topic.p, e->topic.n);
	memcpy(name, env_s(e, ENV_M_GROUP).p, env_s(e, ENV_M_GROUP).n);
	g = group_add(b, name, &set);
	list_push_back(&g->joins, &j->node);
	c = create_new(g, &set);
	c->job.done = on_created;
	c->job.op.u.group.from = from;
	c->job.op.u.group.from_arg = arg;
	broker_submit(b, &c->job);
}

static void
conflict(struct broker *b, struct peer *p, const struct env *e, const struct owed_group *g)
{
	char text[LIMIT_GROUP + LIMIT_TOPIC + 160];
	struct buf d;

	snprintf(text, sizeof(text),
	    "the group %s exists with other settings (pattern %s, tries %" PRIu32 ", ackMs %" PRId64
	    "); sys.groups.set (`taxi groups set`) changes them",
	    g->name, g->set.pattern, g->set.tries, g->set.ack_ms);
	buf_init(&d, LIMIT_HEADER);
	mp_put_map(&d, 5);
	mp_put_cstr(&d, "detail");
	mp_put_cstr(&d, text);
	mp_put_cstr(&d, "group");
	mp_put_cstr(&d, g->name);
	mp_put_cstr(&d, "pattern");
	mp_put_cstr(&d, g->set.pattern);
	mp_put_cstr(&d, "tries");
	mp_put_u64(&d, g->set.tries);
	mp_put_cstr(&d, "ackMs");
	mp_put_i64(&d, g->set.ack_ms);
	out_err_detail(b, p, e->id, ERR_CONFLICT, buf_span(&d));
	buf_fini(&d);
}

bool
groups_is_name(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '-' || c == '_' || c == '.'))
			return false;
	}
	return s.n > 0 && s.n <= LIMIT_GROUP;
}

bool
groups_can_be_owed(struct span pattern)
{
	struct span first = topic_token(pattern, 0);

	if (!topic_is_pattern(pattern))
		return false;
	return span_is(pattern, "sys.dead") || !(span_is(first, "sys") || span_is(first, "live"));
}

static bool
agrees(const struct owed_group *g, const struct env *e)
{
	return span_is(e->topic, g->set.pattern) &&
	       env_u(e, ENV_M_TRIES, g->set.tries) == g->set.tries &&
	       env_u(e, ENV_M_ACK_MS, (uint64_t)g->set.ack_ms) == (uint64_t)g->set.ack_ms;
}

static struct join *
join_new(const struct broker *b, struct peer *p, const struct env *e)
{
	struct join *j = xcalloc(1, sizeof(*j));

	p->joining++;
	list_init(&j->node);
	j->session = p->session;
	memcpy(j->id, e->id, 16);
	j->credit = (uint32_t)env_u(e, ENV_M_CREDIT, DEFAULT_CREDIT);
	j->bytes = env_u(e, ENV_M_BYTES, DEFAULT_CREDIT_BYTES);
	if (j->bytes > b->conf.peer_bytes / 2)
		j->bytes = b->conf.peer_bytes / 2;
	if (e->body.n > 0) {
		j->desc = xcalloc(1, e->body.n); /* at most LIMIT_DESC */
		memcpy(j->desc, e->body.p, e->body.n);
		j->ndesc = e->body.n;
	}
	return j;
}

void
groups_sub(struct broker *b, struct peer *p, const struct env *e)
{
	struct span name = env_s(e, ENV_M_GROUP);
	struct owed_group *g = groups_find(b, name);
	struct join *j;

	if (!groups_is_name(name)) {
		out_err(b, p, e->id, ERR_INVALID, "group: expected 1 to 64 of A-Z a-z 0-9 . _ -");
	} else if (!groups_can_be_owed(e->topic)) {
		out_err(b, p, e->id, ERR_INVALID,
		    "topic: live and sys are not kept, so no group can be owed them");
	} else if (g != NULL && g->deleting) {
		out_err(b, p, e->id, ERR_BUSY, "the group is being deleted");
	} else if (g != NULL && !agrees(g, e)) {
		conflict(b, p, e, g);
	} else {
		j = join_new(b, p, e);
		if (g == NULL) {
			create(b, p, e, j);
			return;
		}
		list_push_back(&g->joins, &j->node);
		if (g->core != NULL)
			take_all_in(g);
	}
}

/* A group's settings as the journal keeps them: a msgpack map. */
#include "broker/groups_impl.h"

#include "base/str.h"
#include "proto/doc.h"
#include "proto/mp.h"
#include "proto/topic.h"

void
groups_settings_put(const struct group_settings *s, struct buf *out)
{
	mp_put_map(out, 9);
	mp_put_cstr(out, "pattern");
	mp_put_cstr(out, s->pattern);
	mp_put_cstr(out, "tries");
	mp_put_u64(out, s->tries);
	mp_put_cstr(out, "ackMs");
	mp_put_i64(out, s->ack_ms);
	mp_put_cstr(out, "idleMs");
	mp_put_i64(out, s->idle_ms);
	mp_put_cstr(out, "maxOwed");
	mp_put_i64(out, s->max_owed);
	mp_put_cstr(out, "backoffMs");
	mp_put_i64(out, s->backoff_ms);
	mp_put_cstr(out, "backoffMaxMs");
	mp_put_i64(out, s->backoff_max_ms);
	mp_put_cstr(out, "refuses");
	mp_put_bool(out, s->refuses);
	mp_put_cstr(out, "paused");
	mp_put_u64(out, s->paused);
}

int
groups_settings_get(struct group_settings *s, struct span raw)
{
	struct doc d;
	int64_t paused;
	bool ok = false;

	if (doc_parse(&d, raw) == 0) {
		paused = doc_i64(&d.root, "paused", 0);
		*s = (struct group_settings){
		    .tries = (uint32_t)doc_i64(&d.root, "tries", DEFAULT_TRIES),
		    .ack_ms = doc_i64(&d.root, "ackMs", DEFAULT_ACK_MS),
		    .idle_ms = doc_i64(&d.root, "idleMs", 0),
		    .max_owed = doc_i64(&d.root, "maxOwed", 0),
		    .backoff_ms = doc_i64(&d.root, "backoffMs", DEFAULT_BACKOFF_MS),
		    .backoff_max_ms = doc_i64(&d.root, "backoffMaxMs", DEFAULT_BACKOFF_MAX_MS),
		    .refuses = doc_bool(&d.root, "refuses", false),
		    .paused = paused > 0 && paused <= GROUP_PAUSED_OWED ? (enum group_pause)paused
									: GROUP_RUNS,
		};
		ok = str_copy(s->pattern, sizeof(s->pattern), doc_str(&d.root, "pattern")) &&
		     topic_is_pattern(span_str(s->pattern)) && s->tries > 0 && s->ack_ms > 0;
	}
	doc_fini(&d);
	return ok ? 0 : -1;
}

struct group_conf
groups_settings_conf(const struct owed_group *g)
{
	struct group_conf c = {.tries = g->set.tries,
	    .ack_ms = g->set.ack_ms,
	    .backoff_ms = g->set.backoff_ms,
	    .backoff_max_ms = g->set.backoff_max_ms,
	    .paused = g->set.paused != GROUP_RUNS,
	    .seed = (uint64_t)(uintptr_t)g};

	return c;
}

void
groups_settings_get_fields(const struct group_settings *s, int64_t v[POLICY_FIELDS])
{
	v[POLICY_TRIES] = s->tries;
	v[POLICY_ACK_MS] = s->ack_ms;
	v[POLICY_BACKOFF_MS] = s->backoff_ms;
	v[POLICY_BACKOFF_MAX_MS] = s->backoff_max_ms;
	v[POLICY_IDLE_MS] = s->idle_ms;
	v[POLICY_MAX_OWED] = s->max_owed;
	v[POLICY_FULL] = s->refuses ? POLICY_FULL_BUSY : POLICY_FULL_PAUSE;
}

void
groups_settings_set_fields(struct group_settings *s, const int64_t v[POLICY_FIELDS])
{
	s->tries = (uint32_t)v[POLICY_TRIES];
	s->ack_ms = v[POLICY_ACK_MS];
	s->backoff_ms = v[POLICY_BACKOFF_MS];
	s->backoff_max_ms = v[POLICY_BACKOFF_MAX_MS];
	if (s->backoff_max_ms < s->backoff_ms)
		s->backoff_max_ms = s->backoff_ms;
	s->idle_ms = v[POLICY_IDLE_MS];
	s->max_owed = v[POLICY_MAX_OWED];
	s->refuses = v[POLICY_FULL] == POLICY_FULL_BUSY;
}

#include "proto/svc_priv.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "proto/mp.h"

#define STATS_MAX (1024u * 1024)

static void
put_str(struct buf *b, const char *key, const char *value)
{
	mp_put_cstr(b, key);
	mp_put_cstr(b, value);
}

static void
put_int(struct buf *b, const char *key, int64_t value)
{
	mp_put_cstr(b, key);
	mp_put_i64(b, value);
}

static void
put_uint(struct buf *b, const char *key, uint64_t value)
{
	mp_put_cstr(b, key);
	mp_put_u64(b, value);
}

/* name, version, pid, and instance when there is one: 3 or 4 pairs. */
static unsigned
put_who(const struct svc *s, struct buf *b)
{
	put_str(b, "name", s->spec->name);
	put_str(b, "version", TAXI_VERSION);
	put_int(b, "pid", getpid());
	if (*s->instance == '\0')
		return 3;
	put_str(b, "instance", s->instance);
	return 4;
}

static unsigned
who_pairs(const struct svc *s)
{
	return *s->instance ? 4 : 3;
}

static void
put_description(const struct svc *s, struct buf *b, bool with_api)
{
	mp_put_map(b, who_pairs(s) + 1 + (with_api ? 1 : 0));
	(void)put_who(s, b);
	put_str(b, "about", s->spec->about ? s->spec->about : "");
	if (with_api)
		put_str(b, "api", s->spec->api_json);
}

void
svc_sys_describe(struct svc *s)
{
	struct buf b;

	buf_init(&b, LIMIT_DESC);
	put_description(s, &b, false);
	worker_describe(s->worker, buf_span(&b));
	buf_fini(&b);
}

static void
reply(struct worker_msg *m, struct buf *body)
{
	struct env rep;

	if (body->failed) {
		worker_fail(m, ERR_TOO_BIG, "the answer is too big");
		return;
	}
	env_init(&rep, ENV_REP, span_str(""), NULL);
	rep.body = buf_span(body);
	worker_reply(m, &rep);
}

static void
on_ping(void *arg, struct worker_msg *m)
{
	const struct svc *s = arg;
	struct buf b;

	buf_init(&b, STATS_MAX);
	mp_put_map(&b, who_pairs(s));
	(void)put_who(s, &b);
	reply(m, &b);
	buf_fini(&b);
}

static void
put_setting(struct buf *b, const struct opt *o)
{
	const char *const *text = o->dst;

	switch (o->type) {
	case OPT_STR:
		mp_put_cstr(b, o->flag);
		if (*text) {
			mp_put_cstr(b, *text);
		} else {
			mp_put_nil(b);
		}
		break;
	case OPT_INT: put_int(b, o->flag, *(const int64_t *)o->dst); break;
	case OPT_BOOL:
		mp_put_cstr(b, o->flag);
		mp_put_bool(b, *(const bool *)o->dst);
		break;
	}
}

static void
put_settings(const struct svc *s, struct buf *b)
{
	size_t n = 0;

	for (size_t t = 0; t < s->ntables; t++) {
		for (size_t i = 0; i < s->tables[t].n; i++)
			n += (s->tables[t].rows[i].flags & OPT_SECRET) == 0;
	}
	mp_put_map(b, n);
	for (size_t t = 0; t < s->ntables; t++) {
		for (size_t i = 0; i < s->tables[t].n; i++) {
			if ((s->tables[t].rows[i].flags & OPT_SECRET) == 0)
				put_setting(b, &s->tables[t].rows[i]);
		}
	}
}

static void
on_info(void *arg, struct worker_msg *m)
{
	const struct svc *s = arg;
	struct buf b;

	buf_init(&b, STATS_MAX);
	mp_put_map(&b, who_pairs(s) + 3);
	(void)put_who(s, &b);
	put_str(&b, "about", s->spec->about ? s->spec->about : "");
	mp_put_cstr(&b, "limits");
	mp_put_map(&b, 5);
	put_uint(&b, "frame", LIMIT_FRAME);
	put_uint(&b, "header", LIMIT_HEADER);
	put_uint(&b, "part", LIMIT_PART);
	put_uint(&b, "pack", LIMIT_PACK);
	put_uint(&b, "ttlMs", LIMIT_TTL_MS);
	mp_put_cstr(&b, "settings");
	put_settings(s, &b);
	reply(m, &b);
	buf_fini(&b);
}

static void
put_loop(const struct svc *s, struct buf *b)
{
	struct loop_stats l = loop_stats(s->loop);

	mp_put_cstr(b, "loop");
	mp_put_map(b, 4);
	put_uint(b, "callbacks", l.callbacks);
	put_uint(b, "slow", l.slow);
	put_int(b, "maxCallbackUs", l.max_callback_us);
	put_int(b, "maxLateMs", l.max_late_ms);
}

static void
put_client(const struct svc *s, struct buf *b)
{
	struct client_stats c = client_stats(s->client);

	mp_put_cstr(b, "client");
	mp_put_map(b, 10);
	put_uint(b, "pending", client_pending(s->client));
	put_uint(b, "pendingBytes", client_pending_bytes(s->client));
	put_uint(b, "calls", c.calls);
	put_uint(b, "ok", c.ok);
	put_uint(b, "err", c.err);
	put_uint(b, "timeouts", c.timeouts);
	put_uint(b, "lost", c.lost);
	put_uint(b, "resent", c.resent);
	put_uint(b, "refusedBusy", c.refused_busy);
	put_uint(b, "late", c.late);
}

static void
put_worker(const struct svc *s, struct buf *b)
{
	struct worker_stats w = worker_stats(s->worker);

	mp_put_cstr(b, "worker");
	mp_put_map(b, 7);
	put_uint(b, "inHand", worker_in_hand(s->worker));
	put_uint(b, "unreadable", w.unreadable);
	put_uint(b, "stray", w.stray);
	put_uint(b, "dropped", w.dropped);
	put_uint(b, "voided", w.voided);
	put_uint(b, "sessions", link_generation(s->link));
	put_uint(b, "badFrames", link_bad_frames(s->link));
	mp_put_cstr(b, "subs");
	worker_put_subs(s->worker, b);
}

static void
put_counters(const struct svc *s, struct buf *b)
{
	struct buf pairs;
	unsigned n;

	buf_init(&pairs, STATS_MAX);
	n = s->spec->stats ? s->spec->stats(s->state, &pairs) : 0;
	mp_put_cstr(b, "counters");
	mp_put_map(b, pairs.failed ? 0 : n);
	if (!pairs.failed && pairs.n > 0)
		buf_put(b, pairs.p, pairs.n);
	buf_fini(&pairs);
}

static void
on_stats(void *arg, struct worker_msg *m)
{
	const struct svc *s = arg;
	struct buf b;

	buf_init(&b, STATS_MAX);
	mp_put_map(&b, who_pairs(s) + 6);
	(void)put_who(s, &b);
	put_int(&b, "uptimeMs", loop_now(s->loop) - s->started_ms);
	put_loop(s, &b);
	put_client(s, &b);
	put_worker(s, &b);
	put_counters(s, &b);
	reply(m, &b);
	buf_fini(&b);
}

static void
serve(struct svc *s, char *pattern, worker_msg_fn *fn, struct span desc)
{
	struct worker_sub_spec spec = {
	    .pattern = pattern, .serve = true, .desc = desc, .msg = fn, .arg = s};

	(void)worker_sub(s->worker, &spec);
	free(pattern);
}

/* The announcement is long and every process says it once: with sys.info. */
void
svc_sys_subscribe(struct svc *s)
{
	const char *name = s->spec->name;
	const struct span none = {NULL, 0};
	struct buf b;

	buf_init(&b, LIMIT_DESC);
	put_description(s, &b, s->spec->api_json != NULL);
	if (b.failed)
		log_error("api_too_long", LOG_U("limit", LIMIT_DESC));
	serve(s, xasprintf("sys.ping.%s", name), on_ping, none);
	serve(s, xasprintf("sys.info.%s", name), on_info, b.failed ? none : buf_span(&b));
	serve(s, xasprintf("sys.stats.%s", name), on_stats, none);
	serve(s, xasprintf("sys.stats.%s.%d", name, (int)getpid()), on_stats, none);
	buf_fini(&b);
}

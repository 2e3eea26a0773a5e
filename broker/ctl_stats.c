/* sys.stats. */
#include <inttypes.h>
#include <stdio.h>

#include <sys/statvfs.h>

#include "base/clock.h"
#include "broker/conns.h"
#include "broker/ctl_impl.h"

struct row {
	const char *name;
	uint64_t n;
};

static void
put_rows(struct buf *out, const struct row *rows, size_t n)
{
	mp_put_map(out, n);
	for (size_t i = 0; i < n; i++)
		ctl_put_u(out, rows[i].name, rows[i].n);
}
#define PUT_ROWS(out, rows) put_rows((out), (rows), sizeof(rows) / sizeof(*(rows)))

static void
put_counters(const struct broker *b, const struct journal_stats *js, const struct route_stats *rs,
    struct buf *out)
{
	const struct row rows[] = {
	    {"received", b->received},
	    {"sent", b->sent},
	    {"delivered", b->delivered},
	    {"fed", b->fed},
	    {"feedN", b->feed_n},
	    {"peers", b->reg.npeers},
	    {"connections", conns_open(b->conns)},
	    {"feedConnections", conns_open(b->feed_conns)},
	    {"groups", HASH_COUNT(b->groups.all)},
	    {"tails", b->tails},
	    {"requests", rs->requests},
	    {"answered", rs->answered},
	    {"failed", rs->failed},
	    {"tried_again", rs->again},
	    {"under_way", rs->under_way},
	    {"waiting", rs->waiting},
	    {"ghosts", rs->ghosts},
	    {"pools", rs->pools},
	    {"commits", js->commits},
	    {"records", js->records},
	    {"repeats", js->repeats},
	    {"damaged", js->damaged},
	    {"lost", js->lost},
	    {"trimmed", b->trimmed},
	    {"retain_looks", b->retain_looks},
	    {"dead_retries", b->groups.dead_retries},
	    {"store_failed", journal_failed(b->journal)},
	    {"match_nodes", match_nodes(b->match)},
	    {"sessions", b->reg.last_session},
	};

	mp_put_cstr(out, "counters");
	PUT_ROWS(out, rows);
}

/* What waits for its peer to read it. */
static uint64_t
unsent(const struct broker *b)
{
	uint64_t n = 0;
	struct peer *p;

	LIST_EACH (p, &b->queued, struct peer, queued)
		n += p->queue_bytes;
	return n;
}

/* Of the file system that holds the journal; zeros when there is none. */
static struct statvfs
disk(const struct broker *b)
{
	struct statvfs s = {0};

	if (b->conf.journal == NULL || b->conf.journal[0] == '\0' ||
	    statvfs(b->conf.journal, &s) != 0)
		s = (struct statvfs){0};
	return s;
}

static void
put_bytes(const struct broker *b, const struct journal_stats *js, const struct route_stats *rs,
    struct buf *out)
{
	const struct statvfs fs = disk(b);
	const struct row rows[] = {
	    {"limit", b->conf.max_bytes},
	    {"committing", journal_queued_bytes(b->journal)},
	    {"held", b->held_bytes},
	    {"requests", rs->bytes},
	    {"unsent", unsent(b) + parcels_bytes(b->afloat)},
	    {"feed", parcels_bytes(b->feed_afloat)},
	    {"records", b->recs.bytes},
	    {"tail", b->tail.bytes},
	    {"file", js->file_bytes},
	    {"kept", js->kept_bytes},
	    {"stored", js->bytes},
	    {"diskFree", (uint64_t)fs.f_bavail * fs.f_frsize},
	    {"diskSize", (uint64_t)fs.f_blocks * fs.f_frsize},
	};

	mp_put_cstr(out, "bytes");
	PUT_ROWS(out, rows);
}

static void
put_drops(const struct broker *b, struct buf *out)
{
	const struct row rows[] = {
#define X(id, name) {#name, b->drops[DROP_##id]},
	    DROPS(X)
#undef X
	};

	mp_put_cstr(out, "drops");
	PUT_ROWS(out, rows);
}

static void
put_dead(const struct broker *b, struct buf *out)
{
	const struct row rows[] = {
#define X(id) {#id, b->dead[GROUP_DEATH_##id]},
	    GROUP_DEATHS(X)
#undef X
	};

	mp_put_cstr(out, "dead");
	PUT_ROWS(out, rows);
}

static void
put_verbs(const struct broker *b, struct buf *out)
{
	mp_put_cstr(out, "verbs");
	mp_put_map(out, ENV_VERB_COUNT - 1);
	for (int v = 1; v < ENV_VERB_COUNT; v++)
		ctl_put_u(out, env_verb_name((enum env_verb)v), b->verbs[v]);
	mp_put_cstr(out, "errors");
	mp_put_map(out, ERR_COUNT - 1);
	for (int e = 1; e < ERR_COUNT; e++)
		ctl_put_u(out, err_name((enum err)e), b->errors[e]);
}

/* The percentiles are of the last commits, the histogram of all since the start. */
static void
put_commits(const struct journal_stats *js, struct buf *out)
{
	static const int64_t bounds[JOURNAL_BUCKETS] = JOURNAL_BOUNDS;
	const struct row rows[] = {{"p50", js->fsync_us_p50}, {"p99", js->fsync_us_p99},
	    {"max", js->fsync_us_max}, {"sum", js->fsync_us_sum}};
	char name[24];

	mp_put_cstr(out, "fsyncUs");
	mp_put_map(out, sizeof(rows) / sizeof(*rows) + 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		ctl_put_u(out, rows[i].name, rows[i].n);
	mp_put_cstr(out, "le");
	mp_put_map(out, JOURNAL_BUCKETS);
	for (size_t i = 0; i < JOURNAL_BUCKETS; i++) {
		snprintf(name, sizeof name, "%" PRId64, bounds[i]);
		ctl_put_u(out, bounds[i] == INT64_MAX ? "inf" : name, js->fsync_us_in[i]);
	}
}

void
ctl_stats(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct loop_stats ls = loop_stats(b->loop);
	struct journal_stats js;
	struct route_stats rs;
	struct buf body;

	(void)o;
	journal_stats(b->journal, &js);
	route_stats(b->route, &rs);
	buf_init(&body, 65536);
	mp_put_map(&body, 12);
	ctl_put_str(&body, "name", "broker");
	ctl_put_str(&body, "version", TAXI_VERSION);
	mp_put_cstr(&body, "epoch");
	mp_put_bin(&body, span_of(b->epoch, 16));
	ctl_put_i(&body, "uptimeMs", clock_real_ms() - b->started_ms);
	ctl_put_u(&body, "head", b->head);
	put_counters(b, &js, &rs, &body);
	put_drops(b, &body);
	put_dead(b, &body);
	put_bytes(b, &js, &rs, &body);
	put_verbs(b, &body);
	mp_put_cstr(&body, "latency");
	mp_put_map(&body, 2);
	put_commits(&js, &body);
	mp_put_cstr(&body, "loopUs");
	put_rows(&body,
	    (struct row[]){{"max", (uint64_t)ls.max_callback_us}, {"slow", ls.slow},
		{"lateMs", (uint64_t)ls.max_late_ms}},
	    3);
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

/* The judges of taxi doctor: thresholds and the advice that goes with them. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/doctor.h"
#include "cli/fmt.h"

enum { LIST_MOST = 5 }; /* of one kind; the rest is a count */

static uint64_t
u64(const msgpack_object *o, const char *key)
{
	int64_t n = doc_i64(o, key, 0);

	return n > 0 ? (uint64_t)n : 0;
}

void
doctor_judge_answer(struct doctor *d, int64_t us)
{
	doctor_add(d,
	    us > 1000000  ? DOCTOR_CRITICAL
	    : us > 100000 ? DOCTOR_WARNING
			  : DOCTOR_OK,
	    "broker", "the broker or its machine is overloaded: `taxi top` shows by whom",
	    "answers in %s (median of 5 round trips)", fmt_us(us).s);
}

/* ---- versions ---- */

void
doctor_judge_versions(
    struct doctor *d, const char *own, const msgpack_object *stats, const msgpack_object *services)
{
	const msgpack_object_array *s = doc_list(services, "services");
	struct span broker = doc_str(stats, "version");
	unsigned other = 0;

	if (!span_is(broker, own)) {
		doctor_add(d, DOCTOR_WARNING, "version", "install one version everywhere",
		    "taxi is %s, the broker %.*s", own, (int)broker.n, (const char *)broker.p);
	}
	for (uint32_t i = 0; i < s->size; i++) {
		const msgpack_object *desc = doc_get(&s->ptr[i], "desc");
		struct span version = doc_str(desc, "version"), name = doc_str(desc, "name");

		if (doc_get(desc, "pid") == NULL || version.n == 0 || span_eq(version, broker))
			continue; /* not of the house, or the same */
		if (other++ < LIST_MOST) {
			doctor_add(d, DOCTOR_WARNING, "version",
			    "restart it after an upgrade: `s6-svc -r <state>/service/<process>`",
			    "%.*s is %.*s, the broker %.*s", (int)name.n, (const char *)name.p,
			    (int)version.n, (const char *)version.p, (int)broker.n,
			    (const char *)broker.p);
		}
	}
	if (span_is(broker, own) && other == 0)
		doctor_add(d, DOCTOR_OK, "version", "", "%s everywhere", own);
}

/* ---- the journal ---- */

void
doctor_judge_store(struct doctor *d, const msgpack_object *stats)
{
	const msgpack_object *counters = doc_get(stats, "counters");

	if (u64(counters, "store_failed") > 0) {
		doctor_add(d, DOCTOR_CRITICAL, "journal",
		    "move it to a disk that works and restart the broker; the log has "
		    "evt=journal_failed",
		    "an fsync or write failed: nothing is stored any more");
	} else if (u64(counters, "damaged") > 0) {
		doctor_add(d, DOCTOR_CRITICAL, "journal",
		    "`taxi journal verify` lists them; restore from a backup what they held",
		    "%" PRIu64 " records are damaged and are not served", u64(counters, "damaged"));
	} else {
		doctor_add(d, DOCTOR_OK, "journal", "", "stores; head is seq %" PRIu64,
		    u64(stats, "head"));
	}
}

void
doctor_judge_disk(struct doctor *d, const msgpack_object *stats, const struct doctor_before *before)
{
	const msgpack_object *bytes = doc_get(stats, "bytes");
	uint64_t left = u64(bytes, "diskFree"), size = u64(bytes, "diskSize");
	uint64_t file = u64(bytes, "file"), was = u64(doc_get(before->stats, "bytes"), "file");
	double hours = (double)before->ago_ms / 3.6e6, grew = (double)file - (double)was;
	double hours_left = grew > 0 && hours > 0 ? (double)left / (grew / hours) : -1;
	enum doctor_verdict v = DOCTOR_OK;
	char growth[96] = "";

	if (size == 0) {
		doctor_add(
		    d, DOCTOR_OK, "disk", "", "journal in memory, or the broker does not say");
		return;
	}
	if (left < size / 10 || left < (UINT64_C(1) << 30) || (hours_left >= 0 && hours_left < 24))
		v = DOCTOR_WARNING;
	if (left < size / 50 || left < (UINT64_C(64) << 20) || (hours_left >= 0 && hours_left < 1))
		v = DOCTOR_CRITICAL;
	if (before->stats != NULL && before->ago_ms >= 1000) {
		snprintf(growth, sizeof growth, ", %s%.24s in the last %.24s", grew < 0 ? "-" : "+",
		    fmt_bytes((uint64_t)(grew < 0 ? -grew : grew)).s, fmt_age(before->ago_ms).s);
	}
	doctor_add(d, v, "disk",
	    "make room, or keep less (--retain-bytes, --retain-ms); `taxi groups` shows who is "
	    "owed "
	    "what is kept",
	    "%s free of %s; the journal has %s%s", fmt_bytes(left).s, fmt_bytes(size).s,
	    fmt_bytes(file).s, growth);
}

void
doctor_judge_commits(struct doctor *d, const msgpack_object *stats)
{
	const msgpack_object *us = doc_get(doc_get(stats, "latency"), "fsyncUs");
	int64_t p50 = doc_i64(us, "p50", 0), p99 = doc_i64(us, "p99", 0);

	if (p50 == 0 && p99 == 0) {
		doctor_add(d, DOCTOR_OK, "fsync", "", "nothing was committed yet");
		return;
	}
	doctor_add(d,
	    p99 > 1000000                 ? DOCTOR_CRITICAL
	    : p99 > 100000 || p50 > 30000 ? DOCTOR_WARNING
					  : DOCTOR_OK,
	    "fsync", "every publish waits for it: put the journal on a faster, less busy disk",
	    "commits take %s (p50), %s (p99)", fmt_us(p50).s, fmt_us(p99).s);
}

/* ---- memory, drops ---- */

void
doctor_judge_memory(struct doctor *d, const msgpack_object *stats)
{
	const msgpack_object *bytes = doc_get(stats, "bytes");
	uint64_t limit = u64(bytes, "limit");
	uint64_t used = u64(bytes, "committing") + u64(bytes, "requests") + u64(bytes, "held");

	doctor_add(d,
	    limit > 0 && used > limit / 10 * 9 ? DOCTOR_CRITICAL
	    : limit > 0 && used > limit / 2    ? DOCTOR_WARNING
					       : DOCTOR_OK,
	    "memory", "publishers get BUSY at the limit: find the one that floods with `taxi top`",
	    "%s of %s wait in the broker", fmt_bytes(used).s, fmt_bytes(limit).s);
}

/* What happens wherever connections come and go. */
static bool
is_harmless(struct span reason)
{
	static const char *const names[] = {
	    "peer_gone", "late_answer", "stale", "stale_answer", "tail_credit"};

	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		if (span_is(reason, names[i]))
			return true;
	}
	return false;
}

void
doctor_judge_drops(
    struct doctor *d, const msgpack_object *stats, const struct doctor_before *before)
{
	const msgpack_object *drops = doc_get(stats, "drops"), *was = NULL;
	const msgpack_object *epoch = doc_get(stats, "epoch"),
			     *old = doc_get(before->stats, "epoch");
	char text[320] = "", key[64];
	bool harmless = false;
	size_t n = 0;

	if (epoch != NULL && old != NULL && msgpack_object_equal(*epoch, *old))
		was = doc_get(before->stats, "drops");
	for (uint32_t i = 0;
	     drops != NULL && drops->type == MSGPACK_OBJECT_MAP && i < drops->via.map.size; i++) {
		struct span name = doc_span(&drops->via.map.ptr[i].key);
		uint64_t now, then;

		snprintf(key, sizeof key, "%.*s", (int)name.n, (const char *)name.p);
		now = u64(drops, key);
		then = u64(was, key);
		if (now > then && is_harmless(name)) {
			harmless = true;
		} else if (now > then && n < sizeof text) {
			n += (size_t)snprintf(text + n, sizeof text - n, "%s%s %" PRIu64,
			    n ? ", " : "", key, now - then);
		}
	}
	doctor_add(d, n > 0 ? DOCTOR_WARNING : DOCTOR_OK, "drops",
	    "`taxi help drops` says what each reason means; `taxi stats` counts them",
	    n > 0      ? "since %s: %s"
	    : harmless ? "none that matter since %s%s"
		       : "none since %s%s",
	    was ? "the last look" : "the broker started", text);
}

/* ---- groups and dead letters ---- */

static enum doctor_verdict
judge_group(struct doctor *d, const msgpack_object *g)
{
	struct span name = doc_str(g, "group"), state = doc_str(g, "state");
	int64_t owed = doc_i64(g, "owed", 0), oldest = doc_i64(g, "oldestMs", 0);
	int n = (int)name.n;
	const char *s = (const char *)name.p;
	char advice[256];

	if (state.n >= 6 && memcmp(state.p, "paused", 6) == 0) {
		snprintf(advice, sizeof advice,
		    "`taxi groups set %.*s --running` goes on, `taxi groups delete %.*s` ends it",
		    n, s, n, s);
		doctor_add(d, DOCTOR_WARNING, "groups", advice,
		    "%.*s is %.*s: it is handed nothing and may lose what it is owed (%" PRId64 ")",
		    n, s, (int)state.n, (const char *)state.p, owed);
		return DOCTOR_WARNING;
	}
	if (doc_bool(g, "blocked", false)) {
		doctor_add(d, DOCTOR_WARNING, "groups",
		    "one order key holds the rest up: `taxi trace` its oldest, or mend the worker",
		    "%.*s is blocked", n, s);
		return DOCTOR_WARNING;
	}
	if (owed > 0 && doc_i64(g, "workers", 0) == 0) {
		snprintf(advice, sizeof advice,
		    "start its workers; if it is not wanted: `taxi groups delete %.*s`", n, s);
		doctor_add(d, DOCTOR_WARNING, "groups", advice,
		    "%.*s is owed %" PRId64 " and nobody works on it (oldest %s)", n, s, owed,
		    fmt_age(oldest).s);
		return DOCTOR_WARNING;
	}
	if (oldest > 60000) {
		doctor_add(d, oldest > 600000 ? DOCTOR_CRITICAL : DOCTOR_WARNING, "groups",
		    "more workers (`scripts/scale.sh`), or see in `taxi groups` whether it "
		    "redelivers",
		    "%.*s lags %s behind, with %" PRId64 " owed", n, s, fmt_age(oldest).s, owed);
		return DOCTOR_WARNING;
	}
	return DOCTOR_OK;
}

void
doctor_judge_groups(struct doctor *d, const msgpack_object *groups)
{
	const msgpack_object_array *g = doc_list(groups, "groups");
	uint32_t bad = 0;

	for (uint32_t i = 0; i < g->size; i++) {
		if (judge_group(d, &g->ptr[i]) != DOCTOR_OK)
			bad++;
	}
	if (bad == 0)
		doctor_add(d, DOCTOR_OK, "groups", "", "%" PRIu32 " groups, none behind", g->size);
}

void
doctor_judge_dead(struct doctor *d, const msgpack_object *dead)
{
	const msgpack_object_array *items = doc_list(dead, "items");
	bool more = doc_i64(dead, "next", 0) > 0;
	struct span group, reason;

	if (items->size == 0) {
		doctor_add(d, DOCTOR_OK, "dead letters", "", "none");
		return;
	}
	group = doc_str(&items->ptr[items->size - 1], "group");
	reason = doc_str(&items->ptr[items->size - 1], "reason");
	doctor_add(d, DOCTOR_WARNING, "dead letters",
	    "`taxi dead ls`, then `taxi dead retry`, `edit` or `drop`",
	    "%" PRIu32 "%s; one is of %.*s: %.*s", items->size, more ? " and more" : "",
	    (int)group.n, (const char *)group.p, (int)(reason.n < 120 ? reason.n : 120),
	    (const char *)reason.p);
}

/* ---- peers ---- */

void
doctor_judge_peers(struct doctor *d, const msgpack_object *peers)
{
	const msgpack_object_array *p = doc_list(peers, "peers");
	uint32_t slow = 0;

	for (uint32_t i = 0; i < p->size; i++) {
		const msgpack_object *o = &p->ptr[i];
		uint64_t bytes = u64(o, "bytes");

		/* A ping comes every second; who has nothing to do is as loud as the others. */
		if (bytes < (1u << 20) && doc_i64(o, "lastMs", 0) < 4000)
			continue;
		if (slow++ < LIST_MOST) {
			doctor_add(d, bytes >= (1u << 20) ? DOCTOR_WARNING : DOCTOR_OK, "peers",
			    "its process does not read: `taxi peers`, and look at what it does",
			    "session %" PRId64 ": %s wait for it, last heard %s ago",
			    doc_i64(o, "session", 0), fmt_bytes(bytes).s,
			    fmt_age(doc_i64(o, "lastMs", 0)).s);
		}
	}
	if (slow == 0) {
		doctor_add(
		    d, DOCTOR_OK, "peers", "", "%" PRIu32 " peers, all of them read", p->size);
	}
}

/* ---- the rest ---- */

void
doctor_judge_drain(struct doctor *d, const msgpack_object *drain)
{
	bool on = doc_bool(drain, "draining", false);

	doctor_add(d, on ? DOCTOR_WARNING : DOCTOR_OK, "drain",
	    "`taxi drain --off` takes work again",
	    on ? "the broker refuses new work" : "the broker takes work");
}

void
doctor_judge_keys(struct doctor *d, const msgpack_object *acl, const char *bus)
{
	const msgpack_object_array *who = doc_list(acl, "who");
	bool ipc = strncmp(bus, "ipc:", 4) == 0;

	if (doc_get(acl, "on") == NULL) {
		doctor_add(d, DOCTOR_OK, "keys", "", "the broker does not say");
	} else if (!doc_bool(acl, "on", false)) {
		doctor_add(d, DOCTOR_OK, "keys", "",
		    "off: who reaches %s may do everything, which only this machine does",
		    ipc ? "the socket" : "the port");
	} else if (who->size == 0) {
		doctor_add(d, DOCTOR_WARNING, "keys", "`taxi keys allow` lets a key in",
		    "on, and nobody is allowed anything");
	} else {
		doctor_add(
		    d, DOCTOR_OK, "keys", "", "on, %" PRIu32 " entries in the acl", who->size);
	}
}

void
doctor_judge_clock(struct doctor *d, int64_t ahead)
{
	int64_t off = ahead < 0 ? -ahead : ahead;

	if (off > 2000) {
		doctor_add(d, DOCTOR_WARNING, "clock",
		    "set both by NTP: expiry, retention and ids go by the clock",
		    "this machine's is %s %s the broker's", fmt_age(off).s,
		    ahead < 0 ? "behind" : "ahead of");
	} else {
		doctor_add(d, DOCTOR_OK, "clock", "", "agrees with the broker's");
	}
}

void
doctor_judge_files(struct doctor *d, uint64_t open, uint64_t limit)
{
	doctor_add(d,
	    limit > 0 && open > limit / 10 * 9 ? DOCTOR_CRITICAL
	    : limit < 4096 || open > limit / 2 ? DOCTOR_WARNING
					       : DOCTOR_OK,
	    "limits", "raise it for the broker: ulimit -n 65536 where it is started",
	    "the broker has %" PRIu64 " of %" PRIu64 " files open", open, limit);
}

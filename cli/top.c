#include "cli/top.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"

enum { MOST = 100000 };

static uint64_t
u64(const msgpack_object *o, const char *key)
{
	int64_t n = doc_i64(o, key, 0);

	return n > 0 ? (uint64_t)n : 0;
}

/* ---- one look ---- */

static uint64_t
sum(const msgpack_object *o)
{
	uint64_t n = 0;

	for (uint32_t i = 0; o != NULL && o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size;
	     i++) {
		if (o->via.map.ptr[i].val.type == MSGPACK_OBJECT_POSITIVE_INTEGER)
			n += o->via.map.ptr[i].val.via.u64;
	}
	return n;
}

static void
read_broker(struct top_broker *b, const msgpack_object *o)
{
	const msgpack_object *counters = doc_get(o, "counters"), *bytes = doc_get(o, "bytes");
	const msgpack_object *latency = doc_get(o, "latency");
	const msgpack_object *commit = doc_get(latency, "fsyncUs");

	(void)str_copy(b->version, sizeof b->version, doc_str(o, "version"));
	b->uptime_ms = doc_i64(o, "uptimeMs", 0);
	b->head = u64(o, "head");
	b->received = u64(counters, "received");
	b->sent = u64(counters, "sent");
	b->requests = u64(counters, "requests");
	b->commits = u64(counters, "commits");
	b->drops = sum(doc_get(o, "drops"));
	b->memory = u64(bytes, "committing") + u64(bytes, "held") + u64(bytes, "requests") +
		    u64(bytes, "unsent") + u64(bytes, "records");
	b->memory_limit = u64(bytes, "limit");
	b->journal = u64(bytes, "file");
	b->commit_p50_us = doc_i64(commit, "p50", 0);
	b->commit_p99_us = doc_i64(commit, "p99", 0);
}

static void
read_group(struct top_group *g, const msgpack_object *o)
{
	(void)str_copy(g->name, sizeof g->name, doc_str(o, "group"));
	(void)str_copy(g->pattern, sizeof g->pattern, doc_str(o, "pattern"));
	(void)str_copy(g->state, sizeof g->state,
	    doc_bool(o, "blocked", false) ? span_str("blocked") : doc_str(o, "state"));
	g->owed = u64(o, "owed");
	g->oldest_ms = doc_i64(o, "oldestMs", 0);
	g->in_flight = u64(o, "inFlight");
	g->workers = u64(o, "workers");
	g->acked = u64(o, "acked");
	g->redelivered = u64(o, "redelivered");
	g->dead = u64(o, "dead");
	g->dropped = u64(o, "dropped");
}

static void
read_peer(struct top_peer *p, const msgpack_object *o, int64_t real_ms)
{
	p->session = u64(o, "session");
	(void)str_copy(p->identity, sizeof p->identity, doc_str(o, "identity"));
	(void)str_copy(p->name, sizeof p->name, doc_str(o, "name"));
	p->subs = u64(o, "subs");
	p->in_flight = u64(o, "inFlight");
	p->bytes = u64(o, "bytes");
	p->since_ms = real_ms - doc_i64(o, "sinceMs", real_ms);
	p->silent_ms = doc_i64(o, "lastMs", 0);
}

void
top_read(struct top *t, const msgpack_object *stats, const msgpack_object *groups,
    const msgpack_object *peers, int64_t real_ms)
{
	const msgpack_object_array *g = doc_list(groups, "groups"), *p = doc_list(peers, "peers");

	read_broker(&t->broker, stats);
	t->ngroups = g->size < MOST ? g->size : MOST;
	t->npeers = p->size < MOST ? p->size : MOST;
	t->groups = xcalloc(t->ngroups + 1, sizeof *t->groups);
	t->peers = xcalloc(t->npeers + 1, sizeof *t->peers);
	for (size_t i = 0; i < t->ngroups; i++)
		read_group(&t->groups[i], &g->ptr[i]);
	for (size_t i = 0; i < t->npeers; i++)
		read_peer(&t->peers[i], &p->ptr[i], real_ms);
}

void
top_fini(struct top *t)
{
	free(t->groups);
	free(t->peers);
	t->groups = NULL;
	t->peers = NULL;
	t->ngroups = t->npeers = 0;
}

/* ---- two looks ---- */

/* A counter that went back was started anew. */
static double
rate(uint64_t now, uint64_t before, double s)
{
	return now > before && s > 0 ? (double)(now - before) / s : 0;
}

static const struct top_group *
same_group(const struct top *t, const char *name, size_t guess)
{
	if (guess < t->ngroups && strcmp(t->groups[guess].name, name) == 0)
		return &t->groups[guess];
	for (size_t i = 0; i < t->ngroups; i++) {
		if (strcmp(t->groups[i].name, name) == 0)
			return &t->groups[i];
	}
	return NULL;
}

static uint64_t
had(const struct top_group *g)
{
	return g->owed + g->acked + g->dead + g->dropped;
}

static int
by_owed(const void *a, const void *b)
{
	const struct top_group *x = a, *y = b;

	if (x->owed != y->owed)
		return x->owed < y->owed ? 1 : -1;
	if (x->out > y->out || x->out < y->out)
		return x->out < y->out ? 1 : -1;
	return strcmp(x->name, y->name);
}

static int
by_hold(const void *a, const void *b)
{
	const struct top_peer *x = a, *y = b;

	if (x->in_flight != y->in_flight)
		return x->in_flight < y->in_flight ? 1 : -1;
	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return x->session < y->session ? -1 : x->session > y->session;
}

void
top_compare(struct top *t, const struct top *before)
{
	double s = (double)(t->at_us - before->at_us) / 1e6;
	struct top_broker *b = &t->broker;

	b->in = rate(b->received, before->broker.received, s);
	b->out = rate(b->sent, before->broker.sent, s);
	b->stored = rate(b->head, before->broker.head, s);
	b->asked = rate(b->requests, before->broker.requests, s);
	b->commit = rate(b->commits, before->broker.commits, s);
	for (size_t i = 0; i < t->ngroups; i++) {
		struct top_group *g = &t->groups[i];
		const struct top_group *was = same_group(before, g->name, i);

		if (was == NULL)
			continue;
		g->in = rate(had(g), had(was), s);
		g->out = rate(g->acked, was->acked, s);
		g->again = rate(g->redelivered, was->redelivered, s);
	}
	if (t->ngroups > 0)
		qsort(t->groups, t->ngroups, sizeof *t->groups, by_owed);
	if (t->npeers > 0)
		qsort(t->peers, t->npeers, sizeof *t->peers, by_hold);
}

/* The request core: rules one by one.  Histories at random are in tests/sim. */
#include <stdio.h>
#include <stdlib.h>

#include "broker/route.h"
#include "proto/topic.h"
#include "tests/unit/check.h"

enum { PEERS = 7, CLIENTS = 3, REQS = 300, PATTERNS = 3, TOPICS = 4 };

static const char *const patterns[PATTERNS] = {"svc.a", "svc.*", "svc.>"};
static const char *const topics[TOPICS] = {"svc.a", "svc.b", "svc.b.c", "other.x"};

enum state { UNUSED, WAITING, SENT, GHOST, ENDED };

struct req {
	uint8_t frame[64];
	size_t n;
	const char *topic;
	enum state state;
	int client, worker; /* peers */
	int pattern;        /* of the pool it was sent in */
	int64_t deadline, ttl;
	bool again, started, resent;
	uint64_t window;
	uint8_t id[16], own[16];
	int ends, bounces;
};

struct seat { /* one worker's place in one pool */
	bool there, closing;
	uint32_t credit, n;
	size_t max, bytes;
};

struct world {
	struct route *r;
	struct match *m;
	struct route_peer p[PEERS];
	bool present[PEERS];
	struct seat seat[PEERS][PATTERNS];
	struct req q[REQS];
	int nreq;
	uint64_t sessions;
	int64_t now;
	uint64_t rnd;
	size_t overhead; /* what a request counts for beside its frame */
	const char *wrong;
	int wrong_req;
	int leaving; /* peer that is going right now; -1: none */
	unsigned long sends, fails;
};

static uint64_t
rnd(struct world *x, uint64_t n)
{
	x->rnd ^= x->rnd << 13;
	x->rnd ^= x->rnd >> 7;
	x->rnd ^= x->rnd << 17;
	return x->rnd % n;
}

static void
wrong(struct world *x, int req, const char *what)
{
	if (x->wrong == NULL) {
		x->wrong = what;
		x->wrong_req = req;
	}
}

static int
peer_index(const struct world *x, const struct route_peer *p)
{
	return (int)(p - x->p);
}

static bool
is_open(const struct seat *s)
{
	return s->there && !s->closing;
}

static bool
fits(const struct seat *s, size_t bytes)
{
	return is_open(s) && s->n < s->credit && (s->n == 0 || s->bytes + bytes <= s->max) &&
	       (s->n == 0 || s->bytes < s->max);
}

static bool
has_open(const struct world *x, int pattern)
{
	for (int i = 0; i < PEERS; i++)
		if (is_open(&x->seat[i][pattern]))
			return true;
	return false;
}

/* The pool a topic goes to now: the first of the patterns, which are in order, that has an open
 * seat. */
static int
pool_of(const struct world *x, const char *topic)
{
	for (int k = 0; k < PATTERNS; k++)
		if (topic_match(span_str(patterns[k]), span_str(topic)) && has_open(x, k))
			return k;
	return -1;
}

static void
unseat(struct world *x, struct req *q)
{
	struct seat *s = &x->seat[q->worker][q->pattern];

	s->n--;
	s->bytes -= q->n + x->overhead;
	if (s->closing && s->n == 0)
		s->there = false;
}

/* ---- what the core decides ---- */

static void
on_send(void *arg, struct route_peer *worker, const struct route_send *s)
{
	struct world *x = arg;
	int w = peer_index(x, worker), i, k;
	struct req *q;
	struct seat *seat;

	x->sends++;
	memcpy(&i, s->frame.p + 32, sizeof i);
	q = &x->q[i];
	if (q->state == SENT && x->leaving == q->worker) {
		unseat(x, q); /* lost with its worker: this is another try */
		q->resent = true;
		q->bounces++;
	} else if (q->state != WAITING) {
		wrong(x, i, "sent although nobody waits for it");
	}
	if (q->resent != s->again)
		wrong(x, i, "a second try is not marked, or a first one is");
	if (!span_is(s->topic, q->topic) || s->frame.n != q->n)
		wrong(x, i, "not the frame that came");
	if (s->left < 1 || s->left > q->ttl)
		wrong(x, i, "wrong time left");
	/* What waits stays with its pool as long as that has workers. */
	k = q->state == WAITING && q->pattern >= 0 && has_open(x, q->pattern)
		? q->pattern
		: pool_of(x, q->topic);
	if (k < 0) {
		wrong(x, i, "sent although no worker is there");
		return;
	}
	seat = &x->seat[w][k];
	if (!fits(seat, q->n + x->overhead))
		wrong(x, i, "sent over the credit, or to the wrong pool");
	for (int o = 0; o < PEERS; o++)
		if (o != w && fits(&x->seat[o][k], q->n + x->overhead) && x->seat[o][k].n < seat->n)
			wrong(x, i, "another worker had less to do");
	seat->n++;
	seat->bytes += q->n + x->overhead;
	q->state = SENT;
	q->worker = w;
	q->pattern = k;
	memcpy(q->own, s->id, 16);
}

static struct req *
by_own(struct world *x, const uint8_t id[16])
{
	for (int i = 0; i < x->nreq; i++)
		if ((x->q[i].state == SENT || x->q[i].state == GHOST) &&
		    memcmp(x->q[i].own, id, 16) == 0)
			return &x->q[i];
	return NULL;
}

static void
on_more(void *arg, struct route_peer *worker, const uint8_t id[16], uint64_t n)
{
	struct world *x = arg;
	struct req *q = by_own(x, id);

	(void)n;
	if (q == NULL || q->state != SENT || q->worker != peer_index(x, worker))
		wrong(x, 0, "MORE to who does not have it");
}

static void
on_cancel(void *arg, struct route_peer *worker, const uint8_t id[16])
{
	struct world *x = arg;
	struct req *q = by_own(x, id);

	if (q == NULL || q->worker != peer_index(x, worker))
		wrong(x, 0, "CANCEL to who does not have it");
}

static void
on_fail(void *arg, struct route_peer *client, const uint8_t id[16], enum err code, const char *why)
{
	struct world *x = arg;
	struct req *q = NULL;
	int c = peer_index(x, client);

	x->fails++;
	for (int i = 0; i < x->nreq; i++)
		if (x->q[i].client == c && memcmp(x->q[i].id, id, 16) == 0)
			q = &x->q[i];
	if (q == NULL || (q->state != WAITING && q->state != SENT) || why == NULL) {
		wrong(x, 0, "an end for what is not under way");
		return;
	}
	q->ends++;
	if (q->state == SENT && x->leaving == q->worker) {
		if (code != ERR_WORKER_LOST)
			wrong(x, (int)(q - x->q), "a lost worker is WORKER_LOST");
		if (q->again && !q->started && q->deadline > x->now && pool_of(x, q->topic) >= 0 &&
		    q->bounces < 8)
			wrong(x, (int)(q - x->q), "it could have been tried again");
		unseat(x, q);
		q->state = ENDED;
	} else if (q->state == SENT) {
		if (code != ERR_TIMEOUT || q->deadline > x->now)
			wrong(x, (int)(q - x->q), "after hand-over only the deadline ends it");
		q->state = GHOST;
	} else {
		bool certain = code == ERR_BUSY || code == ERR_NO_WORKERS;

		if (q->resent ? code != ERR_WORKER_LOST : !certain)
			wrong(x, (int)(q - x->q), "not handed over is LATER, unless it was before");
		if (code == ERR_BUSY && q->deadline > x->now)
			wrong(x, (int)(q - x->q), "BUSY before the deadline");
		q->state = ENDED;
	}
}

/* ---- events ---- */

static void
request(struct world *x)
{
	int i = x->nreq, c = (int)rnd(x, CLIENTS), k;
	struct req *q = &x->q[i];
	struct route_req rq;
	enum err err;

	if (i == REQS || !x->present[c])
		return;
	q->topic = topics[rnd(x, TOPICS)];
	q->client = c;
	q->n = 36 + rnd(x, 28);
	memcpy(q->frame, q->topic, strlen(q->topic));
	memcpy(q->frame + 32, &i, sizeof i);
	memcpy(q->id, &(int){i + 1}, sizeof i);
	q->ttl = 1 + (int64_t)rnd(x, 400);
	q->deadline = x->now + q->ttl;
	q->again = rnd(x, 2);
	q->window = rnd(x, 3);
	rq = (struct route_req){.client = &x->p[c],
	    .topic = span_of(q->frame, strlen(q->topic)),
	    .frame = span_of(q->frame, q->n),
	    .ttl = q->ttl,
	    .again = q->again,
	    .window = (uint32_t)q->window};
	memcpy(rq.id, q->id, 16);
	k = pool_of(x, q->topic);
	q->state = WAITING;
	q->pattern = k < 0 ? 0 : k;
	x->nreq++;
	err = route_request(x->r, &rq, x->now);
	if (err == ERR_NO_WORKERS || err == ERR_BUSY)
		q->state = ENDED, q->ends = 1;
	if ((k < 0) != (err == ERR_NO_WORKERS))
		wrong(x, i, "NO_WORKERS exactly when there is none");
	if (err == ERR_OK && rnd(x, 10) == 0 && route_request(x->r, &rq, x->now) != ERR_OK)
		wrong(x, i, "a repeat of one under way is not refused");
}

static void
start(struct world *x, uint64_t seed)
{
	struct route_ops ops = {on_send, on_more, on_cancel, on_fail, x};

	memset(x, 0, sizeof *x);
	x->rnd = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
	x->now = 1000;
	x->leaving = -1;
	x->m = match_new();
	x->r = route_new(x->m, &ops, seed, 1 << 24, 1 << 24);
	for (int i = 0; i < PEERS; i++) {
		route_peer_init(&x->p[i], ++x->sessions);
		x->present[i] = true;
	}
}

/* What a request of no frame counts for, found out by asking. */
static size_t
overhead(void)
{
	static struct world x;
	struct route_stats st;
	size_t n = 0;

	start(&x, 1);
	route_join(x.r, &x.p[3], span_str("svc.>"), 1000, 1 << 20, x.now);
	x.seat[3][2] = (struct seat){.there = true, .credit = 1000, .max = 1 << 20};
	while (x.nreq == 0 || x.q[x.nreq - 1].state != SENT)
		request(&x);
	route_stats(x.r, &st);
	for (int i = 0; i < x.nreq; i++)
		if (x.q[i].state == SENT)
			n = st.bytes - x.q[i].n;
	route_free(x.r);
	match_free(x.m);
	return n;
}

/* ---- rules one by one ---- */

static struct world w;

static enum err
ask(int i, const char *topic, int client, bool again)
{
	struct req *q = &w.q[i];
	struct route_req rq;

	memset(q, 0, sizeof *q);
	w.nreq = i + 1 > w.nreq ? i + 1 : w.nreq;
	q->topic = topic;
	q->client = client;
	q->n = 40;
	q->ttl = 100;
	q->deadline = w.now + 100;
	q->again = again;
	q->state = WAITING;
	memcpy(q->frame, topic, strlen(topic));
	memcpy(q->frame + 32, &i, sizeof i);
	memcpy(q->id, &(int){i + 1}, sizeof i);
	rq = (struct route_req){.client = &w.p[client],
	    .topic = span_of(q->frame, strlen(topic)),
	    .frame = span_of(q->frame, q->n),
	    .ttl = q->ttl,
	    .again = again,
	    .window = 8};
	memcpy(rq.id, q->id, 16);
	return route_request(w.r, &rq, w.now);
}

static void
seat(int peer, int pattern, uint32_t credit)
{
	w.seat[peer][pattern] = (struct seat){.there = true,
	    .credit = credit,
	    .max = 1 << 20,
	    .n = w.seat[peer][pattern].n,
	    .bytes = w.seat[peer][pattern].bytes};
	route_join(w.r, &w.p[peer], span_str(patterns[pattern]), credit, 1 << 20, w.now);
}

static void
rules(size_t over)
{
	struct route_to to;

	start(&w, 1);
	w.overhead = over;
	CHECK(ask(0, "svc.a", 0, false) == ERR_NO_WORKERS);
	seat(3, 2, 1);
	CHECK(ask(1, "svc.a", 0, false) == ERR_OK && w.q[1].state == SENT && w.q[1].worker == 3);
	CHECK(ask(2, "svc.a", 0, false) == ERR_OK && w.q[2].state == WAITING);
	seat(4, 0, 1);
	CHECK(ask(3, "svc.a", 1, false) == ERR_OK && w.q[3].worker == 4);
	/* The same id from another peer is another request. */
	memcpy(w.q[4].id, w.q[3].id, 16);
	w.now += 100;
	route_run(w.r, w.now);
	CHECK(w.q[1].state == GHOST && w.q[2].state == ENDED && w.q[3].state == GHOST);
	/* A ghost holds its credit until the worker's last word. */
	CHECK(ask(5, "svc.a", 0, false) == ERR_OK && w.q[5].state == WAITING);
	unseat(&w, &w.q[3]);
	w.q[3].state = ENDED;
	CHECK(route_answer(w.r, &w.p[4], &(struct route_say){w.q[3].own, false, ERR_OK}, w.now,
		  &to) == ROUTE_DISCARD);
	CHECK(w.q[5].state == SENT && w.q[5].worker == 4);
	CHECK(route_answer(w.r, &w.p[3], &(struct route_say){w.q[5].own, false, ERR_OK}, w.now,
		  &to) == ROUTE_STALE);
	CHECK(w.wrong == NULL);
	if (w.wrong)
		printf("# request %d: %s\n", w.wrong_req, w.wrong);
	route_check(w.r);
	route_free(w.r);
	match_free(w.m);
}

static void
bounds(void)
{
	struct route_ops ops = {on_send, on_more, on_cancel, on_fail, &w};
	size_t n = 0;

	start(&w, 1);
	route_free(w.r);
	w.r = route_new(w.m, &ops, 7, 100000, 50000);
	seat(3, 2, 0);
	while (n < REQS && ask((int)n, "svc.x", 0, false) == ERR_OK)
		n++;
	CHECK(n > 10 && n < REQS && w.p[0].bytes <= 50000);
	CHECK(ask((int)n, "svc.x", 1, false) == ERR_OK);
	while (n < REQS && ask((int)n, "svc.x", 1, false) == ERR_OK)
		n++;
	CHECK(w.p[0].bytes + w.p[1].bytes <= 100000);
	route_check(w.r);
	route_free(w.r);
	match_free(w.m);
}

int
main(void)
{
	size_t over = overhead();

	rules(over);
	bounds();
	return check_done();
}

/* Requests as the shell drives them, and what must be true of them: one array, searched from end to
 * end. */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"

enum { PEER_BYTES = 2500, ALL_BYTES = 5000, FRAME = 600, BOUNCES = 8 };

enum state { UNUSED, WAITING, SENT, GHOST, ENDED };

struct req {
	uint8_t frame[FRAME], id[16], own[16];
	size_t n;
	int topic, client, worker, pool; /* peers; the pattern of the pool */
	enum state state;
	int64_t deadline, ttl;
	bool again, started, resent, moved; /* moved: to a pool that others wait in */
	uint64_t window;
	int ends, bounces;
};

struct place { /* one worker's in one pool */
	bool there, closing;
	uint32_t credit, n;
	size_t max, bytes;
};

struct asked {
	struct route *r;
	struct route_peer p[PEERS];
	struct place at[PEERS][PATTERNS];
	struct req q[REQS];
	int n;
	size_t overhead; /* what a request counts for beside its frame */
	int leaving;     /* peer that is going right now; -1: none */
	bool patient;    /* the workers of before are on their way, until then */
	int64_t until;
};

static bool
is_open(const struct place *w)
{
	return w->there && !w->closing;
}

static bool
fits(const struct place *w, size_t bytes)
{
	return is_open(w) && w->n < w->credit &&
	       (w->n == 0 || (w->bytes < w->max && w->bytes + bytes <= w->max));
}

static bool
has_open(const struct asked *a, int pool)
{
	if (pool < 0)
		return false;
	for (int i = 0; i < PEERS; i++)
		if (is_open(&a->at[i][pool]))
			return true;
	return false;
}

/* The most specific pattern with anybody there; -1: none. */
static int
pool_of(const struct asked *a, int topic)
{
	for (int k = 0; k < PATTERNS; k++)
		if (pick_matches(k, topic) && has_open(a, k))
			return k;
	return -1;
}

/* When it ends if nothing happens.  One that never had a worker waits for a pool (-1) only as long
 * as workers are on their way. */
static int64_t
due(const struct asked *a, const struct req *q)
{
	bool hopes = q->state == WAITING && q->pool < 0 && !q->resent;

	return hopes && a->until < q->deadline ? a->until : q->deadline;
}

static size_t
weight(const struct asked *a, const struct req *q)
{
	return q->n + a->overhead;
}

static void
unseat(struct asked *a, struct req *q)
{
	struct place *w = &a->at[q->worker][q->pool];

	w->n--;
	w->bytes -= weight(a, q);
	if (w->closing && w->n == 0)
		w->there = false;
}

/* ---- what the core decides ---- */

static void
check_choice(struct sim *s, const struct req *q, int worker, int pool)
{
	struct asked *a = s->asked;
	int i = (int)(q - a->q);

	if (!fits(&a->at[worker][pool], weight(a, q)))
		sim_wrong(
		    s, "request %d: peer %d has no room in %s", i, worker, pick_patterns[pool]);
	for (int o = 0; o < PEERS; o++)
		if (o != worker && fits(&a->at[o][pool], weight(a, q)) &&
		    a->at[o][pool].n < a->at[worker][pool].n)
			sim_wrong(s, "request %d: to peer %d, but %d has less to do", i, worker, o);
}

static void
on_send(void *arg, struct route_peer *worker, const struct route_send *o)
{
	struct sim *s = arg;
	struct asked *a = s->asked;
	int w = (int)(worker - a->p), i, pool;
	struct req *q;

	if (o->frame.n < 36) {
		sim_wrong(s, "sent to a worker that takes nothing");
		return;
	}
	memcpy(&i, o->frame.p + 32, sizeof(i));
	q = &a->q[i];
	sim_trace(s, "request %d: to peer %d%s", i, w, o->again ? ", again" : "");
	if (q->state == SENT && a->leaving == q->worker) {
		unseat(a, q); /* lost with its worker: another try */
		q->resent = true;
		q->bounces++;
	} else if (q->state != WAITING) {
		sim_wrong(s, "request %d: nobody waits for it", i);
	}
	if (q->resent != o->again)
		sim_wrong(s, "request %d: a second try is not marked, or a first is", i);
	if (!span_is(o->topic, pick_topics[q->topic]) || o->frame.n != q->n ||
	    memcmp(o->frame.p, q->frame, q->n) != 0)
		sim_wrong(s, "request %d: it is not what came", i);
	if (o->left != (q->deadline > s->now ? q->deadline - s->now : 1))
		sim_wrong(s, "request %d: %d ms left, it says", i, (int)o->left);
	/* What waits stays with its pool as long as that has workers. */
	pool = q->state == WAITING && q->pool >= 0 && has_open(a, q->pool) ? q->pool
									   : pool_of(a, q->topic);
	if (pool < 0) {
		sim_wrong(s, "request %d: no worker is there", i);
		return;
	}
	for (int e = 0; e < i; e++)
		if (a->leaving < 0 && q->state == WAITING && !q->resent && q->bounces == 0 &&
		    a->q[e].state == WAITING && a->q[e].bounces == 0 && !a->q[e].moved &&
		    a->q[e].pool == pool && a->q[e].deadline > s->now)
			sim_wrong(s, "request %d: %d came before it", i, e);
	check_choice(s, q, w, pool);
	a->at[w][pool].n++;
	a->at[w][pool].bytes += weight(a, q);
	q->state = SENT;
	q->worker = w;
	q->pool = pool;
	memcpy(q->own, o->id, 16);
}

static struct req *
by_own(struct asked *a, const uint8_t id[16])
{
	for (int i = 0; i < a->n; i++)
		if ((a->q[i].state == SENT || a->q[i].state == GHOST) &&
		    memcmp(a->q[i].own, id, 16) == 0)
			return &a->q[i];
	return NULL;
}

static void
on_more(void *arg, struct route_peer *worker, const uint8_t id[16], uint64_t n)
{
	struct sim *s = arg;
	const struct req *q = by_own(s->asked, id);

	(void)n;
	if (q == NULL || q->state != SENT || &s->asked->p[q->worker] != worker)
		sim_wrong(s, "MORE to who does not have it");
}

static void
on_cancel(void *arg, struct route_peer *worker, const uint8_t id[16])
{
	struct sim *s = arg;
	const struct req *q = by_own(s->asked, id);

	if (q == NULL || &s->asked->p[q->worker] != worker)
		sim_wrong(s, "CANCEL to who does not have it");
}

static void
failed_at_worker(struct sim *s, struct req *q, enum err code)
{
	struct asked *a = s->asked;
	int i = (int)(q - a->q);

	if (a->leaving != q->worker) {
		if (code != ERR_TIMEOUT || q->deadline > s->now)
			sim_wrong(s, "request %d: after hand-over only the deadline ends it", i);
		q->state = GHOST;
		return;
	}
	if (code != ERR_WORKER_LOST)
		sim_wrong(s, "request %d: its worker is lost", i);
	if (q->again && !q->started && q->deadline > s->now && q->bounces < BOUNCES &&
	    (a->patient || pool_of(a, q->topic) >= 0))
		sim_wrong(s, "request %d: it could have been tried again", i);
	unseat(a, q);
	q->state = ENDED;
}

static void
on_fail(void *arg, struct route_peer *client, const uint8_t id[16], enum err code, const char *why)
{
	struct sim *s = arg;
	struct asked *a = s->asked;
	struct req *q = NULL;

	for (int i = 0; i < a->n; i++)
		if (&a->p[a->q[i].client] == client && memcmp(a->q[i].id, id, 16) == 0)
			q = &a->q[i];
	if (q == NULL || (q->state != WAITING && q->state != SENT) || why == NULL) {
		sim_wrong(s, "an end for what is not under way");
		return;
	}
	sim_trace(s, "request %d: %s", (int)(q - a->q), err_name(code));
	q->ends++;
	if (q->state == SENT) {
		failed_at_worker(s, q, code);
		return;
	}
	if (q->resent ? code != ERR_WORKER_LOST : code != ERR_BUSY && code != ERR_NO_WORKERS)
		sim_wrong(s, "request %d: %s, but it was %shanded over", (int)(q - a->q),
		    err_name(code), q->resent ? "" : "never ");
	if (q->pool < 0 && (due(a, q) > s->now || code == ERR_BUSY))
		sim_wrong(s, "request %d: %s, but workers are on their way", (int)(q - a->q),
		    err_name(code));
	if (code == ERR_BUSY && q->deadline > s->now)
		sim_wrong(s, "request %d: BUSY before its deadline", (int)(q - a->q));
	if (code == ERR_NO_WORKERS && pool_of(a, q->topic) >= 0 && has_open(a, q->pool))
		sim_wrong(s, "request %d: there are workers", (int)(q - a->q));
	q->state = ENDED;
}

/* ---- events ---- */

static size_t
under_way(const struct asked *a, int client)
{
	size_t bytes = 0;

	for (int i = 0; i < a->n; i++)
		if ((a->q[i].state == WAITING || a->q[i].state == SENT) &&
		    (client < 0 || a->q[i].client == client))
			bytes += weight(a, &a->q[i]);
	return bytes;
}

static void
ask(struct sim *s)
{
	struct asked *a = s->asked;
	int i = a->n, client = (int)sim_rnd(s, CLIENTS), pool;
	struct req *q = &a->q[i];
	enum err err, want;
	struct route_req rq;

	if (i == REQS)
		return;
	q->topic = (int)sim_rnd(s, TOPICS);
	q->client = client;
	q->n = 36 + sim_rnd(s, sim_one_in(s, 3) ? FRAME - 36 : 28);
	memcpy(q->frame, pick_topics[q->topic], strlen(pick_topics[q->topic]));
	memcpy(q->frame + 32, &i, sizeof(i));
	memcpy(q->id, &(int){i / 2 + 1}, sizeof(i)); /* ids of two clients may be the same */
	for (int e = 0; e < i; e++)
		if (a->q[e].client == client && memcmp(a->q[e].id, q->id, 16) == 0)
			memcpy(q->id, &(int){i + 10000}, sizeof(i));
	q->ttl = 1 + (int64_t)sim_rnd(s, 400);
	q->deadline = s->now + q->ttl;
	q->again = sim_one_in(s, 2);
	q->window = sim_rnd(s, 3);
	rq = (struct route_req){.client = &a->p[client],
	    .topic = span_of(q->frame, strlen(pick_topics[q->topic])),
	    .frame = span_of(q->frame, q->n),
	    .ttl = q->ttl,
	    .again = q->again,
	    .window = (uint32_t)q->window};
	memcpy(rq.id, q->id, 16);
	pool = pool_of(a, q->topic);
	want = pool < 0 && s->now >= a->until ? ERR_NO_WORKERS
	       : under_way(a, client) + weight(a, q) > PEER_BYTES ||
		       under_way(a, -1) + weight(a, q) > ALL_BYTES
		   ? ERR_BUSY
		   : ERR_OK;
	q->pool = pool;
	q->state = WAITING;
	a->n++;
	sim_trace(s, "request %d: %s from peer %d, ttl %d", i, pick_topics[q->topic], client,
	    (int)q->ttl);
	if (want != ERR_OK)
		q->state = ENDED, q->ends = 1;
	err = route_request(a->r, &rq, s->now);
	if (err != want)
		sim_wrong(s, "request %d: %s, not %s", i, err_name(err), err_name(want));
	if (want == ERR_OK && sim_one_in(s, 10) && route_request(a->r, &rq, s->now) != ERR_OK)
		sim_wrong(s, "request %d: its repeat is refused", i);
}

/* A worker that says DRAINING surely did not run it: to another, if it may and there is one. */
static void
turn_away(struct sim *s, struct req *q, const struct route_say *what)
{
	struct asked *a = s->asked;
	struct route_to to = {0};
	int i = (int)(q - a->q), worker = q->worker, own = q->pool, others = 0, pool;
	bool may;

	unseat(a, q);
	pool = pool_of(a, q->topic);
	for (int o = 0; o < PEERS; o++)
		others += pool >= 0 && (o != worker || pool != own) && is_open(&a->at[o][pool]);
	may = q->deadline > s->now && q->bounces < BOUNCES && pool >= 0 && others > 0;
	/* In a pool of its own it stays at the closing one's heels only if another is open. */
	q->state = WAITING;
	q->pool = pool;
	q->bounces++;
	switch (route_answer(a->r, &a->p[worker], what, s->now, &to)) {
	case ROUTE_PASS:
		q->ends++;
		q->state = ENDED;
		if (may)
			sim_wrong(s, "request %d: it could have gone to another", i);
		break;
	case ROUTE_DISCARD: break;
	case ROUTE_STALE: sim_wrong(s, "request %d: a worker's DRAINING is stale", i);
	}
}

static enum route_verdict
expected(const struct req *q, int worker)
{
	if ((q->state != SENT && q->state != GHOST) || worker != q->worker)
		return ROUTE_STALE;
	return q->state == SENT ? ROUTE_PASS : ROUTE_DISCARD;
}

static void
part(struct sim *s, struct req *q)
{
	q->started = true;
	q->window -= q->window ? 1 : 0;
	q->deadline = s->now + (q->window ? q->ttl : 3600000);
}

static struct req *
some(struct sim *s)
{
	struct asked *a = s->asked;
	struct req *q = &a->q[sim_rnd(s, (uint64_t)a->n)];

	for (int t = 0; t < 8 && q->state != SENT && q->state != GHOST; t++)
		q = &a->q[sim_rnd(s, (uint64_t)a->n)];
	return q;
}

static void
answer(struct sim *s)
{
	struct asked *a = s->asked;
	struct req *q = some(s);
	struct route_say what = {.id = q->own,
	    .code = !sim_one_in(s, 4)  ? ERR_OK
		    : sim_one_in(s, 2) ? ERR_INTERNAL
				       : ERR_DRAINING};
	int worker = sim_one_in(s, 8) ? (int)sim_rnd(s, PEERS) : q->worker;
	enum route_verdict want = expected(q, worker);
	struct route_to to = {0};

	what.more = what.code == ERR_OK && sim_one_in(s, 4);
	sim_trace(s, "request %d: peer %d answers %s%s", (int)(q - a->q), worker,
	    err_name(what.code), what.more ? ", more" : "");
	if (want == ROUTE_PASS && what.code == ERR_DRAINING && q->again && !q->started) {
		turn_away(s, q, &what);
		return;
	}
	if (want != ROUTE_STALE && !what.more) {
		unseat(a, q);
		q->ends += q->state == SENT ? 1 : 0;
		q->state = ENDED;
	} else if (want == ROUTE_PASS) {
		part(s, q);
	}
	if (route_answer(a->r, &a->p[worker], &what, s->now, &to) != want)
		sim_wrong(s, "request %d: wrong verdict on an answer", (int)(q - a->q));
	if (want == ROUTE_PASS && (to.client != &a->p[q->client] || memcmp(to.id, q->id, 16) != 0))
		sim_wrong(s, "request %d: its answer goes to somebody else", (int)(q - a->q));
	s->answers += want == ROUTE_PASS ? 1 : 0;
}

static void
cancel_or_more(struct sim *s)
{
	struct asked *a = s->asked;
	struct req *q = some(s);
	bool had = q->state == SENT;

	if (sim_one_in(s, 2)) {
		sim_trace(s, "request %d: cancelled", (int)(q - a->q));
		if (q->state == WAITING || had)
			q->ends++; /* its client wants no other */
		q->state = had ? GHOST : q->state == WAITING ? ENDED : q->state;
		if (had)
			q->state = SENT; /* until the worker was told */
		route_cancel(a->r, &a->p[q->client], q->id, s->now);
		q->state = had ? GHOST : q->state;
		return;
	}
	if (route_more(a->r, &a->p[q->client], q->id, 2, s->now) != had)
		sim_wrong(s, "request %d: MORE, %s", (int)(q - a->q),
		    had ? "refused" : "though it is not under way");
	if (had) {
		q->window += 2;
		q->deadline = q->started ? s->now + q->ttl : q->deadline;
	}
}

static void
serve(struct sim *s)
{
	struct asked *a = s->asked;
	int w = 2 + (int)sim_rnd(s, PEERS - 2), k = (int)sim_rnd(s, PATTERNS);
	struct place *at = &a->at[w][k];

	if (!at->there)
		*at = (struct place){.there = true};
	at->closing = false;
	at->credit = (uint32_t)sim_rnd(s, 4);
	at->max = 200 + sim_rnd(s, 1500);
	sim_trace(s, "peer %d serves %s, credit %u", w, pick_patterns[k], at->credit);
	route_join(a->r, &a->p[w], span_str(pick_patterns[k]), at->credit, at->max, s->now);
}

static void
unserve(struct sim *s)
{
	struct asked *a = s->asked;
	int w = (int)sim_rnd(s, PEERS), k = (int)sim_rnd(s, PATTERNS);
	struct place *at = &a->at[w][k];
	bool open = is_open(at);

	if (open)
		at->closing = true;
	if (at->n == 0)
		at->there = false;
	if (route_close(a->r, &a->p[w], span_str(pick_patterns[k]), s->now) != open)
		sim_wrong(s, "peer %d: closed what was not there", w);
}

void
asked_peer_gone(struct sim *s, int w)
{
	struct asked *a = s->asked;

	a->leaving = w;
	for (int k = 0; k < PATTERNS; k++)
		a->at[w][k].closing = true;
	route_peer_gone(a->r, &a->p[w], s->now);
	for (int i = 0; i < a->n; i++) {
		struct req *q = &a->q[i];

		if (q->client == w && (q->state == WAITING || q->state == SENT)) {
			q->ends++;
			q->state = q->state == SENT ? GHOST : ENDED;
		}
		if (q->state == SENT && q->worker == w) { /* it waits for another worker */
			if (!q->again || q->started || q->deadline <= s->now)
				sim_wrong(s, "request %d: it may not be tried again", i);
			unseat(a, q);
			q->resent = true;
			q->bounces++;
			q->state = WAITING;
			q->pool = pool_of(a, q->topic);
		} else if (q->state == GHOST && q->worker == w) {
			unseat(a, q);
			q->state = ENDED;
		}
	}
	a->leaving = -1;
	for (int k = 0; k < PATTERNS; k++)
		a->at[w][k] = (struct place){0};
	route_peer_init(&a->p[w], ++s->sessions);
}

void
asked_step(struct sim *s)
{
	uint64_t dice = sim_rnd(s, 100);

	if (dice < 32)
		ask(s);
	else if (dice < 52)
		serve(s);
	else if (dice < 57)
		unserve(s);
	else if (s->asked->n > 0 && dice < 90)
		answer(s);
	else if (s->asked->n > 0)
		cancel_or_more(s);
}

/* ---- after every step ---- */

static void
check_waiting(struct sim *s, const struct req *q)
{
	struct asked *a = s->asked;

	/* The first that waits in a pool has nobody who could take it. */
	for (int e = 0; e < a->n; e++)
		if (&a->q[e] != q && a->q[e].state == WAITING && a->q[e].pool == q->pool)
			return;
	for (int w = 0; w < PEERS; w++)
		if (fits(&a->at[w][q->pool], weight(a, q)))
			sim_wrong(
			    s, "request %d: it waits, and peer %d has room", (int)(q - a->q), w);
}

static void
check(struct sim *s)
{
	struct asked *a = s->asked;
	size_t going = 0, waiting = 0, ghosts = 0, bytes = 0;
	struct route_stats st;

	route_check(a->r);
	for (int i = 0; i < a->n; i++) {
		const struct req *q = &a->q[i];
		bool out = q->state == WAITING || q->state == SENT;

		going += out ? 1 : 0;
		bytes += out ? weight(a, q) : 0;
		waiting += q->state == WAITING ? 1 : 0;
		ghosts += q->state == GHOST ? 1 : 0;
		if (q->ends != (out ? 0 : 1))
			sim_wrong(s, "request %d: it ended %d times", i, q->ends);
		if (out && due(a, q) <= s->now)
			sim_wrong(s, "request %d: its deadline passed", i);
		if (out && due(a, q) < route_next(a->r))
			sim_wrong(s, "request %d: its deadline is not watched", i);
		if (q->state == WAITING && q->pool >= 0)
			check_waiting(s, q);
	}
	route_stats(a->r, &st);
	if (st.under_way != going || st.waiting != waiting || st.ghosts != ghosts ||
	    st.bytes != bytes)
		sim_wrong(s, "requests: %zu under way, %zu wait, %zu ghosts; it says %zu, %zu, %zu",
		    going, waiting, ghosts, st.under_way, st.waiting, st.ghosts);
	for (int w = 0; w < PEERS; w++) {
		size_t n = 0;

		for (int k = 0; k < PATTERNS; k++)
			n += a->at[w][k].n;
		if (a->p[w].serving != n)
			sim_wrong(s, "peer %d: serves %zu, it says %zu", w, n, a->p[w].serving);
	}
}

void
asked_turn(struct sim *s)
{
	struct asked *a = s->asked;

	/* What waited where nobody is left waits in the next pool now. */
	for (int i = 0; i < a->n; i++)
		if (a->q[i].state == WAITING && !has_open(a, a->q[i].pool)) {
			sim_trace(s, "request %d: waits elsewhere, or nowhere", i);
			a->q[i].pool = pool_of(a, a->q[i].topic);
			a->q[i].moved = true;
		}
	if (route_next(a->r) <= s->now)
		route_run(a->r, s->now);
	check(s);
}

int64_t
asked_next(const struct sim *s)
{
	return route_next(s->asked->r);
}

void
asked_finish(struct sim *s)
{
	for (int w = CLIENTS; w < PEERS; w++)
		asked_peer_gone(s, w);
	for (int i = 0; i < CLIENTS; i++)
		asked_peer_gone(s, i);
	asked_turn(s);
	for (int i = 0; i < s->asked->n; i++)
		if (s->asked->q[i].state != ENDED)
			sim_wrong(s, "request %d: it never ends", i);
}

/* What a request counts for beside its frame, found out by asking. */
static size_t
overhead(struct sim *s)
{
	struct asked *a = s->asked;
	struct route_req rq = {.client = &a->p[0],
	    .topic = span_str("t.a"),
	    .frame = span_str("t.a"),
	    .ttl = 1,
	    .window = 1};
	struct route_stats st;

	rq.topic.p = rq.frame.p;
	route_join(a->r, &a->p[3], span_str("t.a"), 0, 100, s->now);
	if (route_request(a->r, &rq, s->now) != ERR_OK)
		sim_wrong(s, "the first request is refused");
	route_stats(a->r, &st);
	route_cancel(a->r, &a->p[0], rq.id, s->now);
	route_close(a->r, &a->p[3], span_str("t.a"), s->now);
	return st.bytes - 3;
}

void
asked_open(struct sim *s)
{
	struct asked *a = xcalloc(1, sizeof(*a));
	const struct route_ops ops = {
	    .send = on_send, .more = on_more, .cancel = on_cancel, .fail = on_fail, .arg = s};

	s->asked = a;
	a->leaving = -1;
	for (int i = 0; i < PEERS; i++)
		route_peer_init(&a->p[i], ++s->sessions);
	a->r = route_new(s->match, &ops, s->sessions, ALL_BYTES, PEER_BYTES);
	a->overhead = overhead(s);
	if (!sim_one_in(s, 3))
		return;
	a->patient = true;
	a->until = s->now + (int64_t)sim_rnd(s, 1500);
	route_be_patient(a->r, a->until);
}

/* Whoever asked the broker that is no more has lost its session: nothing of it goes on. */
void
asked_close(struct sim *s)
{
	route_free(s->asked->r);
	free(s->asked);
	s->asked = NULL;
}

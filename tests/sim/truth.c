/* What must be true of one group: every record's fate in an array, every question a search through
 * all of it. */
#include "tests/sim/sim.h"

#include <string.h>

static const struct record *
record(const struct owed *g, uint64_t seq)
{
	return &g->s->disk.rec[seq];
}

static bool
same_key(const struct owed *g, uint64_t a, uint64_t b)
{
	return record(g, a)->key != 0 && record(g, a)->key == record(g, b)->key &&
	       g->f[a].fate != NOT_OURS && g->f[b].fate != NOT_OURS;
}

void
truth_begin(struct owed *g)
{
	for (uint64_t q = 0; q <= RECORDS; q++)
		g->f[q] = (struct fact){.holder = -1};
	g->suspect = 0;
	g->fuzzy = false;
	g->life = (struct tally){0};
}

void
truth_committed(struct owed *g, uint64_t seq)
{
	if (seq < g->next || !pick_matches(g->pattern, record(g, seq)->topic))
		return;
	g->f[seq].fate = OWED;
}

void
truth_remember(const struct owed *g, struct memory *m)
{
	m->head = g->s->head;
	m->suspect = g->suspect;
	for (uint64_t q = 0; q <= RECORDS; q++) {
		m->fate[q] = (uint8_t)g->f[q].fate;
		m->fails[q] = (uint8_t)g->f[q].fails;
	}
}

void
truth_restart(struct owed *g, const struct kept *k)
{
	const struct memory *m = &k->mem;
	struct sim *s = g->s;

	g->life = (struct tally){0};
	g->suspect = k->has_state && k->sealed ? m->suspect : s->head;
	for (uint64_t q = 1; q <= RECORDS; q++) {
		struct fact *f = &g->f[q];

		if (f->refs != 0)
			sim_wrong(s, "group %d: the frame of %d is still held", g->at, (int)q);
		*f = (struct fact){.holder = -1, .ever = f->ever};
		if (q > s->head)
			continue;
		truth_committed(g, q);
		if (f->fate == NOT_OURS)
			continue;
		if (k->has_state && q <= m->head) {
			f->fails = m->fails[q];
			f->fate = m->fate[q] == DYING ? OWED : (enum fate)m->fate[q];
		}
		f->dead = f->fate == OWED && k->letter[q] > k->mark;
		if (f->fate == OWED && q < s->disk.first) {
			g->fuzzy = true; /* it is gone, and the state did not say so */
			f->fate = DROPPED;
		}
	}
}

/* ---- what the group does ---- */

static bool
fits(const struct seat *w, size_t bytes)
{
	return w->there && w->open && w->n < w->credit &&
	       (w->n == 0 || (w->bytes < w->max && w->bytes + bytes <= w->max));
}

static void
check_order(struct owed *g, uint64_t seq, int peer)
{
	for (uint64_t q = 1; q <= g->s->head; q++) {
		const struct fact *o = &g->f[q];

		if (q == seq || !same_key(g, q, seq))
			continue;
		if (o->holder >= 0 && o->holder != peer)
			sim_wrong(g->s, "group %d: %d to peer %d, %d of its key is at %d", g->at,
			    (int)seq, peer, (int)q, o->holder);
		if (q < seq && o->holder < 0 &&
		    (o->fate == OWED || (o->fate == DYING && !o->rejected)))
			sim_wrong(
			    g->s, "group %d: %d before %d of its key", g->at, (int)seq, (int)q);
		if (q > seq && o->holder >= 0)
			sim_wrong(g->s, "group %d: %d while %d, later of its key, is out", g->at,
			    (int)seq, (int)q);
	}
}

/* Nobody with less to do could have had it, and not the one where it failed if another could. */
static void
check_choice(struct owed *g, uint64_t seq, int peer)
{
	const struct fact *f = &g->f[seq];
	size_t bytes = record(g, seq)->bytes;
	bool bound = false;

	for (uint64_t q = 1; q <= g->s->head; q++)
		bound |= q != seq && same_key(g, q, seq) && g->f[q].holder >= 0;
	for (int i = 0; i < PEERS && !bound; i++) {
		bool failed_there = f->fails > 0 && f->handed[0] == g->s->session[i],
		     failed_here = f->fails > 0 && f->handed[0] == g->s->session[peer];

		if (i == peer || !fits(&g->seat[i], bytes))
			continue;
		if (failed_here)
			sim_wrong(g->s, "group %d: %d back to peer %d, where it failed", g->at,
			    (int)seq, peer);
		if (!failed_there && g->seat[i].n < g->seat[peer].n)
			sim_wrong(g->s, "group %d: %d to peer %d, but %d has less to do", g->at,
			    (int)seq, peer, i);
	}
}

void
truth_delivered(struct owed *g, int peer, const struct group_item *it)
{
	struct fact *f = &g->f[it->seq];
	struct seat *w = &g->seat[peer];
	const struct record *r = record(g, it->seq);
	struct sim *s = g->s;

	if (it->frame != f || it->bytes != r->bytes || f->refs != 1)
		sim_wrong(s, "group %d: %d is not what was offered", g->at, (int)it->seq);
	if (f->fate != OWED || f->dead || f->holder >= 0 || it->seq > s->head)
		sim_wrong(s, "group %d: %d is not to be had (fate %u, at %d)", g->at, (int)it->seq,
		    f->fate, f->holder);
	if (g->conf.paused || !fits(w, r->bytes))
		sim_wrong(s,
		    "group %d: peer %d takes no %d (paused %d, %u of %u, %zu of %zu bytes)", g->at,
		    peer, (int)it->seq, g->conf.paused, w->n, w->credit, w->bytes, w->max);
	if (it->try_no != f->fails + 1 || f->fails >= g->conf.tries)
		sim_wrong(s, "group %d: %d is handed over as try %u after %u failed ones", g->at,
		    (int)it->seq, it->try_no, f->fails);
	if (f->ever ? !it->again : it->again && it->seq > g->suspect)
		sim_wrong(
		    s, "group %d: %d is marked wrongly (again %d)", g->at, (int)it->seq, it->again);
	if (r->exp != 0 && r->exp <= s->real)
		sim_wrong(s, "group %d: %d is expired", g->at, (int)it->seq);
	if (s->now < f->not_before)
		sim_wrong(s, "group %d: %d comes %d ms early", g->at, (int)it->seq,
		    (int)(f->not_before - s->now));
	check_order(g, it->seq, peer);
	check_choice(g, it->seq, peer);
	f->holder = peer;
	f->deadline = s->now + g->conf.ack_ms;
	f->ever = true;
	if (f->handed[0] != s->session[peer]) {
		memmove(f->handed + 1, f->handed, 3 * sizeof(f->handed[0]));
		f->handed[0] = s->session[peer];
	}
	w->n++;
	w->bytes += r->bytes;
	g->life.delivered++;
	g->life.redelivered += it->again ? 1 : 0;
}

void
truth_dying(struct owed *g, const struct group_item *it, struct span reason)
{
	struct fact *f = &g->f[it->seq];
	int64_t exp = record(g, it->seq)->exp;
	bool good = f->fate == DYING && !f->buried; /* as truth_failed or _rejected said before */

	if (span_is(reason, "EXPIRED"))
		good = f->fate == OWED && f->holder < 0 && exp != 0 && exp <= g->s->real;
	if (span_is(reason, "TRIES"))
		good = f->fate == OWED && f->holder < 0 && f->fails >= g->conf.tries;
	if (!good || it->try_no != f->fails)
		sim_wrong(g->s, "group %d: %d dies of %.*s with %u of %u tries, counted %u", g->at,
		    (int)it->seq, (int)reason.n, (const char *)reason.p, f->fails, g->conf.tries,
		    it->try_no);
	f->fate = DYING;
	f->buried = true;
}

/* ---- what is said to the group ---- */

static void
land(struct owed *g, uint64_t seq)
{
	struct seat *w = &g->seat[g->f[seq].holder];

	w->n--;
	w->bytes -= record(g, seq)->bytes;
	g->f[seq].holder = -1;
}

/* The later ones of its key come back, and nothing is counted. */
static void
take_later(struct owed *g, uint64_t seq)
{
	for (uint64_t q = seq + 1; q <= g->s->head; q++)
		if (same_key(g, seq, q) && g->f[q].holder >= 0)
			land(g, q);
}

void
truth_failed(struct owed *g, uint64_t seq, int64_t delay)
{
	struct fact *f = &g->f[seq];
	int64_t base = g->conf.backoff_ms ? g->conf.backoff_ms : 250,
		most = g->conf.backoff_max_ms ? g->conf.backoff_max_ms : 300000;

	land(g, seq);
	f->fails++;
	for (uint32_t i = 1; i < f->fails && base < most; i++)
		base *= 3;
	base = base > most ? most : base;
	f->not_before = g->s->now + (delay >= 0 ? delay : base * 3 / 4);
	f->surely = g->s->now + (delay >= 0 ? delay : base * 5 / 4 + 1);
	if (f->fails >= g->conf.tries)
		f->fate = DYING;
	take_later(g, seq);
}

void
truth_untried(struct owed *g, uint64_t seq, int64_t delay)
{
	struct fact *f = &g->f[seq];

	land(g, seq);
	f->not_before = f->surely = g->s->now + (delay >= 0 ? delay : 100);
	take_later(g, seq);
}

void
truth_rejected(struct owed *g, uint64_t seq)
{
	land(g, seq);
	g->f[seq].fails++;
	g->f[seq].fate = DYING;
	g->f[seq].rejected = true;
}

bool
truth_was_handed(const struct owed *g, uint64_t seq, uint64_t session)
{
	for (int i = 0; i < 4; i++)
		if (g->f[seq].handed[i] == session)
			return true;
	return false;
}

void
truth_acked(struct owed *g, uint64_t seq)
{
	if (g->f[seq].holder >= 0)
		land(g, seq);
	g->f[seq].fate = DONE;
}

void
truth_left(struct owed *g, int peer)
{
	for (uint64_t q = 1; q <= g->s->head; q++)
		if (g->f[q].holder == peer)
			truth_failed(g, q, -1);
	g->seat[peer] = (struct seat){0};
}

/* By deadline; of one key the first that is late fails and takes the others back. */
void
truth_expire(struct owed *g)
{
	for (;;) {
		uint64_t late = 0;

		for (uint64_t q = 1; q <= g->s->head; q++)
			if (g->f[q].holder >= 0 && g->f[q].deadline <= g->s->now &&
			    (late == 0 || g->f[q].deadline < g->f[late].deadline))
				late = q;
		if (late == 0)
			return;
		for (uint64_t q = late - 1; q > 0; q--)
			if (same_key(g, q, late) && g->f[q].holder >= 0 &&
			    g->f[q].deadline <= g->s->now)
				late = q;
		truth_failed(g, late, -1);
	}
}

/* ---- after every step ---- */

int64_t
truth_owed(const struct owed *g)
{
	int64_t n = 0;

	for (uint64_t q = 1; q <= g->s->head; q++)
		n += g->f[q].fate == OWED || g->f[q].fate == DYING ? 1 : 0;
	return n;
}

static uint64_t
number(const struct owed *g, enum fate fate)
{
	uint64_t n = 0;

	for (uint64_t q = 1; q <= g->s->head; q++)
		n += g->f[q].fate == fate ? 1 : 0;
	return n;
}

static void
check_seats(struct owed *g, const struct group_stats *st)
{
	unsigned out = 0, open = 0, closing = 0;

	for (uint64_t q = 1; q <= g->s->head; q++)
		out += g->f[q].holder >= 0 ? 1 : 0;
	for (int i = 0; i < PEERS; i++) {
		open += g->seat[i].there && g->seat[i].open ? 1 : 0;
		closing += g->seat[i].there && !g->seat[i].open ? 1 : 0;
	}
	if (st->in_flight != out || st->workers != open || st->closing != closing)
		sim_wrong(g->s, "group %d: %u out, %u workers, %u closing; it says %d, %u, %u",
		    g->at, out, open, closing, (int)st->in_flight, st->workers, st->closing);
}

/* received = acked + dead + dropped + owed, each as it is. */
static void
check_counts(struct owed *g)
{
	const struct tally *t = &g->life;
	uint64_t acked = number(g, DONE), dead = number(g, DEAD), dropped = number(g, DROPPED),
		 owed = number(g, OWED) + number(g, DYING);
	struct group_stats st;

	group_stats(g->core, g->s->head, &st);
	check_seats(g, &st);
	if (st.delivered != t->delivered || st.redelivered != t->redelivered ||
	    st.stale != t->stale)
		sim_wrong(g->s, "group %d: delivered %d, again %d, stale %d; it says %d, %d, %d",
		    g->at, (int)t->delivered, (int)t->redelivered, (int)t->stale, (int)st.delivered,
		    (int)st.redelivered, (int)st.stale);
	if (g->fuzzy || g->count_at != g->count_to)
		return;
	if (st.received != acked + dead + dropped + owed || st.acked != acked || st.dead != dead ||
	    st.dropped != dropped || st.owed != (int64_t)owed)
		sim_wrong(g->s,
		    "group %d: acked %d, dead %d, dropped %d, owed %d; it says %d received, %d, "
		    "%d, %d, %d",
		    g->at, (int)acked, (int)dead, (int)dropped, (int)owed, (int)st.received,
		    (int)st.acked, (int)st.dead, (int)st.dropped, (int)st.owed);
}

enum may { NO, MAYBE, YES };

/* May it go now, as far as its own key, try and delay are concerned? */
static enum may
could_go(const struct owed *g, uint64_t seq, int *bound)
{
	const struct fact *f = &g->f[seq];
	enum may may = f->surely > g->s->now ? MAYBE : YES;

	*bound = -1;
	if (f->fate != OWED || f->holder >= 0 || f->not_before > g->s->now || f->refs == 0)
		return NO;
	for (uint64_t q = 1; q <= g->s->head; q++) {
		const struct fact *o = &g->f[q];

		if (q == seq || !same_key(g, q, seq))
			continue;
		if (o->holder >= 0)
			*bound = o->holder;
		if (q > seq || o->holder >= 0)
			continue;
		if (o->fate == OWED || (o->fate == DYING && !o->rejected))
			return NO;
		/* One that was rejected may hold it up until its dead letter is written. */
		may = o->fate == DYING ? MAYBE : may;
	}
	return may;
}

/* Nothing that was read lies about while somebody could have it. */
static void
check_nothing_lies_about(struct owed *g)
{
	bool room = false, held_up[PEERS] = {false};

	for (int i = 0; i < PEERS; i++)
		room |= fits(&g->seat[i], 0);
	for (uint64_t q = 1; q <= g->s->head && room && !g->conf.paused; q++) {
		const struct record *r = record(g, q);
		bool spent =
		    g->f[q].fails >= g->conf.tries || (r->exp != 0 && r->exp <= g->s->real);
		int bound, could = -1;
		enum may may = could_go(g, q, &bound);

		if (may == NO || (bound >= 0 && held_up[bound]))
			continue;
		for (int i = 0; i < PEERS; i++)
			if ((bound < 0 || bound == i) && fits(&g->seat[i], r->bytes))
				could = i;
		if (bound >= 0 && could < 0) {
			held_up[bound] = true; /* others may pass it, elsewhere */
			continue;
		}
		if (may == MAYBE && (could >= 0 || spent))
			continue;
		if (could >= 0 || spent)
			sim_wrong(g->s, "group %d: %d lies about, peer %d could have it", g->at,
			    (int)q, could);
		return; /* the first one, if it is too big for everybody, holds up the rest */
	}
}

static void
check_time(struct owed *g)
{
	int64_t next = group_next(g->core);

	for (uint64_t q = 1; q <= g->s->head; q++) {
		const struct fact *f = &g->f[q];

		if (f->holder >= 0 && f->deadline < next)
			sim_wrong(
			    g->s, "group %d: the deadline of %d is not watched", g->at, (int)q);
		if (f->refs > 0 && f->fate == OWED && f->holder < 0 && f->fails > 0 &&
		    f->not_before > g->s->now && f->surely < next)
			sim_wrong(g->s, "group %d: nobody wakes up for %d", g->at, (int)q);
	}
}

void
truth_check(struct owed *g, bool ran)
{
	uint64_t first = 1, floor = group_floor(g->core, g->s->head);

	group_check(g->core);
	while (first <= g->s->head && g->f[first].fate != OWED && g->f[first].fate != DYING)
		first++;
	if (floor >= first && floor >= g->s->disk.first)
		sim_wrong(g->s, "group %d: all up to %d is done, it says, but %d is not", g->at,
		    (int)floor, (int)first);
	check_counts(g);
	for (uint64_t q = g->next; q <= g->s->head && !g->fuzzy; q++) {
		bool owed = g->f[q].fate == OWED || g->f[q].fate == DYING;

		if (g->f[q].fate != NOT_OURS && group_owes(g->core, q) != owed)
			sim_wrong(g->s, "group %d: %d is %sowed, it says", g->at, (int)q,
			    owed ? "not " : "");
	}
	if (!ran)
		return;
	check_time(g);
	check_nothing_lies_about(g);
}

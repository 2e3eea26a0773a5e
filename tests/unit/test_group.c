/* The group core: rules one by one.  Histories at random are in tests/sim. */
#include <stdlib.h>

#include "broker/group.h"
#include "tests/unit/check.h"

enum { RECORDS = 400, SESSIONS = 12, KEYS = 5 };

enum fate { OWED, DONE, DEAD, DYING };

struct rec {
	bool matches;
	int key; /* 0: none */
	size_t bytes;
	int64_t exp;
	enum fate fate;
	uint32_t fails;
	int holder; /* session; 0: not in flight */
	int64_t deadline;
	uint64_t handed[4]; /* the last sessions that were handed it, in this life of the broker */
	bool ever;          /* was delivered, in any life */
	bool rejected;
	int refs;
};

struct worker {
	uint64_t session;
	uint32_t credit, n;
	size_t max, bytes;
	bool open, present;
	struct group_worker *w;
};

/* The whole world: a journal, the workers, what is true of every record. */
struct world {
	struct rec r[RECORDS + 1];
	uint64_t head;
	struct worker w[SESSIONS];
	uint64_t sessions; /* last given */
	int64_t now, real;
	struct group_conf conf;
	struct group *g;
	uint64_t rnd;
	const char *wrong;
	uint64_t wrong_seq;
	/* what the journal would have after a crash */
	struct buf state;
	enum fate saved[RECORDS + 1];
	uint32_t saved_fails[RECORDS + 1];
	uint64_t delivered;
};

static void
wrong(struct world *x, uint64_t seq, const char *what)
{
	if (x->wrong == NULL) {
		x->wrong = what;
		x->wrong_seq = seq;
	}
}

static struct worker *
worker_of(struct world *x, int session)
{
	for (int i = 0; i < SESSIONS; i++)
		if (x->w[i].present && x->w[i].session == (uint64_t)session)
			return &x->w[i];
	return NULL;
}

static void
land(struct world *x, uint64_t seq)
{
	struct worker *w = worker_of(x, x->r[seq].holder);

	w->n--;
	w->bytes -= x->r[seq].bytes;
	x->r[seq].holder = 0;
}

/* ---- what the group decides, checked against the rules ---- */

static void
check_order(struct world *x, uint64_t seq, int session)
{
	for (uint64_t s = 1; s <= x->head; s++) {
		const struct rec *o = &x->r[s];

		if (s == seq || !o->matches || o->key != x->r[seq].key)
			continue;
		if (o->holder != 0 && o->holder != session)
			wrong(x, seq, "its key is in flight elsewhere");
		if (s < seq && o->holder == 0 &&
		    (o->fate == OWED || (o->fate == DYING && !o->rejected)))
			wrong(x, seq, "an earlier one of its key is not done");
		if (s > seq && o->holder != 0)
			wrong(x, seq, "a later one of its key is in flight");
	}
}

static void
on_deliver(void *arg, void *user, const struct group_item *it)
{
	struct world *x = arg;
	struct worker *w = user;
	struct rec *r = &x->r[it->seq];

	x->delivered++;
	if (it->frame != r || it->bytes != r->bytes)
		wrong(x, it->seq, "wrong frame");
	if (!r->matches || r->fate != OWED)
		wrong(x, it->seq, "it is not owed");
	if (r->holder != 0)
		wrong(x, it->seq, "it is in flight already");
	if (!w->present || !w->open || x->conf.paused)
		wrong(x, it->seq, "the worker takes nothing");
	if (w->n >= w->credit || (w->n > 0 && w->bytes + r->bytes > w->max))
		wrong(x, it->seq, "the credit is used up");
	if (it->try_no != r->fails + 1 || r->fails >= x->conf.tries)
		wrong(x, it->seq, "wrong try");
	if (r->ever && !it->again)
		wrong(x, it->seq, "seen before and not marked so");
	if (r->exp != 0 && r->exp <= x->real)
		wrong(x, it->seq, "it is expired");
	if (r->refs < 1)
		wrong(x, it->seq, "its frame was let go");
	r->holder = (int)w->session;
	r->deadline = x->now + x->conf.ack_ms;
	if (r->handed[0] != w->session) {
		memmove(r->handed + 1, r->handed, sizeof r->handed - sizeof *r->handed);
		r->handed[0] = w->session;
	}
	r->ever = true;
	w->n++;
	w->bytes += r->bytes;
	if (r->key != 0)
		check_order(x, it->seq, r->holder);
}

static void
on_dead(void *arg, const struct group_item *it, enum group_death why, struct span reason)
{
	struct world *x = arg;
	struct rec *r = &x->r[it->seq];

	(void)why;
	if (span_is(reason, "EXPIRED")) {
		if (r->fate != OWED || r->exp == 0 || r->exp > x->real)
			wrong(x, it->seq, "it did not expire");
		r->fate = DYING;
	} else if (span_is(reason, "TRIES")) {
		if (r->fate != OWED || r->fails < x->conf.tries)
			wrong(x, it->seq, "it has tries left");
		r->fate = DYING;
	} else if (r->fate != DYING) {
		wrong(x, it->seq, "it has tries left");
	}
	if (it->try_no != r->fails)
		wrong(x, it->seq, "wrong number of tries in the dead letter");
}

static void
on_drop(void *arg, void *frame)
{
	struct world *x = arg;
	struct rec *r = frame;

	if (--r->refs < 0)
		wrong(x, (uint64_t)(r - x->r), "let go twice");
}

/* ---- the shell's part ---- */

static const struct group_ops ops = {on_deliver, on_dead, on_drop, NULL, NULL};

static struct group *
make(struct world *x, uint64_t next)
{
	struct group_ops o = ops;

	o.arg = x;
	return group_new(&o, &x->conf, next);
}

static bool
offer(struct world *x, uint64_t seq)
{
	static const char *const names[KEYS + 1] = {"", "a", "b", "ab", "c", "dd"};
	struct rec *r = &x->r[seq];
	struct group_rec gr = {
	    .seq = seq, .at_ms = 1, .exp_ms = r->exp, .bytes = r->bytes, .frame = r};

	if (r->key != 0)
		gr.key = span_str(names[r->key]);
	r->refs++;
	if (group_offer(x->g, &gr))
		return true;
	r->refs--;
	return false;
}

static void
feed(struct world *x, unsigned most)
{
	while (!group_is_live(x->g) && group_wants(x->g) && most-- > 0) {
		uint64_t seq = group_read(x->g);

		while (seq <= x->head && !x->r[seq].matches)
			seq++;
		if (seq > x->head) {
			group_seen(x->g, x->head + 1, true);
			return;
		}
		if (!offer(x, seq))
			return;
	}
}

/* ---- what the model knows of the verbs ---- */

static void
save(struct world *x, bool clean)
{
	buf_reset(&x->state);
	group_encode(x->g, x->head, clean, &x->state);
	for (uint64_t s = 1; s <= x->head; s++) {
		x->saved[s] = x->r[s].fate;
		x->saved_fails[s] = x->r[s].fails;
	}
	for (uint64_t s = x->head + 1; s <= RECORDS; s++)
		x->saved[s] = OWED, x->saved_fails[s] = 0;
}

/* ---- rules one by one ---- */

static struct world w;

static void
begin(void)
{
	memset(&w, 0, sizeof w);
	w.now = 1000;
	w.real = 1700000000000;
	w.conf = (struct group_conf){.tries = 3, .ack_ms = 1000, .seed = 1};
	buf_init(&w.state, 1 << 20);
	w.g = make(&w, 1);
}

static void
end(void)
{
	CHECK(w.wrong == NULL);
	group_check(w.g);
	group_free(w.g);
	buf_fini(&w.state);
}

static void
put(int n, int key)
{
	for (int i = 0; i < n; i++) {
		w.r[++w.head] = (struct rec){.matches = true, .key = key, .bytes = 10};
		group_commit(w.g, 1);
		if (group_is_live(w.g))
			offer(&w, w.head);
	}
}

static void
come(int i, uint32_t credit)
{
	w.w[i] = (struct worker){.session = (uint64_t)i + 1,
	    .credit = credit,
	    .max = 1000,
	    .present = true,
	    .open = true};
	w.w[i].w = group_join(w.g, w.w[i].session, credit, 1000, &w.w[i]);
}

static void
go(void)
{
	feed(&w, 100);
	group_run(w.g, w.now, w.real);
}

static void
done(uint64_t seq)
{
	int session = w.r[seq].holder;

	land(&w, seq);
	w.r[seq].fate = DONE;
	CHECK(group_ack(w.g, (uint64_t)session, seq));
}

static void
a_full_worker_goes_on_with_its_key(void)
{
	begin();
	put(5, 1);
	come(0, 2);
	come(1, 2);
	go();
	CHECK(w.r[1].holder == 1 && w.r[2].holder == 1 && w.r[3].holder == 0);
	done(1);
	go();
	CHECK(w.r[3].holder == 1); /* not only when nothing of the key is in flight any more */
	done(2);
	done(3);
	go();
	CHECK(w.r[4].holder != 0 && w.r[4].holder == w.r[5].holder);
	end();
}

static void
a_closing_worker_gets_no_more_but_may_finish(void)
{
	begin();
	put(4, 0);
	come(0, 2);
	go();
	group_close(w.g, w.w[0].w);
	w.w[0].open = false;
	done(1);
	go();
	CHECK(w.r[3].holder == 0 && group_worker_holds(w.w[0].w) == 1);
	come(1, 9);
	go();
	CHECK(w.r[3].holder == 2 && w.r[4].holder == 2 && w.r[2].holder == 1);
	end();
}

static void
what_is_no_longer_kept_is_dropped(void)
{
	struct group_stats st;

	begin();
	put(6, 0);
	come(0, 3);
	go();
	done(2); /* 1 and 3 are in flight */
	save(&w, true);
	group_free(w.g);
	w.r[1].holder = w.r[3].holder = 0;
	w.g = make(&w, 1);
	CHECK(group_restore(w.g, buf_span(&w.state), w.head) == 0);
	group_seen(w.g, 3, false); /* 1 could not be read */
	group_stats(w.g, w.head, &st);
	CHECK(st.dropped == 1 && st.owed == 4 && group_floor(w.g, w.head) == 2);
	/* Paused: retention takes 3 and 4. */
	w.conf.paused = true;
	group_configure(w.g, &w.conf);
	group_drop(w.g, 2);
	group_drop(w.g, 3);
	group_drop(w.g, 4);
	group_seen(w.g, 5, false);
	group_stats(w.g, w.head, &st);
	CHECK(st.dropped == 3 && st.owed == 2 && st.floor == 4);
	end();
}

static void
what_was_not_counted_is_counted_again(void)
{
	struct group_stats st;

	begin();
	put(6, 0);
	come(0, 3);
	go();
	done(2);
	group_counting(w.g, true);
	save(&w, false);
	group_free(w.g);
	w.g = make(&w, 1);
	CHECK(group_restore(w.g, buf_span(&w.state), w.head) == 0);
	group_stats(w.g, w.head, &st);
	CHECK(
	    st.owed == 2 && group_counted(w.g) == 3); /* 1 and 3; the rest is for whoever counts */
	w.r[1].holder = w.r[3].holder = 0;
	group_settle(w.g);
	group_stats(w.g, w.head, &st);
	CHECK(st.owed == 2); /* something is owed: not settled */
	end();
}

static void
an_idle_group_holds_no_frames(void)
{
	int held = 0;

	begin();
	put(50, 0);
	come(0, 2);
	go();
	group_leave(w.g, w.w[0].w, w.now);
	w.w[0].present = false;
	for (uint64_t s = 1; s <= w.head; s++)
		held += w.r[s].refs;
	CHECK(held == 2); /* only what was in a worker's hands waits for its delay */
	CHECK(!group_wants(w.g) && group_read(w.g) == 3);
	end();
}

static void
states_that_are_none_are_refused(void)
{
	static const char *const bad[] = {"\xc1", "\x90", "\x98\x02\xc3\x00\x01\x00\x00\x00\x90",
	    "\x98\x01\xc3\x05\x05\x00\x00\x00\x90"};
	static const uint8_t odd[] = {0x98, 1, 0xc3, 0, 9, 0, 0, 0, 0x91, 1},
			     over[] = {0x98, 1, 0xc3, 0, 2, 0, 0, 0, 0x92, 7, 0};

	begin();
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		CHECK(group_restore(w.g, span_str(bad[i]), 9) == -1);
	CHECK(group_restore(w.g, span_of(odd, sizeof odd), 9) == -1);
	CHECK(group_restore(w.g, span_of(over, sizeof over), 9) == -1);
	group_free(w.g);
	buf_fini(&w.state);
}

/* Nothing was written before the crash: all may have been delivered. */
static void
a_group_without_a_state_marks_again(void)
{
	begin();
	put(3, 0);
	CHECK(group_restore(w.g, span_str(""), 2) == 0);
	w.r[1].ever = w.r[2].ever = true;
	come(0, 3);
	go();
	CHECK(w.delivered == 3); /* on_deliver looks at the marks */
	end();
}

int
main(void)
{

	a_full_worker_goes_on_with_its_key();
	a_closing_worker_gets_no_more_but_may_finish();
	what_is_no_longer_kept_is_dropped();
	what_was_not_counted_is_counted_again();
	an_idle_group_holds_no_frames();
	states_that_are_none_are_refused();
	a_group_without_a_state_marks_again();
	return check_done();
}

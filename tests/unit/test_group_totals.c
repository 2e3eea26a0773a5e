/* The totals of a group: received = acked + dead + dropped + owed, whatever happens to its state.
 */
#include "broker/group.h"
#include "tests/unit/check.h"

static unsigned dropped, delivered;

static void
on_deliver(void *arg, void *user, const struct group_item *it)
{
	(void)arg;
	(void)user;
	(void)it;
	delivered++;
}

static void
on_dead(void *arg, const struct group_item *it, enum group_death why, struct span reason)
{
	(void)arg;
	(void)it;
	(void)why;
	(void)reason;
}

static void
on_drop(void *arg, void *frame)
{
	(void)arg;
	(void)frame;
	dropped++;
}

static struct group *
make(void)
{
	static const struct group_ops ops = {on_deliver, on_dead, on_drop, NULL, NULL};
	static const struct group_conf conf = {.tries = 3, .ack_ms = 1000, .seed = 1};

	return group_new(&ops, &conf, 1);
}

static struct group_stats
stats(const struct group *g, uint64_t head)
{
	struct group_stats s;

	group_check(g);
	group_stats(g, head, &s);
	return s;
}

static void
fill(struct group *g, uint64_t n)
{
	for (uint64_t seq = 1; seq <= n; seq++) {
		struct group_rec r = {.seq = seq, .bytes = 10, .frame = g};

		group_commit(g, 1);
		group_seen(g, seq, true);
		CHECK(group_offer(g, &r));
	}
}

static void
totals_are_kept_and_old_states_have_none(void)
{
	/* [1, true, floor 0, high 3, owed 2, counted 5, suspect 0, [seq 1]] */
	static const uint8_t old[] = {0x98, 1, 0xc3, 0, 3, 2, 5, 0, 0x92, 1, 0};
	struct group *g = make();
	struct group_stats s;
	struct buf state;

	buf_init(&state, 4096);
	group_join(g, 7, 5, 1000, g);
	fill(g, 5);
	group_run(g, 0, 0);
	CHECK(delivered == 5 && group_ack(g, 7, 1) && group_ack(g, 7, 3));
	CHECK(!group_is_idle(g));
	group_set_mark(g, 44);
	group_encode(g, 5, true, &state);
	group_free(g);
	g = make();
	CHECK(
	    group_restore(g, buf_span(&state), 5) == 0 && group_mark(g) == 44 && group_is_idle(g));
	s = stats(g, 5);
	CHECK(s.received == 5 && s.acked == 2 && s.owed == 3 && s.floor == 1);
	CHECK(!group_owes(g, 1) && group_owes(g, 2) && !group_owes(g, 3) && group_owes(g, 6));
	group_free(g);
	g = make();
	CHECK(group_restore(g, span_of(old, sizeof(old)), 5) == 0 && group_mark(g) == 0);
	s = stats(g, 5);
	CHECK(s.received == 2 && s.acked == 0 && s.owed == 2);
	group_free(g);
	buf_fini(&state);
}

static void
whose_letter_is_stored_is_dead(void)
{
	struct group *g = make();
	struct group_rec r = {.seq = 1, .dead = true, .frame = g};
	struct group_stats s;

	dropped = 0;
	group_commit(g, 1);
	CHECK(group_offer(g, &r) && dropped == 1);
	s = stats(g, 1);
	CHECK(s.dead == 1 && s.owed == 0 && s.received == 1);
	group_commit(g, 2); /* two that nobody can read */
	group_seen(g, 4, true);
	CHECK(group_settle(g) && !group_settle(g));
	s = stats(g, 3);
	CHECK(s.dropped == 2 && s.owed == 0 && s.received == 3);
	group_free(g);
}

int
main(void)
{
	totals_are_kept_and_old_states_have_none();
	whose_letter_is_stored_is_dead();
	return check_done();
}

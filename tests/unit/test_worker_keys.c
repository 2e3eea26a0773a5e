/* Order by key behind a NAK: until the PONG to the PING behind it, what comes of the key goes back.
 */
#include "tests/unit/worker_rig.h"

#define FRAMES 64

/* PINGs of the worker are answered when the test says so; those of the link, which come first, at
 * once. */
static uint8_t links[8], pings[FRAMES][16];
static unsigned npings, naks_then[FRAMES], packs_at_nak, packs_then[FRAMES];

static bool
on_ping(struct fake *f, const uint8_t id[16])
{
	if (links[0] == 0)
		memcpy(links, id, 8);
	if (memcmp(links, id, 8) == 0 || npings == FRAMES)
		return false;
	naks_then[npings] = last[ENV_NAK].n;
	packs_then[npings] = f->n[ENV_PACK];
	memcpy(pings[npings++], id, 16);
	return true;
}

static void
on_frame(struct fake *f, const struct env *e)
{
	if (e->verb == ENV_NAK)
		packs_at_nak = f->n[ENV_PACK];
	on_heard(f, e);
}

static bool
has_pings(void)
{
	return npings >= want_n;
}

static bool
pinged(unsigned n)
{
	want_n = n;
	return run_until(loop, has_pings);
}

/* An event of group g; a NULL key is none. */
static void
deliver(uint64_t seq, const char *group, const char *key)
{
	struct buf inner;
	struct env e, head;

	buf_init(&inner, LIMIT_FRAME);
	env_init(&e, ENV_PUB, span_str("t.one"), inner_id);
	if (key != NULL)
		env_set_s(&e, ENV_M_KEY, span_str(key));
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str("t.one"), inner_id);
	env_set_s(&head, ENV_M_GROUP, span_str(group));
	env_set_u(&head, ENV_M_SEQ, seq);
	env_set_u(&head, ENV_M_TRY, 1);
	fake_deliver(&broker, &head, buf_span(&inner));
	buf_fini(&inner);
}

static void
answer_ping(unsigned i)
{
	fake_pong(&broker, pings[i]);
}

static uint64_t
held(unsigned i)
{
	return env_u(&hand[i]->head, ENV_M_SEQ, 0);
}

/* 1 goes back; 2 was on its way and goes back unseen, and so does what comes before the PONG of
 * the last one. */
static void
test_refused_until_the_pong(void)
{
	deliver(1, "g", "a");
	CHECK(holds(1));
	worker_nak(hand[0], 250, "later");
	nhand = 0;
	CHECK(pinged(1));
	CHECK(naks_then[0] == 1);
	CHECK(packs_at_nak > 0 && packs_then[0] == packs_at_nak); /* in one PACK */
	deliver(2, "g", "a");
	CHECK(pinged(2));
	CHECK(last[ENV_NAK].n == 2 && env_u(&last[ENV_NAK].e, ENV_M_SEQ, 0) == 2);
	CHECK(env_u(&last[ENV_NAK].e, ENV_M_TRY, 0) == 1);
	CHECK(!env_has(&last[ENV_NAK].e, ENV_M_DELAY)); /* the broker's own backoff */
	CHECK(nhand == 0 && worker_in_hand(worker) == 0);
	answer_ping(0); /* of the NAK before the last */
	deliver(3, "g", "a");
	CHECK(pinged(3));
	CHECK(last[ENV_NAK].n == 3 && nhand == 0);
	answer_ping(1);
	answer_ping(2);
	deliver(1, "g", "a");
	CHECK(holds(1) && held(0) == 1);
	CHECK(last[ENV_NAK].n == 3);
	worker_ack(hand[0]);
	nhand = 0;
}

/* Other keys, other groups and what has none go on; so does the key after a REJECT. */
static void
test_only_that_key(void)
{
	unsigned naks = last[ENV_NAK].n;

	deliver(10, "g", "a");
	deliver(11, "g", NULL);
	deliver(12, "g", "r");
	CHECK(holds(3));
	worker_nak(hand[0], 0, NULL);
	worker_nak(hand[1], 0, NULL);
	worker_reject(hand[2], "never");
	nhand = 0;
	CHECK(pinged(4));
	deliver(13, "g", NULL);
	deliver(14, "h", "a");
	deliver(15, "g", "b");
	deliver(16, "g", "r");
	deliver(17, "g", "a");
	CHECK(pinged(5));
	CHECK(nhand == 4 && held(0) == 13 && held(1) == 14 && held(2) == 15 && held(3) == 16);
	CHECK(last[ENV_NAK].n == naks + 3 && env_u(&last[ENV_NAK].e, ENV_M_SEQ, 0) == 17);
	for (unsigned i = 0; i < nhand; i++)
		worker_ack(hand[i]);
	nhand = 0;
	answer_ping(4);
	deliver(10, "g", "a");
	CHECK(holds(1) && held(0) == 10);
	worker_ack(hand[0]);
	nhand = 0;
	CHECK(npings == 5); /* what has no key asks for nothing */
}

static uint64_t generation;

static bool
has_new_session(void)
{
	return link_generation(link_) > generation && worker_is_live(worker);
}

/* What was given back in a session of before is of no account. */
static void
test_a_new_session_forgets(void)
{
	unsigned n = npings;

	deliver(20, "g", "a");
	CHECK(holds(1));
	worker_nak(hand[0], 0, NULL);
	nhand = 0;
	CHECK(pinged(n + 1));
	generation = link_generation(link_);
	fake_stop(&broker);
	fake_start(&broker);
	CHECK(run_until(loop, has_new_session));
	deliver(20, "g", "a");
	CHECK(holds(1) && held(0) == 20);
	worker_ack(hand[0]);
	nhand = 0;
}

static void
answer_asked(unsigned n)
{
	struct env rep;

	CHECK(hears(ENV_REQ, n));
	env_init(&rep, ENV_REP, span_str(""), last[ENV_REQ].e.id);
	rep.body = span_str("\x81\xa3seq\xc0");
	fake_send_env(&broker, &rep);
}

/* One whose cancel is asked for when an earlier one goes back is not handed over, PONG or not. */
static void
test_not_yet_handed_over(void)
{
	unsigned naks = last[ENV_NAK].n, n = npings;

	(void)worker_sub(worker, &(struct worker_sub_spec){.pattern = "c.>",
				     .group = "c",
				     .cancels = true,
				     .msg = on_msg,
				     .cancel = on_cancel});
	CHECK(run_until(loop, all_live));
	deliver(30, "c", "a");
	answer_asked(1);
	CHECK(holds(1));
	deliver(31, "c", "a");
	CHECK(hears(ENV_REQ, 2));
	worker_nak(hand[0], 0, NULL);
	nhand = 0;
	CHECK(pinged(n + 1));
	answer_ping(n);
	answer_asked(2);
	deliver(30, "c", "a");
	answer_asked(3);
	CHECK(holds(1) && held(0) == 30);
	CHECK(nhand == 1 && last[ENV_NAK].n == naks + 1 && worker_in_hand(worker) == 1);
	worker_ack(hand[0]);
	nhand = 0;
}

int
main(void)
{
	rig_open("worker-keys");
	broker.on = on_frame;
	broker.ping = on_ping;
	broker.feature = "pack";
	rig_subscribe();
	(void)worker_sub(
	    worker, &(struct worker_sub_spec){.pattern = "t.>", .group = "h", .msg = on_msg});
	CHECK(run_until(loop, all_live));
	test_refused_until_the_pong();
	test_only_that_key();
	test_a_new_session_forgets();
	test_not_yet_handed_over();
	rig_close();
	return check_done();
}

#include "tests/unit/worker_rig.h"

static void
test_subscribes(void)
{
	struct doc d;

	worker_describe(worker, span_str("\x81\xa4name\xa4test"));
	group_sub = worker_sub(worker, &(struct worker_sub_spec){.pattern = "t.>",
					   .group = "g",
					   .from = "all",
					   .ack_ms = 1234,
					   .tries = 3,
					   .credit = 5,
					   .msg = on_msg,
					   .cancel = on_cancel});
	CHECK(!worker_sub_is_live(group_sub));
	CHECK(!worker_is_live(worker));
	CHECK(run_until(loop, all_live));
	CHECK(last[ENV_SUB].n == 1);
	CHECK(span_is(last[ENV_SUB].e.topic, "t.>"));
	CHECK(span_is(env_s(&last[ENV_SUB].e, ENV_M_GROUP), "g"));
	CHECK(env_u(&last[ENV_SUB].e, ENV_M_ACK_MS, 0) == 1234);
	CHECK(env_u(&last[ENV_SUB].e, ENV_M_TRIES, 0) == 3);
	CHECK(env_u(&last[ENV_SUB].e, ENV_M_CREDIT, 0) == 5);
	CHECK(env_u(&last[ENV_SUB].e, ENV_M_BYTES, 0) == DEFAULT_CREDIT_BYTES);
	CHECK(env_u(&last[ENV_SUB].e, ENV_M_MANY, 0) == 1);
	CHECK(!env_has(&last[ENV_SUB].e, ENV_M_SERVE));
	CHECK(span_eq(env_s(&last[ENV_SUB].e, ENV_M_FROM), span_str("\xa3"
								    "all")));
	CHECK(doc_parse(&d, last[ENV_SUB].e.body) == 0);
	CHECK(span_is(doc_str(&d.root, "name"), "test"));
	doc_fini(&d);

	serve_sub = worker_sub(worker, &(struct worker_sub_spec){.pattern = "q.*",
					   .serve = true,
					   .desc = span_str("\x81\xa4name\xa3own"),
					   .msg = on_msg,
					   .cancel = on_cancel,
					   .more = on_more});
	CHECK(run_until(loop, all_live));
	CHECK(env_u(&last[ENV_SUB].e, ENV_M_SERVE, 0) == 1);
	CHECK(!env_has(&last[ENV_SUB].e, ENV_M_GROUP));
	CHECK(!env_has(&last[ENV_SUB].e, ENV_M_FROM));
	CHECK(span_is(last[ENV_SUB].e.body, "\x81\xa4name\xa3own"));
}

static void
answer_with_ack_ms(struct fake *f, const struct env *e)
{
	struct env ok;

	if (e->verb != ENV_SUB) {
		on_heard(f, e);
		return;
	}
	keep(e);
	env_init(&ok, ENV_OK, span_str(""), e->id);
	env_set_u(&ok, ENV_M_ACK_MS, 777);
	fake_send_env(f, &ok);
}

/* Who says nothing of it gets the group's, and is told. */
static void
test_ack_ms_is_the_groups(void)
{
	struct worker_sub *s = worker_sub(
	    worker, &(struct worker_sub_spec){.pattern = "p.>", .group = "p", .msg = on_msg});
	struct buf inner;
	struct env e, head;

	broker.on = answer_with_ack_ms;
	CHECK(worker_sub_ack_ms(s) == DEFAULT_ACK_MS);
	CHECK(run_until(loop, all_live));
	broker.on = on_heard;
	CHECK(!env_has(&last[ENV_SUB].e, ENV_M_ACK_MS));
	CHECK(worker_sub_ack_ms(s) == 777 && worker_sub_ack_ms(group_sub) == 1234);
	buf_init(&inner, LIMIT_FRAME);
	env_init(&e, ENV_PUB, span_str("p.one"), inner_id);
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str("p.one"), inner_id);
	env_set_s(&head, ENV_M_GROUP, span_str("p"));
	env_set_u(&head, ENV_M_SEQ, 1);
	nhand = 0;
	fake_deliver(&broker, &head, buf_span(&inner));
	CHECK(holds(1));
	CHECK(hand[0]->deadline_ms - loop_now(loop) <= 777);
	worker_extend(hand[0], 0);
	CHECK(hears(ENV_EXTEND, 1));
	CHECK(env_u(&last[ENV_EXTEND].e, ENV_M_MS, 0) == 777);
	worker_drop(hand[0]);
	worker_unsub(s);
	CHECK(hears(ENV_UNSUB, 1));
	last[ENV_EXTEND].n = last[ENV_UNSUB].n = 0;
	buf_fini(&inner);
}

static void
test_acks_travel_together(void)
{
	nhand = 0;
	deliver_event(41, 1);
	deliver_event(42, 1);
	deliver_event(43, 2);
	CHECK(holds(3));
	CHECK(worker_in_hand(worker) == 3);
	CHECK(hand[0]->sub == group_sub);
	CHECK(hand[0]->env.verb == ENV_PUB);
	CHECK(span_is(hand[0]->env.topic, "t.one"));
	CHECK(span_is(env_s(&hand[0]->env, ENV_M_KEY), "plate-7"));
	CHECK(span_is(hand[0]->env.body, "\x81\xa1k\x2a"));
	CHECK(env_u(&hand[2]->head, ENV_M_TRY, 0) == 2);
	CHECK(hand[0]->deadline_ms > 0);
	for (unsigned i = 0; i < 3; i++)
		worker_ack(hand[i]);
	CHECK(worker_in_hand(worker) == 0);
	CHECK(!worker_is_flushed(worker));
	CHECK(hears(ENV_ACK, 1));
	CHECK(worker_is_flushed(worker));
	CHECK(nacked == 3 && acked[0] == 41 && acked[1] == 42 && acked[2] == 43);
	CHECK(span_is(env_s(&last[ENV_ACK].e, ENV_M_GROUP), "g"));
}

static void
test_nak_reject_extend(void)
{
	nhand = 0;
	deliver_event(50, 4);
	deliver_event(51, 1);
	deliver_event(52, 1);
	CHECK(holds(3));
	worker_extend(hand[0], 9000);
	worker_nak(hand[0], 250, "later please");
	worker_reject(hand[1], "never");
	CHECK(hears(ENV_REJECT, 1));
	CHECK(last[ENV_EXTEND].n == 1 && env_u(&last[ENV_EXTEND].e, ENV_M_MS, 0) == 9000);
	CHECK(env_u(&last[ENV_EXTEND].e, ENV_M_SEQ, 0) == 50);
	CHECK(last[ENV_NAK].n == 1);
	CHECK(env_u(&last[ENV_NAK].e, ENV_M_SEQ, 0) == 50);
	CHECK(env_u(&last[ENV_NAK].e, ENV_M_TRY, 0) == 4);
	CHECK(env_u(&last[ENV_NAK].e, ENV_M_DELAY, 0) == 250);
	CHECK(span_is(env_s(&last[ENV_NAK].e, ENV_M_GROUP), "g"));
	CHECK(span_is(env_s(&last[ENV_NAK].e, ENV_M_REASON), "later please"));
	CHECK(env_u(&last[ENV_REJECT].e, ENV_M_SEQ, 0) == 51);
	CHECK(!env_has(&last[ENV_REJECT].e, ENV_M_DELAY));
	worker_nak(hand[2], -1, NULL); /* the broker's own backoff */
	CHECK(hears(ENV_NAK, 2));
	CHECK(!env_has(&last[ENV_NAK].e, ENV_M_DELAY) && !env_has(&last[ENV_NAK].e, ENV_M_REASON));
	CHECK(worker_in_hand(worker) == 0);
}

static void
test_requests(void)
{
	struct env rep, child;

	nhand = 0;
	deliver_request("q.x", outer_id, 0);
	CHECK(holds(1));
	CHECK(hand[0]->sub == serve_sub);
	CHECK(hand[0]->deadline_ms > 0);
	env_init(&child, ENV_PUB, span_str("a.b"), NULL);
	worker_inherit(hand[0], &child);
	CHECK(span_eq(env_s(&child, ENV_M_ROOT), span_of(inner_id, 16)));
	CHECK(span_is(env_s(&child, ENV_M_AS), "\x81\xa1p\x01"));
	env_init(&rep, ENV_REP, span_str("ignored"), NULL);
	rep.body = span_str("\x2a");
	env_set_u(&rep, ENV_M_STATUS, 202);
	worker_reply(hand[0], &rep);
	CHECK(hears(ENV_REP, 1));
	CHECK(
	    memcmp(last[ENV_REP].e.id, outer_id, 16) == 0); /* the broker's id, not the sender's */
	CHECK(last[ENV_REP].e.topic.n == 0);
	CHECK(env_u(&last[ENV_REP].e, ENV_M_STATUS, 0) == 202);
	CHECK(span_is(last[ENV_REP].e.body, "\x2a"));

	nhand = 0;
	deliver_request("q.x", outer_id, 0);
	CHECK(holds(1));
	worker_fail(hand[0], ERR_NOT_FOUND, "no such plate");
	CHECK(hears(ENV_ERR, 1));
	CHECK(memcmp(last[ENV_ERR].e.id, outer_id, 16) == 0);
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_NOT_FOUND);
	CHECK(span_is(env_err_text(&last[ENV_ERR].e), "no such plate"));

	nhand = 0;
	deliver_request("q.x", outer_id, 0);
	CHECK(holds(1));
	worker_fail_detail(hand[0], ERR_INVALID,
	    span_str("\x81\xa6"
		     "detail\xa3"
		     "bad"));
	CHECK(hears(ENV_ERR, 2));
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_INVALID);
	CHECK(span_is(env_err_text(&last[ENV_ERR].e), "bad"));
}

static void
test_too_big_an_answer(void)
{
	uint8_t *big = calloc(1, LIMIT_FRAME);
	struct buf body;
	struct env rep;

	nhand = 0;
	deliver_request("q.x", outer_id, 0);
	CHECK(holds(1));
	buf_init(&body, LIMIT_FRAME + 1024);
	mp_put_bin(&body, span_of(big, LIMIT_FRAME));
	env_init(&rep, ENV_REP, span_str(""), NULL);
	rep.body = buf_span(&body);
	worker_reply(hand[0], &rep);
	CHECK(hears(ENV_ERR, 3));
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_TOO_BIG);
	CHECK(worker_in_hand(worker) == 0);
	buf_fini(&body);
	free(big);
}

static bool
was_cancelled(void)
{
	return ncancelled > 0;
}

static void
test_cancel(void)
{
	struct env e;

	nhand = 0;
	ncancelled = 0;
	deliver_request("q.x", outer_id, 0);
	CHECK(holds(1));
	env_init(&e, ENV_CANCEL, span_str(""), inner_id); /* not an id of the broker: nobody's */
	fake_send_env(&broker, &e);
	env_init(&e, ENV_CANCEL, span_str(""), outer_id);
	fake_send_env(&broker, &e);
	CHECK(run_until(loop, was_cancelled));
	CHECK(ncancelled == 1);
	CHECK(!worker_msg_is_void(hand[0]));
	worker_fail(hand[0], ERR_GONE, "cancelled");
	CHECK(hears(ENV_ERR, 4)); /* the one final answer is owed all the same */
}

static void
test_unreadable(void)
{
	struct env head;

	nhand = 0;
	env_init(&head, ENV_MSG, span_str("t.one"), inner_id);
	env_set_s(&head, ENV_M_GROUP, span_str("g"));
	env_set_u(&head, ENV_M_SEQ, 77);
	env_set_u(&head, ENV_M_TRY, 1);
	fake_deliver(&broker, &head, span_str("\x93\x01\x02\x03"));
	CHECK(hears(ENV_REJECT, 2));
	CHECK(env_u(&last[ENV_REJECT].e, ENV_M_SEQ, 0) == 77);
	CHECK(span_is(env_s(&last[ENV_REJECT].e, ENV_M_REASON), "unreadable"));

	env_init(&head, ENV_MSG, span_str("q.x"), outer_id);
	env_set_u(&head, ENV_M_LEFT, 1000);
	fake_deliver(&broker, &head, span_str("\xc1"));
	CHECK(hears(ENV_ERR, 5));
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_BAD_ENVELOPE);

	/* And what belongs to no subscription goes back at once. */
	deliver_request("other.topic", outer_id, 0);
	CHECK(hears(ENV_ERR, 6));
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_NO_WORKERS);
	CHECK(nhand == 0);
	CHECK(worker_stats(worker).unreadable == 2);
	CHECK(worker_stats(worker).stray == 1);
	CHECK(link_is_up(link_));
}

int
main(void)
{
	rig_open("worker");
	test_subscribes();
	test_ack_ms_is_the_groups();
	test_acks_travel_together();
	test_nak_reject_extend();
	test_requests();
	test_too_big_an_answer();
	test_cancel();
	test_unreadable();
	deliver_request("q.x", outer_id, 0);
	rig_close();
	return check_done();
}

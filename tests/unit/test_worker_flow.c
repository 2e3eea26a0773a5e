/* The worker over time: streams, live tails, sessions that end, links that are full, the end. */
#include "tests/unit/worker_rig.h"

static struct worker_sub *tail_sub;

static void
send_part(struct worker_msg *m, const char *body)
{
	struct env rep;

	env_init(&rep, ENV_REP, span_str(""), NULL);
	rep.body = span_str(body);
	worker_part(m, &rep);
}

static void
grant(uint64_t n)
{
	struct env e;

	env_init(&e, ENV_MORE, span_str(""), outer_id);
	env_set_u(&e, ENV_M_N, n);
	fake_send_env(&broker, &e);
}

static void
test_parts(void)
{
	unsigned before = last[ENV_REP].n;
	struct env rep;

	nhand = 0;
	nmore = 0;
	deliver_request("q.x", outer_id, 2);
	CHECK(holds(1));
	CHECK(worker_room(hand[0]) == 2);
	send_part(hand[0], "\x01");
	send_part(hand[0], "\x02");
	CHECK(worker_room(hand[0]) == 0);
	send_part(hand[0], "\x03"); /* held: nobody has room */
	CHECK(hears(ENV_REP, before + 2));
	CHECK(env_u(&last[ENV_REP].e, ENV_M_PART, 99) == 1);
	CHECK(env_u(&last[ENV_REP].e, ENV_M_MORE, 0) == 1);
	grant(2);
	CHECK(hears(ENV_REP, before + 3));
	CHECK(env_u(&last[ENV_REP].e, ENV_M_PART, 99) == 2);
	CHECK(nmore == 1);
	CHECK(worker_room(hand[0]) == 1);
	send_part(hand[0], "\x04");
	send_part(hand[0], "\x05"); /* held again, and the final answer behind it */
	env_init(&rep, ENV_REP, span_str(""), NULL);
	worker_reply(hand[0], &rep);
	CHECK(worker_in_hand(worker) == 0);
	CHECK(hears(ENV_REP, before + 4));
	CHECK(!worker_is_flushed(worker));
	grant(1);
	CHECK(hears(ENV_REP, before + 6));
	CHECK(!env_has(&last[ENV_REP].e, ENV_M_MORE));
	CHECK(env_u(&last[ENV_REP].e, ENV_M_PART, 99) == 5);
	CHECK(worker_is_flushed(worker));
	CHECK(nmore == 1);
}

static void
test_an_answer_that_outruns_its_reader(void)
{
	unsigned before = last[ENV_ERR].n, parts = last[ENV_REP].n;
	size_t n = LIMIT_PART - 16;
	uint8_t *big = calloc(1, n);
	struct buf body;
	struct env rep;

	nhand = 0;
	deliver_request("q.x", outer_id, 1);
	CHECK(holds(1));
	buf_init(&body, LIMIT_PART);
	mp_put_bin(&body, span_of(big, n));
	for (unsigned i = 0; i < 200; i++) {
		env_init(&rep, ENV_REP, span_str(""), NULL);
		rep.body = buf_span(&body);
		worker_part(hand[0], &rep);
	}
	CHECK(worker_msg_is_void(hand[0]));
	env_init(&rep, ENV_REP, span_str(""), NULL);
	worker_reply(hand[0], &rep);
	CHECK(hears(ENV_ERR, before + 1));
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_TOO_BIG);
	CHECK(last[ENV_REP].n == parts + 1);
	CHECK(worker_in_hand(worker) == 0 && worker_is_flushed(worker));
	buf_fini(&body);
	free(big);
}

/* A live tail: no acks; each envelope gives its credit back. */
static void
test_tail(void)
{
	unsigned before = last[ENV_MORE].n;
	uint8_t sub_id[16];
	struct buf inner;
	struct env e, head;

	tail_sub = worker_sub(worker,
	    &(struct worker_sub_spec){.pattern = "live.>", .msg = on_msg, .cancel = on_cancel});
	CHECK(run_until(loop, all_live));
	memcpy(sub_id, last[ENV_SUB].e.id, 16);
	buf_init(&inner, LIMIT_FRAME);
	env_init(&e, ENV_PUB, span_str("live.x"), inner_id);
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str("live.x"), inner_id);
	nhand = 0;
	fake_deliver(&broker, &head, buf_span(&inner));
	fake_deliver(&broker, &head, buf_span(&inner));
	CHECK(holds(2));
	CHECK(hand[0]->sub == tail_sub);
	worker_drop(hand[0]);
	worker_ack(hand[1]); /* all the same here */
	CHECK(hears(ENV_MORE, before + 1));
	CHECK(env_u(&last[ENV_MORE].e, ENV_M_N, 0) == 2);
	CHECK(memcmp(last[ENV_MORE].e.id, sub_id, 16) == 0);
	CHECK(nacked == 0);
	buf_fini(&inner);
}

static uint64_t generation;

static bool
has_new_session(void)
{
	return link_generation(link_) > generation && worker_is_live(worker);
}

static void
test_void_after_a_restart(void)
{
	unsigned acks = last[ENV_ACK].n, naks = last[ENV_NAK].n, errs = last[ENV_ERR].n;
	unsigned subs = last[ENV_SUB].n;
	struct worker_msg *old[3];

	nhand = 0;
	ncancelled = 0;
	deliver_event(60, 1);
	deliver_event(61, 1);
	deliver_request("q.x", outer_id, 0);
	CHECK(holds(3));
	memcpy(old, hand, sizeof old);
	generation = link_generation(link_);
	fake_stop(&broker);
	broker.feature = "pack";
	fake_start(&broker);
	CHECK(run_until(loop, has_new_session));
	CHECK(ncancelled == 3);
	CHECK(last[ENV_SUB].n == subs + 3); /* all of them again */
	CHECK(worker_stats(worker).voided == 3);
	CHECK(worker_in_hand(worker) == 3);
	for (unsigned i = 0; i < 3; i++)
		CHECK(worker_msg_is_void(old[i]));
	worker_ack(old[0]);
	worker_nak(old[1], 0, "x");
	worker_fail(old[2], ERR_INTERNAL, "x");
	CHECK(worker_in_hand(worker) == 0);
	nhand = 0;
	deliver_event(60, 2); /* what was void comes again */
	CHECK(holds(1));
	CHECK(!worker_msg_is_void(hand[0]));
	nacked = 0;
	worker_ack(hand[0]);
	CHECK(hears(ENV_ACK, acks + 1));
	CHECK(nacked == 1 && acked[0] == 60);
	CHECK(last[ENV_NAK].n == naks && last[ENV_ERR].n == errs);
}

static void
test_a_cancel_may_finish_everything(void)
{
	nhand = 0;
	ncancelled = 0;
	finish_all_on_cancel = true;
	deliver_event(70, 1);
	deliver_event(71, 1);
	deliver_event(72, 1);
	CHECK(holds(3));
	generation = link_generation(link_);
	fake_stop(&broker);
	fake_start(&broker);
	CHECK(run_until(loop, has_new_session));
	CHECK(ncancelled == 1);
	CHECK(worker_in_hand(worker) == 0);
	finish_all_on_cancel = false;
}

static unsigned subs_before;

static bool
has_asked_again(void)
{
	return last[ENV_SUB].n >= subs_before + 2;
}

static void
test_refused(void)
{
	struct worker_sub *s;

	subs_before = last[ENV_SUB].n;
	(void)snprintf(refused_pattern, sizeof refused_pattern, "c.d");
	sub_answer = ERR_CONFLICT;
	s = worker_sub(
	    worker, &(struct worker_sub_spec){.pattern = "c.d", .group = "g2", .msg = on_msg});
	CHECK(hears(ENV_SUB, subs_before + 1));
	CHECK(!worker_sub_is_live(s));
	sub_answer = ERR_OK;
	CHECK(run_until(loop, has_asked_again));
	CHECK(run_until(loop, all_live));
	CHECK(worker_sub_is_live(s));
	worker_unsub(s);
	CHECK(hears(ENV_UNSUB, 1));
	CHECK(span_is(last[ENV_UNSUB].e.topic, "c.d"));
	CHECK(span_is(env_s(&last[ENV_UNSUB].e, ENV_M_GROUP), "g2"));
}

/* What is in hand outlives its subscription. */
static void
test_unsub_with_something_in_hand(void)
{
	unsigned acks = last[ENV_ACK].n;
	struct worker_sub *s = worker_sub(
	    worker, &(struct worker_sub_spec){.pattern = "t.one", .group = "h", .msg = on_msg});
	struct buf inner;
	struct env e, head;

	CHECK(run_until(loop, all_live));
	buf_init(&inner, LIMIT_FRAME);
	env_init(&e, ENV_PUB, span_str("t.one"), inner_id);
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str("t.one"), inner_id);
	env_set_s(&head, ENV_M_GROUP, span_str("h"));
	env_set_u(&head, ENV_M_SEQ, 5);
	env_set_u(&head, ENV_M_TRY, 1);
	nhand = 0;
	fake_deliver(&broker, &head, buf_span(&inner));
	CHECK(holds(1));
	worker_unsub(s);
	worker_ack(hand[0]);
	CHECK(hears(ENV_ACK, acks + 1));
	CHECK(span_is(env_s(&last[ENV_ACK].e, ENV_M_GROUP), "h"));
	buf_fini(&inner);
}

static bool
is_flushed(void)
{
	return worker_is_flushed(worker);
}

/* The socket takes no more for a while: answers wait, keep their order, and arrive. */
static void
test_answers_wait_for_the_link(void)
{
	unsigned reps = last[ENV_REP].n, acks = last[ENV_ACK].n, n = 0;
	struct env rep, junk;
	struct buf b;

	/* Without PACK a frame is a message, and messages are what the socket counts. */
	generation = link_generation(link_);
	fake_stop(&broker);
	broker.feature = NULL;
	fake_start(&broker);
	CHECK(run_until(loop, has_new_session));
	nhand = 0;
	deliver_request("q.x", outer_id, 0);
	deliver_event(90, 1);
	CHECK(holds(2));
	loop_sock_end(loop, broker.router); /* a broker that does not read */
	buf_init(&b, LIMIT_HEADER);
	env_init(&junk, ENV_MORE, span_str(""), inner_id);
	CHECK(env_encode(&junk, &b) == ERR_OK);
	while (n < 10000000 && link_send(link_, buf_span(&b)) == 0)
		n++;
	CHECK(n > 100 && n < 10000000);
	env_init(&rep, ENV_REP, span_str(""), NULL);
	rep.body = span_str("\x07");
	worker_reply(hand[0], &rep);
	worker_ack(hand[1]);
	CHECK(!worker_is_flushed(worker));
	CHECK(worker_in_hand(worker) == 0);
	(void)loop_sock(loop, broker.router, fake_readable, &broker);
	CHECK(run_until(loop, is_flushed));
	CHECK(hears(ENV_REP, reps + 1));
	CHECK(span_is(last[ENV_REP].e.body, "\x07"));
	CHECK(hears(ENV_ACK, acks + 1));
	CHECK(worker_stats(worker).dropped == 0);
	buf_fini(&b);
}

#define MANY 450

static unsigned many_left;

static void
on_many(void *arg, struct worker_msg *m)
{
	(void)arg;
	many_left--;
	hand[0] = m;
	worker_ack(m);
}

static uint64_t ack_sum;
static unsigned ack_n;

static void
count_acks(struct fake *f, const struct env *e)
{
	struct mp_r r;

	if (e->verb == ENV_ACK) {
		mp_r_init(&r, env_s(e, ENV_M_SEQS));
		for (unsigned n = mp_array(&r); n > 0; n--, ack_n++)
			ack_sum += mp_u64(&r, INT64_MAX);
		CHECK(!r.bad);
	}
	on_heard(f, e);
}

static bool
all_acked(void)
{
	return ack_n >= MANY;
}

/* More than one header holds. */
static void
test_many_acks(void)
{
	struct worker_sub *s = worker_sub(
	    worker, &(struct worker_sub_spec){
			.pattern = "m.>", .group = "many", .credit = MANY, .msg = on_many});
	struct buf inner, one;
	struct env e, head;
	struct pack p;

	CHECK(run_until(loop, all_live));
	broker.on = count_acks;
	many_left = MANY;
	pack_init(&p);
	buf_init(&inner, LIMIT_HEADER);
	buf_init(&one, LIMIT_FRAME_RX);
	env_init(&e, ENV_PUB, span_str("m.x"), inner_id);
	CHECK(env_encode(&e, &inner) == ERR_OK);
	for (unsigned i = 1; i <= MANY; i++) {
		env_init(&head, ENV_MSG, span_str("m.x"), inner_id);
		env_set_s(&head, ENV_M_GROUP, span_str("many"));
		env_set_u(&head, ENV_M_SEQ, i);
		env_set_u(&head, ENV_M_TRY, 1);
		head.body = buf_span(&inner);
		buf_reset(&one);
		if (env_encode(&head, &one) != ERR_OK)
			CHECK(!"encoded");
		pack_add(&p, buf_span(&one));
	}
	fake_send(&broker, pack_frame(&p)); /* all in one turn */
	CHECK(run_until(loop, all_acked));
	CHECK(many_left == 0);
	CHECK(ack_n == MANY && ack_sum == (uint64_t)MANY * (MANY + 1) / 2);
	broker.on = on_heard;
	worker_unsub(s);
	pack_fini(&p);
	buf_fini(&inner);
	buf_fini(&one);
}

static void
test_stats(void)
{
	struct buf b;
	struct doc d;

	buf_init(&b, 65536);
	worker_put_subs(worker, &b);
	CHECK(doc_parse(&d, buf_span(&b)) == 0);
	CHECK(d.root.type == MSGPACK_OBJECT_ARRAY && d.root.via.array.size == 3);
	CHECK(span_is(doc_str(&d.root.via.array.ptr[0], "group"), "g"));
	CHECK(doc_bool(&d.root.via.array.ptr[0], "live", false));
	CHECK(doc_i64(&d.root.via.array.ptr[0], "acked", -1) == 2);
	CHECK(doc_i64(&d.root.via.array.ptr[0], "inHand", -1) == 0);
	doc_fini(&d);
	buf_fini(&b);
}

static void
test_bye(void)
{
	unsigned errs = last[ENV_ERR].n, naks = last[ENV_NAK].n;

	nhand = 0;
	deliver_event(80, 1);
	CHECK(holds(1));
	worker_bye(worker);
	CHECK(hears(ENV_BYE, 1));
	deliver_request("q.x", outer_id, 0);
	CHECK(hears(ENV_ERR, errs + 1));
	CHECK(env_err_code(&last[ENV_ERR].e) == ERR_DRAINING);
	deliver_event(81, 1);
	CHECK(hears(ENV_NAK, naks + 1));
	CHECK(nhand == 1);
	nacked = 0;
	worker_ack(hand[0]); /* what was in hand is still finished */
	CHECK(hears(ENV_ACK, last[ENV_ACK].n + 1));
	CHECK(nacked == 1 && acked[0] == 80);
}

int
main(void)
{
	rig_open("worker-flow");
	rig_subscribe();
	CHECK(run_until(loop, all_live));
	test_parts();
	test_an_answer_that_outruns_its_reader();
	test_tail();
	test_void_after_a_restart();
	test_a_cancel_may_finish_everything();
	test_refused();
	test_unsub_with_something_in_hand();
	test_answers_wait_for_the_link();
	test_many_acks();
	test_stats();
	test_bye();
	deliver_request("q.x", outer_id, 0);
	rig_close();
	return check_done();
}

/* Cancels of events: told when in hand, never handed over when they came before. */
#include "tests/unit/worker_rig.h"

#include "base/uuid.h"

static struct worker_sub *sub;

static void
subscribe(void)
{
	sub = worker_sub(worker, &(struct worker_sub_spec){.pattern = "t.>",
				     .group = "g",
				     .cancels = true,
				     .msg = on_msg,
				     .cancel = on_cancel});
}

static bool
was_cancelled(void)
{
	return ncancelled > 0;
}

/* cancel.<inner_id>, as a tail gets it. */
static void
deliver_cancel(bool nil)
{
	char topic[64], text[UUID_TEXT + 1];
	struct buf inner;
	struct env e, head;

	snprintf(topic, sizeof(topic), "cancel.%s", uuid_text(inner_id, text));
	buf_init(&inner, 4096);
	env_init(&e, ENV_PUB, span_str(topic), outer_id);
	e.body = nil ? span_str("\xc0") : span_str("\x80");
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str(topic), outer_id);
	env_set_u(&head, ENV_M_SEQ, 9);
	fake_deliver(&broker, &head, buf_span(&inner));
	buf_fini(&inner);
}

static void
answer_asked(bool cancelled)
{
	struct env rep;

	CHECK(span_is(last[ENV_REQ].e.topic, "sys.retained"));
	env_init(&rep, ENV_REP, span_str(""), last[ENV_REQ].e.id);
	rep.body = cancelled ? span_str("\x81\xa3seq\x07") : span_str("\x81\xa3seq\xc0");
	fake_send_env(&broker, &rep);
}

static void
one_in_hand_is_told(void)
{
	deliver_event(1, 1);
	CHECK(hears(ENV_REQ, 1) && nhand == 0); /* first it asks */
	answer_asked(false);
	CHECK(holds(1));
	deliver_cancel(true); /* a marker that is taken away is no cancel */
	deliver_cancel(false);
	CHECK(run_until(loop, was_cancelled));
	CHECK(ncancelled == 1 && !worker_msg_is_void(hand[0]));
	worker_ack(hand[0]);
	CHECK(hears(ENV_ACK, 1) && acked[0] == 1);
	nhand = 0;
}

static void
one_that_was_cancelled_is_acked_with_a_status(void)
{
	char topic[64], text[UUID_TEXT + 1];

	deliver_event(2, 1); /* its cancel came while another delivery was in hand */
	CHECK(hears(ENV_REQ, 2));
	answer_asked(false);
	CHECK(hears(ENV_PUB, 1) && nhand == 0);
	snprintf(topic, sizeof(topic), "status.%s", uuid_text(inner_id, text));
	CHECK(span_is(last[ENV_PUB].e.topic, topic));
	CHECK(last[ENV_ACK].n == 1); /* not before the status is stored */
	fake_answer(&broker, ENV_OK, last[ENV_PUB].e.id);
	CHECK(hears(ENV_ACK, 2) && acked[1] == 2);
}

static void
the_last_value_tells_too(void)
{
	uint8_t before[16];

	memcpy(before, last[ENV_PUB].e.id, 16);
	deliver_event(3, 1);
	CHECK(hears(ENV_REQ, 3));
	answer_asked(true);
	CHECK(hears(ENV_PUB, 2) && nhand == 0);
	CHECK(memcmp(before, last[ENV_PUB].e.id, 16) == 0); /* said twice, stored once */
	fake_err(&broker, last[ENV_PUB].e.id, ERR_BUSY, "the disk is full");
	CHECK(hears(ENV_NAK, 1)); /* it comes again */
}

static void
who_cannot_be_asked_changes_nothing(void)
{
	/* Another process, which has seen no cancel. */
	worker_free(worker);
	worker = worker_new(client);
	subscribe();
	CHECK(run_until(loop, all_live));
	deliver_event(4, 1);
	CHECK(hears(ENV_REQ, 4));
	fake_err(&broker, last[ENV_REQ].e.id, ERR_NOT_FOUND, "the broker serves no such topic");
	CHECK(holds(1));
	worker_ack(hand[0]);
	nhand = 0;
	deliver_event(5, 1);
	CHECK(hears(ENV_REQ, 5)); /* and it may end while one is asked for */
}

int
main(void)
{
	rig_open("taxi-worker-cancel");
	subscribe();
	CHECK(run_until(loop, all_live));
	CHECK(last[ENV_SUB].n == 2);
	one_in_hand_is_told();
	one_that_was_cancelled_is_acked_with_a_status();
	the_last_value_tells_too();
	who_cannot_be_asked_changes_nothing();
	rig_close();
	return check_done();
}

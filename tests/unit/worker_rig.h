#ifndef TESTS_UNIT_WORKER_RIG_H
#define TESTS_UNIT_WORKER_RIG_H
/* A worker on a link to the fake broker, and what each heard.  For the tests of the worker alone.
 */
#include <stdlib.h>

#include "proto/doc.h"
#include "proto/worker.h"
#include "tests/unit/check.h"
#include "tests/unit/fake_broker.h"

static struct fake broker;
static struct loop *loop;
static struct link *link_;
static struct client *client;
static struct worker *worker;

/* The last frame of each verb the broker got, decoded from a copy. */
static struct {
	unsigned n;
	uint8_t *bytes;
	struct env e;
} last[ENV_VERB_COUNT];
static uint64_t acked[64];
static size_t nacked;
static enum err sub_answer;
static char refused_pattern[64];

static inline void
keep(const struct env *e)
{
	struct buf b;
	size_t n;

	buf_init(&b, LIMIT_FRAME_RX);
	if (env_encode(e, &b) != ERR_OK)
		CHECK(!"encoded again");
	free(last[e->verb].bytes);
	buf_take(&b, &last[e->verb].bytes, &n);
	if (env_decode(&last[e->verb].e, span_of(last[e->verb].bytes, n), true, NULL) != ERR_OK)
		CHECK(!"decoded again");
	last[e->verb].n++;
}

static inline void
keep_acks(const struct env *e)
{
	struct mp_r r;

	mp_r_init(&r, env_s(e, ENV_M_SEQS));
	for (unsigned n = mp_array(&r); n > 0 && nacked < 64; n--)
		acked[nacked++] = mp_u64(&r, INT64_MAX);
}

static inline void
on_heard(struct fake *f, const struct env *e)
{
	keep(e);
	if (e->verb == ENV_ACK)
		keep_acks(e);
	if (e->verb == ENV_SUB && sub_answer != ERR_OK && span_is(e->topic, refused_pattern))
		fake_err(f, e->id, sub_answer, "group g has another pattern");
	else if (e->verb == ENV_SUB || e->verb == ENV_UNSUB || e->verb == ENV_BYE)
		fake_answer(f, ENV_OK, e->id);
}

static struct worker_msg *hand[16];
static unsigned nhand, ncancelled, nmore;
static bool finish_all_on_cancel;

static inline void
on_msg(void *arg, struct worker_msg *m)
{
	(void)arg;
	if (nhand < 16)
		hand[nhand++] = m;
	else
		CHECK(!"room for the delivery");
}

static inline void
on_cancel(void *arg, struct worker_msg *m)
{
	(void)arg;
	(void)m;
	ncancelled++;
	if (finish_all_on_cancel) {
		for (unsigned i = 0; i < nhand; i++)
			worker_nak(hand[i], -1, "stopping");
		nhand = 0;
	}
}

static inline void
on_more(void *arg, struct worker_msg *m)
{
	(void)arg;
	(void)m;
	nmore++;
}

static enum env_verb want_verb;
static unsigned want_n;

static inline bool
has_heard(void)
{
	return last[want_verb].n >= want_n;
}

/* The n-th frame of this verb has come. */
static inline bool
hears(enum env_verb verb, unsigned n)
{
	want_verb = verb;
	want_n = n;
	return run_until(loop, has_heard);
}

static inline bool
has_hand(void)
{
	return nhand >= want_n;
}

static inline bool
holds(unsigned n)
{
	want_n = n;
	return run_until(loop, has_hand);
}

static inline bool
all_live(void)
{
	return worker_is_live(worker);
}

static const uint8_t inner_id[16] = {0x11, 0x22};
static const uint8_t outer_id[16] = {0xaa, 0xbb};

/* An event of group g on t.one, with a body and an order key. */
static inline void
deliver_event(uint64_t seq, uint64_t try)
{
	struct buf inner;
	struct env e, head;

	buf_init(&inner, LIMIT_FRAME);
	env_init(&e, ENV_PUB, span_str("t.one"), inner_id);
	env_set_s(&e, ENV_M_KEY, span_str("plate-7"));
	env_set_s(&e, ENV_M_TRACE, span_str("trace-1"));
	e.body = span_str("\x81\xa1k\x2a");
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str("t.one"), inner_id);
	env_set_s(&head, ENV_M_GROUP, span_str("g"));
	env_set_u(&head, ENV_M_SEQ, seq);
	env_set_u(&head, ENV_M_TRY, try);
	fake_deliver(&broker, &head, buf_span(&inner));
	buf_fini(&inner);
}

static inline void
deliver_request(const char *topic, const uint8_t id[16], uint64_t window)
{
	struct buf inner;
	struct env e, head;

	buf_init(&inner, LIMIT_FRAME);
	env_init(&e, ENV_REQ, span_str(topic), inner_id);
	env_set_u(&e, ENV_M_TTL, 5000);
	if (window > 0)
		env_set_u(&e, ENV_M_WINDOW, window);
	CHECK(env_encode(&e, &inner) == ERR_OK);
	env_init(&head, ENV_MSG, span_str(topic), id);
	env_set_u(&head, ENV_M_LEFT, 4000);
	env_set_s(&head, ENV_M_AS, span_str("\x81\xa1p\x01"));
	fake_deliver(&broker, &head, buf_span(&inner));
	buf_fini(&inner);
}

static struct worker_sub *group_sub, *serve_sub;

/* A group g on t.>, and requests on q.*. */
static inline void
rig_subscribe(void)
{
	group_sub = worker_sub(worker, &(struct worker_sub_spec){.pattern = "t.>",
					   .group = "g",
					   .from = "all",
					   .ack_ms = 1234,
					   .tries = 3,
					   .credit = 5,
					   .msg = on_msg,
					   .cancel = on_cancel});
	serve_sub = worker_sub(worker, &(struct worker_sub_spec){.pattern = "q.*",
					   .serve = true,
					   .desc = span_str("\x81\xa4name\xa3own"),
					   .msg = on_msg,
					   .cancel = on_cancel,
					   .more = on_more});
}

static inline void
rig_open(const char *name)
{
	sock_process_init();
	loop = loop_new();
	fake_init(&broker, loop, name);
	broker.on = on_heard;
	link_ = link_new(loop, broker.endpoint);
	client = client_new(link_, 1 << 20);
	worker = worker_new(client);
}

static inline void
rig_close(void)
{
	worker_free(worker);
	client_free(client);
	link_free(link_);
	fake_stop(&broker);
	loop_free(loop);
	for (unsigned i = 0; i < ENV_VERB_COUNT; i++)
		free(last[i].bytes);
}

#endif

#include "broker/feed.h"

#include "base/log.h"
#include "broker/conns.h"
#include "broker/out.h"
#include "proto/mp.h"
#include "proto/sock.h"

/* What the topics of one reader may come to, each with what it costs to be there at all. */
enum { TOPICS_MOST = 128 * 1024, TOPIC_COST = 32 };

/* Before a topic that is asked for: PACK is taken.  No topic begins with it. */
#define MANY '+'

/* A PACK that has come to this much goes: its readers are at it while the next is gathered. */
enum { RUN_BYTES = 64 * 1024 };

/* libzmq keeps every topic a reader asks for, byte by byte and without an end. */
static void
charge(struct broker *b, zmq_msg_t *m, bool more)
{
	static struct log_limit lim;
	int64_t n = (int64_t)zmq_msg_size(m) + TOPIC_COST;

	if (conns_charge(b->feed_conns, zmq_msg_get(m, ZMQ_SRCFD), more ? n : -n, TOPICS_MOST))
		return;
	b->drops[DROP_FEED_TOPICS]++;
	if (log_allow(&lim, broker_now(b), 1)) {
		log_warn("feed_topics", LOG_S("why", "a reader asked for too many topics"),
		    LOG_U("limit", TOPICS_MOST), LOG_U("suppressed", lim.last));
	}
}

/* XPUB tells of the first reader of a topic and of the last that left. */
static void
count_reader(struct broker *b, zmq_msg_t *m)
{
	const uint8_t *p = zmq_msg_data(m);
	size_t n = zmq_msg_size(m);
	unsigned *readers = n > 1 && p[1] == MANY ? &b->feed_many : &b->feed_readers;

	if (n > 0 && p[0] == 1) {
		++*readers;
		charge(b, m, true);
	} else if (n > 0 && p[0] == 0 && *readers > 0) {
		--*readers;
		charge(b, m, false);
	}
}

static void
on_feed(void *arg)
{
	struct broker *b = arg;
	zmq_msg_t m;

	for (int i = 0; i < 256; i++) {
		bool rest = b->feed_rest;

		zmq_msg_init(&m);
		if (zmq_msg_recv(&m, zsock_resolve(b->feed), ZMQ_DONTWAIT) == -1) {
			zmq_msg_close(&m);
			return;
		}
		b->feed_rest = zmq_msg_more(&m) != 0;
		/* XPUB passes on what it does not know.  Of several parts it looks at the first:
		 * the others may look like its word, and are a peer's. */
		if (rest) {
			b->drops[DROP_MULTIPART]++;
		} else {
			count_reader(b, &m);
		}
		zmq_msg_close(&m);
	}
}

int
feed_open(struct broker *b)
{
	buf_init(&b->feed_run.frames, 2 * RUN_BYTES + LIMIT_HEADER);
	if (b->conf.feed[0] == '\0')
		return 0;
	b->feed = sock_xpub(b->conf.feed);
	if (b->feed == NULL || loop_sock(b->loop, b->feed, on_feed, b) != 0)
		return -1;
	b->feed_conns = conns_new(b, b->feed, "feed", b->conf.feed_most);
	return 0;
}

void
feed_close(struct broker *b)
{
	if (b->feed != NULL)
		loop_sock_end(b->loop, b->feed);
	conns_free(b->feed_conns);
	rec_drop(b->feed_run.first);
	buf_fini(&b->feed_run.frames);
	zsock_destroy(&b->feed);
}

/* One message for all readers, of `many` envelopes: it is counted until the slowest has it. */
static void
to_all(struct broker *b, struct span topic, struct span head, struct span body, unsigned many)
{
	void *z = zsock_resolve(b->feed);
	zmq_msg_t m;

	if (parcels_bytes(b->feed_afloat) > b->conf.max_bytes / 4 ||
	    parcel_make(b->feed_afloat, &m, head, body) != 0) {
		b->drops[DROP_FEED_FULL] += many;
		return;
	}
	if (zmq_send(z, topic.p, topic.n, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
	    zmq_msg_send(&m, z, ZMQ_DONTWAIT) == -1) {
		zmq_msg_close(&m);
		b->drops[DROP_FEED_FULL] += many;
		return;
	}
	b->fed += many;
}

static void
head_of(struct env *e, enum env_verb verb, const struct rec *r, uint64_t n)
{
	env_init(e, verb, r->topic, r->id);
	env_set_u(e, ENV_M_N, n);
	env_set_s(e, ENV_M_FROM, r->from);
	env_set_s(e, ENV_M_AS, r->as);
	if (r->seq != 0)
		env_set_u(e, ENV_M_SEQ, r->seq);
}

/* ---- one by one ---- */

static void
send_one(struct broker *b, const struct rec *r)
{
	struct env e;

	head_of(&e, ENV_MSG, r, b->feed_n);
	e.body = rec_frame(r);
	buf_reset(&b->scratch);
	if (env_encode(&e, &b->scratch) == ERR_OK)
		to_all(b, r->topic, buf_span(&b->scratch), (struct span){NULL, 0}, 1);
}

/* ---- many at once ---- */

/* `frames` are as bin already, or one large one that is not. */
static void
send_many(struct broker *b, const struct rec *first, uint64_t n, struct span frames, unsigned many)
{
	uint8_t topic[1 + LIMIT_TOPIC] = {MANY};
	struct env e;

	memcpy(topic + 1, first->topic.p, first->topic.n);
	head_of(&e, ENV_PACK, first, n);
	buf_reset(&b->scratch);
	if (env_encode(&e, &b->scratch) != ERR_OK)
		return;
	mp_put_array(&b->scratch, many);
	if (frames.p == first->frame) {
		const uint8_t bin[5] = {0xc6, (uint8_t)(frames.n >> 24), (uint8_t)(frames.n >> 16),
		    (uint8_t)(frames.n >> 8), (uint8_t)frames.n};

		buf_put(&b->scratch, bin, sizeof bin);
	}
	to_all(b, span_of(topic, 1 + first->topic.n), buf_span(&b->scratch), frames, many);
}

void
feed_flush(struct broker *b)
{
	struct feed_run *run = &b->feed_run;

	if (run->first == NULL)
		return;
	if (run->frames.failed) {
		b->drops[DROP_FEED_FULL] += run->many;
	} else {
		send_many(b, run->first, run->n, buf_span(&run->frames), run->many);
	}
	rec_drop(run->first);
	run->first = NULL;
	buf_reset(&run->frames);
}

/* What the header of the first says is so of r, or follows from its place. */
static bool
goes_on(const struct feed_run *run, const struct rec *r, uint64_t n)
{
	const struct rec *f = run->first;

	return n == run->n + run->many && r->seq == (f->seq != 0 ? f->seq + run->many : 0) &&
	       span_eq(r->topic, f->topic) && span_eq(r->from, f->from) && span_eq(r->as, f->as);
}

static void
gather(struct broker *b, struct rec *r)
{
	struct feed_run *run = &b->feed_run;

	if (run->first != NULL && (r->n > RUN_BYTES || !goes_on(run, r, b->feed_n)))
		feed_flush(b);
	if (r->n > RUN_BYTES) {
		send_many(b, r, b->feed_n, rec_frame(r), 1);
		return;
	}
	if (run->first == NULL) {
		run->first = rec_hold(r);
		run->n = b->feed_n;
		run->many = 0;
	}
	mp_put_bin(&run->frames, rec_frame(r));
	run->many++;
	if (run->frames.n >= RUN_BYTES)
		feed_flush(b);
}

void
feed_send(struct broker *b, struct rec *r)
{
	b->feed_n++;
	if (b->feed_readers > 0)
		send_one(b, r);
	if (b->feed_many > 0)
		gather(b, r);
}

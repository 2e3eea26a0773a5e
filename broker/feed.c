#include "broker/feed.h"

#include "base/log.h"
#include "broker/conns.h"
#include "broker/out.h"
#include "proto/sock.h"

/* What the topics of one reader may come to, each with what it costs to be there at all. */
enum { TOPICS_MOST = 128 * 1024, TOPIC_COST = 32 };

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
on_feed(void *arg)
{
	struct broker *b = arg;
	zmq_msg_t m;

	for (int i = 0; i < 256; i++) {
		const uint8_t *p;

		zmq_msg_init(&m);
		if (zmq_msg_recv(&m, zsock_resolve(b->feed), ZMQ_DONTWAIT) == -1) {
			zmq_msg_close(&m);
			return;
		}
		p = zmq_msg_data(&m);
		if (zmq_msg_size(&m) > 0 && p[0] == 1) {
			b->feed_readers++;
			charge(b, &m, true);
		} else if (zmq_msg_size(&m) > 0 && p[0] == 0 && b->feed_readers > 0) {
			b->feed_readers--;
			charge(b, &m, false);
		}
		zmq_msg_close(&m);
	}
}

int
feed_open(struct broker *b)
{
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
	zsock_destroy(&b->feed);
}

/* One message for all readers: it is counted until the slowest has it. */
static int
to_all(struct broker *b, struct span topic)
{
	void *z = zsock_resolve(b->feed);
	zmq_msg_t m;

	if (parcel_make(b->feed_afloat, &m, buf_span(&b->scratch), (struct span){NULL, 0}) != 0)
		return -1;
	if (zmq_send(z, topic.p, topic.n, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1 ||
	    zmq_msg_send(&m, z, ZMQ_DONTWAIT) == -1) {
		zmq_msg_close(&m);
		return -1;
	}
	return 0;
}

void
feed_send(struct broker *b, const struct rec *r)
{
	struct env e;

	b->feed_n++;
	if (b->feed_readers == 0)
		return;
	env_init(&e, ENV_MSG, r->topic, r->id);
	env_set_u(&e, ENV_M_N, b->feed_n);
	env_set_s(&e, ENV_M_FROM, r->from);
	env_set_s(&e, ENV_M_AS, r->as);
	if (r->seq != 0)
		env_set_u(&e, ENV_M_SEQ, r->seq);
	e.body = rec_frame(r);
	buf_reset(&b->scratch);
	if (env_encode(&e, &b->scratch) != ERR_OK)
		return;
	if (parcels_bytes(b->feed_afloat) > b->conf.max_bytes / 4 || to_all(b, r->topic) != 0) {
		b->drops[DROP_FEED_FULL]++;
	} else {
		b->fed++;
	}
}

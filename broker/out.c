#include "broker/out.h"

#include <stdlib.h>

#include "base/die.h"
#include "broker/peers.h"
#include "proto/sock.h"

enum { ROOMS_LARGE = 8, ROOM_SMALL = 64 * 1024 }; /* of the spare ones: so many of any size */

struct queued {
	struct list node;
	size_t n;
	uint8_t frame[];
};

/* The head of the message may be large only together with the body; both are copied into one
 * message. */
static int
send_message(struct broker *b, struct peer *p, struct span head, struct span body)
{
	void *z = zsock_resolve(b->router);
	zmq_msg_t m;

	if (p->afloat == NULL)
		p->afloat = parcels_new(b->afloat);
	if (zmq_send(z, p->rid, p->nrid, ZMQ_SNDMORE | ZMQ_DONTWAIT) == -1)
		return -1;
	if (parcel_make(p->afloat, &m, head, body) != 0) {
		/* Half a message was begun: an empty one is what the peer drops as unreadable. */
		zmq_msg_init(&m);
		b->drops[DROP_NO_MEMORY]++;
	}
	if (zmq_msg_send(&m, z, ZMQ_DONTWAIT) == -1) {
		zmq_msg_close(&m);
		return -1;
	}
	b->sent++;
	return 0;
}

/* What it may keep waiting; less when all together keep too much, so that who keeps most goes. */
static size_t
allowance(const struct broker *b)
{
	return parcels_bytes(b->afloat) > b->conf.max_bytes ? b->conf.peer_bytes / 16
							    : b->conf.peer_bytes;
}

static void
enqueue(struct broker *b, struct peer *p, struct span head, struct span body)
{
	size_t n = head.n + body.n, allowed = allowance(b);
	struct queued *q;

	if (n > allowed || p->queue_bytes + parcels_bytes(p->afloat) > allowed - n ||
	    (q = malloc(sizeof(*q) + n)) == NULL) {
		b->drops[DROP_PEER_SLOW]++;
		peers_lost(b, p, "slow");
		return;
	}
	q->n = n;
	memcpy(q->frame, head.p, head.n);
	if (body.n > 0)
		memcpy(q->frame + head.n, body.p, body.n);
	if (list_empty(&p->queue))
		list_push_back(&b->queued, &p->queued);
	list_push_back(&p->queue, &q->node);
	p->queue_bytes += n;
}

static void
send_now(struct broker *b, struct peer *p, struct span head, struct span body)
{
	size_t afloat = parcels_bytes(p->afloat);
	bool direct =
	    list_empty(&p->queue) && (afloat == 0 || afloat + head.n + body.n <= allowance(b));

	if (direct && send_message(b, p, head, body) == 0)
		return;
	if (direct && zmq_errno() != EAGAIN) {
		b->drops[DROP_PEER_GONE]++;
		peers_lost(b, p, "unreachable");
		return;
	}
	enqueue(b, p, head, body);
}

/* Room to gather frames is wanted by a peer only until the end of a turn: a few rooms serve all.
 * What is begun may still be empty: a frame that could not be made leaves nothing behind. */
static void
begin_pack(struct broker *b, struct peer *p)
{
	if (list_empty(&p->unsent))
		list_push_back(&b->unsent, &p->unsent);
	if (p->pack.b.p == NULL && b->nrooms > 0)
		p->pack.b = b->rooms[--b->nrooms];
}

static void
take_room_back(struct broker *b, struct peer *p)
{
	if (p->pack.b.p == NULL)
		return;
	pack_reset(&p->pack);
	if (b->nrooms < ROOMS_LARGE || (b->nrooms < BROKER_ROOMS && p->pack.b.cap <= ROOM_SMALL)) {
		b->rooms[b->nrooms++] = p->pack.b;
		pack_init(&p->pack);
	} else {
		pack_fini(&p->pack);
	}
}

static void
flush_pack(struct broker *b, struct peer *p)
{
	struct span none = {NULL, 0};

	list_remove(&p->unsent);
	if (pack_count(&p->pack) > 0 && p->lost == NULL)
		send_now(b, p, pack_frame(&p->pack), none);
	take_room_back(b, p);
}

static void
out(struct broker *b, struct peer *p, struct span head, struct span body)
{
	if (p->lost != NULL) {
		b->drops[DROP_PEER_GONE]++;
		return;
	}
	if (!p->packs || body.n > 0 || !pack_takes(head.n)) {
		flush_pack(b, p);
		send_now(b, p, head, body);
		return;
	}
	if (!pack_has_room(&p->pack, head.n))
		flush_pack(b, p);
	begin_pack(b, p);
	pack_add(&p->pack, head);
}

void
out_frame(struct broker *b, struct peer *p, struct span frame)
{
	out(b, p, frame, (struct span){NULL, 0});
}

/* Straight into what is gathered. */
static void
gather(struct broker *b, struct peer *p, const struct env *e)
{
	if (!pack_has_room(&p->pack, e->body.n + LIMIT_HEADER))
		flush_pack(b, p);
	begin_pack(b, p);
	if (pack_encode(&p->pack, e) != ERR_OK)
		b->drops[DROP_TOO_BIG]++;
}

/* In two parts, so that a large body is copied once. */
static void
send_parts(struct broker *b, struct peer *p, const struct env *e)
{
	struct env head = *e;

	head.body = (struct span){NULL, 0};
	buf_reset(&b->scratch);
	if (env_encode(&head, &b->scratch) == ERR_OK) {
		out(b, p, buf_span(&b->scratch), e->body);
	} else {
		b->drops[DROP_TOO_BIG]++;
	}
}

void
out_env(struct broker *b, struct peer *p, const struct env *e)
{
	if (p->lost == NULL && p->packs && pack_takes(e->body.n + LIMIT_HEADER)) {
		gather(b, p, e);
	} else {
		send_parts(b, p, e);
	}
}

void
out_ok(struct broker *b, struct peer *p, const uint8_t id[16])
{
	struct env e;

	env_init(&e, ENV_OK, span_str(""), id);
	out_env(b, p, &e);
}

void
out_err(struct broker *b, struct peer *p, const uint8_t id[16], enum err code, const char *text)
{
	b->errors[code]++;
	buf_reset(&b->scratch);
	if (env_encode_err(&b->scratch, id, code, text) == ERR_OK)
		out_frame(b, p, buf_span(&b->scratch));
}

void
out_err_detail(
    struct broker *b, struct peer *p, const uint8_t id[16], enum err code, struct span detail)
{
	struct env e;

	b->errors[code]++;
	env_init(&e, ENV_ERR, span_str(""), id);
	env_set_s(&e, ENV_M_CODE, span_str(err_name(code)));
	env_set_s(&e, ENV_M_RETRY, span_str(err_retry_name(code)));
	env_set_s(&e, ENV_M_DETAIL, detail);
	out_env(b, p, &e);
}

static void
flush_queue(struct broker *b, struct peer *p)
{
	struct queued *q;

	while (p->lost == NULL && (q = LIST_FIRST(&p->queue, struct queued, node)) != NULL) {
		if (send_message(b, p, span_of(q->frame, q->n), (struct span){NULL, 0}) != 0) {
			if (zmq_errno() != EAGAIN)
				peers_lost(b, p, "unreachable");
			return;
		}
		p->queue_bytes -= q->n;
		list_remove(&q->node);
		free(q);
	}
	list_remove(&p->queued);
}

void
out_flush(struct broker *b)
{
	struct peer *p;

	LIST_EACH (p, &b->unsent, struct peer, unsent)
		flush_pack(b, p);
	LIST_EACH (p, &b->queued, struct peer, queued)
		flush_queue(b, p);
}

void
out_discard(struct broker *b, struct peer *p)
{
	struct queued *q;

	LIST_EACH (q, &p->queue, struct queued, node) {
		b->drops[DROP_PEER_GONE]++;
		list_remove(&q->node);
		free(q);
	}
	p->queue_bytes = 0;
	parcels_drop(p->afloat);
	p->afloat = NULL;
	list_remove(&p->queued);
	list_remove(&p->unsent);
	pack_reset(&p->pack);
}

void
out_free_rooms(struct broker *b)
{
	while (b->nrooms > 0)
		buf_fini(&b->rooms[--b->nrooms]);
}

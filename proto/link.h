#ifndef PROTO_LINK_H
#define PROTO_LINK_H
/* A connection to the broker that heals: a DEALER, a PING each second from the loop, and a new
 * socket when PONGs stay away.  `up` runs whenever the broker has a new record of us (first PONG,
 * broker restart, our silence): subscribe and resend then.  Single-threaded, on one loop. */
#include "proto/env.h"
#include "proto/loop.h"

struct link;

struct link_ops {
	void (*up)(void *arg); /* a new (epoch, session) */
	void (*down)(void
		*arg); /* PONGs are missed, or the session is void: deliveries of before are void */
	/* Everything but PING and PONG, a PACK frame by frame; borrowed.  Must not free the link or
	 * a listener. */
	void (*in)(void *arg, const struct env *e, struct span frame);
	/* The broker does not let us in, and trying again will not help until somebody changes
	 * something: the link goes on trying each second.  `why`: as link_refused. */
	void (*refused)(void *arg, const char *why);
	/* Room again after a link_send that said EAGAIN. */
	void (*ready)(void *arg);
	/* A PONG, also to a PING that a listener sent itself (never one with our own ids). */
	void (*pong)(void *arg, const uint8_t id[16]);
	void *arg;
};

/* `endpoint` is copied.  The link keeps trying from the first turn of the loop on. */
struct link *link_new(struct loop *l, const char *endpoint);
void link_free(struct link *k);
/* Listeners are called in the order they were added; ops is copied, any member but arg may be NULL.
 */
void link_listen(struct link *k, const struct link_ops *ops);
/* The listener with this arg hears no more.  Not from inside a listener. */
void link_unlisten(struct link *k, const void *arg);

/* Hand a frame over.  0; -1: not now (down, or the socket's queue is full): `ready` or `up` will
 * run.  When the broker takes PACK, small frames wait for the end of the turn and travel together
 * (<= LIMIT_PACK; order is kept); they are gone, like anything under way, when the link goes down.
 */
int link_send(struct link *k, struct span frame) __attribute__((warn_unused_result));
bool link_is_up(const struct link *k);
/* Why the latest handshake failed, for people ("the broker does not know this key"); NULL: none
 * failed since the last connection. */
const char *link_refused(const struct link *k);
struct loop *link_loop(struct link *k);
/* Changes with every new (epoch, session). */
uint64_t link_generation(const struct link *k);
/* Frames that came and could not be decoded. */
uint64_t link_bad_frames(const struct link *k);

#endif

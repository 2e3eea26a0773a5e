#ifndef GATEWAY_LANES_H
#define GATEWAY_LANES_H
/* Order in a pusher's hands.  Deliveries wait in arrival order; those of one key are a lane and
 * leave in order.  When one is given back to be tried again (NAK), the broker takes back the later
 * ones of its key: those that wait here are thrown out, and those that were on their way the
 * harness gives back (proto/worker.h).  Pure; no item is owned. */
#include <stdint.h>

#include "base/list.h"
#include "base/span.h"

struct lanes;
struct lane;

/* Part of what is delivered. */
struct lane_item {
	struct list all, kin;
	struct lane *lane; /* NULL: no key, no order */
	uint64_t seq;
	size_t bytes;
	bool ready; /* may be taken: the owner sets and clears it */
	bool waits; /* in the queue, not taken */
};

struct lanes *lanes_new(void);
void lanes_free(struct lanes *l); /* items are the caller's */

/* Queue it.  Set seq, bytes and ready before. */
void lanes_add(struct lanes *l, struct lane_item *it, struct span key);

/* Out of the queue, in order, what may go now: at most `max` items and, past the first,
 * `max_bytes`. Nothing overtakes an earlier one of its key that is not ready. */
size_t lanes_take(struct lanes *l, struct lane_item **out, size_t max, size_t max_bytes);

/* It is over with: delivered, dead, or lost with the session.  Waiting or taken. */
void lanes_done(struct lanes *l, struct lane_item *it);

/* It is given back.  Returns, one at a time, the waiting later ones of its key, each of which is
 * out of the queue then; NULL at the end.  Call until NULL. */
struct lane_item *lanes_again(struct lanes *l, struct lane_item *it);
size_t lanes_waiting(const struct lanes *l);

#endif

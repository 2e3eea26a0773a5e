#ifndef BROKER_PACE_H
#define BROKER_PACE_H
/* Whose publishes go to the journal next.  While another peer publishes little and waits for its
 * OK, a peer may have at most PACE_RECORDS or PACE_BYTES at the journal; what it sent beyond that
 * waits here, in its order.  So commits stay short for the one, however much the other sends; who
 * is alone, or among his like, has no such limit. */
#include "base/list.h"

struct broker;
struct peer;

#define PACE_RECORDS 32u
#define PACE_BYTES (256u * 1024)
#define PACE_LIGHT_MS 250 /* how long a peer that waited for one OK is thought of */

struct pace_item {
	struct list node;
	unsigned records;
	size_t bytes;
	/* Submit it; when the broker is ending, free it. */
	void (*go)(struct broker *b, struct pace_item *it);
};

/* it->go runs now, or from a later pace_done of the same peer. */
void pace_add(struct broker *b, struct peer *p, struct pace_item *it);
/* What went is committed, or refused; the item may be gone. */
void pace_done(struct broker *b, struct peer *p, unsigned records, size_t bytes);
/* The peer is lost: what it said before that still counts. */
void pace_end(struct broker *b, struct peer *p);

#endif

#ifndef BROKER_PARCEL_H
#define BROKER_PARCEL_H
/* How many bytes libzmq holds on their way out.  Its own limits count messages, so a reader that
 * stopped could make it hold any amount; a parcel's bytes are counted until the last of them has
 * left for the kernel or its connection has ended.  The counts go down in libzmq's threads; all
 * else is the loop's. */
#include <zmq.h>

#include "base/span.h"

struct parcels;

/* What is counted in `whole` (may be NULL) too, which must have been made before. */
struct parcels *parcels_new(struct parcels *whole);
/* The owner is done with it; messages under way keep what they need.  NULL is harmless. */
void parcels_drop(struct parcels *p);
size_t parcels_bytes(const struct parcels *p); /* 0 for NULL */

/* A message of head and body, copied; *m is initialized here and then libzmq's.  Small ones are not
 * counted: their number is what bounds them.  0, or -1: no memory. */
int parcel_make(struct parcels *of, zmq_msg_t *m, struct span head, struct span body);

#endif

#ifndef BROKER_PEERS_H
#define BROKER_PEERS_H
/* Coming and going of peers. */
#include "broker/broker.h"

/* Who sends this message under this routing id, made when new; NULL: too many, or not let in
 * (counted). */
struct peer *peers_from(struct broker *b, struct span rid, zmq_msg_t *m);
void peers_lost(
    struct broker *b, struct peer *p, const char *why); /* removed at the end of the turn */
void peers_bury(struct broker *b, struct peer *p);      /* now: its work goes to others; frees it */
void peers_tick(struct broker *b, int64_t now);         /* who was silent for too long */

#endif

#ifndef BROKER_PUB_H
#define BROKER_PUB_H
/* PUB (and BATCH, batch.h) into the journal, and, once they are on disk, to whom they concern. */
#include "broker/broker.h"

void pub_on_pub(struct broker *b, struct peer *p, const struct env *e, struct span frame);
/* A record of the broker's own: durable or not as its topic says.  Its id is new, or `id` when
 * given. */
void pub_own(
    struct broker *b, const char *topic, const uint8_t *id, const uint8_t *root, struct span body);
/* A record is committed (seq not 0), or ephemeral: on to whom it concerns.  Committed ones in order
 * of seq. */
void pub_distribute(struct broker *b, struct rec *r);
/* How many groups a topic concerns. */
uint32_t pub_groups(struct broker *b, struct span topic);

#endif

#ifndef BROKER_BATCH_H
#define BROKER_BATCH_H
/* BATCH: many envelopes and a cursor, all stored or none.  Answered as a PUB is (pub.c). */
#include "broker/broker.h"

void batch_on_batch(struct broker *b, struct peer *p, const struct env *e);

#endif

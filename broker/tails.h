#ifndef BROKER_TAILS_H
#define BROKER_TAILS_H
/* Ephemeral subscriptions: gone with their peer, no acks; MORE gives credit back.  One with `from`
 * misses no durable record: without credit it falls behind and is read to from the journal.  One
 * without drops, counted. */
#include "broker/broker.h"

int tails_open(struct broker *b); /* after the journal; 0, or -1 (logged) */
void tails_sub(struct broker *b, struct peer *p, const struct env *e);
void tails_end(struct broker *b, struct sub *s);
/* False: no such subscription of this peer. */
bool tails_more(struct broker *b, struct peer *p, const uint8_t id[16], uint64_t n);
void tails_deliver(struct broker *b, struct sub *s, const struct rec *r);
void tails_turn(struct broker *b);

#endif

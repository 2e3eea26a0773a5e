#ifndef BROKER_FEED_H
#define BROKER_FEED_H
/* The XPUB: every envelope, best effort, counted. */
#include "broker/broker.h"

int feed_open(struct broker *b); /* 0, or -1 (logged) */
void feed_close(struct broker *b);
/* To who takes PACK, not before the end of the turn. */
void feed_send(struct broker *b, struct rec *r);
void feed_flush(struct broker *b); /* end of the turn */

#endif

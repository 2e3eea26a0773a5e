#ifndef BROKER_FEED_H
#define BROKER_FEED_H
/* The XPUB: every envelope, best effort, counted. */
#include "broker/broker.h"

int feed_open(struct broker *b); /* 0, or -1 (logged) */
void feed_close(struct broker *b);
void feed_send(struct broker *b, const struct rec *r);

#endif

#ifndef GATEWAY_GROUPS_H
#define GATEWAY_GROUPS_H
/* What a receipt needs of the broker's answer to sys.groups.  Pure. */
#include "base/buf.h"
#include "base/span.h"

struct groups {
	uint64_t head;
	bool has_recorder;    /* data-gateway.receipts is there */
	uint64_t recorded_to; /* its floor */
	bool reported;        /* the recorders of deliveries and dead letters have passed `head` */
	/* The destinations: a JSON array of {name, start, floor, paused, dropped}. */
	struct buf destinations;
};

/* 0, or -1: not such an answer.  groups_fini is due either way. */
int groups_read(struct groups *g, struct span body) __attribute__((warn_unused_result));
void groups_fini(struct groups *g);

#endif

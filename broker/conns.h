#ifndef BROKER_CONNS_H
#define BROKER_CONNS_H
/* The connections of one socket: counted by its monitor, and no more let in than there is room for,
 * so that strangers cannot use up the descriptors that the journal needs.  Who comes over ipc has
 * CONNS_LOCAL more: the way in for whoever has to look after a flooded broker. */
#include <czmq.h>

#include "broker/broker.h"

struct conns;

#define CONNS_LOCAL 32u

/* Watches s; `what` is for logs; `most` 0: no limit.  NULL: no monitor to be had (logged), and then
 * no limit. */
struct conns *conns_new(struct broker *b, zsock_t *s, const char *what, unsigned most);
void conns_free(struct conns *c); /* before the socket; NULL is harmless */
unsigned conns_open(const struct conns *c);
/* Close one, if it is this socket's; all.  NULL is harmless. */
void conns_cut(struct conns *c, int fd);
/* A descriptor says n bytes more, or takes as many back: over `most` it is cut.  False: now. */
bool conns_charge(struct conns *c, int fd, int64_t n, uint32_t most);
void conns_cut_all(struct conns *c);

#endif

#ifndef PROTO_SOCK_H
#define PROTO_SOCK_H
/* The one file that makes ZeroMQ sockets, so that every socket has its limits, linger and mode set.
 * NULL (or -1) on failure, logged here. */
#include <czmq.h>
#include "base/span.h"

/* Once, before any socket and any thread: blocks SIGTERM, SIGINT, SIGHUP, takes czmq's handlers
 * away. */
void sock_process_init(void);

/* ROUTER for the bus: MANDATORY, no linger, MAXMSGSIZE, HWM as the last resort.  Binds every
 * endpoint. */
zsock_t *sock_router(const char *const *endpoints, size_t n);
/* XPUB for the feed (XPUB_NODROP off: the one socket that may drop). */
zsock_t *sock_xpub(const char *endpoint);
/* DEALER of a client or worker: ZMQ_IMMEDIATE, linger 0. */
zsock_t *sock_dealer(const char *endpoint);
/* SUB for the feed, subscribed to `prefix`. */
zsock_t *sock_sub(const char *endpoint, const char *prefix);

/* Hears when s, a DEALER, got a connection or lost it: watch it in the loop, and read it with
 * sock_event until that says no.  NULL when there is none to be had.  sock_destroy_pair ends both;
 * each may be NULL, and is NULL afterwards. */
zsock_t *sock_monitor(zsock_t *s);
bool sock_event(zsock_t *monitor);
void sock_destroy_pair(zsock_t **s, zsock_t **monitor);

/* Send one frame, to `peer` if given, without blocking: 0; -1 with errno EAGAIN (queue full) or
 * EHOSTUNREACH (peer gone). */
int sock_send(zsock_t *s, struct span peer, struct span frame) __attribute__((warn_unused_result));

/* Has the form tcp://host:port, ipc://path (short enough) or inproc://name. */
bool sock_is_endpoint(const char *endpoint);
/* True when the endpoint is loopback tcp, ipc or inproc: no keys needed. */
bool sock_is_local(const char *endpoint);

#endif

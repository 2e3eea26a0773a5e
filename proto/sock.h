#ifndef PROTO_SOCK_H
#define PROTO_SOCK_H
/* The one file that makes ZeroMQ sockets, so that every socket has its limits, linger and mode set.
 * NULL (or -1) on failure, logged here. */
#include <czmq.h>
#include "base/span.h"

/* Once, before any socket and any thread: blocks SIGTERM, SIGINT, SIGHUP, takes czmq's handlers
 * away. */
void sock_process_init(void);

/* CURVE, for the whole process, before its sockets are made; keys are Z85 of 40 characters.  A
 * client shows `public_key` to the broker that has `server_key`; a server asks every tcp connection
 * for a key, which the ZAP handler judges.  ipc and inproc stay as they are.  0, or -1 (logged). */
int sock_use_key(const char *public_key, const char *secret_key, const char *server_key);
int sock_serve_key(const char *secret_key);
bool sock_has_key(void); /* sock_use_key was called */
/* ROUTER on which libzmq asks who may connect (RFC 27/ZAP); made before the servers are. */
zsock_t *sock_zap(void);

/* ROUTER for the bus: MANDATORY, no linger, MAXMSGSIZE, HWM as the last resort.  Binds every
 * endpoint; with sock_serve_key those of tcp under ZAP domain "bus", the feed's under "feed". */
zsock_t *sock_router(const char *const *endpoints, size_t n);
/* XPUB for the feed (XPUB_NODROP off: the one socket that may drop). */
zsock_t *sock_xpub(const char *endpoint);
/* DEALER of a client or worker: ZMQ_IMMEDIATE, linger 0.  *monitor (may be NULL) hears of its
 * connection from the first moment: a refusal is told once. */
zsock_t *sock_dealer(const char *endpoint, zsock_t **monitor);
/* SUB for the feed, subscribed to `prefix`. */
zsock_t *sock_sub(const char *endpoint, const char *prefix);

/* Hears of the connections of s: watch it in the loop, and read it with sock_event until that says
 * no.  NULL when there is none to be had.  sock_destroy_pair ends both; each may be NULL, and is
 * NULL afterwards. */
enum sock_news {
	SOCK_OTHER,
	SOCK_ACCEPTED, /* fd */
	SOCK_READY,    /* the handshake is over, frames may pass */
	SOCK_GONE,     /* fd */
	SOCK_REFUSED,  /* the handshake failed: why */
};
struct sock_event {
	enum sock_news news;
	int fd; /* a number only: the descriptor may be closed, or another's, by now */
	bool tcp;
	/* SOCK_REFUSED: a word for logs, and whether trying again will not help. */
	const char *why;
	bool final;
};
zsock_t *sock_monitor(zsock_t *s);
bool sock_event(zsock_t *monitor, struct sock_event *e);
void sock_destroy_pair(zsock_t **s, zsock_t **monitor);

/* Send one frame, to `peer` if given, without blocking: 0; -1 with errno EAGAIN (queue full) or
 * EHOSTUNREACH (peer gone). */
int sock_send(zsock_t *s, struct span peer, struct span frame) __attribute__((warn_unused_result));

/* Has the form tcp://host:port, ipc://path (short enough) or inproc://name. */
bool sock_is_endpoint(const char *endpoint);
/* True when the endpoint is loopback tcp, ipc or inproc: no keys needed. */
bool sock_is_local(const char *endpoint);

#endif

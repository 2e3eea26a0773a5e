#ifndef EDGE_HTTP_LISTEN_H
#define EDGE_HTTP_LISTEN_H
/* Listening sockets: several on one address, over which the kernel spreads the connections. */
#include <stdbool.h>
#include <stddef.h>

/* "127.0.0.1:8080", "[::1]:8080", "localhost:0": 0; *local: it is a loopback address.  -1: no such
 * address. Nothing is opened. */
int listen_check(const char *text, bool *local) __attribute__((warn_unused_result));

/* `n` sockets on the address; port 0 takes a free one.  0 with fds and the port; -1 with errno.  An
 * address where somebody listens already is EADDRINUSE, although the sockets share it among
 * themselves. */
int listen_open(const char *text, int *fds, size_t n, unsigned *port)
    __attribute__((warn_unused_result));

#endif

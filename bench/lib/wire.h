#ifndef BENCH_LIB_WIRE_H
#define BENCH_LIB_WIRE_H
/* Thousands of connections in one thread, read by hand: ZMTP 3.0 (NULL mechanism) or the text
 * protocol of NATS, no more of each than a subscriber needs.  So that what is measured is the
 * server and not a thousand client libraries, and every server has the same readers. */
#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"

enum wire_kind { WIRE_SUB, WIRE_FEED, WIRE_DEALER, WIRE_NATS };

struct wire;

/* Connect `n` and take them through the handshake; all but a WIRE_DEALER subscribe to `topic`; a
 * WIRE_FEED counts what is in a PACK.  Ends the process when it cannot. */
struct wire *wire_open(
    enum wire_kind kind, const char *host, int port, unsigned n, const char *topic);
/* Read what has come, waiting up to `ms` for the first byte.  Returns how many messages that was.
 */
uint64_t wire_read(struct wire *w, int ms);
/* How many of the connections have had a message. */
unsigned wire_reached(const struct wire *w);
/* Write these bytes to every connection. */
void wire_write(struct wire *w, struct span bytes);

/* One connection to NATS, blocking, to publish on. */
int wire_nats(const char *host, int port);
/* All of it. */
void wire_write_all(int fd, struct span bytes);

#endif

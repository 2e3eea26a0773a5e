#ifndef GATEWAY_QUERY_H
#define GATEWAY_QUERY_H
/* Looking: data-gateway.receipts.get and .list.
 *
 * A receipt is 404 only when the recorder has passed the journal's head as of the request; until
 * then the request waits up to a second, then it is 503, as it is when Postgres is away. */
#include "services/data-gateway/gateway.h"

void query_start(struct gateway *g); /* subscribes; g->queries is set */
/* Teardown: requests in hand are the worker's and get no answer any more. */
void query_stop(struct gateway *g);

#endif

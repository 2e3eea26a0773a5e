#ifndef GATEWAY_CREATE_H
#define GATEWAY_CREATE_H
/* Rows in: data-gateway.rows.create and .batch.  Checked, published on rows.in under the request's
 * id, and answered when the journal has them.  The answer waits for nothing else. */
#include "services/data-gateway/gateway.h"

void create_start(struct gateway *g); /* subscribes; g->creates is set */
/* Teardown: requests in hand are the worker's and get no answer any more. */
void create_stop(struct gateway *g);

#endif

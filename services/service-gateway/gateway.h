#ifndef SERVICE_GATEWAY_GATEWAY_H
#define SERVICE_GATEWAY_GATEWAY_H
/* A client's call: check the request against the catalogue, ask the providers in turn, answer with
 * who did it. The answer carries X-Provider and X-Attempts; a failure of all of them carries
 * `attempts`, one entry a try. */
#include "proto/worker.h"
#include "services/service-gateway/catalogue.h"

struct gateway;

/* Subscribes to the topics of every service in the catalogue, which must outlive the gateway. */
struct gateway *gateway_new(struct worker *w, struct catalogue_service *catalogue);
void gateway_free(struct gateway *g);
bool gateway_is_idle(const struct gateway *g);
/* Appends counters as key-value pairs; returns how many. */
unsigned gateway_stats(const struct gateway *g, struct buf *out);

#endif

#ifndef SERVICE_GATEWAY_FOUND_H
#define SERVICE_GATEWAY_FOUND_H
/* Providers seen on the bus: whoever serves provider.<service>.<name>.<method>, from the broker's
 * registry. */
#include "proto/worker.h"

#define FOUND_MAX 256u

struct found;

/* Asks sys.services now, when sys.changed says so, and every 10 s. */
struct found *found_new(struct worker *w);
void found_free(struct found *f);
/* Names of the live providers of a service, sorted; borrowed until the next turn of the loop. */
unsigned found_names(const struct found *f, const char *service, const char *names[], unsigned max);

#endif

#ifndef SERVICE_GATEWAY_CHOOSE_H
#define SERVICE_GATEWAY_CHOOSE_H
/* Which provider is asked next, and whether a failure moves on at all.  Pure. */
#include "proto/err.h"
#include "services/service-gateway/catalogue.h"

struct choose_candidate {
	char name[65];
	int64_t timeout_ms;
};

struct choose_list {
	struct choose_candidate v[CATALOGUE_MAX_PROVIDERS];
	unsigned n;
};

/* The providers in the order they are tried: as the catalogue lists them, then (when the service
 * takes unlisted ones) those found on the bus, in the order given, with the longest listed timeout.
 */
void choose_order(const struct catalogue_service *s, const char *const *found, unsigned nfound,
    struct choose_list *out);

/* After this failure: may the next provider be asked?  What was certainly not executed always moves
 * on; what may have been executed only for a repeatable method; a refusal of the request itself
 * never. */
bool choose_next(enum err code, bool repeatable);

#endif

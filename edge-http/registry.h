#ifndef EDGE_HTTP_REGISTRY_H
#define EDGE_HTTP_REGISTRY_H
/* One answer of sys.services, and what the edge makes of it: which version of each service is
 * shown, which paths have to be claimed, and the table, document and notes that follow.  Pure.
 *
 *	r = registry_read(body); registry_wants(r, …);
 *	registry_claimed(r, …) for each; registry_build(r, …); */
#include "edge-http/fragment.h"
#include "edge-http/openapi.h"

struct registry;

/* The edge's own part, read once. */
struct registry_own {
	const struct routes *routes;
	const msgpack_object *api;
};

struct registry_built {
	struct routes *routes; /* sealed; the caller's */
	struct buf openapi;    /* JSON text */
	struct notes notes;
};

/* NULL: not an answer of sys.services.  `body` is copied. */
struct registry *registry_read(struct span body);
void registry_free(struct registry *r);

/* Call fn for every path that a shown service announces, in words that can be routed, and no
 * service owns yet.  Text lives for the call.  Returns how many. */
typedef void registry_want_fn(void *arg, const char *path, const char *service);
unsigned registry_wants(struct registry *r, registry_want_fn *fn, void *arg);
/* The answer of sys.claim: whose it is now. */
void registry_claimed(struct registry *r, const char *path, const char *owner);

void registry_build(struct registry *r, const struct registry_own *own, struct registry_built *out);
void registry_built_fini(struct registry_built *b);

/* The topic under which the i-th live process tells its statistics, sorted; NULL past the end. */
const char *registry_process(const struct registry *r, size_t i);

/* By semantic version: <0, 0, >0.  Text that is none compares as text, and below every version. */
int registry_version_cmp(struct span a, struct span b);

#endif

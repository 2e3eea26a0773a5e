#ifndef EDGE_HTTP_OPENAPI_H
#define EDGE_HTTP_OPENAPI_H
/* The one OpenAPI 3.1 document of everything that is routed: sorted, so that the same services give
 * the same text.  A component name that two services give different meanings keeps its first
 * owner's (the edge, then by service name); the other becomes "<service>.<name>", and its
 * references with it.  Pure. */
#include "edge-http/routes.h"

struct openapi_fragment {
	const char *service;
	const msgpack_object *api;
	bool builtin; /* x-taxiway is left out */
};

#define OPENAPI_MAX (16u * 1024 * 1024)

/* Append the JSON text.  routes_op.fragment is an index into frags, whose order decides who keeps a
 * name. 0, or -1: over OPENAPI_MAX. */
int openapi_write(const struct routes *const *tables, size_t ntables,
    const struct openapi_fragment *frags, size_t nfrags, struct buf *out)
    __attribute__((warn_unused_result));

#endif

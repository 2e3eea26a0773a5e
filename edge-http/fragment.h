#ifndef EDGE_HTTP_FRAGMENT_H
#define EDGE_HTTP_FRAGMENT_H
/* From one service's OpenAPI 3.1 fragment to routes: reads what PROTOCOL.md, Announcements, gives a
 * meaning to.  An operation that breaks a rule is left out and noted; the others stay.  Pure. */
#include "edge-http/notes.h"
#include "edge-http/routes.h"

struct fragment {
	const char *service;
	const msgpack_object *api; /* must outlive the table until it is sealed */
	unsigned index;            /* kept in routes_op.fragment */
	bool builtin;              /* the edge's own: reserved paths are its */
};

/* May this service have the path?  False sets *why (NULL: leave it out without a note). */
typedef bool fragment_may_fn(void *arg, const char *service, const char *path, const char **why);

void fragment_add(struct routes *t, const struct fragment *f, fragment_may_fn *may, void *arg,
    struct notes *notes);

/* The object a local "$ref" leads to, at most 8 steps; o itself without one; NULL when it leads
 * nowhere. */
const msgpack_object *fragment_resolve(const msgpack_object *api, const msgpack_object *o);

#endif

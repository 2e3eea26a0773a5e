#ifndef EDGE_HTTP_BUILTIN_H
#define EDGE_HTTP_BUILTIN_H
/* The edge's own operations (api.json): health, version, metrics, the document, and the bus for
 * clients that have only HTTP.  They are routed like announced ones, from the same kind of
 * document. */
#include "edge-http/registry.h"
#include "proto/doc.h"

struct http_req;

struct builtin {
	struct buf mp;
	struct doc doc;
	struct routes *routes;
};

void builtin_init(struct builtin *b);
void builtin_fini(struct builtin *b);
struct registry_own builtin_own(const struct builtin *b);

/* Run the operation the request was matched to: fills its answer now, or later. */
void builtin_run(struct http_req *r);
/* Of the edge's own operations: may be called by anybody, also where nobody is trusted. */
bool builtin_is_open(const struct routes_op *op);
/* Its answer is about the routes, and should be made of the newest. */
bool builtin_shows_routes(const struct routes_op *op);

#endif

#ifndef EDGE_HTTP_ROUTES_H
#define EDGE_HTTP_ROUTES_H
/* The table of routes: method and path template -> topic.  Filled from OpenAPI fragments
 * (fragment.h), sealed, then only read.  Pure; one thread; counted, because a request keeps the
 * table it was matched in while a newer one takes over. */
#include <msgpack.h>
#include <uthash.h>

#include "base/buf.h"
#include "base/span.h"

#define ROUTES_SEGMENTS 32 /* of one path */
#define ROUTES_PARAMS 16   /* of one path */

enum routes_method {
	ROUTES_GET,
	ROUTES_POST,
	ROUTES_PUT,
	ROUTES_PATCH,
	ROUTES_DELETE,
	ROUTES_METHODS
};

enum routes_type { ROUTES_STR, ROUTES_INT, ROUTES_NUM, ROUTES_BOOL };

struct routes_param {
	char *name;
	enum routes_type type;
	int place; /* index among the path's parameters; -1: in the query */
	bool required;
	struct buf def; /* msgpack of the default; empty: none */
};

struct routes_op {
	struct route *route;
	enum routes_method method;
	char *topic;
	int64_t ttl_ms;
	int status;  /* the first 2xx that is declared, else 200 */
	bool again;  /* may be run twice */
	bool safe;   /* a GET declared to change nothing: pages of other sites may cause it */
	bool stream; /* application/x-ndjson is cut into requests */
	bool keyed;  /* declares Idempotency-Key */
	bool body_declared; /* has a requestBody */
	bool body_required;
	char **types; /* media types of the requestBody */
	size_t ntypes;
	struct routes_param *params;
	size_t nparams;
	/* Where it was declared, for whoever writes the merged document: until routes_forget. */
	const msgpack_object *src, *item;
	unsigned fragment;
	void *slot; /* the counters of this operation; the table's owner sets it */
};

/* One segment of a template: text before a parameter, its name (NULL: the text is all), text after.
 */
struct routes_seg {
	char *head, *name, *tail;
};

struct route {
	UT_hash_handle hh; /* by shape, until the table is sealed */
	char *path;        /* as announced: /triggers/{uuid} */
	char *shape;       /* /triggers/{} */
	char *service;     /* who owns the path */
	struct routes_seg seg[ROUTES_SEGMENTS];
	unsigned nseg, nparams;
	struct routes_op *ops[ROUTES_METHODS];
	bool orphan; /* claimed, and nobody announces it now: 503 for every method */
	void *slot;  /* counters of an orphan, and of methods it has not */
};

struct routes {
	struct route **v; /* sealed: the more specific first */
	size_t n, cap;
	struct route *by_shape;
	unsigned refs;
};

struct routes_match {
	const struct route *route;        /* NULL: no such path */
	const struct routes_op *op;       /* NULL: not this method */
	struct span value[ROUTES_PARAMS]; /* decoded, in the caller's buf, by place */
	bool bad;                         /* the path has a broken escape, or too many segments */
};

struct routes *routes_new(void);
struct routes *routes_ref(struct routes *t);
void routes_unref(struct routes *t); /* NULL is fine */

/* The route of this template, made if need be.  NULL with *why set: no valid template, or another
 * template of the same shape is there, or another service's. */
struct route *routes_path(
    struct routes *t, const char *path, const char *service, const char **why);
/* The operation, made empty; NULL when the route has one for the method already. */
struct routes_op *routes_op(struct route *r, enum routes_method m);
void routes_drop_op(struct routes_op *op); /* out of its route, freed */
/* No more changes: sorts, drops routes without operations that are no orphans. */
void routes_seal(struct routes *t);
void routes_forget(struct routes *t); /* the fragments are about to go */
bool routes_has_ops(const struct route *r);

/* Match the raw path of a request.  `scratch` gets the decoded segments and must outlive the match.
 */
void routes_match(const struct routes *t, enum routes_method m, struct span path,
    struct buf *scratch, struct routes_match *out);
/* "GET, HEAD, OPTIONS, POST" for Allow. */
void routes_allow(const struct route *r, struct buf *out);

/* "/triggers/{uuid}" -> "/triggers/{}"; 0, or -1: no valid template (*why says so). */
int routes_shape(const char *path, struct buf *out, const char **why);
/* A path only the edge itself may have. */
bool routes_is_reserved(const char *path);

int routes_method_of(const char *name); /* "GET" or "get"; -1 */
const char *routes_method_name(enum routes_method m);

#endif

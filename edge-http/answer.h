#ifndef EDGE_HTTP_ANSWER_H
#define EDGE_HTTP_ANSWER_H
/* What goes back to the client: status, content type, headers, body.  Made from a REP, an ERR, or a
 * problem of our own.  Pure. */
#include "edge-http/problem.h"
#include "proto/env.h"

#define ANSWER_HEADERS 24

struct answer {
	int status; /* 0: not answered yet */
	char type[128];
	struct buf body;
	struct {
		char *name, *value;
	} h[ANSWER_HEADERS];
	unsigned nh;
};

void answer_init(struct answer *a, size_t max_body);
void answer_fini(struct answer *a);
void answer_reset(struct answer *a);

/* Copies; false when the name or value is no header that may be set here, or there are too many. */
bool answer_header(struct answer *a, const char *name, struct span value);

/* `status`: when the REP names none. */
void answer_rep(struct answer *a, const struct env *rep, int status);
struct answer_about {
	const char *instance;
	bool keyed;     /* the REQ carried an Idempotency-Key, so its CONFLICT is 422 */
	int64_t stored; /* of a stream: lines that are safe; -1: no stream */
};
/* Headers come from the ERR's meta and from `headers` in its detail. */
void answer_err(struct answer *a, const struct env *err, const struct answer_about *about);
void answer_problem(struct answer *a, const struct problem *p);
/* The msgpack in `body` as JSON. */
void answer_json(struct answer *a, int status, struct span body);

#endif

#ifndef EDGE_HTTP_PROBLEM_H
#define EDGE_HTTP_PROBLEM_H
/* RFC 9457 problem details, the one shape of every failure: {type, title, status, detail, instance,
 * retryable, retry, code, …}.  Pure. */
#include "base/buf.h"
#include "base/span.h"
#include "proto/err.h"

struct problem {
	int status;
	const char *code; /* "NOT_FOUND": the bus's codes, and a few of HTTP's own */
	const char *title;
	enum err_retry retry;  /* never, later: certainly not executed, uncertain */
	struct span detail;    /* text; {NULL, 0}: left out */
	const char *instance;  /* the request id; NULL: left out */
	const int64_t *stored; /* of a stream: lines that are safe; NULL: left out */
	struct span more;      /* msgpack map: its members are added, save those named above */
};

struct problem problem_of(enum err code);
/* What HTTP refuses before anything is asked of the bus: 400, 405, 408, 411, 413, 415, 431, 501. */
struct problem problem_of_status(int status);

/* Append the JSON, with a newline at its end. */
void problem_put(const struct problem *p, struct buf *out);

#endif

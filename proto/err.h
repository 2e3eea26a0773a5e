#ifndef PROTO_ERR_H
#define PROTO_ERR_H
/* The errors of the bus: code on the wire, what a caller may do, and the HTTP status at the edge.
 * NEVER: the same request fails again.  LATER: certainly not executed, try again.  UNCERTAIN: it may
 * have been executed; repeat only what is repeatable. */
#include "base/span.h"

enum err_retry { ERR_NEVER, ERR_LATER, ERR_UNCERTAIN };

/*      name             retry          http  title */
#define ERR_TABLE(X) \
	X(BAD_ENVELOPE, ERR_NEVER, 400, "The envelope cannot be read") \
	X(BAD_TOPIC, ERR_NEVER, 400, "The topic is not valid") \
	X(INVALID, ERR_NEVER, 422, "The content breaks its schema") \
	X(UNAUTHENTICATED, ERR_NEVER, 401, "Identity is missing or wrong") \
	X(DENIED, ERR_NEVER, 403, "Not allowed") \
	X(NOT_FOUND, ERR_NEVER, 404, "Not found") \
	X(CONFLICT, ERR_NEVER, 409, "In conflict with what is stored") \
	X(GONE, ERR_NEVER, 410, "No longer there") \
	X(TOO_BIG, ERR_NEVER, 413, "Too big") \
	X(QUOTA, ERR_LATER, 429, "Quota exceeded") \
	X(BUSY, ERR_LATER, 503, "Busy") \
	X(DRAINING, ERR_LATER, 503, "Draining") \
	X(NO_WORKERS, ERR_LATER, 503, "No worker serves this topic") \
	X(UPSTREAM, ERR_UNCERTAIN, 502, "The service behind this one failed") \
	X(WORKER_LOST, ERR_UNCERTAIN, 502, "The worker was lost after hand-over") \
	X(TIMEOUT, ERR_UNCERTAIN, 504, "The deadline passed after hand-over") \
	X(STORE_FAILED, ERR_UNCERTAIN, 500, "The journal failed") \
	X(INTERNAL, ERR_UNCERTAIN, 500, "Internal error")

enum err {
	ERR_OK = 0,
#define X(name, retry, http, title) ERR_##name,
	ERR_TABLE(X)
#undef X
	ERR_COUNT
};

const char *err_name(enum err e);  /* "BAD_ENVELOPE"; "OK" */
const char *err_title(enum err e);
const char *err_retry_name(enum err e); /* "never", "later", "uncertain" */
enum err_retry err_retry(enum err e);
int err_http(enum err e); /* ERR_OK: 200 */
enum err err_of(struct span name); /* an unknown name is ERR_INTERNAL */

#endif

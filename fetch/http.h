#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H
/* HTTP client: libcurl's multi interface in the loop.  http and https only, no redirects to another scheme, bounded
 * in time and bytes. */
#include "base/buf.h"
#include "proto/loop.h"

struct fetch;
struct fetch_call;

struct fetch_spec {
	const char *method;	/* NULL: GET */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	struct span body;	/* copied */
	int64_t timeout_ms;	/* the whole call */
	size_t max_bytes;	/* of the body; more ends it with FETCH_TOO_BIG */
	int to_fd;		/* >= 0: the body is written there instead of to memory (blocking writes to a file) */
	bool redirects;		/* follow up to 5 */
};

enum fetch_end {
	FETCH_OK,	  /* an answer came, whatever its status */
	FETCH_NOT_SENT,   /* could not connect: certainly not executed */
	FETCH_UNKNOWN,    /* sent, no whole answer */
	FETCH_TIMEOUT,
	FETCH_TOO_BIG,
	FETCH_BAD_URL,
};

struct fetch_answer {
	enum fetch_end end;
	int status;
	struct span body;	/* borrowed; empty with to_fd */
	uint64_t bytes;
	const char *type;	/* content type, "" when none */
	const char *etag, *last_modified; /* "" when none */
	const char *why;	/* what went wrong, "" when nothing */
};
typedef void fetch_done_fn(void *arg, const struct fetch_answer *a);

struct fetch *fetch_new(struct loop *l);
void fetch_free(struct fetch *f); /* ends calls without running their callbacks */
/* `done` runs exactly once, never from inside the call; NULL is returned only when memory is gone. */
struct fetch_call *fetch_start(struct fetch *f, const struct fetch_spec *s, fetch_done_fn *done, void *arg);
void fetch_cancel(struct fetch_call *c); /* `done` does not run */

#endif

#ifndef FETCH_HTTP_H
#define FETCH_HTTP_H
/* HTTP client: libcurl's multi interface in the loop.  http and https only, a redirect may go from
 * http to https and never back, bounded in time and bytes.  A body is taken as it is: no content
 * coding is asked for. Only GET and HEAD use a connection again, because libcurl silently repeats a
 * request whose reused connection dies. */
#include "base/buf.h"
#include "proto/loop.h"

struct fetch;
struct fetch_call;

struct fetch_spec {
	const char *method; /* NULL: GET */
	const char *url;
	const char *const *headers; /* "Name: value", NULL-terminated; may be NULL */
	struct span body;           /* copied */
	int64_t timeout_ms;         /* the whole call */
	size_t max_bytes;           /* of the body; more ends it with FETCH_TOO_BIG */
	int to_fd;      /* > 0: the body is written there instead of to memory (blocking writes to a
			   file) */
	bool redirects; /* follow up to 5 */
};

enum fetch_end {
	FETCH_OK,       /* an answer came, whatever its status */
	FETCH_NOT_SENT, /* could not connect, in time or at all: certainly not executed */
	FETCH_UNKNOWN,  /* sent, no whole answer; or the body could not be written to to_fd */
	FETCH_TIMEOUT,  /* sent, no whole answer in time */
	FETCH_TOO_BIG,
	FETCH_BAD_URL, /* not http or https, or a method or header that cannot be sent */
};

struct fetch_answer {
	enum fetch_end end;
	int status;       /* 0 when none came */
	struct span body; /* borrowed; empty with to_fd */
	uint64_t bytes;
	const char *url;                  /* that answered, after redirects */
	const char *type;                 /* content type, "" when none */
	const char *etag, *last_modified; /* "" when none */
	const char *why;                  /* what went wrong, "" when nothing */
	struct fetch_call *call;          /* for fetch_header */
};
/* What `a` points to lives until the callback returns.  It may start calls, cancel others, free the
 * fetch. */
typedef void fetch_done_fn(void *arg, const struct fetch_answer *a);

struct fetch *fetch_new(struct loop *l);
void fetch_free(struct fetch *f); /* ends calls without running their callbacks */
/* `done` runs exactly once, never from inside the call; NULL is returned only when memory is gone.
 */
struct fetch_call *fetch_start(
    struct fetch *f, const struct fetch_spec *s, fetch_done_fn *done, void *arg);
void fetch_cancel(struct fetch_call *c); /* `done` does not run; not from its own `done` */

/* A header of the last response, inside `done`; "" when absent.  The text lives until the next call
 * of it. */
const char *fetch_header(const struct fetch_answer *a, const char *name);

#endif

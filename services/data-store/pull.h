#ifndef DATA_STORE_PULL_H
#define DATA_STORE_PULL_H
/* One file from its server into the object store: GET unless it is unchanged, digest, fsync.
 * Nothing of an answer that is not a whole 200 is kept. */
#include "fetch/http.h"
#include "services/data-store/objects.h"

struct pull;

struct pull_spec {
	const char *url;
	const char *etag, *last_modified; /* of what is there already; "" when none */
	const char *dir;                  /* of the object store */
	uint64_t max_bytes;
	int64_t timeout_ms;
	bool html; /* a page is what is asked for; else one is taken for the error it mostly is */
};

enum pull_end {
	PULL_STORED,
	PULL_SAME,    /* 304 */
	PULL_REFUSED, /* asking again would not help */
	PULL_LATER,   /* the server or the way to it failed */
};

struct pull_answer {
	enum pull_end end;
	const char *sha256; /* hex; "" unless stored */
	uint64_t bytes;
	const char *etag, *last_modified;
	const char *why;
};
typedef void pull_done_fn(void *arg, const struct pull_answer *a);

/* Strings are copied.  `done` runs exactly once, never from inside the call. */
struct pull *pull_start(
    struct fetch *f, struct loop *l, const struct pull_spec *s, pull_done_fn *done, void *arg);
void pull_cancel(struct pull *p); /* `done` does not run; not from it */

/* What a request that brought no 200 means; `why` gets the sentence. */
enum pull_end pull_judge(const struct fetch_answer *a, char *why, size_t size);

#endif

#ifndef EDGE_HTTP_TARGET_H
#define EDGE_HTTP_TARGET_H
/* The request target as it was sent (RFC 9112, 3.2), before anybody unescapes it: "%2F" inside a
 * path parameter must not become a separator.  Pure; results borrow from the text given. */
#include "base/buf.h"
#include "base/span.h"

struct target {
	struct span path;      /* raw, begins with '/'; "*" for the asterisk form */
	struct span query;     /* raw, without '?'; {NULL, 0} when there is none */
	struct span authority; /* of an absolute-form target; else {NULL, 0} */
};

/* 0, or -1 when the text is no origin-form, absolute-form (http, https) or "*". */
int target_split(struct span raw, struct target *t) __attribute__((warn_unused_result));

/* Append `raw` with %XX resolved, and '+' as a space where `form`.  0, or -1: a broken escape, a
 * control byte, or not UTF-8 (out then holds part of it). */
int target_decode(struct span raw, bool form, struct buf *out) __attribute__((warn_unused_result));

/* Cut the next "name=value" off a query; empty pairs are skipped.  False at the end. */
bool target_next(struct span *rest, struct span *name, struct span *value);

/* It has more than TARGET_PAIRS, empty ones too. */
#define TARGET_PAIRS 256
bool target_is_long(struct span query);

#endif

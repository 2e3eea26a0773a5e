#ifndef PROTO_TOPIC_H
#define PROTO_TOPIC_H
/* Topics and patterns: tokens of [A-Za-z0-9_-] joined by dots.  Pure: no allocation, no state. */
#include <stdbool.h>
#include "base/buf.h"
#include "base/span.h"

bool topic_is_valid(struct span t);   /* concrete: no wildcard, within the limits */
bool topic_is_pattern(struct span p); /* may hold `*` (one token) and, last, `>` (one or more) */
/* In first place neither `*` nor `>` matches `sys` or `live`. */
bool topic_match(struct span pattern, struct span topic);
/* Whatever `pattern` (which may be a concrete topic) matches, `allowed` matches too. */
bool topic_within(struct span pattern, struct span allowed);
/* Not live.>, and not sys.> except sys.dead. */
bool topic_is_durable(struct span t);
/* The topic's first token is `sys`. */
bool topic_is_sys(struct span t);
/* More specific first: literal before `*` before `>`, from the left.  <0, 0, >0 as for qsort. */
int topic_cmp_specific(struct span a, struct span b);

/* Text to one token: bytes outside [A-Za-z0-9-] become _XX (upper-case hex), absent or empty text `_`.
 * Appends to out; -1 when the text is over LIMIT_TOKEN bytes. */
int topic_put_token(struct buf *out, struct span text) __attribute__((warn_unused_result));
/* The way back, into out; -1 when it is not such a token. */
int topic_token_text(struct span token, struct buf *out) __attribute__((warn_unused_result));
/* The i-th token, {NULL,0} past the end. */
struct span topic_token(struct span t, unsigned i);

#endif

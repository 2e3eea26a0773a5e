#ifndef PROTO_JSON_IMPL_H
#define PROTO_JSON_IMPL_H
/* The two readers behind json_to_mp, apart so that they can be held against each other. */
#include "proto/json.h"

/* What is plain, and right, in one pass: no escapes in strings, at most JSON_PLAIN_KEYS keys in an
 * object.  -1 with nothing appended for all else, right or wrong: json_thorough is the judge. */
#define JSON_PLAIN_KEYS 16
int json_plain(struct span text, struct buf *out) __attribute__((warn_unused_result));
/* Anything; see json_to_mp. */
int json_thorough(struct span text, struct buf *out, struct json_error *err)
    __attribute__((warn_unused_result));

#endif

#ifndef BASE_STR_H
#define BASE_STR_H
/* Numbers out of text and checks of text.  The only place that calls strto*. */
#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

/* Whole decimal text within [min, max] -> *out; 0, or -1 and *out untouched. */
int str_i64(struct span s, int64_t min, int64_t max, int64_t *out) __attribute__((warn_unused_result));
int str_u64(struct span s, uint64_t max, uint64_t *out) __attribute__((warn_unused_result));
/* Decimal text, no more than 511 bytes: no hex, no inf or nan, no white space; too large is -1. */
int str_double(struct span s, double *out) __attribute__((warn_unused_result));

bool str_is_utf8(struct span s); /* well-formed UTF-8 (RFC 3629): no surrogates, no overlong forms */
/* Bytes of the well-formed UTF-8 sequence that s begins with; 0 when empty or not well-formed. */
size_t str_utf8_len(struct span s);
bool str_is_name(struct span s, size_t max); /* [A-Za-z0-9_-]{1,max} */
bool str_is_camel(struct span s); /* ^[a-z][A-Za-z0-9]*$ : a key of a row */

/* strlcpy from a span; false when cut. */
bool str_copy(char *dst, size_t size, struct span s);

#endif

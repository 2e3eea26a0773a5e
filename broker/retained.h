#ifndef BROKER_RETAINED_H
#define BROKER_RETAINED_H
/* Where the last values that a pattern matches lie among all, which are kept in order of topic.
 * Pure. */
#include <stdbool.h>
#include "base/span.h"
#include "proto/limits.h"

#define RETAINED_AFTER (LIMIT_TOPIC + 2)

/* The text after which the first topic of the pattern comes, as a C string. */
void retained_after(struct span pattern, char out[RETAINED_AFTER]);
/* No topic from this one on matches. */
bool retained_is_past(struct span pattern, struct span topic);

#endif

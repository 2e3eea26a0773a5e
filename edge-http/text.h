#ifndef EDGE_HTTP_TEXT_H
#define EDGE_HTTP_TEXT_H
/* Small steps over header and target text: cutting, trimming, comparing without regard to case.
 * Pure; results borrow. */
#include "base/span.h"

struct span text_trim(struct span s); /* spaces and tabs off both ends */
/* The run before the next `at`, which is skipped; all of it when there is none. */
struct span text_cut(struct span *rest, char at);
bool text_same(struct span a, struct span b);
bool text_is(struct span s, const char *lit);
bool text_begins(struct span s, const char *head);
bool text_ends(struct span s, const char *tail);

#endif

#ifndef PROTO_ZPL_H
#define PROTO_ZPL_H
/* ZPL (RFC 4/ZPL), the text of key files and of the permissions, a line at a time: a name, or
 * `name = value`, indented by four spaces a level; `#` begins a comment, values may be quoted.
 * Whatever czmq's zconfig writes is read; what it would cut or guess at (a line over 1,024 bytes,
 * text behind a value, a level that was skipped) is a mistake here.  Pure: allocates nothing, the
 * cost is the size of the text. */
#include <stdbool.h>
#include "base/span.h"

#define ZPL_DEPTH 4u

struct zpl {
	struct span rest;
	unsigned line;   /* of the item, or of the mistake; from 1 */
	unsigned level;  /* the deepest the next item may be */
	const char *why; /* the mistake; NULL: none */
};

struct zpl_item {
	unsigned level;
	struct span name, value; /* value {NULL,0}: the line is a name alone */
};

void zpl_init(struct zpl *z, struct span text);
/* The next item, borrowed from the text; false at the end and at the first mistake. */
bool zpl_next(struct zpl *z, struct zpl_item *it);

#endif

#ifndef PUSHER_CSV_FILE_CSV_H
#define PUSHER_CSV_FILE_CSV_H
/* CSV after RFC 4180, lines ending in LF, UTF-8.  Pure. */
#include "base/buf.h"
#include "base/span.h"

/* A field: as it is, in quotes where the format needs them; {NULL,0} is nothing at all, an empty
 * text is "". */
void csv_put_field(struct buf *out, struct span v, bool first);
/* A msgpack value: null is nothing, text as it is, numbers exact, true and false, bytes as base64,
 * what is nested as JSON text.  -1: it has no such form. */
int csv_put_value(struct buf *out, struct span raw, bool first) __attribute__((warn_unused_result));

/* The record that s begins with, its line end included; {NULL,0}: it is not whole. */
struct span csv_record(struct span s);
/* The next field of a record, without its quotes, into out (reset first).  False at the end. */
bool csv_next_field(struct span *rest, struct buf *out);

#endif

#ifndef CONTROL_TOWER_PLAIN_H
#define CONTROL_TOWER_PLAIN_H
/* What JSON and the database can hold: a msgpack value whose every part has a JSON form, and text
 * that may be a column.  Pure. */
#include <stdbool.h>
#include "proto/doc.h"
#include "proto/faults.h"

/* Adds a fault for each extension, number that is not finite, and map key that is no text or holds
 * a NUL byte; `pointer` is where o stands in the body. */
void plain_check(const msgpack_object *o, const char *pointer, struct faults *f);
/* 1 to `max` bytes without control characters. */
bool plain_is_label(struct span s, size_t max);
/* RFC 3339 with an offset: 2026-11-21T07:39:44.123Z.  The shape and the ranges, not the calendar.
 */
bool plain_is_time(struct span s);
/* JSON text of o, appended; -1 when out failed or o has no JSON form. */
int plain_put_json(const msgpack_object *o, struct buf *out) __attribute__((warn_unused_result));

#endif

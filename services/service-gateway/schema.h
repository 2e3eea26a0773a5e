#ifndef SERVICE_GATEWAY_SCHEMA_H
#define SERVICE_GATEWAY_SCHEMA_H
/* The part of JSON Schema (2020-12) that a request needs: type, properties, required,
 * additionalProperties:false, default, enum, pattern (POSIX extended), minimum, maximum, minLength,
 * maxLength, items.  Pure. What is not in that list is refused when the catalogue is loaded, never
 * silently ignored; annotations (title, description, examples, format) are. */
#include "proto/doc.h"
#include "proto/faults.h"

/* 0, or -1 with the reason: the schema uses what we do not check. */
int schema_check(const msgpack_object *schema, char why[256]) __attribute__((warn_unused_result));
/* Adds what is wrong with `value` (NULL: absent) below `pointer` to f. */
void schema_apply(const msgpack_object *schema, const msgpack_object *value, const char *pointer,
    struct faults *f);
/* Appends `value` (an object, or NULL) with the defaults of absent properties filled in. */
void schema_put_defaults(
    const msgpack_object *schema, const msgpack_object *value, struct buf *out);

#endif

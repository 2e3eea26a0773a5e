#ifndef CLI_FIELDS_H
#define CLI_FIELDS_H
/* A map as lines "name  value", and one value of it as a cell. */
#include "cli/table.h"
#include "proto/doc.h"

/* Add the scalar members of o to a table of two columns; nested maps get dotted names; arrays and
 * absent values are left out.  ids become UUIDs, …Ms ages, …Us microseconds, bytes stay numbers. */
void fields_put(struct table *t, const char *prefix, const msgpack_object *o);
/* fields_put of the whole answer, printed. */
void fields_print(const msgpack_object *o);

void fields_cell_str(struct table *t, const msgpack_object *o, const char *key);
void fields_cell_count(struct table *t, const msgpack_object *o, const char *key);
void fields_cell_age(struct table *t, const msgpack_object *o, const char *key); /* "-" for 0 */
void fields_cell_id(struct table *t, const msgpack_object *o, const char *key);
/* RFC 3339 text of the bus -> local; as it is when it cannot be read. */
void fields_cell_time(struct table *t, const msgpack_object *o, const char *key);
/* 16 bytes under key, or NULL. */
const uint8_t *fields_id(const msgpack_object *o, const char *key);

#endif

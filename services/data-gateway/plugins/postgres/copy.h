#ifndef PUSHER_POSTGRES_COPY_H
#define PUSHER_POSTGRES_COPY_H
/* Deliveries as COPY text, and the statements around it.  Pure. */
#include "base/buf.h"
#include "services/data-gateway/pusher.h"

/* COPY text of a delivery with all its rows, appended: receipt, position, uuid, index, data, seq.
 * -1: out failed (over its limit), or a value has no JSON form. */
int copy_put_item(struct buf *out, const struct pusher_item *it)
    __attribute__((warn_unused_result));

struct copy_sql {
	struct buf name;   /* "schema"."table" */
	struct buf space;  /* "schema" */
	struct buf schema; /* CREATE SCHEMA IF NOT EXISTS … */
	struct buf table;  /* CREATE TABLE IF NOT EXISTS … */
	struct buf index;
	struct buf insert; /* from the temporary table into the real one, what is there already left
			      as it is */
};
extern const char copy_sql_temp[]; /* the temporary table */
extern const char copy_sql_copy[];

/* "schema.table", each a name of [A-Za-z_][A-Za-z0-9_]*, at most 63 bytes.  0, or -1: it is not.
 * copy_sql_fini is due either way. */
int copy_sql_init(struct copy_sql *s, const char *table) __attribute__((warn_unused_result));
void copy_sql_fini(struct copy_sql *s);

#endif

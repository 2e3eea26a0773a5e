#ifndef DATA_STORE_COLUMNS_H
#define DATA_STORE_COLUMNS_H
/* The columns of a dataset: names fit for SQL, types from a fixed list.  Pure. */
#include "base/buf.h"

#define COLUMNS_NAME 63 /* what Postgres keeps of an identifier */
#define COLUMNS_MAX 1000

/*       id         in a spec    in SQL */
#define COLUMN_TYPES(X)                              \
	X(TEXT, "text", "text")                      \
	X(BIGINT, "bigint", "bigint")                \
	X(NUMERIC, "numeric", "numeric")             \
	X(DOUBLE, "double", "double precision")      \
	X(BOOLEAN, "boolean", "boolean")             \
	X(DATE, "date", "date")                      \
	X(TIME, "time", "time")                      \
	X(TIMESTAMP, "timestamp", "timestamp")       \
	X(TIMESTAMPTZ, "timestamptz", "timestamptz") \
	X(UUID, "uuid", "uuid")

enum column_type {
#define X(id, name, sql) COLUMN_##id,
	COLUMN_TYPES(X)
#undef X
	    COLUMN_TYPE_COUNT
};

struct column {
	char name[COLUMNS_NAME + 1];
	enum column_type type;
};

/* Zero it and it is empty; columns_fini frees. */
struct columns {
	struct column *v;
	size_t n;
};

void columns_fini(struct columns *c);
/* An absent type is text; `integer`, `number`, `decimal`, `string`, `bool`, `float` are understood
 * too.  0, or -1: refused, with a sentence in why. */
int columns_add(struct columns *c, struct span name, struct span type, char *why, size_t size)
    __attribute__((warn_unused_result));
const struct column *columns_find(const struct columns *c, struct span name);
bool columns_eq(const struct columns *a, const struct columns *b);

/* ^[a-z][a-z0-9_]{0,62}$ */
bool columns_is_name(struct span s);
/* What a table holds beside the user's columns, or Postgres keeps for itself. */
bool columns_is_reserved(struct span s);
const char *columns_sql_type(enum column_type t);
const char *columns_type_name(enum column_type t);

/* [{"name":…,"type":…}…] */
void columns_put_json(const struct columns *c, struct buf *out);
/* One `name type` a line, as the catalogue hands them out. */
int columns_read(struct columns *c, struct span lines) __attribute__((warn_unused_result));
/* "a","b" */
void columns_put_names(const struct columns *c, struct buf *out);
/* "a" text, "b" bigint */
void columns_put_ddl(const struct columns *c, struct buf *out);

#endif

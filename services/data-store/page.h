#ifndef DATA_STORE_PAGE_H
#define DATA_STORE_PAGE_H
/* One page of a table: its query, and its rows as msgpack.  bigint is an integer, double a float
 * (NaN and the infinities nil), boolean a boolean, everything else text: numeric exactly as it is
 * stored, times as in ISO 8601.  Pure. */
#include <libpq-fe.h>

#include "services/data-store/columns.h"

#define PAGE_LIMIT 10000
#define PAGE_DEFAULT 1000

struct page {
	char schema[COLUMNS_NAME + 1], table[COLUMNS_NAME + 1];
	bool records;           /* orientation: records, else tabular */
	int64_t from;           /* next-id, inclusive */
	int64_t limit;          /* as asked for */
	int64_t version;        /* 0: the current one */
	struct columns columns; /* without id */
};

/* SELECT … of limit + 1 rows: $1 the first id, $2 the number of rows. */
void page_put_query(const struct page *p, struct buf *out);
/* How many rows to ask for, when a row of the file was at most `longest` bytes. */
int64_t page_rows(const struct page *p, int64_t longest);
/* The body out of the result of at most `rows` + 1 rows; the next page's URL into `next`, left
 * empty on the last one. The number of rows in it. */
size_t page_put(
    const struct page *p, const PGresult *res, int64_t rows, struct buf *out, struct buf *next);
/* One value in the text of Postgres. */
void page_put_value(struct buf *out, enum column_type type, struct span text);

#endif

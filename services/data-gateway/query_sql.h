#ifndef GATEWAY_QUERY_SQL_H
#define GATEWAY_QUERY_SQL_H
/* The statements that look.  Each answers one row, its first column the answer's body as JSON text. */

/* $1 the id, $2 the destinations (groups.h), $3 whether all reports up to the head are recorded. No
 * row: no such receipt. */
extern const char query_sql_get[];
/* $1 uuid, $2 limit, $3 seq of the last item of the page before. */
extern const char query_sql_list[];

#endif

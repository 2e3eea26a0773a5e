#ifndef CONTROL_TOWER_ROW_H
#define CONTROL_TOWER_ROW_H
/* A trigger as the database has it, on its way out.  Queries that are read by row_put begin their
 * select list with ROW_COLUMNS, of a table `t` of triggers and a text `state`. */
#include <libpq-fe.h>
#include "base/buf.h"

#define ROW_COLUMNS                                                                              \
	"t.uuid, t.api_version, t.protocol, t.plate_rows, t.plate_columns, t.spec, t.metadata, " \
	"state,"                                                                                 \
	" to_char(t.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define ROW_NEXT 9 /* the first column after them */

/* Append the pairs of row i to a map that is open, and return how many; -1: not JSON, or no room.
 */
int row_put(const PGresult *res, int i, struct buf *out);
/* How many row_put will append. */
unsigned row_pairs(const PGresult *res, int i);
/* The text of a column; {NULL,0} for NULL. */
struct span row_text(const PGresult *res, int i, int column);

#endif

#ifndef BROKER_JOURNAL_FORMAT_H
#define BROKER_JOURNAL_FORMAT_H
/* The tables of the file, format by format.  A new file is made by the same steps that an old one
 * is brought up by, so there is one layout of a format and no other. */
#include "broker/journal_db.h"

/* From a format (0: an empty file) to JOURNAL_FORMAT, in one transaction; SQLite's result. */
int journal_format_raise(struct journal_db *d, int from);

/* The SQL function journal_crc(column, ...): journal_crc_num and _span over its arguments. */
int journal_format_function(struct journal_db *d);

#endif

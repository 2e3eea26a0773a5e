#ifndef CONTROL_TOWER_RECORD_H
#define CONTROL_TOWER_RECORD_H
/* From an envelope to a row: what the recorder writes, as one array a column, so that many
 * deliveries are one statement.  Writing a row again changes nothing.  Pure. */
#include "base/buf.h"
#include "proto/env.h"

#define RECORD_COLUMNS_MAX 12
#define RECORD_STEPS_MAX 2
#define RECORD_WHY 300

struct record_step {
	const char *sql;
	unsigned n;
	uint8_t columns[RECORD_COLUMNS_MAX]; /* which column is parameter $1, $2… */
};

struct record_kind {
	const char *pattern, *group;
	unsigned ncolumns;
	/* One item onto each column.  0; -1 with a reason: the body is not what the topic promises,
	 * nothing was added.  A column may be `failed` afterwards: the rows are more than its
	 * limit. */
	int (*add)(struct buf *columns, const struct env *e, uint64_t seq, int64_t now_us,
	    char why[RECORD_WHY]);
	unsigned nsteps;
	struct record_step steps[RECORD_STEPS_MAX];
};

extern const struct record_kind record_triggers; /* trigger.> */
extern const struct record_kind record_events;   /* status.> */

#endif

#ifndef PLUGIN_FILE_EXPLAIN_H
#define PLUGIN_FILE_EXPLAIN_H
/* What is wrong with a trigger, as text for <name>.error.  Pure. */
#include "proto/faults.h"

/* Every fault on a line of its own, two spaces in. */
void explain_faults(const struct faults *f, struct buf *text);

#endif

#ifndef BROKER_JOURNAL_LAST_H
#define BROKER_JOURNAL_LAST_H
/* The last value of each topic that has one, inside the writer's transaction.  As journal_exec.h.
 */
#include "broker/journal_write.h"

int journal_last_prepare(struct journal_writer *w);
int journal_last_recover(struct journal_writer *w); /* w->pos.last */

/* *fits: all that a PUT retains has room.  Nothing is changed. */
int journal_last_look(struct journal_writer *w, const struct journal_op *op, bool *fits);
/* `row` as it was stored; only for a record that sets or clears. */
int journal_last_store(struct journal_writer *w, const struct journal_row *row, bool clear);

#define JOURNAL_LAST "seq, at, exp, id, crc, topic, key, frame, sender"

#endif

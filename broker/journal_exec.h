#ifndef BROKER_JOURNAL_EXEC_H
#define BROKER_JOURNAL_EXEC_H
/* One operation, inside the writer's transaction.  Functions return SQLite's result: anything but
 * SQLITE_OK ends the transaction.  What the peer is told goes into op->err. */
#include "broker/journal_write.h"

int journal_exec_prepare(struct journal_writer *w);
int journal_exec_recover(struct journal_writer *w); /* w->pos as the file has it */

int journal_exec(struct journal_writer *w, struct journal_op *op);
/* A PUT of one record with nothing beside it, as nearly all are.  Many of them can be stored in one
 * go (journal_bulk.h); each is then settled as if journal_exec had stored it. */
bool journal_exec_is_lone(const struct journal_op *op);
void journal_exec_settle(struct journal_writer *w, struct journal_op *op);
int journal_exec_meta(struct journal_writer *w); /* writes the row `meta` as of w->pos */

int journal_exec_begin(struct journal_writer *w);
int journal_exec_commit(struct journal_writer *w);
void journal_exec_rollback(struct journal_writer *w); /* harmless outside a transaction */

#endif

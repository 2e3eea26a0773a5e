#ifndef BROKER_JOURNAL_LETTERS_H
#define BROKER_JOURNAL_LETTERS_H
/* Dead letters, inside the writer's transaction.  As journal_exec.h. */
#include "broker/journal_write.h"

int journal_letters_prepare(struct journal_writer *w);
int journal_letters_exec(struct journal_writer *w, struct journal_op *op);

int journal_letters_has(struct journal_writer *w, uint64_t no, bool *has);
int journal_letters_drop(struct journal_writer *w, uint64_t no);

/* Columns of a dead letter, and what a statement that asks for them finds; false when it is
 * damaged. Spans live until the next step. */
#define JOURNAL_LETTER "no, grp, seq, id, topic, key, reason, tries, at, frame, sender, crc"
bool journal_letters_load(const struct journal_db *d, unsigned st, struct journal_dead *out);

#endif

#ifndef BROKER_JOURNAL_NAMES_H
#define BROKER_JOURNAL_NAMES_H
/* Groups, claims and policies, inside the writer's transaction.  As journal_exec.h. */
#include "broker/journal_write.h"

int journal_names_prepare(struct journal_writer *w);
int journal_names_exec(struct journal_writer *w, struct journal_op *op);

/* What the rows are checked by; a group's state apart, since it is written often and alone. */
uint32_t journal_names_crc(struct span name, struct span value);
uint32_t journal_names_crc_group(struct span name, struct span settings, uint64_t next);

#endif

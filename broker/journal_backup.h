#ifndef BROKER_JOURNAL_BACKUP_H
#define BROKER_JOURNAL_BACKUP_H
/* BACKUP operations: one copy at a time, a few pages between two commits.  The writer's thread. */
#include "broker/journal_copy.h"
#include "broker/journal_impl.h"

struct journal_backup {
	struct list waiting; /* the first is under way when copy.backup is set */
	struct journal_copy copy;
};

void journal_backup_init(struct journal_backup *b);
/* Moves the BACKUPs of a batch here. */
void journal_backup_take(struct journal_backup *b, struct list *batch);
bool journal_backup_busy(const struct journal_backup *b);
/* Goes on with `from`; the operations that ended, with u.backup.bytes or an error, are added to
 * `done`. */
void journal_backup_step(struct journal_backup *b, sqlite3 *from, struct list *done);
/* All of them end with `err`. */
void journal_backup_abandon(struct journal_backup *b, enum err err, struct list *done);

#endif

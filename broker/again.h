#ifndef BROKER_AGAIN_H
#define BROKER_AGAIN_H
/* Records put again for one group, in one transaction: a page of a replay, or a dead letter that is
 * retried.  Each gets a new seq and keeps its id; nobody but the group is given it. */
#include "broker/broker.h"

#define AGAIN_RECORDS 1000u
#define AGAIN_BYTES (1024u * 1024)

struct again;

struct again *again_new(struct broker *b, struct span group);
void again_free(struct again *a); /* of one that was not submitted */
/* A copy of the row (its seq does not matter).  False: no memory, or no frame. */
bool again_add(struct again *a, const struct journal_row *row);
bool again_has_room(const struct again *a, size_t bytes); /* for one more; the first always has */

/* `done` runs once; `seq`: of the last record, when err is ERR_OK.  `dead`: the letter that goes in
 * the same transaction, or 0.  ERR_BUSY at once (a is freed, false) when too much is being
 * committed. */
typedef void again_fn(struct broker *b, void *arg, enum err err, uint64_t seq);
bool again_submit(struct again *a, uint64_t dead, again_fn *done, void *arg);

#endif

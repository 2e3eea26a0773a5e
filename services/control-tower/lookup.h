#ifndef CONTROL_TOWER_LOOKUP_H
#define CONTROL_TOWER_LOOKUP_H
/* REQ control-tower.triggers.get: one trigger with its state, events and receipts.  NOT_FOUND only
 * when the recorder has passed what the journal held as the request came; BUSY when that cannot be
 * known in a second, or while Postgres is away.  Receipts are asked of the data gateway for at most
 * a second; `receiptsComplete` says whether it answered. */
#include "services/control-tower/tower.h"

struct lookups;

struct lookups *lookups_new(struct tower *t);
void lookups_free(struct lookups *l); /* when calls and queries have ended */

void lookup_on_request(void *arg, struct worker_msg *m); /* arg: struct lookups */

#endif

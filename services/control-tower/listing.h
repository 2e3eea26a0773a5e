#ifndef CONTROL_TOWER_LISTING_H
#define CONTROL_TOWER_LISTING_H
/* REQ control-tower.triggers.list: triggers, newest first, by keyset pages of at most `limit` items
 * and about 4 MiB. `arg` of the callback is a struct tower. */
#include "services/control-tower/tower.h"

void listing_on_request(void *arg, struct worker_msg *m);

#endif

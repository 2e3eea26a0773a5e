#ifndef CONTROL_TOWER_CREATE_H
#define CONTROL_TOWER_CREATE_H
/* REQ control-tower.triggers.create: check, PUB under the request's own id, answer 202 when it is
 * fsynced.  A repeat of the request is the same trigger.  `arg` of the callback is a struct tower.
 */
#include "services/control-tower/tower.h"

void create_on_request(void *arg, struct worker_msg *m);

#endif

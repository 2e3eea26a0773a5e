#ifndef CONTROL_TOWER_CREATE_H
#define CONTROL_TOWER_CREATE_H
/* REQ control-tower.triggers.create: check, put on the bus, answer 202 when it is fsynced.  A
 * trigger's uuid is the request's own id, a CloudEvent's is derived from its source and id; so a
 * repeat is the same trigger.  A list of CloudEvents is stored as a whole or not at all.  `arg` of
 * the callback is a struct tower. */
#include "services/control-tower/tower.h"

void create_on_request(void *arg, struct worker_msg *m);

#endif

#ifndef CONTROL_TOWER_REPORT_H
#define CONTROL_TOWER_REPORT_H
/* REQ control-tower.triggers.status and .cancel: what is said about a trigger, put on the bus as
 * status.<uuid> or cancel.<uuid> under the request's own id.  `arg` of the callbacks is a struct
 * tower. */
#include "services/control-tower/tower.h"

void report_on_status(void *arg, struct worker_msg *m);
void report_on_cancel(void *arg, struct worker_msg *m);

#endif

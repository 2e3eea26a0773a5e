#ifndef BROKER_RETAIN_H
#define BROKER_RETAIN_H
/* Which records may go: older than --retain-ms or over --retain-bytes, and done by every group that
 * is not paused. */
#include "broker/broker.h"

void retain_tick(struct broker *b);

#endif

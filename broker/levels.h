#ifndef BROKER_LEVELS_H
#define BROKER_LEVELS_H
/* Says once when a bounded quantity passes half of its bound, and once when it is below a quarter
 * again. */
#include "broker/broker.h"

void levels_tick(struct broker *b);

#endif

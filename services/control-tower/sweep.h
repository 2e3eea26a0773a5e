#ifndef CONTROL_TOWER_SWEEP_H
#define CONTROL_TOWER_SWEEP_H
/* Forgets triggers that were recorded more than so many days ago, with their events: a thousand a
 * transaction, so that nobody waits for it.  The journal has its own retention (the broker's). */
#include "store/pg.h"

struct sweep;

/* NULL when `days` is 0: everything is kept. */
struct sweep *sweep_new(struct loop *l, struct pg *pg, int64_t days);
void sweep_free(struct sweep *s);            /* after pg_free */
uint64_t sweep_count(const struct sweep *s); /* triggers forgotten so far; NULL: 0 */

#endif

#ifndef CONTROL_TOWER_MARKERS_H
#define CONTROL_TOWER_MARKERS_H
/* A cancel stays the last value of cancel.<uuid>, for whoever is handed the trigger later.  Those
 * older than a week are taken away, at start and once a day: the bus keeps a bounded number of last
 * values. */
#include "proto/worker.h"

struct markers;

struct markers *markers_new(struct worker *w);   /* w outlives it */
void markers_free(struct markers *k);            /* NULL is harmless */
uint64_t markers_count(const struct markers *k); /* taken away so far; NULL: 0 */

#endif

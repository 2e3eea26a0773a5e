#ifndef CONTROL_TOWER_RECORDER_H
#define CONTROL_TOWER_RECORDER_H
/* Writes the deliveries of one group to Postgres, many in a transaction, and acks them after its
 * commit.  While the database is away they stay in hand (extended, never given back: an outage
 * costs no tries).  A row that the database will never take is found by halving the batch, rejected
 * with the reason, and the others go on. */
#include "proto/worker.h"
#include "services/control-tower/record.h"
#include "store/pg.h"

struct recorder;

struct recorder_stats {
	uint64_t recorded, rejected, batches, retried;
	size_t waiting; /* in hand, not recorded yet */
};

/* Subscribes now.  `pg` and `w` outlive it. */
struct recorder *recorder_new(struct worker *w, struct pg *pg, const struct record_kind *kind);
void recorder_free(struct recorder *r); /* after pg_free */
/* The process is about to end: what the database does not take now goes back to the broker. */
void recorder_drain(struct recorder *r);
struct recorder_stats recorder_stats(const struct recorder *r);

#endif

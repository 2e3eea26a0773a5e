#ifndef GATEWAY_RECORDER_H
#define GATEWAY_RECORDER_H
/* One durable group into Postgres: batches of what has come, one transaction each, acknowledged
 * after its commit. A refused batch is halved until the envelope that is to blame stands alone and
 * is rejected.  While Postgres is away everything in hand is held, and the rest waits in the
 * journal: nothing is lost, nothing is spent. */
#include "services/data-gateway/record.h"
#include "store/pg.h"
#include "proto/svc.h"

struct recorder;

struct recorder_spec {
	const char *group, *pattern;
	enum record_end (*read)(const struct record_from *e, struct buf *out, const char **why);
	const char *sql; /* $1: the batch, a JSON array */
};

struct recorder *recorder_new(struct svc *s, struct pg *pg, const struct recorder_spec *spec);
void recorder_free(struct recorder *r); /* before pg_free or after; deliveries are the worker's */
/* From now on what cannot be recorded at once is given back. */
void recorder_drain(struct recorder *r);

struct recorder_stats {
	uint64_t recorded, skipped, rejected, retries;
	size_t waiting;
};
struct recorder_stats recorder_stats(const struct recorder *r);

#endif

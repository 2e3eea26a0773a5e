#ifndef GATEWAY_RECORDING_H
#define GATEWAY_RECORDING_H
/* One durable group into Postgres: batches of what has come, one transaction each, acknowledged
 * after its commit. A refused batch is halved until the envelope that is to blame stands alone and
 * is rejected.  While Postgres is away everything in hand is held, and the rest waits in the
 * journal: nothing is lost, nothing is spent. */
#include "services/data-gateway/record.h"
#include "store/pg.h"
#include "proto/svc.h"

struct recording;

struct recording_spec {
	const char *group, *pattern;
	enum record_end (*read)(const struct record_from *e, struct buf *out, const char **why);
	const char *sql; /* $1: the batch, a JSON array */
};

struct recording *recording_new(struct svc *s, struct pg *pg, const struct recording_spec *spec);
void recording_free(struct recording *r); /* before pg_free or after; deliveries are the worker's */
/* From now on what cannot be recorded at once is given back. */
void recording_drain(struct recording *r);

struct recording_stats {
	uint64_t recorded, skipped, rejected, retries;
	size_t waiting;
};
struct recording_stats recording_stats(const struct recording *r);

#endif

#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H
/* What the parts of the data gateway share.  One thread, the loop's. */
#include "base/list.h"
#include "proto/svc.h"
#include "store/pg.h"

struct recording;

struct gateway {
	const char *database_url;
	struct svc *svc;
	struct pg *writes,
	    *reads; /* two connections, so that looking does not wait for recording */
	struct recording *receipts, *deliveries, *dead;
	struct list creates, queries; /* requests in hand */
	bool draining;
	struct {
		uint64_t accepted, replayed, refused, rows, failed, looked, not_found, not_ready;
	} n;
};

/* Milliseconds until the request must be answered, a little kept back; at least 1. */
int64_t gateway_left(const struct gateway *g, const struct worker_msg *m);
/* INVALID, with what is wrong field by field. */
struct faults;
void gateway_fail_faults(struct worker_msg *m, const struct faults *f);

#endif

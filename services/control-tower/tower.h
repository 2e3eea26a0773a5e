#ifndef CONTROL_TOWER_TOWER_H
#define CONTROL_TOWER_TOWER_H
/* What the handlers of requests share, and the small things each of them needs. */
#include "proto/doc.h"
#include "proto/faults.h"
#include "proto/worker.h"
#include "services/control-tower/status.h"
#include "store/pg.h"

struct tower {
	struct loop *loop;
	struct client *client;
	struct worker *worker;
	struct pg *reads; /* a connection apart from the recorders' */
	uint64_t created, replayed, refused;
};

/* Milliseconds that are left to answer m, at least 1. */
int64_t tower_left(const struct tower *t, const struct worker_msg *m);
/* Answer INVALID with every fault. */
void tower_fail_faults(struct worker_msg *m, const struct faults *f);
/* Pass an ERR of the bus on as the answer to m. */
void tower_fail_as(struct worker_msg *m, const struct env *e);
/* Answer for a read that did not end PG_OK. */
void tower_fail_read(struct worker_msg *m, const struct pg_done *d);
/* Reply with a body and a status. */
void tower_reply(struct worker_msg *m, const struct buf *body, unsigned status);
/* The `uuid` of a request's body, with a fault at /uuid when there is none. */
int tower_read_uuid(const msgpack_object *body, uint8_t uuid[16], struct faults *f);

/* On whose behalf m came: the principal that the edge names, else the identity the broker saw. */
void tower_principal(const struct worker_msg *m, char by[STATUS_BY_MAX + 1]);

#endif

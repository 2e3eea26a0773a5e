#ifndef CONTROL_TOWER_STATUS_H
#define CONTROL_TOWER_STATUS_H
/* What happens to a trigger after it was accepted: the states, and the body of status.<uuid>. Pure.
 *
 * accepted -> dispatched -> running -> succeeded | failed | cancelled | expired.  `progress` says
 * running.  The state of a trigger is a function of the set of its events, whatever order they are
 * recorded in: the end with the lowest seq, else the furthest state. */
#include <stdbool.h>
#include "proto/doc.h"
#include "proto/faults.h"

/*	name      state      rank */
#define STATUS_TABLE(X)              \
	X(dispatched, dispatched, 1) \
	X(running, running, 2)       \
	X(progress, running, 2)      \
	X(succeeded, succeeded, 3)   \
	X(failed, failed, 3) X(cancelled, cancelled, 3) X(expired, expired, 3)

#define STATUS_RANK_END 3 /* no way back */
#define STATUS_BY_MAX 255

/* An event as its publisher reports it; borrows from the body. */
struct status {
	const char *name;  /* of the event */
	const char *state; /* that it leads to */
	int rank;
	struct span by;               /* {NULL,0} when absent */
	struct span at;               /* {NULL,0} when absent */
	const msgpack_object *detail; /* NULL when absent or nil */
};

/* Read {uuid?, status, by?, at?, detail?}; 0, or -1 with faults.  `uuid` is the trigger's, which
 * one in the body must repeat; NULL: the body may hold neither `uuid` nor `at`. */
int status_read(
    struct status *s, const msgpack_object *body, const uint8_t *uuid, struct faults *f);
/* A state that a trigger can be in, `accepted` included. */
bool status_is_state(struct span s);

/* Append the body of status.<uuid>; `by` and `at` are used where s has none. */
void status_put_body(const struct status *s, const uint8_t uuid[16], const char *by, const char *at,
    struct buf *out);
/* The uuid in `status.<uuid>` or `cancel.<uuid>`; 0, or -1. */
int status_topic_uuid(struct span topic, uint8_t uuid[16]) __attribute__((warn_unused_result));

#endif

#ifndef CONTROL_TOWER_CLOUDEVENT_H
#define CONTROL_TOWER_CLOUDEVENT_H
/* A CloudEvent 1.0 (structured mode) whose `data` is a trigger.  Its source and id are its
 * idempotency key.  Pure. */
#include <stdbool.h>
#include "proto/doc.h"
#include "proto/faults.h"

/* Borrows from the body. */
struct cloudevent {
	struct span source, id, type, subject; /* subject {NULL,0} when absent */
	const msgpack_object *data;
};

/* Does the body say that it is one? */
bool cloudevent_is(const msgpack_object *body);
/* 0, or -1 with faults whose pointers begin with `at`.  `data` itself is not looked into. */
int cloudevent_read(
    struct cloudevent *c, const msgpack_object *body, const char *at, struct faults *f);
/* The id that every delivery of this event by this principal has. */
void cloudevent_id(const struct cloudevent *c, struct span principal, uint8_t id[16]);
/* {id, type, subject?}: the metadata.spec of a trigger that came without metadata. */
void cloudevent_put_spec(const struct cloudevent *c, struct buf *out);

#endif

#ifndef CONTROL_TOWER_INTAKE_H
#define CONTROL_TOWER_INTAKE_H
/* From what a caller sent to envelopes: a trigger, a CloudEvent that holds one, or a list of such
 * events. Nothing in them depends on time or attempt.  Pure. */
#include "base/buf.h"
#include "proto/doc.h"
#include "proto/faults.h"

struct intake_item {
	uint8_t id[16];
	struct buf topic, body;
};

struct intake {
	bool batch;  /* a list was sent */
	bool events; /* CloudEvents: each has an id of its own */
	size_t n;
	struct intake_item *items;
};

/* `id` is the request's, for a plain trigger; `principal` who asks.  0, or -1 with every fault.
 * intake_fini after either. */
int intake_read(struct intake *in, const msgpack_object *body, const uint8_t id[16],
    struct span principal, struct faults *f);
void intake_fini(struct intake *in);

#endif

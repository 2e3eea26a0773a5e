#ifndef CONTROL_TOWER_TRIGGER_H
#define CONTROL_TOWER_TRIGGER_H
/* What a trigger is: its fields checked all at once, its canonical body and its topic.  Pure. */
#include <stdbool.h>
#include "proto/doc.h"
#include "proto/faults.h"

#define TRIGGER_WELLS_MAX 10000
#define TRIGGER_SOURCE_MAX 255

/* What a body says; borrows from it. */
struct trigger {
	struct span api_version, protocol;
	struct span source;     /* metadata.source; {NULL,0} when absent */
	uint32_t rows, columns; /* 0: no plate */
	const msgpack_object *spec;
	const msgpack_object *metadata; /* NULL: none */
};

/* Read and check a body; 0, or -1 with every fault in f.  `id` is the envelope's id, which a `uuid`
 * in the body must repeat; NULL where the uuid is still to be given: then `uuid` in the body is a
 * fault. */
int trigger_read(
    struct trigger *t, const msgpack_object *body, const uint8_t *id, struct faults *f);

/* `OT-2/v1alpha1`, `OT-2/v1alpha1/Spark1`: a name of [A-Za-z0-9-], `v` and a number not starting
 * with 0 and what may follow it, and perhaps the name of a device. */
bool trigger_is_api_version(struct span s);
bool trigger_is_protocol(struct span s); /* ^[A-Z][A-Za-z0-9]*$, at most 64 bytes */

/* Append `trigger.<api>.<version>.<device or _>.<protocol>`; -1: longer than a topic may be. */
int trigger_put_topic(const struct trigger *t, struct buf *out) __attribute__((warn_unused_result));
/* Append the body, keys in their order.  `source` is what metadata.source is when the trigger has
 * none; `spec` (one msgpack object) is the metadata.spec of a trigger without metadata, {NULL,0}
 * for none. */
void trigger_put_body(const struct trigger *t, const uint8_t id[16], const char *source,
    struct span spec, struct buf *out);

#endif

#ifndef CONTROL_TOWER_TRIGGER_H
#define CONTROL_TOWER_TRIGGER_H
/* What a trigger is: its fields checked all at once, its canonical body and its topic.  Pure. */
#include <stdbool.h>
#include "proto/doc.h"
#include "proto/faults.h"

#define TRIGGER_WELLS_MAX 10000
#define TRIGGER_SOURCE_MAX 255

/* What a body says; borrows from it, and from what was sent. */
struct trigger {
	struct span api_version, protocol;
	struct span source;     /* metadata.source; {NULL,0} when absent */
	uint32_t rows, columns; /* 0: no plate */
	const msgpack_object *spec;
	const msgpack_object *metadata; /* NULL: none */
};

/* What an envelope says of the trigger in it, beside its body. */
struct trigger_sent {
	const uint8_t *id;                 /* borrowed */
	struct span api_version, protocol; /* {NULL,0}: the topic is none of a trigger */
	struct buf text;                   /* holds them */
};

/* From an envelope's id and topic; trigger_sent_fini when what was read by it is done with. */
void trigger_sent_init(struct trigger_sent *s, const uint8_t id[16], struct span topic);
void trigger_sent_fini(struct trigger_sent *s);

/* Read and check a body; 0, or -1 with every fault in f.  `sent` is what the envelope says: `uuid`,
 * `apiVersion` and `protocol` of the body may repeat it, and are taken from there when absent. NULL
 * where the envelope is still to be made: then `uuid` is a fault, and the others are required. */
int trigger_read(struct trigger *t, const msgpack_object *body, const struct trigger_sent *sent,
    struct faults *f);

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

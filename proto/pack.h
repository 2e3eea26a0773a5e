#ifndef PROTO_PACK_H
#define PROTO_PACK_H
/* Frames on their way out, gathered into one PACK.  A single frame stays as it is: no envelope
 * round it. Used by the link, and by whoever sends many small frames to one peer.  Pure. */
#include "base/buf.h"
#include "base/span.h"
#include "proto/env.h"

struct pack {
	struct buf b; /* room for the PACK's header, then the frames as bin */
	size_t first; /* where the bytes of the first frame begin */
	size_t n;
};

void pack_init(struct pack *p);
void pack_fini(struct pack *p);
void pack_reset(struct pack *p); /* empty again, memory kept */

/* Small enough to be worth copying. */
bool pack_takes(size_t frame_bytes);
bool pack_has_room(const struct pack *p, size_t frame_bytes);
/* Only when it takes the frame and has room. */
void pack_add(struct pack *p, struct span frame);
/* The same for a frame that is made here, without a copy; what env_encode says.  There is room for
 * LIMIT_HEADER and the body. */
enum err pack_encode(struct pack *p, const struct env *e) __attribute__((warn_unused_result));
size_t pack_count(const struct pack *p);
/* What to send, when the count is above 0; valid until the next call. */
struct span pack_frame(struct pack *p);

#endif

#ifndef PROTO_MP_H
#define PROTO_MP_H
/* msgpack in and out.  Three steps for bytes of a peer, always in this order:
 *   mp_scan   walks the structure with one budget for all elements at any depth, allocates nothing;
 *   mp_r      reads typed values in a straight line with a sticky error; or
 *   doc.h     hands out msgpack-c's objects.
 * Writing goes into a struct buf, whose `failed` is the sticky error. */
#include <msgpack.h>
#include "base/buf.h"
#include "base/span.h"

/* The bytes of the first object in s are well-formed, at most `nest` deep and `elements` objects in
 * all, and every str is UTF-8.  Returns their length, 0 when not. */
size_t mp_scan(struct span s, unsigned nest, unsigned elements);

enum mp_type { MP_NONE, MP_NIL, MP_BOOL, MP_INT, MP_FLOAT, MP_STR, MP_BIN, MP_ARRAY, MP_MAP, MP_EXT };

/* A reader over scanned bytes.  After the first failure every read returns zero, {NULL,0} or false. */
struct mp_r {
	const uint8_t *p, *end;
	bool bad;
};

void mp_r_init(struct mp_r *r, struct span s);
enum mp_type mp_peek(struct mp_r *r); /* MP_NONE at the end or after a failure */
void mp_nil(struct mp_r *r);
bool mp_bool(struct mp_r *r);
uint64_t mp_u64(struct mp_r *r, uint64_t max); /* an integer in [0, max] */
int64_t mp_i64(struct mp_r *r);
double mp_double(struct mp_r *r); /* a float, or an integer that a double holds exactly */
struct span mp_str(struct mp_r *r, size_t max); /* borrowed */
struct span mp_bin(struct mp_r *r, size_t max);
unsigned mp_array(struct mp_r *r); /* number of elements that follow */
unsigned mp_map(struct mp_r *r);   /* number of pairs that follow */
struct span mp_raw(struct mp_r *r); /* the next object, whole */
bool mp_done(const struct mp_r *r); /* no failure and nothing left */

void mp_put_nil(struct buf *b);
void mp_put_bool(struct buf *b, bool v);
void mp_put_u64(struct buf *b, uint64_t v);
void mp_put_i64(struct buf *b, int64_t v);
void mp_put_double(struct buf *b, double v);
void mp_put_str(struct buf *b, struct span s);
void mp_put_cstr(struct buf *b, const char *s);
void mp_put_bin(struct buf *b, struct span s);
void mp_put_array(struct buf *b, size_t n);
void mp_put_map(struct buf *b, size_t n);
void mp_put_object(struct buf *b, const msgpack_object *o); /* any object, key order kept */

#endif

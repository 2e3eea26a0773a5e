#ifndef CLI_MAP_H
#define CLI_MAP_H
/* A msgpack map that is written before its size is known.  Pure. */
#include "base/buf.h"

struct map {
	struct buf b; /* begins with a header of fixed size */
	unsigned n;
};

void map_init(struct map *m);
void map_fini(struct map *m);
void map_str(struct map *m, const char *key, const char *v);
void map_i64(struct map *m, const char *key, int64_t v);
void map_given(struct map *m, const char *key, int64_t v); /* nothing when v < 0 */
void map_bool(struct map *m, const char *key, bool v);
void map_bin(struct map *m, const char *key, struct span v);
void map_raw(struct map *m, const char *key, struct span v); /* one msgpack object */
/* What was put so far; borrowed. */
struct span map_span(struct map *m);

#endif

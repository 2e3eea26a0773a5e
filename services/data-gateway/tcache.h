#ifndef GATEWAY_TCACHE_H
#define GATEWAY_TCACHE_H
/* Triggers that were asked for lately, by uuid: bounded in entries and bytes, the least recently
 * used goes first. What is known stays; "there is none" is believed for a short while only.  Pure:
 * time is an argument. */
#include <stdbool.h>
#include <stdint.h>
#include "base/span.h"

#define TCACHE_NONE_MS 10000 /* how long "there is none" is believed */

struct tcache;

/* Counted references: an entry that was dropped lives until its last holder lets go. */
struct trigger {
	unsigned refs;
	struct span body; /* raw msgpack map; {NULL,0}: there is none */
};

struct tcache *tcache_new(unsigned max_entries, size_t max_bytes);
void tcache_free(struct tcache *c);
/* With a reference for the caller, or NULL: ask. */
struct trigger *tcache_get(struct tcache *c, const uint8_t uuid[16], int64_t now_ms);
/* Copies body ({NULL,0}: there is none) and returns it with a reference. */
struct trigger *tcache_put(
    struct tcache *c, const uint8_t uuid[16], struct span body, int64_t now_ms);
void tcache_release(struct trigger *t); /* NULL is harmless */

#endif

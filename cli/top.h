#ifndef CLI_TOP_H
#define CLI_TOP_H
/* What taxi top shows, out of two looks at the broker.  Pure. */
#include "cli/table.h"
#include "proto/doc.h"

struct top_group {
	char name[65], pattern[256], state[16];
	uint64_t owed, in_flight, workers, acked, redelivered, dead, dropped;
	int64_t oldest_ms;
	double in, out, again; /* a second */
};

struct top_peer {
	uint64_t session, subs, in_flight, bytes;
	char identity[65], name[65];
	int64_t since_ms, silent_ms;
};

struct top_broker {
	char version[32];
	int64_t uptime_ms;
	uint64_t head, received, sent, requests, commits, drops, memory, memory_limit, journal;
	int64_t commit_p50_us, commit_p99_us;
	double in, out, stored, asked, commit; /* a second */
};

struct top {
	int64_t at_us; /* monotonic, of the look */
	struct top_broker broker;
	struct top_group *groups;
	struct top_peer *peers;
	size_t ngroups, npeers;
};

/* Bodies of sys.stats, sys.groups and sys.peers; `real_ms` is now. */
void top_read(struct top *t, const msgpack_object *stats, const msgpack_object *groups,
    const msgpack_object *peers, int64_t real_ms);
void top_fini(struct top *t);
/* Rates since `before`, and the busiest first: groups by what they owe, peers by what they hold. */
void top_compare(struct top *t, const struct top *before);
/* At most width x height characters; height 0: all of it. */
void top_render(const struct top *t, unsigned width, unsigned height, struct buf *out);
void top_json(const struct top *t, struct buf *out);

#endif

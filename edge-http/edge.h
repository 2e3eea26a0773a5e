#ifndef EDGE_HTTP_EDGE_H
#define EDGE_HTTP_EDGE_H
/* What the shards of one process have in common: settings, which nobody changes after the start,
 * and each other's counters, which are atomic. */
#include <stdatomic.h>
#include "edge-http/guard.h"
#include "edge-http/metrics.h"

#define EDGE_SHARDS_MAX 32

struct edge_conf {
	const char *listen, *hosts, *bus;
	int64_t nshards, max_body, max_connections, header_timeout_ms, body_timeout_ms, drain_ms;
	bool behind_proxy, access_log;
	struct guard guard;
};

struct edge {
	struct edge_conf conf;
	unsigned nshards;
	struct metrics *metrics[EDGE_SHARDS_MAX];
	_Atomic unsigned loaded; /* shards that have routes */
	_Atomic unsigned idle;   /* shards that have drained */
	int loaded_fd;           /* eventfd: another shard has loaded */
};

#endif

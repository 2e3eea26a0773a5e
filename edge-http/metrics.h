#ifndef EDGE_HTTP_METRICS_H
#define EDGE_HTTP_METRICS_H
/* What a shard counts.  One thread writes a struct metrics; any thread may read it at any time,
 * through atomics alone: no lock, and a number that is a moment old. */
#include <stdatomic.h>
#include <stdint.h>
#include "base/buf.h"

#define METRICS_SLOTS 512  /* operations; what comes later is counted under route="(other)" */
#define METRICS_STATUS 16  /* different statuses of one operation */
#define METRICS_BUCKETS 14 /* of the latency histogram, +Inf is the last */

#define METRICS_COUNTS(X)                                                                          \
	X(CONNECTIONS, connections, "gauge", "open connections")                                   \
	X(IN_FLIGHT, in_flight, "gauge", "requests that wait for the bus")                         \
	X(BUS_UP, bus_up, "gauge", "shards whose link to the broker is up")                        \
	X(ROUTES_LOADED, routes_loaded, "gauge", "shards that have a table of routes")             \
	X(ROUTES, routes, "gauge", "announced paths, over all shards")                             \
	X(HELD_BYTES, held_bytes, "gauge", "request bodies in memory")                             \
	X(BODY_IN, request_body_bytes, "counter", "bytes of request bodies as they came")          \
	X(BODY_OUT, response_body_bytes, "counter", "bytes of response bodies before compression") \
	X(SLOW_HEADER, dropped_slow_header, "counter",                                             \
	    "connections ended: the header took too long")                                         \
	X(SLOW_BODY, dropped_slow_body, "counter", "connections ended: the body took too long")    \
	X(GONE, dropped_client_gone, "counter",                                                    \
	    "requests whose client went away before the answer")                                   \
	X(GUARD, refused_guard, "counter", "requests refused for their Host, Origin or a proxy")   \
	X(BUSY, refused_busy, "counter", "requests refused because too many bodies were held")     \
	X(BAD_HEADER, dropped_answer_headers, "counter", "headers of a service's answer left out") \
	X(MALFORMED, malformed, "counter", "requests that libmicrohttpd could not read")           \
	X(RELOADS, route_loads, "counter", "tables of routes built")

enum metrics_count {
#define X(id, name, type, help) METRICS_##id,
	METRICS_COUNTS(X)
#undef X
	    METRICS_COUNT_N
};

struct metrics_slot {
	char *route;
	const char *method; /* a constant */
	struct {
		_Atomic int status;
		_Atomic uint64_t n;
	} st[METRICS_STATUS];
	_Atomic uint64_t bucket[METRICS_BUCKETS];
	_Atomic uint64_t sum_us;
};

struct metrics {
	struct metrics_slot slot[METRICS_SLOTS];
	_Atomic unsigned nslots;
	_Atomic uint64_t count[METRICS_COUNT_N];
};

struct metrics *metrics_new(void);
void metrics_free(struct metrics *m);

/* The counters of an operation, made if need be.  `method` is kept, `route` copied. */
struct metrics_slot *metrics_slot(struct metrics *m, const char *method, const char *route);
void metrics_done(struct metrics_slot *s, int status, int64_t us);
void metrics_add(struct metrics *m, enum metrics_count c, int64_t delta);
void metrics_set(struct metrics *m, enum metrics_count c, uint64_t value);
uint64_t metrics_get(const struct metrics *m, enum metrics_count c);

/* The name in Prometheus text, without its prefix. */
const char *metrics_name(enum metrics_count c);

/* Prometheus text of the sum of `n` shards. */
void metrics_write(const struct metrics *const *all, size_t n, struct buf *out);

/* Helpers for whoever writes more of it. */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);
void metrics_label(struct buf *out, const char *key, struct span value); /* key="escaped" */

#endif

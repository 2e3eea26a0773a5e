#ifndef CLI_BENCH_LANE_H
#define CLI_BENCH_LANE_H
/* One connection of `taxi bench`, in a thread of its own with a loop of its own: it publishes or
 * requests with a window outstanding, serves, or consumes.  Everything here but bench_lane_* is
 * read by the owner only after bench_lane_stop, except what is atomic. */
#include <stdatomic.h>

#include "base/hist.h"
#include "proto/err.h"

enum bench_role { BENCH_PUBLISH, BENCH_REQUEST, BENCH_SERVE, BENCH_CONSUME };

/* Shared by the lanes of a run. */
struct bench_run {
	const char *bus, *topic, *group;
	unsigned window;
	size_t size;
	int64_t timeout_ms; /* of a request */
	_Atomic bool go;    /* everybody is connected: send */
	_Atomic bool measuring;
	_Atomic int64_t left; /* how many may still be sent; INT64_MAX: no end */
	_Atomic int64_t done; /* answered, or consumed */
	_Atomic int fatal;    /* an enum err that trying again does not mend */
};

struct bench_lane;

struct bench_lane *bench_lane_start(struct bench_run *run, enum bench_role role);
/* Connected, and what it subscribes to is in place. */
bool bench_lane_is_up(struct bench_lane *l);
/* Ends the thread: nothing of it moves afterwards. */
void bench_lane_stop(struct bench_lane *l);
/* How long they took, in µs, while `measuring`; and errors by code. */
const struct hist *bench_lane_hist(const struct bench_lane *l);
uint64_t bench_lane_errors(const struct bench_lane *l, enum err code);
void bench_lane_free(struct bench_lane *l);

#endif

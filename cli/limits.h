#ifndef CLI_LIMITS_H
#define CLI_LIMITS_H
/* The limits of a group, which `groups set` and `policies set` both take. */
#include "cli/cli.h"
#include "cli/map.h"

struct limits {
	int64_t tries, ack_ms, backoff_ms, backoff_max_ms, idle_ms, max_owed; /* < 0: not given */
	const char *full;                                                     /* "": not given */
};
extern struct limits limits;

/* Rows of a struct opt[]. */
#define LIMITS_ROWS                                                                               \
	{"tries", OPT_INT, &limits.tries, NULL, 1, 1000, 0, "deliveries before a dead letter"},   \
	    {"ack-ms", OPT_INT, &limits.ack_ms, NULL, 1, 86400000, 0,                             \
		"how long a worker may take before it is delivered again"},                       \
	    {"backoff-ms", OPT_INT, &limits.backoff_ms, NULL, 1, 86400000, 0,                     \
		"pause before the second delivery; before each further one three times as long"}, \
	    {"backoff-max-ms", OPT_INT, &limits.backoff_max_ms, NULL, 1, 86400000, 0,             \
		"the longest pause"},                                                             \
	    {"idle-ms", OPT_INT, &limits.idle_ms, NULL, 0, INT64_MAX, 0,                          \
		"without workers for so long a group is paused; 0 is never"},                     \
	    {"max-owed", OPT_INT, &limits.max_owed, NULL, 0, INT64_MAX, 0,                        \
		"owed more than so many a group is full; 0 is no limit"},                         \
	{                                                                                         \
		"full", OPT_STR, &limits.full, "", 0, 0, 0,                                       \
		    "a full group is paused and loses (pause), or its publishers get BUSY (busy)" \
	}

int limits_check(struct cli *c); /* 0, or the exit code of wrong usage, which was said */
void limits_put(struct map *m);  /* those that were given */

#endif

#include "cli/limits.h"

struct limits limits = {.tries = -1,
    .ack_ms = -1,
    .backoff_ms = -1,
    .backoff_max_ms = -1,
    .idle_ms = -1,
    .max_owed = -1};

int
limits_check(struct cli *c)
{
	if (limits.full[0] && strcmp(limits.full, "pause") != 0 && strcmp(limits.full, "busy") != 0)
		return cli_usage(c, "--full must be pause or busy, not '%s'", limits.full);
	return 0;
}

void
limits_put(struct map *m)
{
	map_given(m, "tries", limits.tries);
	map_given(m, "ackMs", limits.ack_ms);
	map_given(m, "backoffMs", limits.backoff_ms);
	map_given(m, "backoffMaxMs", limits.backoff_max_ms);
	map_given(m, "idleMs", limits.idle_ms);
	map_given(m, "maxOwed", limits.max_owed);
	if (limits.full[0])
		map_str(m, "full", limits.full);
}

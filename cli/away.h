#ifndef CLI_AWAY_H
#define CLI_AWAY_H
/* Says on stderr that the broker went away and came back, for commands that outlive it.  After
 * cli_connect; ends with the link. */
#include "cli/cli.h"

struct away {
	struct cli *c;
	bool was_up;
	int64_t since_ms;
	loop_fn *down; /* told after everybody else; may be NULL */
	void *arg;
};

void away_watch(struct away *a, struct cli *c);
/* Wait for a broker for as long as --timeout says: 0, or an exit code, said. */
int away_reach(struct cli *c);

#endif

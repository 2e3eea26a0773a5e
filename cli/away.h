#ifndef CLI_AWAY_H
#define CLI_AWAY_H
/* Says on stderr that the broker went away and came back, for commands that outlive it. */
#include "cli/cli.h"

struct away {
	struct cli *c;
	struct timer late;
	bool was_up, is_down, said;
	int64_t since_ms;
	loop_fn *down; /* set by the caller: told after everybody else; may be NULL */
	void *arg;
};

void away_watch(struct away *a, struct cli *c); /* after cli_connect */
void away_end(struct away *a);
/* Wait for a broker for as long as --timeout says: 0, or an exit code, said. */
int away_reach(struct cli *c);

#endif

#include "cli/away.h"

#include <stdio.h>

#include "cli/fmt.h"

static void
on_up(void *arg)
{
	struct away *a = arg;

	if (a->since_ms != 0) {
		fprintf(stderr, "taxi: the broker is back after %s; going on\n",
		    fmt_age(loop_now(a->c->loop) - a->since_ms).s);
	}
	a->was_up = true;
	a->since_ms = 0;
}

static void
on_down(void *arg)
{
	struct away *a = arg;

	if (a->was_up && a->since_ms == 0) {
		a->since_ms = loop_now(a->c->loop);
		fprintf(stderr, "taxi: the broker at %s is gone; waiting for it (Ctrl-C ends)\n",
		    a->c->bus);
	}
	if (a->down != NULL)
		a->down(a->arg);
}

void
away_watch(struct away *a, struct cli *c)
{
	a->c = c;
	a->was_up = link_is_up(c->link);
	a->since_ms = 0;
	link_listen(c->link, &(struct link_ops){.up = on_up, .down = on_down, .arg = a});
}

int
away_reach(struct cli *c)
{
	struct cli_reply r;
	int code;

	cli_ask(c, "sys.ping.broker", (struct span){NULL, 0}, &r);
	/* Whoever may not ask has reached it all the same. */
	code = r.err == ERR_DENIED ? 0 : cli_reply_say(c, &r);
	cli_reply_fini(&r);
	return code;
}

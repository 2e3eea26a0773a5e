#include "cli/away.h"

#include <stdio.h>

#include "base/list.h"
#include "cli/fmt.h"

enum { LATE_MS = 500 }; /* a restart that is shorter is said once, when it is over */

static void
on_late(struct timer *t)
{
	struct away *a = LIST_ITEM(t, struct away, late);

	a->said = true;
	fprintf(
	    stderr, "taxi: the broker at %s is gone; waiting for it (Ctrl-C ends)\n", a->c->bus);
}

static void
on_up(void *arg)
{
	struct away *a = arg;

	loop_timer_clear(a->c->loop, &a->late);
	if (a->is_down && a->said) {
		fprintf(stderr, "taxi: the broker is back after %s; going on\n",
		    fmt_age(loop_now(a->c->loop) - a->since_ms).s);
	} else if (a->is_down) {
		fputs("taxi: the broker was restarted; going on\n", stderr);
	}
	a->was_up = true;
	a->is_down = a->said = false;
}

static void
on_down(void *arg)
{
	struct away *a = arg;

	if (a->was_up && !a->is_down) {
		a->is_down = true;
		a->since_ms = loop_now(a->c->loop);
		loop_timer(a->c->loop, &a->late, a->since_ms + LATE_MS);
	}
	if (a->down != NULL)
		a->down(a->arg);
}

void
away_watch(struct away *a, struct cli *c)
{
	a->c = c;
	a->was_up = link_is_up(c->link);
	a->is_down = a->said = false;
	a->late.fn = on_late;
	link_listen(c->link, &(struct link_ops){.up = on_up, .down = on_down, .arg = a});
}

void
away_end(struct away *a)
{
	loop_timer_clear(a->c->loop, &a->late);
	link_unlisten(a->c->link, a);
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

/* taxi drain: the broker takes no new work, and what is under way ends. */
#include <stdio.h>

#include "base/clock.h"
#include "cli/ask.h"
#include "cli/fmt.h"

enum { LOOK_MS = 200 };

static struct {
	bool off, wait, status;
	int64_t wait_ms;
} opt;

static const struct opt rows[] = {
    {"off", OPT_BOOL, &opt.off, "false", 0, 0, 0, "take work again"},
    {"status", OPT_BOOL, &opt.status, "false", 0, 0, 0, "change nothing, only say how it is"},
    {"wait", OPT_BOOL, &opt.wait, "false", 0, 0, 0, "come back when nothing is under way"},
    {"wait-ms", OPT_INT, &opt.wait_ms, "600000", 1, 86400000, 0, "how long --wait may take, in ms"},
};

static bool
is_done(const msgpack_object *o)
{
	return doc_i64(o, "underWay", 0) == 0 && doc_i64(o, "jobs", 0) == 0;
}

static void
print(const struct cli_reply *r)
{
	const msgpack_object *o = &r->doc.root;

	printf("%s: %lld requests and %lld writes under way, %lld envelopes owed to groups\n",
	    doc_bool(o, "draining", false) ? "draining" : "taking work",
	    (long long)doc_i64(o, "underWay", 0), (long long)doc_i64(o, "jobs", 0),
	    (long long)doc_i64(o, "owed", 0));
}

static int
look(struct cli *c, bool change, struct cli_reply *r)
{
	struct map m;

	map_init(&m);
	if (change)
		map_bool(&m, "on", !opt.off);
	return ask(c, "sys.drain", &m, r);
}

/* Until nothing is under way: 0, or the exit code. */
static int
wait_for_it(struct cli *c, struct cli_reply *r)
{
	int64_t until = clock_mono_ms() + opt.wait_ms;
	int code = 0;

	while (code == 0 && !is_done(&r->doc.root)) {
		if (clock_mono_ms() > until) {
			fprintf(stderr,
			    "taxi: not done after %s; `taxi drain --wait` goes on waiting, `taxi "
			    "top` "
			    "shows who works\n",
			    fmt_age(opt.wait_ms).s);
			return CLI_LATER;
		}
		cli_pause(c, LOOK_MS);
		if (c->signal != 0)
			return 128 + c->signal;
		cli_reply_fini(r);
		code = look(c, false, r);
	}
	return code;
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct cli_reply r;
	int code;

	(void)argc;
	(void)argv;
	if (opt.off && (opt.wait || opt.status))
		return cli_usage(c, "--off goes with neither --wait nor --status");
	code = look(c, !opt.status, &r);
	if (code == 0 && opt.wait)
		code = wait_for_it(c, &r);
	if ((code == 0 || code == CLI_LATER) && r.err == ERR_OK) {
		if (cli_is_json(c)) {
			cli_print_answer(c, &r.env);
		} else {
			print(&r);
		}
	}
	cli_reply_fini(&r);
	return code;
}

const struct cli_command cli_drain = {
    .name = "drain",
    .operands = "",
    .about = "Take no new work, as before a restart",
    .help = "  taxi drain --wait && s6-svc -r state/service/broker\n"
	    "  taxi drain --status\n"
	    "  taxi drain --off\n\n"
	    "While on, publishes and requests are refused with DRAINING (try later); what is under "
	    "way is finished, and groups\n"
	    "go on with what they are owed.  Looking and mending (sys.*) still works.\n",
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_MEND,
    .json = "As sys.drain answers: {draining, underWay, jobs, owed}.\n",
};

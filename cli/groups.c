/* taxi groups: how durable groups are, and what may be changed about them. */
#include <stdio.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/fields.h"
#include "cli/limits.h"

static struct {
	const char *pattern;
	bool paused, running;
} opt;
static bool yes;

static const struct opt set_rows[] = {
    {"paused", OPT_BOOL, &opt.paused, "false", 0, 0, 0,
	"hand nothing over any more; retention may then take what it is owed"},
    {"running", OPT_BOOL, &opt.running, "false", 0, 0, 0, "go on after a pause"},
    LIMITS_ROWS,
    {"pattern", OPT_STR, &opt.pattern, "", 0, 0, 0, "what it gets from now on"},
};
static const struct opt delete_rows[] = {
    {"yes", OPT_BOOL, &yes, "false", 0, 0, 0, "do not ask"},
};

static void
print_groups(const struct cli_reply *r)
{
	const msgpack_object_array *list = cli_list(r, "groups");
	struct table t;

	table_init(&t,
	    "~GROUP ~PATTERN STATE >OWED >OLDEST >IN-FLIGHT >WORKERS >ACKED >REDELIVERED >DEAD "
	    ">DROPPED");
	for (uint32_t i = 0; i < list->size; i++) {
		const msgpack_object *o = &list->ptr[i];

		fields_cell_str(&t, o, "group");
		fields_cell_str(&t, o, "pattern");
		if (doc_bool(o, "blocked", false)) {
			table_cell(&t, "blocked");
		} else {
			fields_cell_str(&t, o, "state");
		}
		fields_cell_count(&t, o, "owed");
		fields_cell_age(&t, o, "oldestMs");
		fields_cell_count(&t, o, "inFlight");
		fields_cell_count(&t, o, "workers");
		fields_cell_count(&t, o, "acked");
		fields_cell_count(&t, o, "redelivered");
		fields_cell_count(&t, o, "dead");
		fields_cell_count(&t, o, "dropped");
	}
	table_print(
	    &t, "no groups yet; the first `taxi sub --group NAME PATTERN`, or a worker, makes one");
}

static void
print_group(const struct cli_reply *r)
{
	const msgpack_object_array *list = cli_list(r, "groups");

	fields_print(list->size > 0 ? &list->ptr[0] : &r->doc.root);
}

static int
run(struct cli *c, int argc, char **argv)
{
	if (argc == 0)
		return ask_print(c, "sys.groups", NULL, print_groups);
	return ask_print_of(c, "sys.groups", "group", argv[0], print_group);
}

static int
run_set(struct cli *c, int argc, char **argv)
{
	struct map m;
	int code;

	(void)argc;
	if (opt.paused && opt.running)
		return cli_usage(c, "--paused or --running, not both");
	if ((code = limits_check(c)) != 0)
		return code;
	map_init(&m);
	map_str(&m, "group", argv[0]);
	limits_put(&m);
	if (opt.paused || opt.running)
		map_bool(&m, "paused", opt.paused);
	if (opt.pattern[0])
		map_str(&m, "pattern", opt.pattern);
	if (m.n == 1) {
		map_fini(&m);
		return cli_usage(c, "nothing to set: say what, as --tries 5");
	}
	return ask_print(c, "sys.groups.set", &m, print_group);
}

static void
print_deleted(const struct cli_reply *r)
{
	struct span name = doc_str(&r->doc.root, "group");

	printf("deleted %.*s\n", (int)name.n, (const char *)name.p);
}

static int
run_delete(struct cli *c, int argc, char **argv)
{
	char question[LIMIT_GROUP + 200];
	const msgpack_object_array *list;
	struct cli_reply r;
	struct map m;
	int code;

	(void)argc;
	map_init(&m);
	map_str(&m, "group", argv[0]);
	code = ask(c, "sys.groups", &m, &r);
	list = cli_list(&r, "groups");
	if (code == 0) {
		snprintf(question, sizeof question,
		    "Delete the group %.64s for good, with %lld envelopes it is still owed?",
		    argv[0], (long long)(list->size > 0 ? doc_i64(&list->ptr[0], "owed", 0) : 0));
	}
	cli_reply_fini(&r);
	if (code != 0)
		return code;
	/* The broker does not wait while somebody thinks. */
	cli_close(c);
	if (!yes && !cli_confirm(question))
		return CLI_USAGE;
	return ask_print_of(c, "sys.groups.delete", "group", argv[0], print_deleted);
}

const struct cli_command cli_groups = {
    .name = "groups",
    .operands = "[GROUP]",
    .about = "Durable groups: what each is owed, what is in flight, who works",
    .help = "OWED counts envelopes not yet acknowledged, OLDEST is the age of the oldest of "
	    "them.\n\n"
	    "  taxi groups\n  taxi groups pusher-postgres\n"
	    "  taxi groups -o json | jq '.groups[] | select(.owed > 0)'\n",
    .max_operands = 1,
    .run = run,
    .section = CLI_LOOK,
    .json =
	"As sys.groups answers: {head, groups: [{group, pattern, state, next, from, floor, owed, "
	"inFlight, workers, tries, ackMs, oldestMs, blocked, acked, redelivered, dead, dropped, "
	"…}]}.\n",
};

const struct cli_command cli_groups_set = {
    .name = "groups set",
    .operands = "GROUP",
    .about = "Change a group: pause it, its tries, its limits",
    .help = "  taxi groups set pusher-old --paused\n"
	    "  taxi groups set pusher-postgres --tries 20 --ack-ms 60000\n\n"
	    "Prints the group as it then is.  A paused group does not hold retention back: what it "
	    "loses is counted as dropped.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = set_rows,
    .nrows = sizeof set_rows / sizeof set_rows[0],
    .run = run_set,
    .section = CLI_MEND,
    .json = "The group, as in `taxi groups`.\n",
};

const struct cli_command cli_groups_delete = {
    .name = "groups delete",
    .operands = "GROUP",
    .about = "End a group: it is owed nothing any more",
    .help = "  taxi groups delete pusher-old\n\nAsks first; --yes does not.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = delete_rows,
    .nrows = 1,
    .run = run_delete,
    .section = CLI_MEND,
    .json = "{group}.\n",
};

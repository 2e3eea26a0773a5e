/* taxi policies: what new groups start from, by pattern. */
#include <stdio.h>

#include "cli/ask.h"
#include "cli/fields.h"
#include "cli/limits.h"
#include "proto/topic.h"

static const struct opt rows[] = {
    LIMITS_ROWS,
};

static void
cell(struct table *t, const msgpack_object *o, const char *key)
{
	if (doc_get(o, key) == NULL || doc_get(o, key)->type == MSGPACK_OBJECT_NIL) {
		table_cell(t, "-");
	} else {
		table_cell(t, "%lld", (long long)doc_i64(o, key, 0));
	}
}

static void
print_policies(const struct cli_reply *r)
{
	const msgpack_object_array *list = cli_list(r, "policies");
	struct table t;

	table_init(
	    &t, "~PATTERN >TRIES >ACK-MS >BACKOFF-MS >BACKOFF-MAX-MS >IDLE-MS >MAX-OWED FULL");
	for (uint32_t i = 0; i < list->size; i++) {
		const msgpack_object *o = &list->ptr[i];

		fields_cell_str(&t, o, "pattern");
		cell(&t, o, "tries");
		cell(&t, o, "ackMs");
		cell(&t, o, "backoffMs");
		cell(&t, o, "backoffMaxMs");
		cell(&t, o, "idleMs");
		cell(&t, o, "maxOwed");
		fields_cell_str(&t, o, "full");
	}
	table_print(&t, "no policies: new groups start from what they ask for, or the defaults");
}

static void
print_policy(const struct cli_reply *r)
{
	fields_print(&r->doc.root);
}

static int
run(struct cli *c, int argc, char **argv)
{
	(void)argc;
	(void)argv;
	return ask_print(c, "sys.policies", NULL, print_policies);
}

static int
run_set(struct cli *c, int argc, char **argv)
{
	struct map m;
	int code;

	(void)argc;
	if (!topic_is_pattern(span_str(argv[0])))
		return cli_usage(c, "'%s' is no pattern (`taxi help topics`)", argv[0]);
	if ((code = limits_check(c)) != 0)
		return code;
	map_init(&m);
	map_str(&m, "pattern", argv[0]);
	limits_put(&m);
	if (m.n == 1) {
		map_fini(&m);
		return cli_usage(c, "nothing to set: say what, as --tries 5");
	}
	return ask_print(c, "sys.policies.set", &m, print_policy);
}

static int
run_delete(struct cli *c, int argc, char **argv)
{
	(void)argc;
	return ask_print_of(c, "sys.policies.delete", "pattern", argv[0], print_policy);
}

const struct cli_command cli_policies = {
    .name = "policies",
    .operands = "",
    .about = "What new groups start from, by pattern",
    .help = "  taxi policies\n\n"
	    "A group whose pattern lies within a policy's starts from it when it is created; the "
	    "most specific one wins.\n",
    .run = run,
    .section = CLI_MEND,
    .json =
	"As sys.policies answers: {policies: [{pattern, tries?, ackMs?, backoffMs?, backoffMaxMs?, "
	"idleMs?, maxOwed?, full?}]}.\n",
};

const struct cli_command cli_policies_set = {
    .name = "policies set",
    .operands = "PATTERN",
    .about = "Make or change a policy",
    .help = "  taxi policies set 'rows.>' --tries 20 --max-owed 1000000 --full busy\n\n"
	    "It counts for groups created from now on; `taxi groups set` changes one that is "
	    "there.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run_set,
    .section = CLI_MEND,
    .json = "The policy.\n",
};

const struct cli_command cli_policies_delete = {
    .name = "policies delete",
    .operands = "PATTERN",
    .about = "Take a policy away",
    .help = "  taxi policies delete 'rows.>'\n\nGroups that are there keep what they have.\n",
    .min_operands = 1,
    .max_operands = 1,
    .run = run_delete,
    .section = CLI_MEND,
    .json = "The policy that was.\n",
};

/* Commands that send one envelope and print its answer: pub, req, trigger publish. */
#include <stdio.h>

#include "base/uuid.h"
#include "cli/cli.h"
#include "proto/topic.h"

static struct {
	const char *key, *id;
	bool again;
} opt;

static const struct opt pub_rows[] = {
    {"key", OPT_STR, &opt.key, "", 0, 0, 0,
	"order key: envelopes of one key are worked on in order"},
    {"id", OPT_STR, &opt.id, "", 0, 0, 0,
	"UUID of the envelope; a repeat with the same id is stored once"},
};
static const struct opt req_rows[] = {
    {"again", OPT_BOOL, &opt.again, "false", 0, 0, 0,
	"the request may be run twice (tried again when a worker dies)"},
    {"id", OPT_STR, &opt.id, "", 0, 0, 0, "UUID of the request"},
};

static int
set_id(struct env *e)
{
	if (opt.id[0] == '\0' || uuid_parse(span_str(opt.id), e->id) == 0)
		return 0;
	fprintf(stderr, "taxi: --id must be a UUID, not '%s'\n", opt.id);
	return CLI_USAGE;
}

static int
check_topic(const char *topic)
{
	if (topic_is_valid(span_str(topic)))
		return 0;
	fprintf(stderr,
	    "taxi: '%s' is no topic: tokens of [A-Za-z0-9_-] joined by dots, no wildcard\n", topic);
	return CLI_USAGE;
}

/* Build, send, print: what the three commands share. */
static int
send_one(
    struct cli *c, enum env_verb verb, const char *topic, const char *operand, cli_print_fn *print)
{
	struct env e;
	struct buf body;
	int code;

	env_init(&e, verb, span_str(topic), NULL);
	buf_init(&body, LIMIT_FRAME);
	code = check_topic(topic);
	if (code == 0)
		code = set_id(&e);
	if (code == 0 && cli_body(operand, &body) != 0)
		code = CLI_USAGE;
	if (code == 0) {
		if (body.n > 0)
			e.body = buf_span(&body);
		if (verb == ENV_PUB && opt.key[0] != '\0')
			env_set_s(&e, ENV_M_KEY, span_str(opt.key));
		if (verb == ENV_REQ && opt.again)
			env_set_u(&e, ENV_M_AGAIN, 1);
		code = cli_call(c, &e, print);
	}
	buf_fini(&body);
	return code;
}

static void
print_ok(struct cli *c, const struct env *e)
{
	char id[UUID_TEXT + 1];

	uuid_text(e->id, id);
	if (!env_has(e, ENV_M_SEQ)) {
		printf(
		    cli_is_json(c) ? "{\"id\":\"%s\"}\n" : "published %s (ephemeral: not stored)\n",
		    id);
	} else {
		printf(cli_is_json(c) ? "{\"id\":\"%s\",\"seq\":%llu,\"groups\":%llu}\n"
				      : "stored %s as seq %llu, owed to %llu groups\n",
		    id, (unsigned long long)env_u(e, ENV_M_SEQ, 0),
		    (unsigned long long)env_u(e, ENV_M_GROUPS, 0));
	}
}

static int
run_pub(struct cli *c, int argc, char **argv)
{
	return send_one(c, ENV_PUB, argv[0], argc > 1 ? argv[1] : NULL, print_ok);
}

static int
run_req(struct cli *c, int argc, char **argv)
{
	return send_one(c, ENV_REQ, argv[0], argc > 1 ? argv[1] : NULL, NULL);
}

static int
run_trigger_publish(struct cli *c, int argc, char **argv)
{
	char file[4096];

	(void)argc;
	snprintf(file, sizeof file, "%s%s", strcmp(argv[0], "-") == 0 ? "" : "@", argv[0]);
	return send_one(c, ENV_REQ, "control-tower.triggers.create", file, NULL);
}

const struct cli_command cli_pub = {
    .name = "pub",
    .operands = "TOPIC [BODY]",
    .about = "Publish one envelope and wait until it is stored",
    .help = "BODY is JSON, @FILE or - (standard input); none is an empty body.\n\n"
	    "  taxi pub notes.today '{\"text\":\"hello\"}'\n"
	    "  taxi pub --key plate-7 plate.moved @moved.json\n\n"
	    "Prints the seq in the journal and how many groups will get it.  A topic below live. "
	    "is not stored.\n",
    .min_operands = 1,
    .max_operands = 2,
    .rows = pub_rows,
    .nrows = sizeof pub_rows / sizeof pub_rows[0],
    .run = run_pub,
};

const struct cli_command cli_req = {
    .name = "req",
    .operands = "TOPIC [BODY]",
    .about = "Send a request and print the answer as JSON",
    .help = "BODY is JSON, @FILE or - (standard input).\n\n"
	    "  taxi req sys.groups\n"
	    "  taxi req --timeout 2000 service.currency_exchange.v1.rates '{\"base\":\"EUR\"}'\n",
    .min_operands = 1,
    .max_operands = 2,
    .rows = req_rows,
    .nrows = sizeof req_rows / sizeof req_rows[0],
    .run = run_req,
};

const struct cli_command cli_trigger_publish = {
    .name = "trigger publish",
    .operands = "FILE",
    .about = "Hand a trigger (JSON file, - is standard input) to the control tower",
    .help = "  taxi trigger publish plate-transfer.json\n\n"
	    "The control tower checks it and publishes it; printed are its uuid, its topic and how "
	    "many groups of workers\n"
	    "will get it.  What is wrong with a refused one is listed field by field.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = pub_rows + 1, /* --id: the uuid to be */
    .nrows = 1,
    .run = run_trigger_publish,
};

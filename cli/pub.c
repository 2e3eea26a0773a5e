/* taxi pub, taxi trigger publish. */
#include "cli/pub.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "cli/fmt.h"
#include "cli/when.h"
#include "proto/topic.h"

static struct {
	const char *key, *id, *of, *exp;
	int64_t window;
	bool lines, retain;
} opt;

static const struct opt rows[] = {
    {"order-key", OPT_STR, &opt.key, "", 0, 0, 0, "envelopes of one key are worked on in order"},
    {"id", OPT_STR, &opt.id, "", 0, 0, 0,
	"UUID of the envelope; a repeat with the same id is stored once"},
    {"retain", OPT_BOOL, &opt.retain, "false", 0, 0, 0,
	"keep it as the last value of its topic; without a BODY: take that away"},
    {"expire", OPT_STR, &opt.exp, "", 0, 0, 0,
	"not delivered later than so long from now, as 30s; then it is a dead letter"},
    {"lines", OPT_BOOL, &opt.lines, "false", 0, 0, 0,
	"BODY is a file (default standard input) of JSON lines, each an envelope"},
    {"of", OPT_STR, &opt.of, "", 0, 0, 0,
	"with --lines: name of the stream; what is sent again under it is stored once"},
    {"window", OPT_INT, &opt.window, "256", 1, 65536, 0, "with --lines: how many may be under way"},
};

/* Of trigger publish. */
static const struct opt trigger_rows[] = {
    {"id", OPT_STR, &opt.id, "", 0, 0, 0, "UUID that the trigger is to have"},
};

static int
set_meta(struct cli *c, struct env *e, const struct buf *body)
{
	int64_t ms = when_duration(opt.exp);

	if (body->n > 0)
		e->body = buf_span(body);
	if (opt.key[0] != '\0')
		env_set_s(e, ENV_M_KEY, span_str(opt.key));
	if (opt.retain)
		env_set_u(e, ENV_M_RETAIN, 1);
	if (opt.exp[0] != '\0' && ms < 0)
		return cli_usage(c, "--expire must be an age like 30s, not '%s'", opt.exp);
	if (opt.exp[0] != '\0')
		env_set_u(e, ENV_M_EXP, (uint64_t)(clock_real_ms() + ms));
	return 0;
}

static int
set_id(struct cli *c, struct env *e)
{
	if (opt.id[0] == '\0' || uuid_parse(span_str(opt.id), e->id) == 0)
		return 0;
	return cli_usage(c, "--id must be a UUID, not '%s'", opt.id);
}

static void
print_ok(struct cli *c, const struct env *e)
{
	const struct fmt id = fmt_id(e->id);

	if (!env_has(e, ENV_M_SEQ)) {
		printf(cli_is_json(c) ? "{\"id\":\"%s\"}\n" : "published %s (not stored)\n", id.s);
	} else {
		printf(cli_is_json(c)
			   ? "{\"id\":\"%s\",\"seq\":%" PRIu64 ",\"groups\":%" PRIu64 "}\n"
			   : "stored %s as seq %" PRIu64 ", owed to %" PRIu64 " groups\n",
		    id.s, env_u(e, ENV_M_SEQ, 0), env_u(e, ENV_M_GROUPS, 0));
	}
}

static int
send_one(struct cli *c, struct env *e, const char *operand, cli_print_fn *print)
{
	struct buf body;
	int code;

	buf_init(&body, LIMIT_FRAME);
	code = set_id(c, e);
	if (code == 0 && cli_body(operand, &body) != 0)
		code = CLI_USAGE;
	if (code == 0 && e->verb == ENV_PUB) {
		code = set_meta(c, e, &body);
	} else {
		e->body = buf_span(&body);
	}
	if (code == 0)
		code = cli_call(c, e, print);
	buf_fini(&body);
	return code;
}

static int
run_pub(struct cli *c, int argc, char **argv)
{
	struct pub_many many = {
	    .topic = argv[0],
	    .key = opt.key[0] ? opt.key : NULL,
	    .operand = argc > 1 ? argv[1] : "-",
	    .of = opt.of,
	    .window = opt.window,
	    .retain = opt.retain,
	};
	struct env e;

	if (!topic_is_valid(span_str(argv[0]))) {
		return cli_usage(c,
		    "'%s' is no topic: tokens of [A-Za-z0-9_-] joined by dots, no wildcard",
		    argv[0]);
	}
	if (opt.lines && (opt.id[0] || opt.exp[0])) {
		return cli_usage(
		    c, "--lines goes with neither --id nor --expire; --of names a stream");
	}
	if (opt.of[0] && !opt.lines)
		return cli_usage(c, "--of goes with --lines");
	if (opt.lines)
		return pub_many(c, &many);
	env_init(&e, ENV_PUB, span_str(argv[0]), NULL);
	return send_one(c, &e, argc > 1 ? argv[1] : NULL, print_ok);
}

static int
run_trigger(struct cli *c, int argc, char **argv)
{
	char file[4096];
	struct env e;

	(void)argc;
	snprintf(file, sizeof file, "%s%s", strcmp(argv[0], "-") == 0 ? "" : "@", argv[0]);
	env_init(&e, ENV_REQ, span_str("control-tower.triggers.create"), NULL);
	return send_one(c, &e, file, NULL);
}

const struct cli_command cli_pub = {
    .name = "pub",
    .operands = "TOPIC [BODY]",
    .about = "Publish one envelope, or many, and wait until they are stored",
    .help = "BODY is JSON, @FILE or - (standard input); none is an empty body.\n\n"
	    "  taxi pub notes.today '{\"text\":\"hello\"}'\n"
	    "  taxi pub --order-key plate-7 plate.moved @moved.json\n"
	    "  taxi pub --retain state.door '{\"open\":false}'\n"
	    "  taxi pub rows.raw --lines --of run-17 <run-17.ndjson\n\n"
	    "Prints the seq in the journal and how many groups will get it.  A topic below live. "
	    "is not stored.\n"
	    "With --lines every line is an envelope whose id comes from --of and the number of the "
	    "line: the same command\n"
	    "again, after whatever went wrong, stores only what is missing.\n",
    .min_operands = 1,
    .max_operands = 2,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run_pub,
    .section = CLI_TALK,
    .json =
	"{id, seq, groups}; {id} of what is not stored.  With --lines: {of, topic, lines, stored, "
	"firstSeq, lastSeq, ms}.\n",
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
    .rows = trigger_rows,
    .nrows = 1,
    .run = run_trigger,
    .section = CLI_TALK,
    .json = "{uuid, topic, seq, workers}, as the control tower answers.\n",
};

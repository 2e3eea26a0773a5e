#include <stdio.h>

#include "base/die.h"
#include "base/log.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/help.h"

extern const struct cli_command cli_pub, cli_req, cli_sub, cli_trigger_publish;
extern const struct cli_command cli_top, cli_groups, cli_peers, cli_services, cli_stats, cli_trace,
    cli_doctor;
extern const struct cli_command cli_dead_ls, cli_dead_show, cli_dead_edit, cli_dead_retry,
    cli_dead_drop, cli_replay, cli_groups_set, cli_groups_delete, cli_drain, cli_policies,
    cli_policies_set, cli_policies_delete;
extern const struct cli_command cli_keys_new, cli_keys_show, cli_keys_allow, cli_keys_revoke;
extern const struct cli_command cli_bench;
extern const struct cli_command cli_journal_verify, cli_journal_dump, cli_journal_compact,
    cli_journal_backup;
extern const struct cli_command cli_help, cli_completion;

/* In the order in which help lists them. */
static const struct cli_command *const commands[] = {
    &cli_pub,
    &cli_sub,
    &cli_req,
    &cli_trigger_publish,
    &cli_top,
    &cli_groups,
    &cli_peers,
    &cli_services,
    &cli_stats,
    &cli_trace,
    &cli_doctor,
    &cli_bench,
    &cli_dead_ls,
    &cli_dead_show,
    &cli_dead_edit,
    &cli_dead_retry,
    &cli_dead_drop,
    &cli_replay,
    &cli_groups_set,
    &cli_groups_delete,
    &cli_policies,
    &cli_policies_set,
    &cli_policies_delete,
    &cli_drain,
    &cli_journal_verify,
    &cli_journal_dump,
    &cli_journal_compact,
    &cli_journal_backup,
    &cli_keys_new,
    &cli_keys_show,
    &cli_keys_allow,
    &cli_keys_revoke,
    &cli_help,
    &cli_completion,
};

static struct cli cli;

static const struct opt common_rows[] = {
    {"bus", OPT_STR, &cli.bus, "tcp://127.0.0.1:5570", 0, 0, 0, "where the broker listens"},
    {"output", OPT_STR, &cli.output, "table", 0, 0, 0,
	"table or json (short: -o; --json is -o json)"},
    {"key", OPT_STR, &cli.key, "", 0, 0, 0,
	"file of your keys (`taxi keys new`), where the broker asks for one"},
    {"broker-key", OPT_STR, &cli.broker_key, "", 0, 0, 0,
	"the broker's public key, or a file that holds it"},
    {"timeout", OPT_INT, &cli.timeout_ms, "5000", 1, LIMIT_TTL_MS, 0,
	"how long to wait for an answer, in ms"},
};

static int
unknown(int argc, char **argv)
{
	const struct cli_command *near = args_near(&cli, argc, argv);

	if (help_prefix(&cli, argv[1], stderr))
		return CLI_USAGE;
	fprintf(stderr, "taxi: no command '%s'", argv[1]);
	if (near != NULL) {
		fprintf(stderr, "; did you mean `taxi %s`?\n", near->name);
	} else if (help_is_topic(argv[1])) {
		fprintf(stderr, "; did you mean `taxi help %s`?\n", argv[1]);
	} else {
		fputs(
		    "; a command comes first, options after it; `taxi help` lists them\n", stderr);
	}
	return CLI_USAGE;
}

int
main(int argc, char **argv)
{
	const struct cli_command *cmd;
	char **args;
	int words, code;

	log_init("taxi", LOG_ERROR);
	cli.commands = commands;
	cli.ncommands = sizeof commands / sizeof *commands;
	cli.common = (struct opt_table){
	    "TAXI_", "every command", common_rows, sizeof common_rows / sizeof *common_rows};
	if (argc < 2) {
		help_usage(&cli, stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
		help_usage(&cli, stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("taxi " TAXI_VERSION);
		return 0;
	}
	cmd = args_find(&cli, argc, argv, &words);
	if (cmd == NULL)
		return unknown(argc, argv);
	args = xcalloc((size_t)argc + 3, sizeof *args);
	memcpy(args, argv + words, (size_t)(argc - words) * sizeof *args);
	code = args_run(&cli, cmd, argc - words, args);
	free(args);
	cli_close(&cli);
	return code;
}

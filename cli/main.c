#include "cli/cli.h"

#include <stdio.h>

#include "base/die.h"
#include "base/log.h"
#include "proto/sock.h"

static const struct cli_command *const commands[] = {
    &cli_pub,
    &cli_req,
    &cli_sub,
    &cli_trigger_publish,
    &cli_services,
    &cli_groups,
    &cli_peers,
    &cli_stats,
};
#define NCOMMANDS (sizeof commands / sizeof commands[0])

static struct cli cli;

static const struct opt common_rows[] = {
    {"bus", OPT_STR, &cli.bus, "tcp://127.0.0.1:5570", 0, 0, 0, "where the broker listens"},
    {"output", OPT_STR, &cli.output, "table", 0, 0, 0, "table or json (short: -o)"},
    {"timeout", OPT_INT, &cli.timeout_ms, "5000", 1, LIMIT_TTL_MS, 0,
	"how long to wait for an answer, in ms"},
};

static void
usage(FILE *f)
{
	fputs("taxi: publish, request and look at the Taxiway bus\n\nusage: taxi COMMAND [OPTIONS] "
	      "[OPERANDS]\n\n",
	    f);
	for (size_t i = 0; i < NCOMMANDS; i++) {
		fprintf(f, "  %-16s %-18s %s\n", commands[i]->name, commands[i]->operands,
		    commands[i]->about);
	}
	fputs("\n`taxi COMMAND --help` teaches one command.  $TAXI_BUS and the options of every "
	      "command mean the same.\n"
	      "exit codes: 0 done, 1 the bus said no, 2 wrong use, 3 not found or nobody serves "
	      "it, 4 no broker answers\n",
	    f);
}

/* The command whose words begin argv, and how many words it has. */
static const struct cli_command *
find(int argc, char **argv, int *words)
{
	for (size_t i = 0; i < NCOMMANDS; i++) {
		const char *name = commands[i]->name;
		const char *space = strchr(name, ' ');
		size_t first = space ? (size_t)(space - name) : strlen(name);

		if (strlen(argv[1]) != first || strncmp(argv[1], name, first) != 0)
			continue;
		if (space && (argc < 3 || strcmp(argv[2], space + 1) != 0))
			continue;
		*words = space ? 2 : 1;
		return commands[i];
	}
	return NULL;
}

static const struct opt *
row_of(const struct opt_table *tables, size_t n, const char *flag)
{
	for (size_t t = 0; t < n; t++) {
		for (size_t i = 0; i < tables[t].n; i++) {
			if (strcmp(tables[t].rows[i].flag, flag) == 0)
				return &tables[t].rows[i];
		}
	}
	return NULL;
}

/* Flags first, operands after, so that people may write them in any order. */
static void
flags_first(const struct opt_table *tables, size_t n, int argc, char **argv)
{
	char **out = xcalloc((size_t)argc + 1, sizeof *out);
	char **operands = xcalloc((size_t)argc + 1, sizeof *operands);
	int nout = 1, nops = 0, i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strcmp(argv[i], "-o") == 0)
			argv[i] = (char *)(uintptr_t) "--output";
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			operands[nops++] = argv[i];
			continue;
		}
		out[nout++] = argv[i];
		const struct opt *row = row_of(tables, n, argv[i] + strspn(argv[i], "-"));
		if (row != NULL && row->type != OPT_BOOL && i + 1 < argc)
			out[nout++] = argv[++i];
	}
	if (i < argc || nops > 0)
		out[nout++] = (char *)(uintptr_t) "--";
	for (int k = 0; k < nops; k++)
		out[nout++] = operands[k];
	for (i++; i < argc; i++)
		out[nout++] = argv[i];
	/* At most one "--" more than came in: the caller's argv has room for it. */
	memcpy(argv + 1, out + 1, (size_t)(nout - 1) * sizeof *argv);
	argv[nout] = NULL;
	free(out);
	free(operands);
}

static int
count(char **argv)
{
	int n = 0;

	while (argv[n] != NULL)
		n++;
	return n;
}

static int
run(const struct cli_command *cmd, int argc, char **argv)
{
	/* A command's own options have names like ID: an environment that happens to hold TAXI_ID
	 * must not make every publish a repeat. */
	const struct opt_table own[] = {
	    {"TAXI_CLI_", cmd->name, cmd->rows, cmd->nrows},
	    {"TAXI_", "every command", common_rows, sizeof common_rows / sizeof common_rows[0]},
	};
	const struct opt_table *tables = cmd->nrows > 0 ? own : own + 1;
	const size_t ntables = cmd->nrows > 0 ? 2 : 1;
	char *text = xasprintf("taxi %s [OPTIONS]%s%s\n\n%s.\n\n%s", cmd->name,
	    cmd->operands[0] ? " " : "", cmd->operands, cmd->about, cmd->help);
	int rest, got;

	flags_first(tables, ntables, argc, argv);
	argc = count(argv);
	got = opt_parse(tables, ntables, text, argc, argv, &rest);
	free(text);
	if (got != 0)
		return got > 0 ? 0 : CLI_USAGE;
	if (argc - rest < cmd->min_operands || argc - rest > cmd->max_operands) {
		fprintf(stderr, "taxi %s: expected %s\n", cmd->name,
		    cmd->operands[0] ? cmd->operands : "no operands");
		return CLI_USAGE;
	}
	if (!sock_is_endpoint(cli.bus)) {
		fprintf(stderr, "taxi: --bus must be tcp://host:port or ipc://path, not '%s'\n",
		    cli.bus);
		return CLI_USAGE;
	}
	if (strcmp(cli.output, "table") != 0 && strcmp(cli.output, "json") != 0) {
		fprintf(stderr, "taxi: --output must be table or json, not '%s'\n", cli.output);
		return CLI_USAGE;
	}
	return cmd->run(&cli, argc - rest, argv + rest);
}

int
main(int argc, char **argv)
{
	const struct cli_command *cmd;
	char **args;
	int words, code;

	log_init("taxi", LOG_ERROR);
	if (argc < 2) {
		usage(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return 0;
	}
	if (strcmp(argv[1], "--version") == 0) {
		puts("taxi " TAXI_VERSION);
		return 0;
	}
	cmd = find(argc, argv, &words);
	if (cmd == NULL) {
		fprintf(stderr,
		    "taxi: no command '%s'; a command comes first, options after it; `taxi --help` "
		    "lists them\n",
		    argv[1]);
		return CLI_USAGE;
	}
	args = xcalloc((size_t)argc + 2, sizeof *args);
	memcpy(args, argv + words, (size_t)(argc - words) * sizeof *args);
	code = run(cmd, argc - words, args);
	free(args);
	worker_free(cli.worker);
	client_free(cli.client);
	link_free(cli.link);
	loop_free(cli.loop);
	return code;
}

#include "cli/args.h"

#include <stdio.h>

#include "base/die.h"
#include "proto/sock.h"

/* argv[1…] joined by spaces, as many words as a name may have. */
static void
join(int argc, char **argv, int words, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (int i = 1; i <= words && i < argc && n < size; i++)
		n += (size_t)snprintf(out + n, size - n, "%s%s", i > 1 ? " " : "", argv[i]);
}

const struct cli_command *
args_find(const struct cli *c, int argc, char **argv, int *words)
{
	char name[64];

	for (*words = 2; *words > 0; --*words) {
		join(argc, argv, *words, name, sizeof name);
		for (size_t i = 0; *words < argc && i < c->ncommands; i++) {
			if (strcmp(c->commands[i]->name, name) == 0)
				return c->commands[i];
		}
	}
	return NULL;
}

const struct cli_command *
args_near(const struct cli *c, int argc, char **argv)
{
	const struct cli_command *near = NULL;
	unsigned best = 3;
	char name[64];

	for (int words = 2; words > 0; words--) {
		join(argc, argv, words, name, sizeof name);
		for (size_t i = 0; i < c->ncommands; i++) {
			unsigned d = opt_distance(name, c->commands[i]->name);

			/* one wrong letter in three would make anything near */
			if (d < best && d * 3 <= strlen(name)) {
				best = d;
				near = c->commands[i];
			}
		}
	}
	return near;
}

/* ---- options in any order ---- */

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

static char *
literal(const char *s)
{
	return (char *)(uintptr_t)s; /* argv is char **, and nobody writes into it */
}

/* Flags first, operands after, so that people may write them in any order. */
static void
flags_first(const struct opt_table *tables, size_t n, int argc, char **argv)
{
	char **out = xcalloc((size_t)argc + 2, sizeof *out);
	char **operands = xcalloc((size_t)argc + 1, sizeof *operands);
	int nout = 1, nops = 0, i;

	for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
		const struct opt *row;

		if (strcmp(argv[i], "-o") == 0)
			argv[i] = literal("--output");
		if (strcmp(argv[i], "--json") == 0)
			argv[i] = literal("--output=json");
		if (argv[i][0] != '-' || argv[i][1] == '\0') {
			operands[nops++] = argv[i];
			continue;
		}
		out[nout++] = argv[i];
		row = row_of(tables, n, argv[i] + strspn(argv[i], "-"));
		if (row != NULL && row->type != OPT_BOOL && i + 1 < argc)
			out[nout++] = argv[++i];
	}
	if (i < argc || nops > 0)
		out[nout++] = literal("--");
	for (int k = 0; k < nops; k++)
		out[nout++] = operands[k];
	for (i++; i < argc; i++)
		out[nout++] = argv[i];
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
check_common(const struct cli *c)
{
	if (!sock_is_endpoint(c->bus)) {
		return cli_usage(
		    c, "--bus must be tcp://host:port or ipc://path, not '%s'", c->bus);
	}
	if (strcmp(c->output, "table") != 0 && strcmp(c->output, "json") != 0)
		return cli_usage(c, "--output must be table or json, not '%s'", c->output);
	return 0;
}

int
args_run(struct cli *c, const struct cli_command *cmd, int argc, char **argv)
{
	/* A command's own options have names like ID: an environment that happens to hold TAXI_ID
	 * must not make every publish a repeat. */
	const struct opt_table own[] = {{"TAXI_CLI_", cmd->name, cmd->rows, cmd->nrows}, c->common};
	const struct opt_table *tables = cmd->nrows > 0 ? own : own + 1;
	const size_t ntables = cmd->nrows > 0 ? 2 : 1;
	char *text = xasprintf("taxi %s [OPTIONS]%s%s\n\n%s.\n\n%s", cmd->name,
	    cmd->operands[0] ? " " : "", cmd->operands, cmd->about, cmd->help);
	int rest = 0, got;

	c->command = cmd;
	flags_first(tables, ntables, argc, argv);
	argc = count(argv);
	got = opt_parse(tables, ntables, text, argc, argv, &rest);
	free(text);
	if (got != 0)
		return got > 0 ? 0 : CLI_USAGE;
	if (argc - rest < cmd->min_operands || argc - rest > cmd->max_operands) {
		return cli_usage(
		    c, "expected %s", cmd->operands[0] ? cmd->operands : "no operands");
	}
	got = check_common(c);
	return got != 0 ? got : cmd->run(c, argc - rest, argv + rest);
}

int
args_help(struct cli *c, const struct cli_command *cmd)
{
	char *argv[6] = {literal("taxi"), literal("--help")};

	return args_run(c, cmd, 2, argv);
}

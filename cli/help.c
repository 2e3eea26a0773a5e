/* taxi help, and what is said when there is no such command. */
#include "cli/help.h"

#include "cli/args.h"
#include "cli/table.h"

static bool man;
static const struct opt rows[] = {
    {"man", OPT_BOOL, &man, "false", 0, 0, 0, "the whole manual as roff, for man(1)"},
};

/* As help lists them: what is asked for most comes first. */
static const enum cli_section order[] = {CLI_TALK, CLI_LOOK, CLI_MEND, CLI_HOUSE};

static void
put_command(const struct cli_command *cmd, FILE *f)
{
	/* printf pads by bytes */
	int wide = (int)(strlen(cmd->operands) - table_width(span_str(cmd->operands)));

	fprintf(f, "  %-16s %-*s %s\n", cmd->name, 17 + wide, cmd->operands, cmd->about);
}

void
help_usage(const struct cli *c, FILE *f)
{
	fputs("taxi: publish, request, watch and mend on the Taxiway bus\n\n"
	      "usage: taxi COMMAND [OPTIONS] [OPERANDS]\n",
	    f);
	for (size_t s = 0; s < sizeof order / sizeof *order; s++) {
		fprintf(f, "\n%s\n", help_sections[order[s]]);
		for (size_t i = 0; i < c->ncommands; i++) {
			if (c->commands[i]->section == order[s])
				put_command(c->commands[i], f);
		}
	}
	fputs("\n`taxi COMMAND --help` teaches one command, `taxi help TOPIC` one of:\n", f);
	for (size_t i = 0; i < help_ntopics; i++)
		fprintf(f, "  %-16s %s\n", help_topics[i].name, help_topics[i].about);
}

bool
help_prefix(const struct cli *c, const char *word, FILE *f)
{
	size_t n = strlen(word);
	bool found = false;

	for (size_t i = 0; i < c->ncommands; i++) {
		if (strncmp(c->commands[i]->name, word, n) != 0 || c->commands[i]->name[n] != ' ')
			continue;
		if (!found)
			fprintf(f, "taxi %s does one of:\n\n", word);
		found = true;
		put_command(c->commands[i], f);
	}
	return found;
}

static void
say_json(const struct cli *c)
{
	for (size_t i = 0; i < c->ncommands; i++) {
		if (c->commands[i]->json != NULL) {
			printf(
			    "%s%s: %s", i ? "\n" : "", c->commands[i]->name, c->commands[i]->json);
		}
	}
}

bool
help_is_topic(const char *word)
{
	for (size_t i = 0; i < help_ntopics; i++) {
		if (strcmp(help_topics[i].name, word) == 0)
			return true;
	}
	return false;
}

static int
say_topic(const struct cli *c, const char *word)
{
	for (size_t i = 0; i < help_ntopics; i++) {
		if (strcmp(help_topics[i].name, word) == 0) {
			printf("%s: %s\n\n", word, help_topics[i].about);
			if (help_topics[i].text == NULL) {
				say_json(c);
			} else {
				fputs(help_topics[i].text, stdout);
			}
			return 0;
		}
	}
	if (help_prefix(c, word, stdout))
		return 0;
	fprintf(stderr, "taxi: no command and no topic '%s'; `taxi help` lists them\n", word);
	return CLI_USAGE;
}

static int
run(struct cli *c, int argc, char **argv)
{
	/* args_find looks from argv[1] on */
	char *words[4] = {argv[0], argc > 0 ? argv[0] : NULL, argc > 1 ? argv[1] : NULL, NULL};
	const struct cli_command *cmd;
	int n;

	if (man) {
		help_man(c);
		return 0;
	}
	if (argc == 0) {
		help_usage(c, stdout);
		return 0;
	}
	cmd = args_find(c, argc + 1, words, &n);
	return cmd != NULL ? args_help(c, cmd) : say_topic(c, argv[0]);
}

const struct cli_command cli_help = {
    .name = "help",
    .operands = "[COMMAND|TOPIC]",
    .about = "What a command does, or one of the topics below",
    .help =
	"  taxi help\n  taxi help dead retry\n  taxi help exit-codes\n  taxi help --man >taxi.1\n",
    .max_operands = 2,
    .rows = rows,
    .nrows = 1,
    .run = run,
};

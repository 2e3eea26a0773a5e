/* taxi completion: scripts for shells, made from the tables. */
#include <stdio.h>

#include "cli/help.h"

/* ---- bash ---- */

static void
bash_flags(const struct cli_command *cmd, const struct opt_table *common)
{
	for (size_t i = 0; i < cmd->nrows; i++)
		printf(" --%s", cmd->rows[i].flag);
	for (size_t i = 0; i < common->n; i++)
		printf(" --%s", common->rows[i].flag);
}

/* What follows `word` in names of two words. */
static void
second_words(const struct cli *c, const char *word)
{
	size_t n = strlen(word);

	for (size_t i = 0; i < c->ncommands; i++) {
		if (strncmp(c->commands[i]->name, word, n) == 0 && c->commands[i]->name[n] == ' ')
			printf(" %s", c->commands[i]->name + n + 1);
	}
}

/* The first word of command i, once for all commands that share it. */
static bool
first_word(const struct cli *c, size_t i, char word[64])
{
	size_t n = strcspn(c->commands[i]->name, " ");

	snprintf(word, 64, "%.*s", (int)n, c->commands[i]->name);
	for (size_t k = 0; k < i; k++) {
		if (strncmp(c->commands[k]->name, word, n) == 0 &&
		    (c->commands[k]->name[n] == ' ' || c->commands[k]->name[n] == '\0'))
			return false;
	}
	return true;
}

static void
bash(const struct cli *c)
{
	char word[64];

	fputs("# bash completion for taxi: source <(taxi completion bash)\n"
	      "_taxi() {\n"
	      "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}\n"
	      "\tlocal one=${COMP_WORDS[1]} two=${COMP_WORDS[2]} words=\n"
	      "\tcase $prev in\n"
	      "\t--group) COMPREPLY=($(compgen -W \"$(taxi completion groups 2>/dev/null)\" -- "
	      "\"$cur\")); return ;;\n"
	      "\t--output|-o) COMPREPLY=($(compgen -W 'table json' -- \"$cur\")); return ;;\n"
	      "\tesac\n"
	      "\tif [ \"$COMP_CWORD\" = 1 ]; then\n\t\twords='",
	    stdout);
	for (size_t i = 0; i < c->ncommands; i++) {
		if (first_word(c, i, word))
			printf("%s ", word);
	}
	fputs("'\n\telse\n\t\tcase \"$one $two\" in\n", stdout);
	/* Two words first: the shell takes the first pattern that matches. */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < c->ncommands; i++) {
			const struct cli_command *cmd = c->commands[i];

			if ((strchr(cmd->name, ' ') == NULL) != (pass == 1))
				continue;
			printf("\t\t'%s'%s) words='", cmd->name, pass == 1 ? "\\ *" : "");
			bash_flags(cmd, &c->common);
			second_words(c, cmd->name);
			if (strcmp(cmd->name, "help") == 0) {
				for (size_t k = 0; k < help_ntopics; k++)
					printf(" %s", help_topics[k].name);
			}
			puts("' ;;");
		}
	}
	for (size_t i = 0; i < c->ncommands; i++) {
		if (!first_word(c, i, word) || strcmp(word, c->commands[i]->name) == 0)
			continue;
		printf("\t\t'%s '*) words='", word);
		second_words(c, word);
		puts("' ;;");
	}
	fputs("\t\tesac\n\tfi\n"
	      "\tcase $one\\ $two in\n"
	      "\tgroups\\ *) [ \"$COMP_CWORD\" = 1 ] || words=\"$words $(taxi completion groups "
	      "2>/dev/null)\" ;;\n\tesac\n"
	      "\tCOMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
	      "}\ncomplete -o default -F _taxi taxi\n",
	    stdout);
}

/* ---- zsh ---- */

/* Text inside single quotes, where a quote and zsh's own : [ ] want care. */
static void
put_quoted(const char *s, const char *escape)
{
	for (; *s; s++) {
		if (*s == '\'') {
			fputs("'\\''", stdout);
			continue;
		}
		if (strchr(escape, *s) != NULL)
			putchar('\\');
		putchar(*s);
	}
}

static void
zsh_rows(const struct opt *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		printf(" '--%s[", rows[i].flag);
		put_quoted(rows[i].help, ":[]");
		printf("]%s%s%s'", rows[i].type == OPT_BOOL ? "" : ":",
		    rows[i].type == OPT_BOOL ? "" : rows[i].flag,
		    strcmp(rows[i].flag, "group") == 0 ? ":($(taxi completion groups 2>/dev/null))"
		    : strcmp(rows[i].flag, "output") == 0 ? ":(table json)"
		    : rows[i].type == OPT_BOOL            ? ""
							  : ": ");
	}
}

static void
zsh(const struct cli *c)
{
	char word[64];

	fputs("#compdef taxi\n# zsh completion for taxi: taxi completion zsh >~/.zfunc/_taxi\n"
	      "_taxi() {\n\tif (( CURRENT == 2 )); then\n\t\tlocal -a first=(",
	    stdout);
	for (size_t i = 0; i < c->ncommands; i++) {
		if (!first_word(c, i, word))
			continue;
		printf("\n\t\t\t'%s:", word);
		put_quoted(c->commands[i]->about, ":");
		putchar('\'');
	}
	fputs(")\n\t\t_describe command first\n\t\treturn\n\tfi\n"
	      "\tcase \"${words[2]} ${words[3]}\" in\n",
	    stdout);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < c->ncommands; i++) {
			const struct cli_command *cmd = c->commands[i];

			if ((strchr(cmd->name, ' ') == NULL) != (pass == 1))
				continue;
			printf("\t'%s'%s) _arguments", cmd->name, pass == 1 ? "\\ *" : "");
			zsh_rows(cmd->rows, cmd->nrows);
			zsh_rows(c->common.rows, c->common.n);
			fputs(" '*:operand:(", stdout);
			second_words(c, cmd->name);
			fputs(" )' ;;\n", stdout);
		}
	}
	for (size_t i = 0; i < c->ncommands; i++) {
		if (!first_word(c, i, word) || strcmp(word, c->commands[i]->name) == 0)
			continue;
		printf("\t'%s '*) compadd --", word);
		second_words(c, word);
		puts(" ;;");
	}
	fputs("\tesac\n}\n_taxi \"$@\"\n", stdout);
}

/* ---- fish ---- */

static void
fish_rows(const char *when, const struct opt *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		printf("complete -c taxi -n '%s' -l %s -d '", when, rows[i].flag);
		put_quoted(rows[i].help, "");
		printf("'%s%s\n", rows[i].type == OPT_BOOL ? "" : " -x",
		    strcmp(rows[i].flag, "group") == 0    ? " -a '(taxi completion groups)'"
		    : strcmp(rows[i].flag, "output") == 0 ? " -a 'table json'"
							  : "");
	}
}

static void
fish(const struct cli *c)
{
	char word[64], when[160];

	puts("# fish completion for taxi: taxi completion fish | source");
	fish_rows("true", c->common.rows, c->common.n);
	for (size_t i = 0; i < c->ncommands; i++) {
		const struct cli_command *cmd = c->commands[i];
		const char *space = strchr(cmd->name, ' ');

		if (first_word(c, i, word)) {
			printf("complete -c taxi -n __fish_use_subcommand -f -a %s -d '", word);
			put_quoted(cmd->about, "");
			puts("'");
		}
		snprintf(word, sizeof word, "%.*s", (int)strcspn(cmd->name, " "), cmd->name);
		snprintf(when, sizeof when, "__fish_seen_subcommand_from %s", word);
		if (space != NULL) {
			printf("complete -c taxi -n '%s' -f -a %s -d '", when, space + 1);
			put_quoted(cmd->about, "");
			puts("'");
			snprintf(when, sizeof when,
			    "__fish_seen_subcommand_from %s; and __fish_seen_subcommand_from %s",
			    word, space + 1);
		}
		fish_rows(when, cmd->rows, cmd->nrows);
	}
}

/* Names for the scripts above: silent when there is no broker. */
static int
groups(struct cli *c)
{
	const msgpack_object_array *list;
	struct cli_reply r;

	c->timeout_ms = 500;
	cli_ask(c, "sys.groups", (struct span){NULL, 0}, &r);
	list = cli_list(&r, "groups");
	for (uint32_t i = 0; i < list->size; i++) {
		struct span name = doc_str(&list->ptr[i], "group");

		printf("%.*s\n", (int)name.n, (const char *)name.p);
	}
	cli_reply_fini(&r);
	return 0;
}

static int
run(struct cli *c, int argc, char **argv)
{
	static const struct {
		const char *shell;
		void (*put)(const struct cli *c);
	} shells[] = {{"bash", bash}, {"zsh", zsh}, {"fish", fish}};

	(void)argc;
	for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
		if (strcmp(shells[i].shell, argv[0]) == 0) {
			shells[i].put(c);
			return 0;
		}
	}
	if (strcmp(argv[0], "groups") == 0)
		return groups(c);
	return cli_usage(c, "expected bash, zsh or fish, not '%s'", argv[0]);
}

const struct cli_command cli_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .about = "A completion script for your shell",
    .help = "  source <(taxi completion bash)\n"
	    "  taxi completion zsh >~/.zfunc/_taxi\n"
	    "  taxi completion fish >~/.config/fish/completions/taxi.fish\n\n"
	    "It knows every command and option, and asks the broker for the names of groups.\n",
    .min_operands = 1,
    .max_operands = 1,
    .run = run,
};

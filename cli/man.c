/* The manual, made from the tables of commands, options and topics. */
#include <inttypes.h>

#include "base/str.h"
#include "cli/help.h"

/* One character that is no ASCII, as roff names it; returns its last byte. */
static const char *
put_wide(const char *s)
{
	size_t n = str_utf8_len(span_str(s));
	unsigned c = (unsigned char)*s & (n == 2 ? 0x1fu : n == 3 ? 0x0fu : 0x07u);

	for (size_t i = 1; i < n; i++)
		c = c << 6 | ((unsigned char)s[i] & 0x3fu);
	printf("\\[u%04X]", n > 0 ? c : '?');
	return n > 0 ? s + n - 1 : s;
}

/* Text that roff must take as it is: a dot or quote in first place, and every backslash. */
static void
put_text(const char *s)
{
	bool first = true;

	for (; *s; s++) {
		if (first && (*s == '.' || *s == '\''))
			fputs("\\&", stdout);
		first = *s == '\n';
		if (*s == '\\') {
			fputs("\\e", stdout);
		} else if (*s == '-') {
			fputs("\\-", stdout);
		} else if ((unsigned char)*s >= 0x80) {
			s = put_wide(s);
		} else {
			putchar(*s);
		}
	}
}

static void
put_literal(const char *text)
{
	puts(".nf");
	put_text(text);
	if (*text && text[strlen(text) - 1] != '\n')
		putchar('\n');
	puts(".fi");
}

static void
put_option(const struct opt_table *t, const struct opt *o)
{
	static const char *const kinds[] = {" \\fITEXT\\fR", " \\fIN\\fR", ""};

	(void)t;
	fputs(".TP\n\\fB\\-\\-", stdout);
	put_text(o->flag);
	printf("\\fR%s\n", kinds[o->type]);
	put_text(o->help);
	if (o->type == OPT_INT && o->max < INT64_MAX / 2)
		printf(" (%" PRId64 " to %" PRId64 ")", o->min, o->max);
	if (o->def != NULL && *o->def && o->type != OPT_BOOL && !(o->flags & OPT_SECRET)) {
		fputs("; default ", stdout);
		put_text(o->def);
	}
	puts(".");
}

static void
put_command(const struct cli_command *cmd)
{
	const struct opt_table own = {"TAXI_CLI_", cmd->name, cmd->rows, cmd->nrows};

	printf(".SS \"taxi %s", cmd->name);
	if (cmd->nrows > 0)
		fputs(" [OPTIONS]", stdout);
	fputs(cmd->operands[0] ? " " : "", stdout);
	put_text(cmd->operands);
	puts("\"");
	put_text(cmd->about);
	puts(".\n.PP");
	put_literal(cmd->help);
	for (size_t i = 0; i < cmd->nrows; i++)
		put_option(&own, &cmd->rows[i]);
	if (cmd->json != NULL) {
		puts(".PP\nWith \\fB\\-o json\\fR:\n.PP");
		put_literal(cmd->json);
	}
}

static void
put_upper(const char *s)
{
	for (; *s; s++)
		putchar(*s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s == '-' ? ' ' : *s);
}

void
help_man(const struct cli *c)
{
	static const enum cli_section order[] = {CLI_TALK, CLI_LOOK, CLI_MEND, CLI_HOUSE};

	puts(".TH TAXI 1 \"\" \"Taxiway " TAXI_VERSION "\" \"Taxiway\"\n.SH NAME\n"
	     "taxi \\- publish, request, watch and mend on the Taxiway bus\n.SH SYNOPSIS\n"
	     "\\fBtaxi\\fR \\fICOMMAND\\fR [\\fIOPTIONS\\fR] [\\fIOPERANDS\\fR]\n.SH OPTIONS\n"
	     "These go with every command; options and operands may come in any order.");
	for (size_t i = 0; i < c->common.n; i++)
		put_option(&c->common, &c->common.rows[i]);
	for (size_t s = 0; s < sizeof order / sizeof *order; s++) {
		fputs(".SH \"", stdout);
		put_upper(help_sections[order[s]]);
		puts("\"");
		for (size_t i = 0; i < c->ncommands; i++) {
			if (c->commands[i]->section == order[s])
				put_command(c->commands[i]);
		}
	}
	for (size_t i = 0; i < help_ntopics; i++) {
		if (help_topics[i].text == NULL)
			continue; /* said with each command */
		fputs(".SH \"", stdout);
		put_upper(help_topics[i].name);
		puts("\"");
		put_literal(help_topics[i].text);
	}
}

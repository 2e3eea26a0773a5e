#ifndef CLI_HELP_H
#define CLI_HELP_H
/* Everything that is said about the commands, made from their table. */
#include <stdio.h>

#include "cli/cli.h"

struct help_topic {
	const char *name, *about;
	const char *text; /* NULL: made from the commands (what each prints as JSON) */
};
extern const struct help_topic help_topics[];
extern const size_t help_ntopics;
extern const char *const help_sections[CLI_SECTIONS];

void help_usage(const struct cli *c, FILE *f);
bool help_is_topic(const char *word);
/* `word` begins names of two words ("dead"): list them.  False: it does not. */
bool help_prefix(const struct cli *c, const char *word, FILE *f);
/* The manual as roff. */
void help_man(const struct cli *c);

#endif

#ifndef CLI_ARGS_H
#define CLI_ARGS_H
/* From argv to a command that runs. */
#include "cli/cli.h"

/* The longest name that begins argv[1…]; NULL: none.  *words: how many of argv it takes. */
const struct cli_command *args_find(const struct cli *c, int argc, char **argv, int *words);
/* The name closest to argv[1…], NULL when none is near. */
const struct cli_command *args_near(const struct cli *c, int argc, char **argv);
/* Reads the options of cmd out of argv (argv[0] is ignored) and runs it; argv may be changed and
 * has room for two more.  Returns the exit code. */
int args_run(struct cli *c, const struct cli_command *cmd, int argc, char **argv);
/* What --help says. */
int args_help(struct cli *c, const struct cli_command *cmd);

#endif

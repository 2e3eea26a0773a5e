#ifndef CLI_SAY_H
#define CLI_SAY_H
/* What went wrong, what may be done, and the exit code that goes with it. */
#include "cli/cli.h"

/* The exit code of an error of the bus. */
int say_exit_code(enum err code);
/* What to do next, a sentence; `topic` may be empty. */
const char *say_next(enum err code);
/* An ERR on stderr, as text or as one line of JSON; returns its exit code. */
int say_error(bool json, const struct env *err);
/* `why`: the handshake failed; NULL: nobody is there. */
int say_unreached(bool json, const char *bus, const char *why);

#endif

#ifndef CLI_ASK_H
#define CLI_ASK_H
/* Ask the broker, print its answer: what the short commands share. */
#include "cli/cli.h"
#include "cli/map.h"

/* The answer for people; it is readable. */
typedef void ask_print_fn(const struct cli_reply *r);

/* REQ `topic` with `body` (NULL: none; it is freed).  With -o json the answer is printed as it is,
 * else by `print`.  Returns the exit code; what went wrong was said. */
int ask_print(struct cli *c, const char *topic, struct map *body, ask_print_fn *print);
/* The same of one thing, whose name is all of the body. */
int ask_print_of(
    struct cli *c, const char *topic, const char *key, const char *name, ask_print_fn *print);
/* The same, and the answer is the caller's: cli_reply_fini whatever came. */
int ask(struct cli *c, const char *topic, struct map *body, struct cli_reply *r);

#endif

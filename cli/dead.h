#ifndef CLI_DEAD_H
#define CLI_DEAD_H
/* What the commands on dead letters share. */
#include "cli/ask.h"

/* A number of a dead letter, or -1 said on stderr. */
int64_t dead_number(const struct cli *c, const char *text);
/* sys.dead.show: 0, or an exit code, said.  Free the reply. */
int dead_show(struct cli *c, int64_t no, struct cli_reply *r);
/* The envelope inside an item: 0, or -1 when it cannot be read. */
int dead_envelope(const msgpack_object *item, struct env *e);

#endif

#ifndef CLI_PUB_H
#define CLI_PUB_H
/* What the commands that publish share. */
#include "cli/cli.h"

struct pub_many {
	const char *topic, *key; /* key: NULL for none */
	const char *operand;     /* "-" or @file */
	const char *of;          /* names the stream; "" : a fresh one */
	int64_t window;
	bool retain;
};

/* Publish every line of a file as one envelope (pub_many.c). */
int pub_many(struct cli *c, const struct pub_many *p);
/* The id of line n (from 1) of a stream: the same whenever it is sent again. */
void pub_line_id(const char *of, uint64_t n, uint8_t id[16]);

#endif

#ifndef CONTROL_TOWER_CURSOR_H
#define CONTROL_TOWER_CURSOR_H
/* The place in a list after which the next page begins: opaque to clients.  Pure. */
#include <stdint.h>
#include "base/span.h"

#define CURSOR_TEXT 50 /* with its NUL */

struct cursor {
	int64_t at_us; /* unix time */
	uint8_t uuid[16];
};

char *cursor_text(const struct cursor *c, char out[CURSOR_TEXT]); /* returns out */
/* 0, or -1: not what cursor_text made. */
int cursor_parse(struct span text, struct cursor *c) __attribute__((warn_unused_result));

#endif

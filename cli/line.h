#ifndef CLI_LINE_H
#define CLI_LINE_H
/* One envelope as one line: for people, as JSON, or its body alone.  Pure. */
#include "base/buf.h"

enum line_style { LINE_TEXT, LINE_LONG, LINE_JSON, LINE_RAW };

struct line {
	int64_t at_ms;                       /* line_at */
	struct span topic, key, group, from; /* {NULL, 0}: absent */
	const uint8_t *id;
	const uint8_t *root; /* NULL: the id itself */
	uint64_t seq, try;   /* 0: none */
	bool retained;
	struct span body; /* msgpack; absent = nil */
};

/* When an envelope was made, as far as its id says (UUIDv7); else now_ms. */
int64_t line_at(const uint8_t id[16], int64_t now_ms);
/* Append it, newline and all.  LINE_TEXT cuts to `width` characters (0: does not). */
void line_put(const struct line *l, enum line_style style, size_t width, struct buf *out);

#endif

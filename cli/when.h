#ifndef CLI_WHEN_H
#define CLI_WHEN_H
/* A place in the journal as people name it.  Pure, but for the time zone of the process. */
#include "base/buf.h"

enum when_kind { WHEN_NEW, WHEN_ALL, WHEN_SEQ, WHEN_TIME };

struct when {
	enum when_kind kind;
	int64_t n; /* a seq, or unix ms */
};

#define WHEN_EXPECTED \
	"new, all, a seq like 1200, an age like -1h30m, or a time like 2026-11-21T10:00:00+01:00"

/* "new", "all", a seq, "-90s" "-1h30m" "-2d" (before now_ms), or RFC 3339; a day or a time without
 * an offset is local.  0, or -1. */
int when_parse(const char *text, int64_t now_ms, struct when *out)
    __attribute__((warn_unused_result));
/* "1h30m", "90s", "250ms" -> ms; -1 when it is no such text. */
int64_t when_duration(const char *text);
/* As `from` and `to` have it on the bus: one msgpack object. */
void when_put(const struct when *w, struct buf *out);

#endif

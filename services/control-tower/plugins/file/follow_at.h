#ifndef PLUGIN_FILE_FOLLOW_AT_H
#define PLUGIN_FILE_FOLLOW_AT_H
/* How far a followed file is: what its cursor says. */
#include "base/buf.h"

#define FOLLOW_TAIL 8u

struct follow_at {
	uint64_t gen; /* counts up when the file is written anew */
	uint64_t offset, line, bad;
	bool closed;               /* moved to done */
	uint8_t tail[FOLLOW_TAIL]; /* digest of the bytes before offset */
};

void follow_at_put(const struct follow_at *at, struct buf *out);
/* 0, or -1: not such a cursor. */
int follow_at_read(struct follow_at *at, struct span cursor);
/* The digest of the bytes of fd before `offset`; 0, or -1: they are not there. */
int follow_at_tail(int fd, uint64_t offset, uint8_t tail[FOLLOW_TAIL]);

#endif

#ifndef TESTS_UNIT_CAPTURE_H
#define TESTS_UNIT_CAPTURE_H
/* What is written to a descriptor between start and end, in a memory file. */
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture {
	int fd, saved, mem;
};

static inline void
capture_start(struct capture *c, int fd)
{
	fflush(NULL);
	c->fd = fd;
	c->saved = dup(fd);
	c->mem = memfd_create("capture", 0);
	dup2(c->mem, fd);
}

/* Bytes written; as many as fit are in text, with a NUL behind them. */
static inline size_t
capture_end(struct capture *c, char *text, size_t size)
{
	ssize_t n;

	fflush(NULL);
	dup2(c->saved, c->fd);
	close(c->saved);
	n = pread(c->mem, text, size - 1, 0);
	text[n > 0 ? n : 0] = 0;
	close(c->mem);
	return n > 0 ? (size_t)n : 0;
}

#endif

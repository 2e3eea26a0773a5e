#include "broker/journal_room.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"

int
journal_room_file(const char *path, int flags)
{
	int fd;

	do {
		fd = open(path, flags | O_CLOEXEC, 0600);
	} while (fd == -1 && errno == EINTR);
	return fd;
}

int
journal_room_open(struct journal_room *r, const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_RESERVE, dir);

	r->held = false;
	r->fd = journal_room_file(path, O_RDWR | O_CREAT);
	if (r->fd == -1) {
		log_error("journal_open_failed", LOG_S("dir", dir), LOG_S("what", "reserve"),
		    LOG_ERRNO());
	} else if (!journal_room_regain(r)) {
		log_warn("journal_full", LOG_S("dir", dir), LOG_S("what", "no room for a reserve"),
		    LOG_I("bytes", JOURNAL_RESERVE_BYTES));
	}
	free(path);
	return r->fd == -1 ? -1 : 0;
}

void
journal_room_close(struct journal_room *r)
{
	if (r->fd != -1)
		close(r->fd);
	r->fd = -1;
}

void
journal_room_release(struct journal_room *r)
{
	if (r->held && ftruncate(r->fd, 0) == -1)
		log_warn("journal_reserve", LOG_S("what", "not let go"), LOG_ERRNO());
	r->held = false;
}

bool
journal_room_regain(struct journal_room *r)
{
	int rc;

	if (r->held)
		return true;
	do {
		rc = fallocate(r->fd, 0, 0, JOURNAL_RESERVE_BYTES);
	} while (rc == -1 && errno == EINTR);
	r->held = rc == 0 || errno == EOPNOTSUPP;
	/* A part of it would only be missed elsewhere. */
	if (!r->held && ftruncate(r->fd, 0) == -1)
		log_warn("journal_reserve", LOG_S("what", "part of it kept"), LOG_ERRNO());
	return r->held;
}

#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int
fs_sync_dir(const char *dir)
{
	int fd, rc, e;

	do {
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} while (fd == -1 && errno == EINTR);
	if (fd == -1)
		return -1;
	rc = fsync(fd);
	e = errno;
	(void)close(fd);
	errno = e;
	return rc;
}

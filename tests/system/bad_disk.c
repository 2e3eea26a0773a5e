/* For LD_PRELOAD: a disk that fails while the file $BAD_DISK says so.  "sync": fsync and fdatasync
 * fail with EIO; "base": only those of journal.db; "write": pwrite fails with EIO; "full": it has
 * no room.  Only below $BAD_DISK_DIR. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at);

static int
is_below(int fd, const char *end)
{
	const char *dir = getenv("BAD_DISK_DIR");
	char link[64], path[4096];
	ssize_t n;

	(void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof path - 1);
	if (n <= 0 || dir == NULL)
		return 0;
	path[n] = '\0';
	return strncmp(path, dir, strlen(dir)) == 0 && (size_t)n >= strlen(end) &&
	       strcmp(path + n - strlen(end), end) == 0;
}

static int
is_bad(int fd, const char *how, const char *end)
{
	const char *name = getenv("BAD_DISK");
	char text[16] = "";
	int at = name != NULL ? open(name, O_RDONLY | O_CLOEXEC) : -1;

	if (at == -1)
		return 0;
	(void)!read(at, text, sizeof text - 1);
	close(at);
	return strcmp(text, how) == 0 && is_below(fd, end);
}

static int
sync_real(const char *name, int fd)
{
	int (*real)(int);

	*(void **)(void *)&real = dlsym(RTLD_NEXT, name);
	if (!is_bad(fd, "sync", "") && !is_bad(fd, "base", "/journal.db"))
		return real(fd);
	errno = EIO;
	return -1;
}

int
fsync(int fd)
{
	return sync_real("fsync", fd);
}

int
fdatasync(int fd)
{
	return sync_real("fdatasync", fd);
}

static ssize_t
write_real(int fd, const void *p, size_t n, off_t at)
{
	ssize_t (*real)(int, const void *, size_t, off_t);

	*(void **)(void *)&real = dlsym(RTLD_NEXT, "pwrite64");
	if (!is_bad(fd, "write", "") && !is_bad(fd, "full", ""))
		return real(fd, p, n, at);
	errno = is_bad(fd, "full", "") ? ENOSPC : EIO;
	return -1;
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off_t at)
{
	return write_real(fd, p, n, at);
}

ssize_t
pwrite(int fd, const void *p, size_t n, off_t at)
{
	return write_real(fd, p, n, at);
}

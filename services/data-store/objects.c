#include "services/data-store/objects.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"

#define STALE_MS (24 * 3600 * 1000LL)

static const char prefix[] = ".new-";

static void
sweep(const char *dir, DIR *d)
{
	struct dirent *e;

	while ((e = readdir(d)) != NULL) {
		struct stat st;

		if (strncmp(e->d_name, prefix, sizeof prefix - 1) != 0 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    clock_real_ms() - (int64_t)st.st_mtime * 1000 < STALE_MS)
			continue;
		log_info("object_swept", LOG_S("dir", dir), LOG_S("name", e->d_name));
		unlinkat(dirfd(d), e->d_name, 0);
	}
}

int
objects_open(const char *dir)
{
	DIR *d;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
		log_error("objects_dir", LOG_S("dir", dir), LOG_ERRNO());
		return -1;
	}
	d = opendir(dir);
	if (d == NULL || access(dir, W_OK | X_OK) != 0) {
		log_error("objects_dir", LOG_S("dir", dir), LOG_ERRNO());
		if (d != NULL)
			closedir(d);
		return -1;
	}
	sweep(dir, d);
	closedir(d);
	return 0;
}

int
objects_temp(const char *dir, char *path, unsigned size)
{
	int fd = -1;

	if (snprintf(path, size, "%s/%sXXXXXX", dir, prefix) < (int)size) {
		fd = mkostemp(path, O_CLOEXEC);
	} else {
		errno = ENAMETOOLONG;
	}
	if (fd == -1)
		log_error("object_temp", LOG_S("dir", dir), LOG_ERRNO());
	return fd;
}

static int
path_of(const char *dir, const char *sha256, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%.2s/%s", dir, sha256, sha256) < PATH_MAX)
		return 0;
	errno = ENAMETOOLONG;
	return -1;
}

int
objects_commit(const char *dir, const char *temp, int fd, const char *sha256)
{
	char path[PATH_MAX];
	char *slash;

	if (path_of(dir, sha256, path) != 0 || fsync(fd) != 0)
		return -1;
	slash = strrchr(path, '/');
	*slash = '\0';
	if (mkdir(path, 0700) == 0 ? fs_sync_dir(dir) != 0 : errno != EEXIST)
		return -1;
	*slash = '/';
	if (rename(temp, path) != 0)
		return -1;
	*slash = '\0';
	return fs_sync_dir(path);
}

int
objects_read(const char *dir, const char *sha256)
{
	char path[PATH_MAX];

	return path_of(dir, sha256, path) == 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

bool
objects_has(const char *dir, const char *sha256)
{
	char path[PATH_MAX];

	return strlen(sha256) == OBJECTS_HEX && path_of(dir, sha256, path) == 0 &&
	       access(path, R_OK) == 0;
}

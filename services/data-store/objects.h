#ifndef DATA_STORE_OBJECTS_H
#define DATA_STORE_OBJECTS_H
/* Fetched files, each kept once under the SHA-256 of its content: <dir>/<first two
 * digits>/<digest>.  A file is written under a temporary name and gets its own only when it is
 * whole and on the disk. */
#include <stdbool.h>
#include <stdint.h>

#define OBJECTS_HEX 64

/* The folder exists, can be written, and what a killed process left behind a day ago is swept out.
 * 0, or -1: logged. */
int objects_open(const char *dir);
/* A new file, its name into path; the fd, or -1: logged.  The caller closes it, and unlinks it or
 * commits it. */
int objects_temp(const char *dir, char *path, unsigned size);
/* fsync, rename, fsync of the folder.  0, or -1 with errno. */
int objects_commit(const char *dir, const char *temp, int fd, const char *sha256);
/* For reading; -1 with errno. */
int objects_read(const char *dir, const char *sha256);
bool objects_has(const char *dir, const char *sha256);

#endif

#ifndef BASE_FS_H
#define BASE_FS_H

/* A name made, renamed or deleted in `dir` survives a power cut once this returned 0.  -1: errno.
 */
int fs_sync_dir(const char *dir);

#endif

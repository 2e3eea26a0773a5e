#ifndef BROKER_JOURNAL_VFS_H
#define BROKER_JOURNAL_VFS_H
/* The file system under the connections of the writer and the mover: SQLite's own, but what a
 * commit writes to the WAL, a header of 24 bytes and a page for each frame, is gathered and handed
 * over in one call; and a WAL is not synced again where this connection has added nothing to it
 * since, as each checkpoint would: what another one added and can be seen was synced by that one's
 * commit.
 *
 * Nobody sees the difference.  What is gathered goes out before a sync, and before anything else of
 * this connection that could see the file (a read of spilled frames, a truncation, its size).
 * Another connection looks at no frame before the wal-index names it, and the wal-index names a
 * commit after its sync: this is for connections with synchronous=FULL alone.
 *
 * An error of the gathered write is that of the call which made it go out, with the code a write
 * has.  From then on the connection is refused every write, and reads of the lost bytes, until its
 * transaction is rolled back: SQLite writes over frames of its own transaction, so a write before
 * the lost ones does not say that they are given up. */
#include <sqlite3.h>

/* For sqlite3_open_v2; over what is the default when this is first called. */
const char *journal_vfs_name(void);
/* For a connection opened with it, at once. */
void journal_vfs_watch(sqlite3 *db);

#endif

#ifndef BROKER_JOURNAL_LOOK_H
#define BROKER_JOURNAL_LOOK_H
/* A journal looked at by who does not own it: nothing in its files is changed, and a broker may
 * work on it meanwhile.  Everything seen is as of the moment of journal_look_open. */
#include "broker/journal_db.h"

/* One read transaction on an existing journal of this format.  0, or -1 said on stderr.  While it
 * is open the WAL of a broker at work only grows. */
int journal_look_open(struct journal_db *d, const char *dir);
void journal_look_close(struct journal_db *d);

#endif

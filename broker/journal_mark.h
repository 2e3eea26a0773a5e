#ifndef BROKER_JOURNAL_MARK_H
#define BROKER_JOURNAL_MARK_H
/* A witness of the last commit outside the database: the head, written into journal.lock after each
 * commit and never synced.  A WAL that was damaged ends early without a word and takes with it all
 * that could tell; this tells.  It may lag behind, it is never ahead. */
#include <stdbool.h>
#include <stdint.h>

/* Whether there is one; *head is what it says. */
bool journal_mark_read(int fd, uint64_t *head);
/* Nothing depends on it: who cannot write one goes on without. */
bool journal_mark_write(int fd, uint64_t head);

#endif

#ifndef BROKER_JOURNAL_VERIFY_H
#define BROKER_JOURNAL_VERIFY_H
/* Every row of a journal against its checksum, the rows against each other, and SQLite's own check
 * of the pages they are on. */
#include <stdint.h>

struct journal_verified {
	uint64_t records, dead, retained, ids, first, head;
	uint64_t problems;
};

/* `say` gets each problem as a line of text.  0, or -1 when it could not be looked at (said on
 * stderr). */
typedef void journal_verify_fn(void *arg, const char *problem);
int journal_verify(
    const char *dir, journal_verify_fn *say, void *arg, struct journal_verified *out);

#endif

#ifndef BROKER_JOURNAL_DUMP_H
#define BROKER_JOURNAL_DUMP_H
/* What a journal holds, as lines of JSON. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct journal_dump {
	uint64_t from, to;   /* seqs, inclusive; of dead letters their numbers */
	const char *pattern; /* topics that match; NULL: all */
	bool dead, frames;   /* dead letters instead of records; the frame as it is, in hex */
};

/* Passes over what is damaged and says so on stderr.  0, or -1 when it could not be read or
 * written; *damaged counts. */
int journal_dump(const char *dir, const struct journal_dump *what, FILE *out, uint64_t *damaged);

#endif

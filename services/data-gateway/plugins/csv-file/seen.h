#ifndef PUSHER_CSV_FILE_SEEN_H
#define PUSHER_CSV_FILE_SEEN_H
/* A set of receipts, by fingerprint: "no" is certain, "yes" is to be looked up in the file.  Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct seen {
	uint64_t *slots; /* open addressing; 0 = free */
	size_t n, cap;   /* cap: 0 or a power of two */
};

void seen_fini(struct seen *s);
void seen_add(struct seen *s, const uint8_t receipt[16]);
bool seen_maybe(const struct seen *s, const uint8_t receipt[16]);

#endif

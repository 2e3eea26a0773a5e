#ifndef GATEWAY_REPORT_H
#define GATEWAY_REPORT_H
/* What a pusher says about one delivery: the body of `delivery.<destination>`, and the id under
 * which saying it twice is saying it once.  Pure. */
#include "base/buf.h"
#include "base/uuid.h"
#include "proto/digest.h"

enum report_state { REPORT_DELIVERED, REPORT_PENDING, REPORT_DEAD };

struct report {
	const char *destination;
	uint8_t receipt[16];
	const char *uuid; /* text; NULL when the body named none */
	enum report_state state;
	uint64_t rows, attempts;
	const char *last_error;  /* NULL: none */
	int64_t next_attempt_ms; /* unix; 0: none */
	int64_t at_ms;           /* unix */
};

const char *report_state_name(enum report_state s);
void report_put(const struct report *r, struct buf *out);
/* id = v8(group, seq, try, state); `dig` stands for the same four, so that a repeat said at another
 * time is still the same. */
void report_id(uint8_t id[16], uint8_t dig[DIGEST_BYTES], const char *group, uint64_t seq,
    uint64_t attempt, enum report_state s);

/* How long to wait after the given attempt (from 1): 1 s doubling to 60 s; after 100 attempts 5
 * min, so that a thousand attempts last three days. */
int64_t report_backoff_ms(uint64_t attempt);

#endif

#ifndef BROKER_POLICY_H
#define BROKER_POLICY_H
/* What groups start from, by pattern: a group takes each setting from the most specific policy that
 * its pattern lies within and that says something of it.  Pure. */
#include "base/span.h"
#include "proto/limits.h"

#define POLICIES_MOST 256u

/*      id              name            least  most */
#define POLICY_TABLE(X)                                \
	X(TRIES, "tries", 1, 1000)                     \
	X(ACK_MS, "ackMs", 1, 86400000)                \
	X(BACKOFF_MS, "backoffMs", 1, 86400000)        \
	X(BACKOFF_MAX_MS, "backoffMaxMs", 1, 86400000) \
	X(IDLE_MS, "idleMs", 0, INT64_MAX)             \
	X(MAX_OWED, "maxOwed", 0, INT64_MAX)           \
	X(FULL, "full", POLICY_FULL_PAUSE, POLICY_FULL_BUSY)

/* Over maxOwed: the group is paused and loses, or publishers of what it is owed are refused. */
enum { POLICY_FULL_PAUSE, POLICY_FULL_BUSY };

enum policy_field {
#define X(id, name, least, most) POLICY_##id,
	POLICY_TABLE(X)
#undef X
	    POLICY_FIELDS
};

#define POLICY_UNSAID (-1)

struct policy {
	char pattern[LIMIT_TOPIC + 1];
	int64_t v[POLICY_FIELDS]; /* POLICY_UNSAID */
};

struct policies;

const char *policy_name(enum policy_field f);
int64_t policy_least(enum policy_field f);
int64_t policy_most(enum policy_field f);

struct policies *policies_new(void);
void policies_free(struct policies *s); /* NULL is harmless */
/* Adds, or replaces the one of this pattern.  False: there are POLICIES_MOST others. */
bool policies_set(struct policies *s, const struct policy *p);
void policies_del(struct policies *s, struct span pattern); /* of no policy: nothing */
unsigned policies_count(const struct policies *s);
/* The i-th, most specific pattern first. */
const struct policy *policies_at(const struct policies *s, unsigned i);
const struct policy *policies_find(const struct policies *s, struct span pattern); /* NULL: none */
/* Fills in what is still unsaid in v for a group of this pattern. */
void policies_resolve(const struct policies *s, struct span pattern, int64_t v[POLICY_FIELDS]);

#endif

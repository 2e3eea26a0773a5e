#ifndef PROTO_ENV_IMPL_H
#define PROTO_ENV_IMPL_H
/* What env.c and env_fast.c share: names and rules of verbs and meta keys.  Nobody else includes
 * this. */
#include "proto/env.h"

enum { ENV_NAME = 8 };

/* Names padded with NUL to one machine word, so that a look-up is a run of word comparisons. */
extern const char env_verb_names[ENV_VERB_COUNT][ENV_NAME];
extern const char env_meta_names[ENV_M_COUNT][ENV_NAME];

struct env_meta_rule {
	char kind;
	uint8_t len;
	uint64_t max;
};
extern const struct env_meta_rule env_meta_rules[ENV_M_COUNT];

/* Keys whose readers copy a fixed number of bytes. */
static inline bool
env_meta_is_fixed(enum env_meta k)
{
	return k == ENV_M_DIG || k == ENV_M_ROOT || k == ENV_M_EPOCH;
}

/* The index of `s`, at most a word, among `count` names, from `hint` on and round; else count. */
static inline unsigned
env_find_name(const char (*names)[ENV_NAME], unsigned count, unsigned hint, struct span s)
{
	uint64_t word = 0, name;

	memcpy(&word, s.p, s.n);
	for (unsigned i = 0, k = hint; i < count; i++, k++) {
		if (k >= count)
			k = 0;
		memcpy(&name, names[k], sizeof name);
		if (name == word)
			return k;
	}
	return count;
}

/* Reads a header of the plain kind, which nearly all are: known keys only, every number and length
 * in a form without sign, text in ASCII, no value with others inside.  The length of it; 0: it is
 * not of that kind, good or bad, and `e` holds nothing of use. */
size_t env_fast(struct env *e, struct span frame);

#endif

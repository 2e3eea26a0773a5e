#ifndef BROKER_MATCH_H
#define BROKER_MATCH_H
/* Which subscriptions a topic concerns: a trie of tokens, so that the cost follows the depth of the
 * topic and not the number of patterns.  Pure: no I/O, no clock.
 *
 * An entry is the caller's, embedded in whatever subscribes; it must stay where it is between
 * match_add and match_del, and none may be added or removed while match_each runs. */
#include "base/list.h"
#include "base/span.h"

struct match;
struct match_node;

enum match_kind { MATCH_GROUP, MATCH_POOL, MATCH_TAIL };

struct match_entry {
	struct list link;
	struct match_node *at; /* NULL: not in the trie */
	enum match_kind kind;
};

struct match *match_new(void);
void match_free(struct match *m); /* entries still in it are let go */

/* `pattern` has passed topic_is_pattern; it is not kept. */
void match_add(struct match *m, struct span pattern, struct match_entry *e);
void match_del(struct match *m, struct match_entry *e); /* harmless when it is in no trie */

/* Calls fn for every entry whose pattern matches the valid topic, the most specific pattern first
 * (literal before `*` before `>`, from the left), until fn returns false. */
typedef bool match_fn(void *arg, struct match_entry *e);
void match_each(struct match *m, struct span topic, match_fn *fn, void *arg);

size_t match_nodes(const struct match *m);

#endif

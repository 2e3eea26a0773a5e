#ifndef BROKER_ACL_H
#define BROKER_ACL_H
/* The permissions: entries of a name, a public key and lists of patterns, read whole or not at all.
 * Pure: text comes in, answers go out.  Bounded: ACL_BYTES of text, ACL_ENTRIES, ACL_PATTERNS a
 * list. */
#include <uthash.h>

#include "base/span.h"

#define ACL_BYTES (1u << 20)
#define ACL_ENTRIES 4096u
#define ACL_PATTERNS 256u
#define ACL_NAME 64u
#define ACL_KEY 40u
#define ACL_LOCAL "local"

/*      id         field        what an entry may do with it */
#define ACL_VERBS_TABLE(X)                        \
	X(PUBLISH, "publish", "publish")          \
	X(SUBSCRIBE, "subscribe", "subscribe to") \
	X(REQUEST, "request", "request")          \
	X(SERVE, "serve", "serve")                \
	X(GROUPS, "groups", "join group")         \
	X(ROUTE, "route", "announce paths as")

enum acl_verb {
#define X(id, field, text) ACL_##id,
	ACL_VERBS_TABLE(X)
#undef X
	    ACL_VERBS
};

struct acl_list {
	struct span *v;
	unsigned n;
};

struct acl_entry {
	UT_hash_handle hh;      /* by key; `local` has none and is in no table */
	struct acl_entry *next; /* in the order of the file */
	char name[ACL_NAME + 1], key[ACL_KEY + 1];
	struct acl_list list[ACL_VERBS];
	unsigned no;    /* from 0, in the order of the file */
	unsigned given; /* 1 << verb: the list is in the file, if perhaps empty */
	bool act_as;
};

struct acl {
	char *text; /* what the lists point into */
	struct acl_entry *by_key, *first, **end;
	const struct acl_entry *local; /* NULL: ipc may do everything */
	unsigned n;
};

struct acl_fault {
	unsigned line; /* 0: the text as a whole */
	char entry[ACL_NAME + 1], field[32];
	const char *why;
};

/* NULL: not one word of it is taken, and *f says what is wrong where. */
struct acl *acl_parse(struct span text, struct acl_fault *f);
void acl_free(struct acl *a);

const struct acl_entry *acl_find(const struct acl *a, const char key[ACL_KEY + 1]); /* or NULL */

/* A topic, for PUBLISH and REQUEST. */
bool acl_allows_topic(const struct acl_entry *e, enum acl_verb verb, struct span topic);
/* All that a pattern matches, for SUBSCRIBE and SERVE. */
bool acl_allows_pattern(const struct acl_entry *e, enum acl_verb verb, struct span pattern);
/* A group by name; every one where the entry says nothing of groups. */
bool acl_allows_group(const struct acl_entry *e, struct span name);
/* A service by name. */
bool acl_allows_route(const struct acl_entry *e, struct span name);
/* Everything that passes: the feed. */
bool acl_allows_feed(const struct acl_entry *e);
/* Any of these, by verb. */
bool acl_allows(const struct acl_entry *e, enum acl_verb verb, struct span what);

const char *acl_verb_text(enum acl_verb verb); /* "subscribe to" */

#endif

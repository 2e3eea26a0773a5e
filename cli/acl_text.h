#ifndef CLI_ACL_TEXT_H
#define CLI_ACL_TEXT_H
/* The broker's `acl` file as people wrote it: entries are added, replaced and taken out, and every
 * other line, comments too, stays as it was.  Pure. */
#include "base/buf.h"

#define ACL_TEXT_MOST (1u << 20)

struct acl_section {
	struct span text; /* its lines */
	struct span name, key;
};

/* The sections, one after another: start with *at 0.  False at the end, or where *why is set. */
struct acl_walk {
	struct span text;
	size_t at;
	unsigned line; /* lines that are behind; with why: that of the mistake */
	const char *why;
};
bool acl_text_next(struct acl_walk *w, struct acl_section *s);

/* `text` with the entry in place of the one that has its key, or at the end.  False: the key is
 * another name's, *other. */
bool acl_text_set(struct span text, struct span name, struct span key, struct span entry,
    struct buf *out, struct span *other);
/* `text` without the entries of this name, or with this key; how many there were. */
unsigned acl_text_remove(struct span text, struct span name_or_key, struct buf *out);

#endif

#ifndef BASE_LIST_H
#define BASE_LIST_H
/* Intrusive doubly linked ring with a sentinel.  State is a list: an object moves between the lists
 * of its owner, and a count is a list's length. */
#include <stdbool.h>
#include <stddef.h>

struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *l)
{
	l->prev = l->next = l;
}

static inline bool
list_empty(const struct list *l)
{
	return l->next == l;
}

static inline void
list_push_back(struct list *l, struct list *n)
{
	n->prev = l->prev;
	n->next = l;
	l->prev->next = n;
	l->prev = n;
}

static inline void
list_push_front(struct list *l, struct list *n)
{
	list_push_back(l->next, n);
}

/* Unlinks; the node becomes its own ring, so a second removal is harmless. */
static inline void
list_remove(struct list *n)
{
	n->prev->next = n->next;
	n->next->prev = n->prev;
	list_init(n);
}

/* The first node, unlinked; NULL when there is none. */
static inline struct list *
list_pop(struct list *l)
{
	struct list *n = l->next;

	if (n == l)
		return NULL;
	l->next = n->next;
	n->next->prev = l;
	list_init(n);
	return n;
}

#define LIST_ITEM(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))
#define LIST_FIRST(l, type, member) (list_empty(l) ? NULL : LIST_ITEM((l)->next, type, member))
/* The body may remove `it`. */
#define LIST_EACH(it, l, type, member) \
	for (struct list *it##_n = (l)->next, *it##_s = it##_n->next; \
	     it##_n != (l) && ((void)((it) = LIST_ITEM(it##_n, type, member)), true); \
	     it##_n = it##_s, it##_s = it##_n->next)

#endif

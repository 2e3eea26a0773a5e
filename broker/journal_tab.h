#ifndef BROKER_JOURNAL_TAB_H
#define BROKER_JOURNAL_TAB_H
/* Tables of the journal in memory: names of bytes, each with two values of bytes and two numbers.
 * The table owns copies of all of them. */
#include <stdint.h>
#include "base/die.h"
#include "base/span.h"

#define uthash_fatal(msg) die(EXIT_AGAIN, "uthash: %s", msg)
#include <uthash.h>

struct journal_item {
	UT_hash_handle hh;
	struct span name;
	struct span a,
	    b; /* cursor: owner, value; group: settings, state; claim: name; id: digest */
	uint8_t *name_mem, *a_mem, *b_mem;
	struct journal_row *row; /* retained: its spans are in `a_mem` */
	uint64_t n;              /* group: next; id: seq */
	uint32_t m;              /* id: groups */
};

struct journal_tab {
	struct journal_item *head;
};

/* Copies the spans one after the other into memory that the caller frees, and points each at its
 * copy. An absent span stays absent. */
uint8_t *journal_tab_keep(struct span **v, size_t n);
/* *v becomes a copy of `to`, held by *mem. */
void journal_tab_replace(uint8_t **mem, struct span *v, struct span to);

struct journal_item *journal_tab_find(const struct journal_tab *t, struct span name);
struct journal_item *journal_tab_add(struct journal_tab *t, struct span name); /* a new name */
void journal_tab_del(struct journal_tab *t, struct journal_item *it); /* NULL is harmless */
void journal_tab_clear(struct journal_tab *t);

/* By name, as bytes. */
typedef void journal_tab_fn(void *arg, const struct journal_item *it);
void journal_tab_each(struct journal_tab *t, journal_tab_fn *fn, void *arg);

#endif

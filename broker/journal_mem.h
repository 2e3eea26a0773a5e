#ifndef BROKER_JOURNAL_MEM_H
#define BROKER_JOURNAL_MEM_H
/* The journal in memory: records, ids and cursors in journal_mem.c, what has a name or a number of
 * its own in journal_mem_names.c.  Everything is copied in and owned here. */
#include "broker/journal_impl.h"
#include "broker/journal_tab.h"

struct journal_mem_rec {
	struct journal_row row;
	uint8_t *bytes; /* topic, key, frame */
};

struct journal_mem_letter {
	struct list node;
	struct journal_dead d;
	uint8_t *bytes;
};

struct journal_mem {
	struct journal j;
	struct list done;
	struct journal_mem_rec *recs; /* recs[i] is seq first + i */
	size_t n, cap;
	uint64_t head, first, last_no;
	int64_t at_ms, since_ms;
	struct journal_tab ids, ids_before, cursors, groups, claims, policies, retained;
	uint64_t retained_bytes;
	struct list dead;
	struct journal_stats stats;
};

/* Everything but PUT and TRIM. */
void journal_mem_names_exec(struct journal_mem *m, struct journal_op *op);
void journal_mem_names_free(struct journal_mem *m);

struct journal_mem_letter *journal_mem_names_letter(struct journal_mem *m, uint64_t no);
void journal_mem_names_bury(struct journal_mem_letter *l); /* out of the list, and freed */

/* Whether the values a PUT retains fit, and what one record does to them. */
bool journal_mem_names_fits(const struct journal_mem *m, const struct journal_op *op);
void journal_mem_names_retain(
    struct journal_mem *m, const struct journal_row *row, enum journal_retain how);

/* As in struct journal_ops. */
int journal_mem_names_groups(struct journal *j, journal_group_fn *fn, void *arg);
int journal_mem_names_claims(struct journal *j, journal_claim_fn *fn, void *arg);
int journal_mem_names_policies(struct journal *j, journal_policy_fn *fn, void *arg);
int journal_mem_names_dead(
    struct journal *j, struct span group, uint64_t after, journal_dead_fn *fn, void *arg);
int journal_mem_names_retained(struct journal *j, struct span after, journal_row_fn *fn, void *arg);

#endif

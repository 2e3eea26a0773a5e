#ifndef TESTS_UNIT_JOURNAL_OPS_H
#define TESTS_UNIT_JOURNAL_OPS_H
/* Random operations of every kind from a few names, so that repeats, conflicts and replacements are
 * common; and all that a journal says, as text. */
#include "base/buf.h"
#include "tests/unit/journal_kit.h"

#define OPS_RECS 4u
#define OPS_HOUR INT64_C(3600000)

static const char *const ops_words[] = {"", "a", "b", "ab", "abc", "zebra"};
#define OPS_WORDS 6u

static inline struct span
ops_word(uint64_t *seed)
{
	unsigned i = kit_below(seed, OPS_WORDS + 1);

	return i == OPS_WORDS ? (struct span){NULL, 0} : span_str(ops_words[i]);
}

static inline struct span
ops_name(uint64_t *seed)
{
	return span_str(ops_words[1 + kit_below(seed, OPS_WORDS - 1)]);
}

static inline void
ops_make_put(struct journal_op *op, struct journal_rec *recs, uint64_t *seed)
{
	unsigned n = kit_below(seed, OPS_RECS + 1);

	*op = kit_put(recs, n);
	for (unsigned i = 0; i < n; i++) {
		/* Few ids and fewer contents: repeats, conflicts and twins are common. */
		recs[i] = kit_rec(kit_below(seed, 200), kit_below(seed, 20) == 0 ? "odd" : "even");
		recs[i].key = ops_word(seed);
		recs[i].groups = kit_below(seed, 5);
		recs[i].exp_ms = kit_below(seed, 3);
		recs[i].topic = ops_name(seed);
		recs[i].from = ops_word(seed);
		recs[i].only = ops_word(seed);
		recs[i].anew = kit_below(seed, 10) == 0;
		recs[i].retain = (enum journal_retain)kit_below(seed, JOURNAL_RETAIN_CLEAR + 1);
	}
	op->u.put.dead = kit_below(seed, 8) == 0 ? kit_below(seed, 20) : 0;
	if (kit_below(seed, 3) != 0)
		return;
	op->u.put.src = ops_name(seed);
	op->u.put.owner = span_str(kit_below(seed, 8) == 0 ? "you" : "me");
	op->u.put.cur = ops_word(seed);
	op->u.put.was = ops_word(seed);
}

static inline void
ops_make(struct journal_op *op, struct journal_rec *recs, uint64_t *seed)
{
	*op =
	    (struct journal_op){.kind = (enum journal_kind)kit_below(seed, JOURNAL_POLICY_DEL + 1)};
	switch (op->kind) {
	case JOURNAL_BACKUP: break;
	case JOURNAL_PUT: ops_make_put(op, recs, seed); break;
	case JOURNAL_GROUP:
		op->u.group.name = ops_name(seed);
		op->u.group.settings = ops_word(seed);
		op->u.group.from = (enum journal_from)kit_below(seed, JOURNAL_FROM_TIME + 1);
		op->u.group.from_arg = op->u.group.from == JOURNAL_FROM_TIME
					   ? kit_now() - (int64_t)kit_below(seed, 20) * OPS_HOUR
					   : (int64_t)kit_below(seed, 200);
		break;
	case JOURNAL_GROUP_STATE:
		op->u.state.name = ops_name(seed);
		op->u.state.state = ops_word(seed);
		break;
	case JOURNAL_GROUP_DEL: op->u.group.name = ops_name(seed); break;
	case JOURNAL_DEAD:
	case JOURNAL_DEAD_EDIT:
		op->u.dead.no = kit_below(seed, 30);
		op->u.dead.from = ops_word(seed);
		op->u.dead.group = ops_name(seed);
		op->u.dead.topic = ops_name(seed);
		op->u.dead.frame = ops_name(seed);
		op->u.dead.key = ops_word(seed);
		op->u.dead.reason = ops_word(seed);
		op->u.dead.seq = kit_below(seed, 100);
		op->u.dead.tries = kit_below(seed, 9);
		break;
	case JOURNAL_DEAD_DROP: op->u.dead.no = kit_below(seed, 30); break;
	case JOURNAL_CLAIM:
		op->u.claim.path = ops_name(seed);
		op->u.claim.name = ops_name(seed);
		break;
	case JOURNAL_CLAIM_DEL: op->u.claim.path = ops_name(seed); break;
	case JOURNAL_TRIM: op->u.trim.before = kit_below(seed, 120); break;
	case JOURNAL_POLICY:
	case JOURNAL_POLICY_DEL:
		op->u.policy.pattern = ops_name(seed);
		op->u.policy.settings = ops_word(seed);
		break;
	}
}

/* ---- results as text ---- */

static inline void
ops_put_span(struct buf *b, struct span s)
{
	buf_printf(b, "%s%zu:", s.p == NULL ? "-" : "", s.n);
	buf_put(b, s.p != NULL ? s.p : (const uint8_t *)"", s.n);
	buf_putc(b, ' ');
}

static inline void
ops_put_result(struct buf *b, const struct journal *j, const struct journal_op *op)
{
	buf_printf(b, "kind %d err %s head %llu first %llu ", (int)op->kind, err_name(op->err),
	    (unsigned long long)journal_head(j), (unsigned long long)journal_first(j));
	if (op->err == ERR_CONFLICT)
		buf_printf(b, "at %d", op->conflict_at);
	if (op->kind == JOURNAL_PUT && op->err == ERR_OK) {
		for (unsigned i = 0; i < op->u.put.n; i++) {
			buf_printf(b, "%llu/%d/%u ", (unsigned long long)op->u.put.recs[i].seq,
			    op->u.put.recs[i].repeat, op->u.put.recs[i].groups);
		}
	}
	if (op->kind == JOURNAL_GROUP)
		buf_printf(b, "next %llu", (unsigned long long)op->u.group.next);
	if (op->kind == JOURNAL_DEAD)
		buf_printf(b, "no %llu", (unsigned long long)op->u.dead.no);
	if (op->kind == JOURNAL_CLAIM)
		buf_puts(b, op->u.claim.owner);
	if (op->kind == JOURNAL_TRIM)
		buf_printf(b, "deleted %llu", (unsigned long long)op->u.trim.deleted);
	buf_putc(b, '\n');
}

static inline bool
ops_put_row(void *arg, const struct journal_row *r)
{
	struct buf *b = arg;

	buf_printf(b, "row %llu at %lld exp %lld ", (unsigned long long)r->seq, (long long)r->at_ms,
	    (long long)r->exp_ms);
	ops_put_span(b, span_of(r->id, sizeof r->id));
	ops_put_span(b, r->topic);
	ops_put_span(b, r->key);
	ops_put_span(b, r->frame);
	ops_put_span(b, r->from);
	ops_put_span(b, r->only);
	buf_putc(b, '\n');
	return true;
}

static inline void
ops_put_group(void *arg, const struct journal_group *g)
{
	struct buf *b = arg;

	ops_put_span(b, g->name);
	ops_put_span(b, g->settings);
	ops_put_span(b, g->state);
	buf_printf(b, "next %llu\n", (unsigned long long)g->next);
}

static inline bool
ops_put_dead(void *arg, const struct journal_dead *d)
{
	struct buf *b = arg;

	buf_printf(b, "dead %llu seq %llu tries %u at %lld ", (unsigned long long)d->no,
	    (unsigned long long)d->seq, d->tries, (long long)d->at_ms);
	ops_put_span(b, d->group);
	ops_put_span(b, d->topic);
	ops_put_span(b, d->reason);
	ops_put_span(b, d->frame);
	ops_put_span(b, d->key);
	ops_put_span(b, d->from);
	buf_putc(b, '\n');
	return true;
}

static inline void
ops_put_claim(void *arg, struct span path, struct span owner)
{
	struct buf *b = arg;

	ops_put_span(b, path);
	ops_put_span(b, owner);
	buf_putc(b, '\n');
}

static inline void
ops_put_all(struct buf *b, struct journal *j)
{
	uint64_t next = 0;
	struct journal_stats st;

	do {
		next = journal_read(j, next, ops_put_row, b);
	} while (next != 0 && next <= journal_head(j));
	buf_printf(b, "next %llu\n", (unsigned long long)next);
	if (journal_groups(j, ops_put_group, b) == -1 ||
	    journal_claims(j, ops_put_claim, b) == -1 ||
	    journal_policies(j, ops_put_claim, b) == -1 ||
	    journal_retained(j, (struct span){NULL, 0}, ops_put_row, b) == -1 ||
	    journal_retained(j, span_str("ab"), ops_put_row, b) == -1 ||
	    journal_dead_each(j, (struct span){NULL, 0}, 0, ops_put_dead, b) == -1 ||
	    journal_dead_each(j, span_str("a"), 2, ops_put_dead, b) == -1)
		buf_puts(b, "failed");
	for (unsigned i = 0; i < OPS_WORDS; i++) {
		struct span cur = {NULL, 0};
		uint8_t *p;

		(void)journal_cursor(j, span_str(ops_words[i]), &p, &cur.n);
		cur.p = p;
		ops_put_span(b, cur);
		free(p);
	}
	for (unsigned i = 0; i < 20; i++) {
		buf_printf(b, "id %u at %llu, hour %u from %llu\n", i,
		    (unsigned long long)journal_find(j, kit_rec(i, "").id), i,
		    (unsigned long long)journal_seek(j, kit_now() - (int64_t)i * OPS_HOUR));
	}
	journal_stats(j, &st);
	buf_printf(b, "kept %llu oldest %lld\n", (unsigned long long)st.kept_bytes,
	    (long long)st.oldest_ms);
}

#endif

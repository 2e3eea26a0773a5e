/* The same random operations on both implementations: every result, every page and all that is
 * listed must be the same.  What one gets wrong alone, the other tells. */
#include "broker/journal.h"

#include "base/buf.h"
#include "tests/unit/journal_kit.h"

#define ROUNDS 15u
#define TURNS 60u
#define PER_TURN 6u
#define RECS 4u
#define HOUR INT64_C(3600000)

static const char *const words[] = {"", "a", "b", "ab", "abc", "zebra"};
#define WORDS 6u

static struct span
word(uint64_t *seed)
{
	unsigned i = kit_below(seed, WORDS + 1);

	return i == WORDS ? (struct span){NULL, 0} : span_str(words[i]);
}

static struct span
name(uint64_t *seed)
{
	return span_str(words[1 + kit_below(seed, WORDS - 1)]);
}

static void
make_put(struct journal_op *op, struct journal_rec *recs, uint64_t *seed)
{
	unsigned n = kit_below(seed, RECS + 1);

	*op = kit_put(recs, n);
	for (unsigned i = 0; i < n; i++) {
		/* Few ids and fewer contents: repeats, conflicts and twins are common. */
		recs[i] = kit_rec(kit_below(seed, 200), kit_below(seed, 20) == 0 ? "odd" : "even");
		recs[i].key = word(seed);
		recs[i].groups = kit_below(seed, 5);
		recs[i].exp_ms = kit_below(seed, 3);
		recs[i].topic = name(seed);
		recs[i].from = word(seed);
		recs[i].only = word(seed);
		recs[i].anew = kit_below(seed, 10) == 0;
		recs[i].retain = (enum journal_retain)kit_below(seed, JOURNAL_RETAIN_CLEAR + 1);
	}
	op->u.put.dead = kit_below(seed, 8) == 0 ? kit_below(seed, 20) : 0;
	if (kit_below(seed, 3) != 0)
		return;
	op->u.put.src = name(seed);
	op->u.put.owner = span_str(kit_below(seed, 8) == 0 ? "you" : "me");
	op->u.put.cur = word(seed);
	op->u.put.was = word(seed);
}

static void
make(struct journal_op *op, struct journal_rec *recs, uint64_t *seed)
{
	*op =
	    (struct journal_op){.kind = (enum journal_kind)kit_below(seed, JOURNAL_POLICY_DEL + 1)};
	switch (op->kind) {
	case JOURNAL_PUT: make_put(op, recs, seed); break;
	case JOURNAL_GROUP:
		op->u.group.name = name(seed);
		op->u.group.settings = word(seed);
		op->u.group.from = (enum journal_from)kit_below(seed, JOURNAL_FROM_TIME + 1);
		op->u.group.from_arg = op->u.group.from == JOURNAL_FROM_TIME
					   ? kit_now() - (int64_t)kit_below(seed, 20) * HOUR
					   : (int64_t)kit_below(seed, 200);
		break;
	case JOURNAL_GROUP_STATE:
		op->u.state.name = name(seed);
		op->u.state.state = word(seed);
		break;
	case JOURNAL_GROUP_DEL: op->u.group.name = name(seed); break;
	case JOURNAL_DEAD:
	case JOURNAL_DEAD_EDIT:
		op->u.dead.no = kit_below(seed, 30);
		op->u.dead.from = word(seed);
		op->u.dead.group = name(seed);
		op->u.dead.topic = name(seed);
		op->u.dead.frame = name(seed);
		op->u.dead.key = word(seed);
		op->u.dead.reason = word(seed);
		op->u.dead.seq = kit_below(seed, 100);
		op->u.dead.tries = kit_below(seed, 9);
		break;
	case JOURNAL_DEAD_DROP: op->u.dead.no = kit_below(seed, 30); break;
	case JOURNAL_CLAIM:
		op->u.claim.path = name(seed);
		op->u.claim.name = name(seed);
		break;
	case JOURNAL_CLAIM_DEL: op->u.claim.path = name(seed); break;
	case JOURNAL_TRIM: op->u.trim.before = kit_below(seed, 120); break;
	case JOURNAL_POLICY:
	case JOURNAL_POLICY_DEL:
		op->u.policy.pattern = name(seed);
		op->u.policy.settings = word(seed);
		break;
	}
}

/* ---- results as text ---- */

static void
put_span(struct buf *b, struct span s)
{
	buf_printf(b, "%s%zu:", s.p == NULL ? "-" : "", s.n);
	buf_put(b, s.p != NULL ? s.p : (const uint8_t *)"", s.n);
	buf_putc(b, ' ');
}

static void
put_result(struct buf *b, const struct journal *j, const struct journal_op *op)
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

static bool
put_row(void *arg, const struct journal_row *r)
{
	struct buf *b = arg;

	buf_printf(b, "row %llu at %lld exp %lld ", (unsigned long long)r->seq, (long long)r->at_ms,
	    (long long)r->exp_ms);
	put_span(b, span_of(r->id, sizeof r->id));
	put_span(b, r->topic);
	put_span(b, r->key);
	put_span(b, r->frame);
	put_span(b, r->from);
	put_span(b, r->only);
	buf_putc(b, '\n');
	return true;
}

static void
put_group(void *arg, const struct journal_group *g)
{
	struct buf *b = arg;

	put_span(b, g->name);
	put_span(b, g->settings);
	put_span(b, g->state);
	buf_printf(b, "next %llu\n", (unsigned long long)g->next);
}

static bool
put_dead(void *arg, const struct journal_dead *d)
{
	struct buf *b = arg;

	buf_printf(b, "dead %llu seq %llu tries %u at %lld ", (unsigned long long)d->no,
	    (unsigned long long)d->seq, d->tries, (long long)d->at_ms);
	put_span(b, d->group);
	put_span(b, d->topic);
	put_span(b, d->reason);
	put_span(b, d->frame);
	put_span(b, d->key);
	put_span(b, d->from);
	buf_putc(b, '\n');
	return true;
}

static void
put_claim(void *arg, struct span path, struct span owner)
{
	struct buf *b = arg;

	put_span(b, path);
	put_span(b, owner);
	buf_putc(b, '\n');
}

static void
put_all(struct buf *b, struct journal *j)
{
	uint64_t next = 0;
	struct journal_stats st;

	do {
		next = journal_read(j, next, put_row, b);
	} while (next != 0 && next <= journal_head(j));
	buf_printf(b, "next %llu\n", (unsigned long long)next);
	if (journal_groups(j, put_group, b) == -1 || journal_claims(j, put_claim, b) == -1 ||
	    journal_policies(j, put_claim, b) == -1 ||
	    journal_retained(j, (struct span){NULL, 0}, put_row, b) == -1 ||
	    journal_retained(j, span_str("ab"), put_row, b) == -1 ||
	    journal_dead_each(j, (struct span){NULL, 0}, 0, put_dead, b) == -1 ||
	    journal_dead_each(j, span_str("a"), 2, put_dead, b) == -1)
		buf_puts(b, "failed");
	for (unsigned i = 0; i < WORDS; i++) {
		struct span cur = {NULL, 0};
		uint8_t *p;

		(void)journal_cursor(j, span_str(words[i]), &p, &cur.n);
		cur.p = p;
		put_span(b, cur);
		free(p);
	}
	for (unsigned i = 0; i < 20; i++) {
		buf_printf(b, "id %u at %llu, hour %u from %llu\n", i,
		    (unsigned long long)journal_find(j, kit_rec(i, "").id), i,
		    (unsigned long long)journal_seek(j, kit_now() - (int64_t)i * HOUR));
	}
	journal_stats(j, &st);
	buf_printf(b, "records %llu repeats %llu bytes %llu kept %llu oldest %lld\n",
	    (unsigned long long)st.records, (unsigned long long)st.repeats,
	    (unsigned long long)st.bytes, (unsigned long long)st.kept_bytes,
	    (long long)st.oldest_ms);
}

/* ---- one journal's way through one seed ---- */

static void
turn(struct journal *j, uint64_t *seed, struct buf *b)
{
	struct journal_op ops[PER_TURN];
	struct journal_rec recs[PER_TURN][RECS];
	unsigned n = 1 + kit_below(seed, PER_TURN);

	for (unsigned i = 0; i < n; i++) {
		make(&ops[i], recs[i], seed);
		journal_submit(j, &ops[i]);
	}
	journal_flush(j);
	for (unsigned i = 0; i < n; i++) {
		const struct journal_op *op = kit_reap(j);

		if (op != &ops[i])
			buf_puts(b, "out of order");
		put_result(b, j, op);
	}
}

/* The clock stands still within a turn, so that both have the same time of commit. */
static void
run(const char *dir, uint64_t seed, struct buf *b)
{
	struct journal *j = kit_open(dir);

	atomic_store(&kit_clock, KIT_T0);
	for (unsigned i = 0; i < TURNS; i++) {
		int64_t hours = (int64_t)kit_below(&seed, 5) - 1;

		atomic_store(&kit_clock, kit_now() + hours * HOUR);
		turn(j, &seed, b);
		put_all(b, j);
	}
	journal_close(j);
}

static void
show_difference(const struct buf *a, const struct buf *b)
{
	size_t i = 0, from;

	while (i < a->n && i < b->n && a->p[i] == b->p[i])
		i++;
	from = i > 300 ? i - 300 : 0;
	printf("# memory: %.*s\n# sqlite: %.*s\n", (int)(a->n - from < 500 ? a->n - from : 500),
	    (const char *)a->p + from, (int)(b->n - from < 500 ? b->n - from : 500),
	    (const char *)b->p + from);
}

int
main(void)
{
	uint64_t seeds = kit_seed();

	for (unsigned i = 0; i < ROUNDS; i++) {
		uint64_t seed = kit_random(&seeds) | 1;
		char *dir = kit_dir();
		struct buf a, b;

		buf_init(&a, 64 << 20);
		buf_init(&b, 64 << 20);
		run(NULL, seed, &a);
		run(dir, seed, &b);
		CHECK(!a.failed && !b.failed && a.n > TURNS * 100);
		if (!CHECK(span_eq(buf_span(&a), buf_span(&b))))
			show_difference(&a, &b);
		buf_fini(&a);
		buf_fini(&b);
		kit_rmdir(dir);
	}
	atomic_store(&kit_clock, KIT_T0);
	return check_done();
}

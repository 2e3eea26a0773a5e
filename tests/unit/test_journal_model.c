/* The same random operations on both implementations: every result, every page and all that is
 * listed must be the same.  What one gets wrong alone, the other tells. */
#include "broker/journal.h"

#include "tests/unit/journal_ops.h"

#define ROUNDS 15u
#define TURNS 60u
#define PER_TURN 6u
#define HOUR OPS_HOUR
#define RECS OPS_RECS

/* ---- one journal's way through one seed ---- */

static void
turn(struct journal *j, uint64_t *seed, struct buf *b)
{
	struct journal_op ops[PER_TURN];
	struct journal_rec recs[PER_TURN][RECS];
	unsigned n = 1 + kit_below(seed, PER_TURN);

	for (unsigned i = 0; i < n; i++) {
		ops_make(&ops[i], recs[i], seed);
		journal_submit(j, &ops[i]);
	}
	journal_flush(j);
	for (unsigned i = 0; i < n; i++) {
		const struct journal_op *op = kit_reap(j);

		if (op != &ops[i])
			buf_puts(b, "out of order");
		ops_put_result(b, j, op);
	}
}

static void
put_counts(struct buf *b, struct journal *j)
{
	struct journal_stats st;

	journal_stats(j, &st);
	buf_printf(b, "records %llu repeats %llu bytes %llu\n", (unsigned long long)st.records,
	    (unsigned long long)st.repeats, (unsigned long long)st.bytes);
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
		ops_put_all(b, j);
		put_counts(b, j);
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

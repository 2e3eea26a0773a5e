/* Every call that the journal makes on its files fails once, or for good: EIO, ENOSPC, EINTR, a
 * short write.  What was acknowledged stays, what was refused is not there, and what could be
 * healed heals.
 *
 * The default run takes some of the calls; JOURNAL_EVERY=1 takes each. */
#include "broker/journal.h"
#include "tests/unit/journal_disk.h"
#include "tests/unit/journal_ops.h"

#define TURNS 40u
#define PER_TURN 4u
#define POINTS 60u /* of each fault in a default run */

struct turn {
	struct journal_op ops[PER_TURN];
	struct journal_rec recs[PER_TURN][OPS_RECS];
	unsigned n;
};

static struct turn first[TURNS];
static uint8_t big[20000];

static void
make_turns(uint64_t seed)
{
	for (unsigned t = 0; t < TURNS; t++) {
		first[t].n = 1 + kit_below(&seed, PER_TURN);
		for (unsigned i = 0; i < first[t].n; i++) {
			struct journal_op *op = &first[t].ops[i];

			ops_make(op, first[t].recs[i], &seed);
			if (op->kind == JOURNAL_PUT && op->u.put.n > 0)
				first[t].recs[i][0].frame = span_of(big, sizeof big);
		}
	}
}

/* A copy to run: results are written into it. */
static void
copy_turn(struct turn *to, unsigned t)
{
	*to = first[t];
	for (unsigned i = 0; i < to->n; i++) {
		if (to->ops[i].kind == JOURNAL_PUT)
			to->ops[i].u.put.recs = to->recs[i];
	}
}

/* What the twin says to what was done. */
static bool
follow(struct journal *m, const struct turn *u, unsigned t)
{
	struct turn own;
	bool same = true;

	copy_turn(&own, t);
	for (unsigned i = 0; i < own.n; i++) {
		if (u->ops[i].err == ERR_BUSY)
			continue;
		(void)kit_run(m, &own.ops[i]);
		same =
		    same && (own.ops[i].err == u->ops[i].err || u->ops[i].err == ERR_STORE_FAILED);
	}
	return same;
}

static bool
is_same(struct journal *j, struct journal *m)
{
	struct buf a, b;
	bool same;

	buf_init(&a, 16 << 20);
	buf_init(&b, 16 << 20);
	ops_put_all(&a, j);
	ops_put_all(&b, m);
	same = span_eq(buf_span(&a), buf_span(&b));
	buf_fini(&a);
	buf_fini(&b);
	return same;
}

struct course {
	unsigned busy, failed; /* turns */
	bool wrong;            /* an answer that does not follow */
	bool final;            /* something was acknowledged after STORE_FAILED */
};

static void
run_turn(struct journal *j, struct turn *u)
{
	for (unsigned i = 0; i < u->n; i++)
		journal_submit(j, &u->ops[i]);
	journal_flush(j);
	for (unsigned i = 0; i < u->n; i++)
		INVARIANT(kit_reap(j) == &u->ops[i]);
}

/* `before` is left as of before the first turn that failed, `m` after it. */
static struct course
run(struct journal *j, struct journal *m, struct journal *before)
{
	struct course c = {.final = true};

	for (unsigned t = 0; t < TURNS; t++) {
		struct turn u;
		bool busy = false, failed = false;

		copy_turn(&u, t);
		run_turn(j, &u);
		for (unsigned i = 0; i < u.n; i++) {
			busy = busy || u.ops[i].err == ERR_BUSY;
			failed = failed || u.ops[i].err == ERR_STORE_FAILED;
			c.final = c.final && (c.failed == 0 || u.ops[i].err == ERR_STORE_FAILED);
		}
		/* A full disk is full for a while. */
		if (busy && ++c.busy == 3)
			disk_heal();
		c.wrong = (c.failed == 0 && !follow(m, &u, t)) || c.wrong;
		if (!failed && c.failed == 0)
			(void)follow(before, &u, t);
		c.failed += failed;
	}
	return c;
}

static bool
is_sync(void)
{
	return disk.fired_on == DISK_SYNC || disk.fired_on == DISK_SYNC_DIR;
}

/* Opens while the fault is there, if it can be opened then. */
static struct journal *
open_anyhow(const char *dir, enum disk_fault fault)
{
	struct journal *j = kit_open(dir);

	if (j == NULL) {
		/* A sync that was interrupted has not been made. */
		if (!CHECK(fault == DISK_EIO || fault == DISK_ENOSPC || is_sync()))
			printf("# %s, fault %d\n", disk_names[disk.fired_on], (int)fault);
		CHECK(errno != EUCLEAN);
		disk_heal();
		j = kit_open(dir);
	}
	return j;
}

static void
one(const char *dir, unsigned at, enum disk_fault fault)
{
	struct journal *j, *m = kit_open(NULL), *before = kit_open(NULL);
	struct course c = {0};
	bool ok = true;

	disk_follow(dir);
	disk_fail(at, fault, fault == DISK_ENOSPC);
	j = open_anyhow(dir, fault);
	if (!CHECK(j != NULL))
		return;
	journal_sqlite_checkpoint_at(j, 60);
	c = run(j, m, before);
	ok = !c.wrong && c.final;
	if (disk_fired() && (fault == DISK_SHORT || fault == DISK_ENOSPC))
		ok = ok && c.failed == 0 && !journal_failed(j);
	if (disk_fired() && fault == DISK_EINTR && !is_sync())
		ok = ok && c.failed == 0 && c.busy == 0;
	/* Whoever reports a failure to one reports it to all that follow, and the other way round.
	 */
	ok = ok && (c.failed > 0) <= journal_failed(j);
	disk_heal();
	journal_close(j);
	j = kit_open(dir);
	ok = ok && j != NULL && (is_same(j, m) || (c.failed > 0 && is_same(j, before)));
	if (!CHECK(ok)) {
		printf("# call %u (%s), fault %d: %u busy, %u failed, wrong %d, final %d\n", at,
		    disk_names[disk.fired_on], (int)fault, c.busy, c.failed, c.wrong, c.final);
	}
	journal_close(j);
	journal_close(m);
	journal_close(before);
}

static unsigned
count_calls(const char *dir)
{
	disk_follow(dir);
	one(dir, 0, DISK_NONE);
	CHECK(disk.by_mover > 10);
	return disk.calls;
}

int
main(void)
{
	static const enum disk_fault faults[] = {DISK_EIO, DISK_ENOSPC, DISK_EINTR, DISK_SHORT};
	char *dir = kit_dir();
	const char *every = getenv("JOURNAL_EVERY");
	uint64_t seed = kit_seed();
	unsigned calls, step, hits[DISK_MARK + 1] = {0};

	make_turns(seed);
	calls = count_calls(dir);
	step = every != NULL ? (unsigned)strtoul(every, NULL, 10) : calls / POINTS + 1;
	step = step > 0 ? step : 1;
	CHECK(calls > 150);
	for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++) {
		for (unsigned at = 1 + kit_below(&seed, step); at <= calls; at += step) {
			kit_empty(dir);
			one(dir, at, faults[f]);
			hits[disk.fired_on] += disk.fired;
		}
	}
	for (int i = 0; i <= DISK_MARK; i++)
		printf("# %s: %u\n", disk_names[i], hits[i]);
	CHECK(hits[DISK_WRITE] > 20 && hits[DISK_READ] > 0 && hits[DISK_SYNC] > 0);
	disk_follow("");
	free(disk.notes);
	kit_rmdir(dir);
	return check_done();
}

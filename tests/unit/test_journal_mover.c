/* The WAL moves into the database on a thread of its own: commits go on meanwhile, what fails there
 * is final here, and the WAL stays within its bounds. */
#include "broker/journal.h"
#include "tests/unit/journal_vfs.h"

#define EVERY 400     /* pages */
#define LEN 18000u    /* with all that goes with it 9 pages */
#define ENOUGH 50u    /* records that make the mover be asked */
#define MEANWHILE 30u /* ... and not be waited for */

static char body[LEN];

/* How many of `n` were stored, from `from` on, before one was not. */
static unsigned
fill(struct journal *j, uint64_t from, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		struct journal_rec r = kit_rec(from + i, "");
		struct journal_op op = kit_put(&r, 1);

		r.frame = span_of(body, sizeof body);
		if (kit_run(j, &op) != ERR_OK)
			return i;
	}
	return n;
}

static bool
count_row(void *arg, const struct journal_row *r)
{
	unsigned *n = arg;

	*n += r->seq == *n + 1 && r->frame.n == LEN;
	return true;
}

static struct journal *
open_small(const char *dir)
{
	struct journal *j = kit_open(dir);

	INVARIANT(j != NULL);
	journal_sqlite_checkpoint_at(j, EVERY);
	return j;
}

/* The mover stands at the gate, in a pass. */
static void
start_pass(struct journal *j, const char *dir)
{
	vfs_gate(true);
	CHECK(fill(j, 1, ENOUGH) == ENOUGH);
	INVARIANT(kit_size(dir, "journal.db-wal") > EVERY * 4120);
	vfs_gate_await();
}

static void
check_all(const char *dir, unsigned n)
{
	struct journal *j = kit_open(dir);

	CHECK(j != NULL && journal_head(j) == n && kit_count(j, count_row) == n);
	journal_close(j);
}

/* It stands in the middle of a pass, and the writer does not care. */
static void
test_beside(const char *dir)
{
	struct journal *j = open_small(dir);

	start_pass(j, dir);
	CHECK(fill(j, ENOUGH + 1, MEANWHILE) == MEANWHILE &&
	      kit_count(j, count_row) == ENOUGH + MEANWHILE);
	vfs_gate(false);
	CHECK(fill(j, ENOUGH + MEANWHILE + 1, 100) == 100);
	CHECK(kit_count(j, count_row) == ENOUGH + MEANWHILE + 100);
	journal_close(j);
	check_all(dir, ENOUGH + MEANWHILE + 100);
}

/* The writer waits for it in the end. */
static void
test_bounded(const char *dir)
{
	struct journal *j = open_small(dir);
	unsigned before = atomic_load(&vfs.by_mover);
	int64_t wal;

	CHECK(fill(j, 1, 500) == 500);
	wal = kit_size(dir, "journal.db-wal");
	printf("# WAL of %lld bytes\n", (long long)wal);
	CHECK(wal > EVERY * 4096 && wal <= (2 * EVERY + 20) * 4120);
	CHECK(kit_size(dir, "journal.db") > 400 * (int64_t)LEN);
	CHECK(atomic_load(&vfs.by_mover) > before + 500);
	/* In the room it has. */
	CHECK(
	    fill(j, 501, 500) == 500 && kit_size(dir, "journal.db-wal") <= (2 * EVERY + 20) * 4120);
	journal_close(j);
	check_all(dir, 1000);
}

/* Commits that were made while it failed are kept, none is made once it is known, and nothing tries
 * to do better what it did. */
static void
test_fails(const char *dir, _Atomic int *what, int rc)
{
	struct journal *j = open_small(dir);
	struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};
	unsigned stored = ENOUGH, syncs;

	start_pass(j, dir);
	CHECK(fill(j, stored + 1, MEANWHILE) == MEANWHILE);
	stored += MEANWHILE;
	syncs = atomic_load(&vfs.fail[VFS_DB].syncs);
	atomic_store(what, rc);
	vfs_gate(false);
	/* It comes by itself, without another operation. */
	while (!journal_failed(j))
		INVARIANT(poll(&p, 1, KIT_WAIT_MS) == 1 && journal_reap(j) == NULL);
	vfs_heal();
	CHECK(fill(j, 1000, 1) == 0 && journal_head(j) == stored &&
	      kit_count(j, count_row) == stored);
	journal_close(j);
	CHECK(atomic_load(&vfs.fail[VFS_DB].syncs) <= syncs + 1);
	check_all(dir, stored);
}

/* Closed in the middle of a pass that fails then. */
static void *
open_later(void *arg)
{
	(void)arg;
	vfs_gate(false);
	return NULL;
}

static void
test_fails_at_the_end(const char *dir)
{
	struct journal *j = open_small(dir);
	unsigned stored = ENOUGH, syncs;
	pthread_t t;

	start_pass(j, dir);
	CHECK(fill(j, stored + 1, 3) == 3);
	syncs = atomic_load(&vfs.fail[VFS_DB].syncs);
	atomic_store(&vfs.fail[VFS_DB].sync, SQLITE_IOERR_FSYNC);
	INVARIANT(pthread_create(&t, NULL, open_later, NULL) == 0);
	journal_close(j);
	pthread_join(t, NULL);
	vfs_heal();
	CHECK(atomic_load(&vfs.fail[VFS_DB].syncs) == syncs + 1);
	check_all(dir, stored + 3);
}

/* No room for what it moves: nothing is lost, and it heals. */
static void
test_full(const char *dir)
{
	struct journal *j = open_small(dir);
	struct journal_stats st;

	start_pass(j, dir);
	atomic_store(&vfs.fail[VFS_DB].write, SQLITE_FULL);
	vfs_gate(false);
	CHECK(fill(j, ENOUGH + 1, 200) == 200 && !journal_failed(j));
	vfs_heal();
	CHECK(fill(j, ENOUGH + 201, 200) == 200 && !journal_failed(j));
	journal_stats(j, &st);
	CHECK(!st.full && kit_count(j, count_row) == ENOUGH + 400);
	journal_close(j);
	check_all(dir, ENOUGH + 400);
}

int
main(void)
{
	char *dir = kit_dir();

	vfs_install();
	test_beside(dir);
	kit_empty(dir);
	test_bounded(dir);
	kit_empty(dir);
	printf("# write\n");
	test_fails(dir, &vfs.fail[VFS_DB].write, SQLITE_IOERR_WRITE);
	kit_empty(dir);
	printf("# sync\n");
	test_fails(dir, &vfs.fail[VFS_DB].sync, SQLITE_IOERR_FSYNC);
	kit_empty(dir);
	test_fails_at_the_end(dir);
	kit_empty(dir);
	test_full(dir);
	kit_rmdir(dir);
	return check_done();
}

/* Disks that fill up, writes and syncs that fail, and a power cut at any moment. */
#include "broker/journal.h"
#include "tests/unit/journal_vfs.h"

static bool
count_row(void *arg, const struct journal_row *r)
{
	unsigned *n = arg;

	(void)r;
	++*n;
	return true;
}

static void
test_full(const char *dir)
{
	struct journal *j = kit_open(dir);
	static char body[1000000];
	struct journal_stats st;
	struct journal_rec r = kit_rec(2, ""), small = kit_rec(3, "small"), out;
	struct journal_op put = kit_put(&r, 1), put2 = kit_put(&small, 1);
	struct journal_op trim = {.kind = JOURNAL_TRIM, .u.trim.before = 2};
	struct journal_op group = {.kind = JOURNAL_GROUP,
	    .u.group = {span_str("g"), span_str("s"), JOURNAL_FROM_NEW, 0, 0}};

	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	CHECK(kit_put1(j, 10, "ten", NULL) == ERR_OK);
	/* Room for a few pages in the WAL, not for the body. */
	atomic_store(&vfs.fail[VFS_WAL].limit, kit_size(dir, "journal.db-wal") + 60000);
	r.frame = span_of(body, sizeof body);
	journal_submit(j, &put2);
	journal_submit(j, &put);
	journal_submit(j, &group);
	journal_submit(j, &trim);
	journal_flush(j);
	CHECK(kit_reap(j) == &put2 && put2.err == ERR_BUSY);
	CHECK(kit_reap(j) == &put && put.err == ERR_BUSY);
	CHECK(kit_reap(j) == &group && group.err == ERR_BUSY);
	CHECK(kit_reap(j) == &trim && trim.err == ERR_OK && trim.u.trim.deleted == 1);
	CHECK(journal_head(j) == 2 && journal_first(j) == 2 && kit_count(j, count_row) == 1);
	CHECK(!journal_failed(j));
	/* Nothing at all. */
	atomic_store(&vfs.fail[VFS_WAL].write, SQLITE_FULL);
	CHECK(kit_put1(j, 4, "four", NULL) == ERR_BUSY && kit_trim(j, 3, NULL) == ERR_BUSY);
	journal_stats(j, &st);
	CHECK(st.full);
	CHECK(journal_head(j) == 2 && journal_first(j) == 2 && kit_count(j, count_row) == 1);
	/* Healed: what was refused was not kept, not even its id. */
	vfs_heal();
	CHECK(kit_run(j, &put) == ERR_OK && r.seq == 3 && !r.repeat);
	CHECK(kit_put1(j, 4, "quatre", &out) == ERR_OK && out.seq == 4 && !out.repeat);
	CHECK(kit_run(j, &group) == ERR_OK && group.u.group.next == 5);
	CHECK(kit_put1(j, 1, "one", &out) == ERR_OK && out.repeat && out.seq == 1);
	CHECK(kit_count(j, count_row) == 3);
	journal_stats(j, &st);
	CHECK(!st.full);
	journal_close(j);
	j = kit_open(dir);
	CHECK(journal_head(j) == 4 && kit_count(j, count_row) == 3);
	journal_close(j);
}

/* The disk is full in the very transaction that would have begun the next day of dedup. */
static void
test_full_turn(const char *dir)
{
	struct journal *j = kit_open(dir);
	struct journal_rec out;

	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	atomic_store(&kit_clock, KIT_T0 + INT64_C(25) * 3600 * 1000);
	atomic_store(&vfs.fail[VFS_WAL].write, SQLITE_FULL);
	CHECK(kit_put1(j, 2, "two", NULL) == ERR_BUSY);
	atomic_store(&kit_clock, KIT_T0);
	vfs_heal();
	CHECK(kit_put1(j, 3, "three", &out) == ERR_OK && !out.repeat);
	CHECK(kit_trim(j, 2, NULL) == ERR_OK);
	journal_close(j);
	j = kit_open(dir);
	CHECK(kit_put1(j, 3, "three", &out) == ERR_OK && out.repeat && out.seq == 2);
	CHECK(kit_put1(j, 1, "one", &out) == ERR_OK && out.repeat && out.seq == 1);
	journal_close(j);
}

/* A failed sync or write is final, and is not tried again. */
static void
test_broken(const char *dir, _Atomic int *what, int rc)
{
	struct journal *j = kit_open(dir);
	struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};
	struct journal_rec out;
	unsigned syncs[VFS_FILES];

	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	atomic_store(what, rc);
	CHECK(kit_put1(j, 2, "two", NULL) == ERR_STORE_FAILED);
	CHECK(journal_failed(j) && journal_head(j) == 1);
	CHECK(journal_reap(j) == NULL && poll(&p, 1, 0) == 0);
	vfs_heal();
	for (int k = 0; k < VFS_FILES; k++)
		syncs[k] = atomic_load(&vfs.fail[k].syncs);
	CHECK(kit_put1(j, 3, "three", NULL) == ERR_STORE_FAILED);
	CHECK(kit_put1(j, 1, "one", NULL) == ERR_STORE_FAILED);
	CHECK(kit_trim(j, 2, NULL) == ERR_STORE_FAILED);
	CHECK(journal_head(j) == 1 && kit_count(j, count_row) == 1);
	journal_close(j);
	for (int k = 0; k < VFS_FILES; k++)
		CHECK(syncs[k] == atomic_load(&vfs.fail[k].syncs));
	/* Started again it works; what was uncertain is there or not. */
	j = kit_open(dir);
	CHECK(j != NULL && !journal_failed(j) && journal_head(j) >= 1 && journal_head(j) <= 2);
	CHECK(kit_put1(j, 2, "two", &out) == ERR_OK && out.seq == 2);
	CHECK(kit_put1(j, 1, "one", &out) == ERR_OK && out.seq == 1 && out.repeat);
	journal_close(j);
}

/* Enough to make the writer move the WAL into the database at least once. */
static enum err
fill(struct journal *j, uint64_t from, unsigned n)
{
	static char body[50000];
	enum err e = ERR_OK;

	for (unsigned i = 0; i < n && e == ERR_OK; i++) {
		struct journal_rec r = kit_rec(from + i, "");
		struct journal_op op = kit_put(&r, 1);

		r.frame = span_of(body, sizeof body);
		e = kit_run(j, &op);
	}
	return e;
}

static void
test_checkpoint_broken(const char *dir)
{
	struct journal *j = kit_open(dir);
	struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};
	uint64_t head;

	atomic_store(&vfs.fail[VFS_DB].sync, SQLITE_IOERR_FSYNC);
	/* More than the writer lets the mover lag behind. */
	CHECK(fill(j, 1, 600) == ERR_STORE_FAILED);
	CHECK(journal_failed(j));
	head = journal_head(j);
	CHECK(head >= 50 && head < 600);
	while (journal_reap(j) != NULL) {
	}
	CHECK(poll(&p, 1, 0) == 0);
	vfs_heal();
	journal_close(j);
	/* The WAL was kept, so all is there although the database's pages may not be. */
	j = kit_open(dir);
	CHECK(journal_head(j) == head && kit_count(j, count_row) == head);
	CHECK(fill(j, 1000, 100) == ERR_OK && journal_head(j) == head + 100);
	journal_close(j);
}

static void
test_checkpoint_full(const char *dir)
{
	struct journal *j = kit_open(dir);

	atomic_store(&vfs.fail[VFS_DB].write, SQLITE_FULL);
	CHECK(fill(j, 1, 600) == ERR_OK && !journal_failed(j));
	vfs_heal();
	CHECK(fill(j, 601, 100) == ERR_OK && journal_head(j) == 700 &&
	      kit_count(j, count_row) == 700);
	journal_close(j);
	j = kit_open(dir);
	CHECK(journal_head(j) == 700 && kit_count(j, count_row) == 700);
	journal_close(j);
}

/* ---- power cuts ---- */

#define PUTS 120u
#define BATCH 5u

struct load {
	struct journal_op ops[PUTS];
	struct journal_rec recs[PUTS][BATCH];
	uint64_t end[PUTS + 1]; /* head after the first i operations */
	size_t size;            /* of each frame */
	uint8_t *bytes;
};

struct found {
	const struct load *l;
	uint64_t n;
	bool right;
};

/* Record i of the load is seq i, id i and a frame that begins with i. */
static bool
compare(void *arg, const struct journal_row *r)
{
	struct found *f = arg;
	uint64_t n;

	f->n++;
	memcpy(&n, r->frame.p, sizeof n);
	f->right = f->right && r->seq == f->n && kit_rec_n(r->id) == f->n && n == f->n &&
		   r->frame.n == f->l->size;
	return true;
}

static void
load_make(struct load *l, uint64_t *seed)
{
	l->size = kit_below(seed, 2) != 0 ? 300 : 30000;
	l->bytes = xcalloc((size_t)PUTS * BATCH, l->size);
	l->end[0] = 0;
	for (unsigned i = 0; i < PUTS; i++) {
		unsigned n = 1 + kit_below(seed, BATCH);

		l->ops[i] = kit_put(l->recs[i], n);
		for (unsigned k = 0; k < n; k++) {
			uint64_t seq = l->end[i] + k + 1;
			uint8_t *frame = l->bytes + (seq - 1) * l->size;

			memcpy(frame, &seq, sizeof seq);
			l->recs[i][k] = kit_rec(seq, "");
			l->recs[i][k].frame = span_of(frame, l->size);
		}
		l->end[i + 1] = l->end[i] + n;
	}
}

static void
load_run(struct journal *j, struct load *l, uint64_t *seed)
{
	unsigned done = 0;

	for (unsigned i = 0; i < PUTS; i++) {
		journal_submit(j, &l->ops[i]);
		if (i + 1 < PUTS && kit_below(seed, 4) != 0)
			continue;
		journal_flush(j);
		while (done <= i && kit_below(seed, 8) != 0) {
			INVARIANT(kit_reap(j) == &l->ops[done] && l->ops[done].err == ERR_OK);
			atomic_store(&vfs.acked, ++done);
		}
	}
	while (done < PUTS)
		INVARIANT(kit_reap(j) == &l->ops[done++]);
}

/* What the disk holds after the cut: all that was acknowledged, nothing else but what was on its
 * way, whole operations only. */
static void
check_cut(const char *cut, struct load *l)
{
	struct journal *j = kit_open(cut);
	struct found f = {.l = l, .right = true};
	uint64_t next = 1, acked = atomic_load(&vfs.acked_at_cut), head;
	struct journal_rec out;
	unsigned at = 0;

	if (!CHECK(j != NULL))
		return;
	head = journal_head(j);
	while (at < PUTS && l->end[at] != head)
		at++;
	CHECK(l->end[at] == head);
	CHECK(at >= acked);
	do {
		next = journal_read(j, next, compare, &f);
	} while (next != 0 && next <= head);
	CHECK(next == head + 1 && f.n == head && f.right);
	if (head > 0) {
		out = kit_rec(head, "");
		CHECK(kit_run(j, &(struct journal_op){.kind = JOURNAL_PUT,
				     .u.put = {.recs = &out, .n = 1}}) == ERR_OK);
		CHECK(out.repeat && out.seq == head);
	}
	CHECK(kit_put1(j, 1000000, "after", &out) == ERR_OK && out.seq == head + 1);
	journal_close(j);
}

static void
test_power(uint64_t *seed, unsigned round)
{
	struct load *l = xcalloc(1, sizeof *l);
	char *dir = kit_dir(), *cut = kit_dir();
	struct journal *j = kit_open(dir);

	load_make(l, seed);
	vfs_track(dir);
	/* Some 2,500 writes a run with large frames, 500 with small ones. */
	vfs_cut_after(1 + kit_below(seed, l->size > 1000 ? 5000 : 600), kit_random(seed), cut);
	load_run(j, l, seed);
	journal_close(j);
	vfs_untrack();
	if (atomic_load(&vfs.cut_done)) {
		printf("# round %u: %llu of %u acknowledged, frames of %zu\n", round,
		    (unsigned long long)atomic_load(&vfs.acked_at_cut), PUTS, l->size);
		check_cut(cut, l);
	} else {
		printf("# round %u: over before the cut\n", round);
	}
	kit_rmdir(dir);
	kit_rmdir(cut);
	free(l->bytes);
	free(l);
}

int
main(void)
{
	char *dir = kit_dir();
	uint64_t seed = kit_seed();

	vfs_install();
	printf("# full\n");
	test_full(dir);
	kit_empty(dir);
	test_full_turn(dir);
	kit_empty(dir);
	printf("# sync of the WAL fails\n");
	test_broken(dir, &vfs.fail[VFS_WAL].sync, SQLITE_IOERR_FSYNC);
	kit_empty(dir);
	printf("# write of the WAL fails\n");
	test_broken(dir, &vfs.fail[VFS_WAL].write, SQLITE_IOERR_WRITE);
	kit_empty(dir);
	printf("# sync of the database fails\n");
	test_checkpoint_broken(dir);
	kit_empty(dir);
	printf("# database does not fit\n");
	test_checkpoint_full(dir);
	kit_rmdir(dir);
	for (unsigned i = 0; i < 30; i++)
		test_power(&seed, i);
	return check_done();
}

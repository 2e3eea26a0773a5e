/* The power goes between any two calls that change the disk: what was acknowledged is there, whole
 * turns and nothing else.  The memory twin says what "there" is, to the last cursor.
 *
 * The default run looks at some of the calls; JOURNAL_EVERY=1 looks at each (minutes). */
#include "broker/journal.h"
#include "broker/journal_verify.h"
#include "tests/unit/journal_disk.h"
#include "tests/unit/journal_ops.h"

#define TURNS 110u
#define PER_TURN 6u
#define POINTS 350u /* in a default run, with each kind of luck */

struct turn {
	struct journal_op ops[PER_TURN];
	struct journal_rec recs[PER_TURN][OPS_RECS];
	unsigned n;
	int64_t now;
};

static struct turn turns[TURNS];
static struct buf states[TURNS + 1]; /* after so many turns */
static uint8_t big[40000];

static void
make_turns(uint64_t seed)
{
	int64_t now = KIT_T0;

	for (unsigned t = 0; t < TURNS; t++) {
		struct turn *u = &turns[t];

		now += (int64_t)kit_below(&seed, 5) * OPS_HOUR / 2;
		u->now = now;
		u->n = 1 + kit_below(&seed, PER_TURN);
		for (unsigned i = 0; i < u->n; i++) {
			ops_make(&u->ops[i], u->recs[i], &seed);
			if (u->ops[i].kind == JOURNAL_PUT && u->ops[i].u.put.n > 0 &&
			    kit_below(&seed, 3) != 0)
				u->recs[i][0].frame = span_of(big, sizeof big);
		}
	}
}

static void
run_turn(struct journal *j, struct turn *u)
{
	atomic_store(&kit_clock, u->now);
	for (unsigned i = 0; i < u->n; i++)
		journal_submit(j, &u->ops[i]);
	journal_flush(j);
	for (unsigned i = 0; i < u->n; i++)
		INVARIANT(kit_reap(j) == &u->ops[i]);
}

static void
note_states(void)
{
	struct journal *m = kit_open(NULL);

	atomic_store(&kit_clock, KIT_T0);
	for (unsigned t = 0; t <= TURNS; t++) {
		buf_init(&states[t], 16 << 20);
		ops_put_all(&states[t], m);
		if (t < TURNS)
			run_turn(m, &turns[t]);
	}
	journal_close(m);
}

/* Once, with a clean end and another start in the middle. */
static void
note_run(const char *dir)
{
	struct journal *j;

	disk_follow(dir);
	j = kit_open(dir);
	journal_sqlite_checkpoint_at(j, 40);
	for (unsigned t = 0; t < TURNS; t++) {
		if (t == TURNS / 2) {
			journal_close(j);
			j = kit_open(dir);
			journal_sqlite_checkpoint_at(j, 40);
		}
		run_turn(j, &turns[t]);
		disk_mark(t + 1);
	}
	journal_close(j);
	disk.dir[0] = '\0';
}

static bool
is_state(struct journal *j, unsigned t)
{
	struct buf b;
	bool is;

	if (t > TURNS)
		return false;
	atomic_store(&kit_clock, t > 0 ? turns[t - 1].now : KIT_T0);
	buf_init(&b, 16 << 20);
	ops_put_all(&b, j);
	is = span_eq(buf_span(&b), buf_span(&states[t]));
	buf_fini(&b);
	return is;
}

/* The turn that was under way may be there. */
static bool
is_right(const char *dir, unsigned acked)
{
	struct journal *j;
	struct journal_rec r = kit_rec(1000000, "after"), out = r;
	struct journal_op op = kit_put(&out, 1);
	struct journal_stats st;
	bool right;

	j = kit_open(dir);
	if (j == NULL)
		return false;
	right = is_state(j, acked) || is_state(j, acked + 1);
	journal_stats(j, &st);
	right = right && st.damaged == 0 && st.lost == 0;
	/* And it goes on. */
	right = right && kit_run(j, &op) == ERR_OK && !out.repeat && out.seq == journal_head(j);
	journal_close(j);
	return right;
}

static void
cut_everywhere(uint64_t seed)
{
	const char *every = getenv("JOURNAL_EVERY");
	size_t step = every != NULL ? strtoul(every, NULL, 10) : disk.n / POINTS + 1;
	struct disk_image im = {.settled = xcalloc(disk.n + 1, 1)};
	char *dir = kit_dir();
	unsigned acked = 0, looked = 0, wrong = 0;
	size_t marked = 0;

	step = step > 0 ? step : 1;
	for (size_t k = kit_below(&seed, (unsigned)step); k <= disk.n; k += step) {
		disk_image_advance(&im, k);
		for (; marked < k; marked++) {
			if (disk.notes[marked].what == DISK_MARK)
				acked = (unsigned)disk.notes[marked].mark;
		}
		for (int luck = DISK_LOSES_ALL; luck <= DISK_KEEPS_SOME; luck++) {
			kit_empty(dir);
			disk_image_write(&im, dir, (enum disk_luck)luck, &seed);
			looked++;
			if (is_right(dir, acked))
				continue;
			if (wrong++ < 10) {
				printf("# wrong before call %zu (%s), luck %d, %u acknowledged\n",
				    k, k < disk.n ? disk_names[disk.notes[k].what] : "end", luck,
				    acked);
			}
		}
	}
	CHECK(wrong == 0);
	CHECK(looked > 100);
	printf("# %u disks looked at, %zu calls\n", looked, disk.n);
	for (int i = 0; i < DISK_FILES; i++)
		free(im.files[i].p);
	free(im.settled);
	kit_rmdir(dir);
}

static void
say_nothing(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

/* A copy that has its name is whole, whenever the power goes. */
static void
cut_a_copy(uint64_t seed)
{
	char *dir = kit_dir(), *copy = kit_dir(), *cut = kit_dir();
	char *name = xasprintf("%s/journal.db", cut);
	struct journal *j = kit_open(dir);
	struct journal_op op = {.kind = JOURNAL_BACKUP, .u.backup.dir = span_str(copy)};
	struct disk_image im = {0};
	struct journal_verified v;
	unsigned named = 0, renamed = 0;

	for (unsigned i = 0; i < 300; i++)
		CHECK(kit_put1(j, i, "a frame of some length", NULL) == ERR_OK);
	disk_follow(copy);
	CHECK(kit_run(j, &op) == ERR_OK);
	disk.dir[0] = '\0';
	journal_close(j);
	im.settled = xcalloc(disk.n + 1, 1);
	for (size_t k = 0; k <= disk.n; k++) {
		disk_image_advance(&im, k);
		renamed += k < disk.n && disk.notes[k].what == DISK_RENAME;
		for (int luck = DISK_LOSES_ALL; luck <= DISK_KEEPS_SOME; luck++) {
			kit_empty(cut);
			disk_image_write(&im, cut, (enum disk_luck)luck, &seed);
			if (access(name, F_OK) != 0)
				continue;
			named++;
			CHECK(journal_verify(cut, say_nothing, NULL, &v) == 0 && v.problems == 0 &&
			      v.records == 300);
		}
	}
	/* At the end it has, whatever was lost. */
	CHECK(renamed == 1 && named >= 3);
	printf("# copy: %zu calls, %u disks with one\n", disk.n, named);
	for (int i = 0; i < DISK_FILES; i++)
		free(im.files[i].p);
	free(im.settled);
	free(name);
	kit_rmdir(dir);
	kit_rmdir(copy);
	kit_rmdir(cut);
}

int
main(void)
{
	char *dir = kit_dir();
	uint64_t seed = kit_seed();
	unsigned seen[DISK_MARK + 1] = {0};

	make_turns(seed);
	note_states();
	note_run(dir);
	for (size_t i = 0; i < disk.n; i++)
		seen[disk.notes[i].what]++;
	for (int i = 0; i <= DISK_MARK; i++)
		printf("# %s: %u\n", disk_names[i], seen[i]);
	CHECK(seen[DISK_WRITE] > 200 && seen[DISK_SYNC] > TURNS / 2 && seen[DISK_SYNC_DIR] > 0);
	printf("# by the mover: %u writes\n", disk.by_mover);
	CHECK(disk.by_mover > 50);
	CHECK(seen[DISK_CREATE] > 2 && seen[DISK_UNLINK] > 0 && seen[DISK_MARK] == TURNS);
	cut_everywhere(seed);
	cut_a_copy(seed);
	for (unsigned t = 0; t <= TURNS; t++)
		buf_fini(&states[t]);
	disk_follow("");
	free(disk.notes);
	kit_rmdir(dir);
	return check_done();
}

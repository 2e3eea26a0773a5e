/* The loop's thread writes, reads and asks while the writer's thread commits, checkpoints and makes
 * a copy: what each sees is whole.  Under the thread sanitizer it is what finds a race. */
#include "broker/journal.h"
#include "broker/journal_verify.h"
#include "tests/unit/journal_kit.h"

#define FLIGHT 48u
#define BATCH 3u
#define RECORDS 9000u

struct slot {
	struct journal_op op;
	struct journal_rec recs[BATCH];
	char frame[BATCH][600];
};

struct look {
	uint64_t last, n;
	unsigned wrong;
};

static uint64_t made, acked;

static void
fill(struct slot *s, uint64_t *seed)
{
	unsigned n = 1 + kit_below(seed, BATCH);

	for (unsigned i = 0; i < n; i++) {
		uint64_t id = ++made;
		size_t len = 20 + id % 500;

		memset(s->frame[i], (int)('a' + id % 26), len);
		s->recs[i] = kit_rec(id, "");
		s->recs[i].frame = span_of(s->frame[i], len);
		s->recs[i].from = id % 3 == 0 ? span_str("lab-7") : (struct span){NULL, 0};
		s->recs[i].retain = id % 50 == 0 ? JOURNAL_RETAIN_SET : JOURNAL_RETAIN_NO;
	}
	s->op = kit_put(s->recs, n);
	if (kit_below(seed, 6) == 0) {
		s->op.u.put.src = span_str("src");
		s->op.u.put.cur = span_of(s->frame[0], 8);
	}
}

static bool
on_row(void *arg, const struct journal_row *r)
{
	struct look *l = arg;
	uint64_t id = kit_rec_n(r->id);

	l->wrong += r->seq <= l->last || r->frame.n != 20 + id % 500 ||
		    r->frame.p[0] != (uint8_t)('a' + id % 26);
	l->last = r->seq;
	return ++l->n % 64 != 0;
}

static bool
on_retained(void *arg, const struct journal_row *r)
{
	struct look *l = arg;

	l->wrong += kit_rec_n(r->id) % 50 != 0;
	return true;
}

static void
ask(struct journal *j, struct look *l)
{
	struct journal_stats st;
	uint8_t *cur;
	size_t n;

	if (l->last < journal_head(j) && journal_read(j, l->last + 1, on_row, l) == 0)
		l->wrong++;
	journal_stats(j, &st);
	l->wrong += st.damaged > 0 || st.lost > 0 || journal_failed(j);
	l->wrong += journal_cursor(j, span_str("src"), &cur, &n) != 0;
	free(cur);
	l->wrong += acked > 0 && journal_find(j, kit_rec(acked, "").id) == 0;
	l->wrong += journal_seek(j, 0) != journal_first(j);
	l->wrong += journal_retained(j, (struct span){NULL, 0}, on_retained, l) != 0;
}

static void
count_problem(void *arg, const char *text)
{
	(void)arg;
	printf("# %s\n", text);
}

static void
check_copy(const char *dir, const struct journal_op *op)
{
	struct journal_verified v;
	struct journal *j;

	CHECK(op->err == ERR_OK && op->u.backup.bytes > 0);
	CHECK(journal_verify(dir, count_problem, NULL, &v) == 0 && v.problems == 0);
	printf("# copied with %llu of %u records\n", (unsigned long long)v.records, RECORDS);
	CHECK(v.records > 0 && v.head >= v.records);
	j = kit_open(dir);
	CHECK(j != NULL && journal_head(j) == v.head);
	journal_close(j);
}

/* Whether it is under way again. */
static bool
settle(struct journal *j, struct slot *s, uint64_t *seed, struct look *l)
{
	if (s->op.kind == JOURNAL_PUT && s->op.err == ERR_OK)
		acked = kit_rec_n(s->recs[s->op.u.put.n - 1].id);
	l->wrong += s->op.err != ERR_OK;
	if (made >= RECORDS)
		return false;
	fill(s, seed);
	journal_submit(j, &s->op);
	return true;
}

static void
test_load(const char *dir, const char *copy, uint64_t *seed)
{
	static struct slot slots[FLIGHT];
	struct journal_op backup = {
	    .kind = JOURNAL_BACKUP, .u.backup.dir = span_str(copy), .err = ERR_INTERNAL};
	struct journal *j = kit_open(dir);
	struct look l = {0};
	unsigned under_way = FLIGHT;
	bool asked = false, copied = false;

	journal_sqlite_checkpoint_at(j, 300);
	for (unsigned i = 0; i < FLIGHT; i++) {
		fill(&slots[i], seed);
		journal_submit(j, &slots[i].op);
	}
	while (under_way > 0 || (asked && !copied)) {
		struct journal_op *op;

		journal_flush(j);
		op = kit_reap(j);
		if (op == &backup) {
			copied = true;
			continue;
		}
		if (!settle(j, (struct slot *)(void *)op, seed, &l))
			under_way--;
		if (!asked && made > RECORDS / 2) {
			journal_submit(j, &backup);
			asked = true;
		}
		if (kit_below(seed, 4) == 0)
			ask(j, &l);
	}
	while (l.last < journal_head(j))
		ask(j, &l);
	CHECK(l.wrong == 0);
	CHECK(journal_head(j) == made && l.n == made);
	CHECK(copied);
	journal_close(j);
	check_copy(copy, &backup);
}

/* One that is under way at the end is given up, and leaves nothing that could be taken for a copy.
 */
static void
test_given_up(const char *dir, const char *copy)
{
	struct journal_op backup = {.kind = JOURNAL_BACKUP, .u.backup.dir = span_str(copy)};
	struct journal *j = kit_open(dir);
	char *name = xasprintf("%s/journal.db", copy);

	kit_empty(copy);
	journal_submit(j, &backup);
	journal_close(j);
	CHECK(backup.err == ERR_DRAINING ? access(name, F_OK) == -1 : backup.err == ERR_OK);
	free(name);
}

static void
test_refused(const char *dir)
{
	struct journal_op backup = {.kind = JOURNAL_BACKUP, .u.backup.dir = span_str(dir)};
	struct journal *j = kit_open(dir), *m = kit_open(NULL);

	CHECK(kit_run(j, &backup) == ERR_CONFLICT);
	backup.u.backup.dir = span_str("/nonexistent/place");
	CHECK(kit_run(j, &backup) == ERR_INTERNAL);
	CHECK(kit_put1(j, 999999, "x", NULL) == ERR_OK);
	CHECK(kit_run(m, &backup) == ERR_NOT_FOUND);
	journal_close(j);
	journal_close(m);
}

int
main(void)
{
	char *dir = kit_dir(), *copy = kit_dir();
	uint64_t seed = kit_seed();

	test_load(dir, copy, &seed);
	test_given_up(dir, copy);
	test_refused(dir);
	kit_rmdir(dir);
	kit_rmdir(copy);
	return check_done();
}

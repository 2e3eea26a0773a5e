/* A record that may only be a repeat: the first answer again, or nothing at all. */
#include "tests/unit/journal_kit.h"

static void
test_alone(struct journal *j)
{
	struct journal_rec first, r = kit_rec(1, "one");
	struct journal_op op = kit_put(&r, 1);

	r.known = true;
	CHECK(kit_run(j, &op) == ERR_NOT_FOUND && op.conflict_at == 0);
	CHECK(journal_head(j) == 0 && journal_find(j, r.id) == 0);
	CHECK(kit_put1(j, 1, "one", &first) == ERR_OK && !first.repeat && first.seq == 1);
	op = kit_put(&r, 1);
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(r.repeat && r.seq == 1 && r.groups == first.groups);
	r = kit_rec(1, "other");
	r.known = true;
	op = kit_put(&r, 1);
	CHECK(kit_run(j, &op) == ERR_CONFLICT);
	CHECK(journal_head(j) == 1);
}

/* What is before it in the same commit counts. */
static void
test_behind_its_first(struct journal *j)
{
	struct journal_rec a = kit_rec(11, "a"), again = kit_rec(11, "a"), none = kit_rec(12, "b");
	struct journal_op ops[] = {kit_put(&a, 1), kit_put(&again, 1), kit_put(&none, 1)};
	uint64_t head = journal_head(j);

	again.known = none.known = true;
	for (unsigned i = 0; i < 3; i++)
		journal_submit(j, &ops[i]);
	journal_flush(j);
	for (unsigned i = 0; i < 3; i++)
		CHECK(kit_reap(j) == &ops[i]);
	CHECK(ops[0].err == ERR_OK && !a.repeat && a.seq == head + 1);
	CHECK(ops[1].err == ERR_OK && again.repeat && again.seq == a.seq);
	CHECK(ops[2].err == ERR_NOT_FOUND);
	CHECK(journal_head(j) == head + 1);
}

/* Many alone, which the journal stores in one go, with one that is not to be. */
static void
test_among_many(struct journal *j)
{
	enum { MANY = 40 };
	struct journal_rec recs[MANY];
	struct journal_op ops[MANY];
	uint64_t head = journal_head(j), stored = 0;

	for (unsigned i = 0; i < MANY; i++) {
		recs[i] = kit_rec(100 + i, "many");
		recs[i].known = i == 20;
		ops[i] = kit_put(&recs[i], 1);
		journal_submit(j, &ops[i]);
	}
	journal_flush(j);
	for (unsigned i = 0; i < MANY; i++) {
		CHECK(kit_reap(j) == &ops[i]);
		stored += ops[i].err == ERR_OK;
	}
	CHECK(stored == MANY - 1 && ops[20].err == ERR_NOT_FOUND);
	CHECK(journal_head(j) == head + stored);
}

static void
test_batch(struct journal *j)
{
	struct journal_rec recs[3];
	struct journal_op op;
	uint64_t head;

	for (unsigned i = 0; i < 3; i++)
		recs[i] = kit_rec(200 + i, "batch");
	recs[1].known = true;
	op = kit_put(recs, 3);
	op.u.put.src = span_str("s");
	op.u.put.cur = span_str("1");
	head = journal_head(j);
	CHECK(kit_run(j, &op) == ERR_NOT_FOUND && op.conflict_at == 1);
	CHECK(journal_head(j) == head); /* nothing of it */
	CHECK(kit_put1(j, 201, "batch", NULL) == ERR_OK);
	op = kit_put(recs, 3);
	op.u.put.src = span_str("s");
	op.u.put.cur = span_str("1");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(!recs[0].repeat && recs[1].repeat && !recs[2].repeat);
	CHECK(journal_head(j) == head + 3 && recs[1].seq == head + 1);
}

static void
run(struct journal *j)
{
	test_alone(j);
	test_behind_its_first(j);
	test_among_many(j);
	test_batch(j);
	journal_close(j);
}

int
main(void)
{
	char *dir = kit_dir();

	run(kit_open(NULL));
	run(kit_open(dir));
	kit_rmdir(dir);
	return check_done();
}

/* What only a journal in a file can get wrong: closing and opening again, foreign files, a second
 * broker, damaged bytes, space given back. */
#include "broker/journal.h"

#include <sqlite3.h>
#include "tests/unit/journal_kit.h"

/* Behind the journal's back. */
static void
sql(const char *dir, const char *text)
{
	char *path = xasprintf("%s/journal.db", dir);
	sqlite3 *db = NULL;

	CHECK(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK(sqlite3_exec(db, text, NULL, NULL, NULL) == SQLITE_OK);
	sqlite3_close(db);
	free(path);
}

struct rows {
	unsigned n;
	uint64_t seqs[16];
	struct journal *submit_to;
};

static bool
see(void *arg, const struct journal_row *r)
{
	struct rows *s = arg;

	if (s->n < 16)
		s->seqs[s->n] = r->seq;
	s->n++;
	return true;
}

static unsigned
count(struct journal *j)
{
	struct rows s = {0};
	uint64_t next = 1;

	do {
		next = journal_read(j, next, see, &s);
	} while (next != 0 && next <= journal_head(j));
	return next == 0 ? 0 : s.n;
}

static void
see_group(void *arg, const struct journal_group *g)
{
	bool *right = arg;

	*right = span_is(g->name, "g") && span_is(g->settings, "set") &&
		 span_is(g->state, "state") && g->next == 3;
}

static bool
see_dead(void *arg, const struct journal_dead *d)
{
	bool *right = arg;

	*right = d->no == 1 && d->seq == 2 && span_is(d->group, "g") && span_is(d->frame, "f") &&
		 span_is(d->key, "k") && d->tries == 8 && d->id[0] == 9;
	return true;
}

static void
see_claim(void *arg, struct span path, struct span name)
{
	bool *right = arg;

	*right = span_is(path, "/p") && span_is(name, "n");
}

static void
store_one_of_each(struct journal *j)
{
	struct journal_rec r = kit_rec(2, "two");
	struct journal_op put = kit_put(&r, 1);
	struct journal_op group = {.kind = JOURNAL_GROUP,
	    .u.group = {span_str("g"), span_str("set"), JOURNAL_FROM_NEW, 0, 0}};
	struct journal_op state = {
	    .kind = JOURNAL_GROUP_STATE, .u.state = {span_str("g"), span_str("state")}};
	struct journal_op dead = {.kind = JOURNAL_DEAD,
	    .u.dead = {.group = span_str("g"),
		.frame = span_str("f"),
		.key = span_str("k"),
		.topic = span_str("t"),
		.id = {9},
		.seq = 2,
		.tries = 8}};
	struct journal_op claim = {
	    .kind = JOURNAL_CLAIM, .u.claim = {.path = span_str("/p"), .name = span_str("n")}};

	put.u.put.src = span_str("src");
	put.u.put.cur = span_str("cur");
	put.u.put.owner = span_str("me");
	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK && kit_run(j, &put) == ERR_OK);
	CHECK(kit_run(j, &group) == ERR_OK && kit_run(j, &state) == ERR_OK);
	CHECK(kit_run(j, &dead) == ERR_OK && kit_run(j, &claim) == ERR_OK);
}

/* What store_one_of_each stored. */
static void
find_one_of_each(struct journal *j)
{
	struct journal_rec r;
	uint8_t *cur;
	size_t n;
	bool right = false;

	CHECK(journal_head(j) == 2 && journal_first(j) == 1 && count(j) == 2);
	CHECK(journal_groups(j, see_group, &right) == 0 && right);
	right = false;
	CHECK(journal_dead_each(j, span_str("g"), 0, see_dead, &right) == 0 && right);
	right = false;
	CHECK(journal_claims(j, see_claim, &right) == 0 && right);
	CHECK(journal_cursor(j, span_str("src"), &cur, &n) == 0 && span_is(span_of(cur, n), "cur"));
	free(cur);
	CHECK(kit_put1(j, 1, "one", &r) == ERR_OK && r.repeat && r.seq == 1);
}

static void
test_reopen(const char *dir)
{
	struct journal *j = kit_open(dir);
	struct journal_stats a, b;
	struct journal_rec r = kit_rec(3, "three");
	struct journal_op op = kit_put(&r, 1);

	store_one_of_each(j);
	journal_stats(j, &a);
	CHECK(a.commits == 6 && a.fsync_us_max > 0 && a.fsync_us_p50 <= a.fsync_us_p99);
	journal_close(j);

	j = kit_open(dir);
	journal_stats(j, &b);
	CHECK(b.kept_bytes == 6 && b.records == 0 && b.oldest_ms == KIT_T0);
	CHECK(b.file_bytes > 0 && b.file_bytes % 4096 == 0);
	find_one_of_each(j);
	r = kit_rec(3, "three");
	op.u.put.src = span_str("src");
	op.u.put.owner = span_str("you");
	op.u.put.cur = span_str("stolen");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == -1);

	/* Submitted and not even flushed: closing commits it. */
	op = kit_put(&r, 1);
	journal_submit(j, &op);
	journal_close(j);
	j = kit_open(dir);
	CHECK(journal_head(j) == 3);
	/* With every record gone the next seq is still the next. */
	CHECK(kit_trim(j, 100, NULL) == ERR_OK);
	journal_close(j);
	j = kit_open(dir);
	CHECK(journal_head(j) == 3 && journal_first(j) == 4 && count(j) == 0);
	atomic_store(&kit_clock, KIT_T0 - 1000);
	CHECK(kit_put1(j, 4, "four", &r) == ERR_OK && r.seq == 4);
	journal_stats(j, &b);
	CHECK(b.kept_bytes == 4 && b.oldest_ms == KIT_T0);
	atomic_store(&kit_clock, KIT_T0);
	journal_close(j);
}

static void
test_refused(const char *dir)
{
	struct journal *j = kit_open(dir), *second;
	char *path = xasprintf("%s/journal.db", dir);
	FILE *f;

	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	second = kit_open(dir);
	CHECK(second == NULL);
	CHECK(kit_put1(j, 2, "two", NULL) == ERR_OK);
	journal_close(j);
	CHECK(kit_open("/nonexistent/journal") == NULL);

	sql(dir, "PRAGMA user_version=3");
	CHECK(kit_open(dir) == NULL);
	sql(dir, "PRAGMA user_version=2");
	sql(dir, "PRAGMA application_id=7");
	CHECK(kit_open(dir) == NULL);
	sql(dir, "PRAGMA application_id=1413568585");
	j = kit_open(dir);
	CHECK(j != NULL && journal_head(j) == 2);
	journal_close(j);

	/* Another program's tables are left alone. */
	kit_empty(dir);
	sql(dir, "CREATE TABLE precious(x)");
	CHECK(kit_open(dir) == NULL);
	sql(dir, "INSERT INTO precious VALUES(1)");
	kit_empty(dir);
	f = fopen(path, "w");
	CHECK(f != NULL && fputs("by no means a database, but longer than its header\n", f) > 0);
	(void)fclose(f);
	CHECK(kit_open(dir) == NULL);
	free(path);
}

/* One byte, in any part of the record. */
static void
test_damaged(const char *dir)
{
	static const char *const harm[] = {
	    "UPDATE records SET frame = CAST('fRame 1' AS BLOB) WHERE seq = 1",
	    "UPDATE records SET topic = 'a.c' WHERE seq = 2",
	    "UPDATE records SET key = '' WHERE seq = 3",
	    "UPDATE records SET at = at + 1 WHERE seq = 4",
	    "UPDATE records SET exp = 1 WHERE seq = 5",
	    "UPDATE records SET id = zeroblob(16) WHERE seq = 6",
	    "UPDATE records SET id = x'00' WHERE seq = 7",
	    "UPDATE records SET frame = CAST('bframe 8' AS BLOB), topic = 'a.' WHERE seq = 8",
	    "UPDATE records SET seq = 100 WHERE seq = 9",
	};
	struct journal *j = kit_open(dir);
	struct rows s = {0};
	struct journal_stats st;
	char frame[16];

	for (unsigned i = 1; i <= 10; i++) {
		(void)snprintf(frame, sizeof frame, "frame %u", i);
		CHECK(kit_put1(j, i, frame, NULL) == ERR_OK);
	}
	journal_close(j);
	for (size_t i = 0; i < sizeof harm / sizeof harm[0]; i++)
		sql(dir, harm[i]);
	j = kit_open(dir);
	CHECK(journal_read(j, 1, see, &s) == 101);
	CHECK(s.n == 1 && s.seqs[0] == 10);
	journal_stats(j, &st);
	CHECK(st.damaged == 9 + 90); /* and those that should be between 8 and 100 */
	/* What came after is served, and more can come. */
	CHECK(kit_put1(j, 11, "eleven", NULL) == ERR_OK && count(j) == 2);
	journal_close(j);
}

/* The file shrinks after what was in it is gone. */
static void
test_space(const char *dir)
{
	enum { N = 3000, LEN = 4000, TRIES = 2000 };
	struct journal *j = kit_open(dir);
	struct journal_rec *recs = xcalloc(N, sizeof *recs);
	char *body = xcalloc(1, LEN);
	struct journal_op op = kit_put(recs, N);
	struct journal_stats full, st;

	for (unsigned i = 0; i < N; i++) {
		recs[i] = kit_rec(i, "");
		recs[i].frame = span_of(body, LEN);
	}
	CHECK(kit_run(j, &op) == ERR_OK);
	journal_stats(j, &full);
	CHECK(full.file_bytes > N * LEN && full.kept_bytes == N * LEN);
	for (unsigned i = 0; i < 3; i++)
		CHECK(kit_trim(j, N, NULL) == ERR_OK);
	/* A little with each commit that trims, more when idle. */
	for (unsigned i = 0; i < TRIES; i++) {
		CHECK(kit_put1(j, N + i, "x", NULL) == ERR_OK);
		CHECK(kit_trim(j, N + i, NULL) == ERR_OK);
		journal_stats(j, &st);
		if (st.file_bytes < full.file_bytes / 2)
			break;
	}
	CHECK(st.file_bytes < full.file_bytes / 2);
	journal_close(j);
	j = kit_open(dir);
	journal_stats(j, &full);
	CHECK(full.kept_bytes == st.kept_bytes && journal_head(j) > N);
	journal_close(j);
	free(recs);
	free(body);
}

/* Ids of the day before yesterday are deleted while the journal works and while it rests. */
static void
test_drain(const char *dir)
{
	enum { N = 5000 };
	const int64_t hour = 3600 * 1000;
	struct journal *j = kit_open(dir);
	struct journal_rec *recs = xcalloc(N, sizeof *recs), r;
	struct journal_op op = kit_put(recs, N);
	char *path = xasprintf("%s/journal.db", dir);
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int left = -1;

	for (unsigned i = 0; i < N; i++)
		recs[i] = kit_rec(i, "x");
	CHECK(kit_run(j, &op) == ERR_OK);
	for (int day = 1; day <= 2; day++) {
		atomic_store(&kit_clock, KIT_T0 + day * 25 * hour);
		CHECK(kit_put1(j, N + (uint64_t)day, "x", NULL) == ERR_OK);
	}
	CHECK(kit_put1(j, 1, "x", &r) == ERR_OK && !r.repeat && r.seq == N + 3);
	/* The first of the three tables had them: 256 and one for each record go with a commit. */
	for (unsigned i = 0; i < N / 256 + 1; i++)
		CHECK(kit_put1(j, N + 10 + i, "x", NULL) == ERR_OK);
	CHECK(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(db,
		  "SELECT (SELECT count(*) FROM dedup_0) + (SELECT count(*) FROM dedup_1) +"
		  " (SELECT count(*) FROM dedup_2)",
		  -1, &st, NULL) == SQLITE_OK);
	CHECK(sqlite3_step(st) == SQLITE_ROW);
	left = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	CHECK(left == 2 + 1 + N / 256 + 1);
	journal_close(j);
	atomic_store(&kit_clock, KIT_T0);
	free(recs);
	free(path);
}

/* A file of format 1 as the version that knew no other wrote it, with what store_one_of_each
 * stores. */
static const char format_1[] =
    "PRAGMA page_size=4096;PRAGMA auto_vacuum=INCREMENTAL;PRAGMA journal_mode=WAL;BEGIN;"
    "CREATE TABLE records(seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, exp INTEGER NOT NULL,"
    " id BLOB NOT NULL, crc INTEGER NOT NULL, topic TEXT NOT NULL, key TEXT,"
    " frame BLOB NOT NULL);"
    "INSERT INTO records VALUES(1,1700000000000,0,X'00000000000000000000000000000001',1580231699,"
    "'a.b',NULL,X'6f6e65');"
    "INSERT INTO records VALUES(2,1700000000000,0,X'00000000000000000000000000000002',2379717775,"
    "'a.b',NULL,X'74776f');"
    "CREATE TABLE meta(one INTEGER PRIMARY KEY CHECK(one = 1), head INTEGER NOT NULL,"
    " at INTEGER NOT NULL, kept INTEGER NOT NULL, gen INTEGER NOT NULL, since INTEGER NOT NULL);"
    "INSERT INTO meta VALUES(1,0,1700000000000,0,1,1700000000000);"
    "CREATE TABLE dedup_0(id BLOB PRIMARY KEY, dig BLOB NOT NULL, seq INTEGER NOT NULL,"
    " groups INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE dedup_1(id BLOB PRIMARY KEY, dig BLOB NOT NULL, seq INTEGER NOT NULL,"
    " groups INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE dedup_2(id BLOB PRIMARY KEY, dig BLOB NOT NULL, seq INTEGER NOT NULL,"
    " groups INTEGER NOT NULL) WITHOUT ROWID;"
    "INSERT INTO dedup_1 VALUES(X'00000000000000000000000000000001',"
    "X'6f6e650000000000000000000000000000000000000000000000000000000000',1,7);"
    "INSERT INTO dedup_1 VALUES(X'00000000000000000000000000000002',"
    "X'74776f0000000000000000000000000000000000000000000000000000000000',2,7);"
    "CREATE TABLE cursors(src TEXT PRIMARY KEY, owner TEXT, cur BLOB);"
    "INSERT INTO cursors VALUES('src','me',X'637572');"
    "CREATE TABLE groups(name TEXT PRIMARY KEY, settings BLOB, state BLOB, next INTEGER NOT NULL);"
    "INSERT INTO groups VALUES('g',X'736574',X'7374617465',3);"
    "CREATE TABLE dead(no INTEGER PRIMARY KEY AUTOINCREMENT, grp TEXT NOT NULL,"
    " seq INTEGER NOT NULL, id BLOB NOT NULL, topic TEXT NOT NULL, key TEXT, reason TEXT,"
    " tries INTEGER NOT NULL, at INTEGER NOT NULL, frame BLOB);"
    "INSERT INTO dead VALUES(1,'g',2,X'09000000000000000000000000000000','t','k',NULL,8,"
    "1700000000000,X'66');"
    "CREATE INDEX dead_grp ON dead(grp);"
    "CREATE TABLE claims(path TEXT PRIMARY KEY, name TEXT NOT NULL);"
    "INSERT INTO claims VALUES('/p','n');"
    "PRAGMA application_id=1413568585;PRAGMA user_version=1;COMMIT;";

static int64_t
number(const char *dir, const char *text)
{
	char *path = xasprintf("%s/journal.db", dir);
	sqlite3 *db = NULL;
	sqlite3_stmt *st = NULL;
	int64_t v = -1;

	CHECK(sqlite3_open(path, &db) == SQLITE_OK);
	CHECK(sqlite3_prepare_v2(db, text, -1, &st, NULL) == SQLITE_OK);
	if (CHECK(sqlite3_step(st) == SQLITE_ROW))
		v = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	sqlite3_close(db);
	free(path);
	return v;
}

static void
test_upgrade(const char *dir)
{
	struct journal_op op = {.kind = JOURNAL_POLICY, .u.policy.pattern = span_str("p.>")};
	struct journal_rec r = kit_rec(3, "three");
	struct journal_op put = kit_put(&r, 1);
	struct journal_stats st;
	struct journal *j;

	sql(dir, format_1);
	for (unsigned i = 0; i < 2; i++) {
		j = kit_open(dir);
		if (!CHECK(j != NULL))
			return;
		find_one_of_each(j);
		journal_stats(j, &st);
		CHECK(st.damaged == 0 && st.kept_bytes == 6);
		if (i == 0) {
			r.from = span_str("somebody");
			r.retain = JOURNAL_RETAIN_SET;
			CHECK(kit_run(j, &op) == ERR_OK);
		} else {
			CHECK(kit_run(j, &put) == ERR_OK && r.seq == 3);
		}
		journal_close(j);
		CHECK(number(dir, "PRAGMA user_version") == 2);
	}
}

/* A step that fails leaves the file as it was. */
static void
test_upgrade_fails(const char *dir)
{
	sql(dir, format_1);
	sql(dir, "CREATE TABLE policies(x)");
	CHECK(kit_open(dir) == NULL);
	CHECK(number(dir, "PRAGMA user_version") == 1);
	CHECK(number(dir, "SELECT count(*) FROM pragma_table_info('records')") == 8);
	sql(dir, "DROP TABLE policies");
	journal_close(kit_open(dir));
	CHECK(number(dir, "SELECT count(*) FROM pragma_table_info('records')") == 10);
}

int
main(void)
{
	void (*const tests[])(const char *dir) = {test_reopen, test_refused, test_damaged,
	    test_space, test_drain, test_upgrade, test_upgrade_fails};

	for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		char *dir = kit_dir();

		printf("# %zu\n", i);
		tests[i](dir);
		kit_rmdir(dir);
	}
	return check_done();
}

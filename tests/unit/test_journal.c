/* One suite, run against every implementation: what journal.h promises. */
#include "broker/journal.h"
#include "tests/unit/journal_kit.h"

static const struct span none = {NULL, 0};

/* ---- reading ---- */

struct seen {
	unsigned n, stop_after;
	uint64_t first, last;
	int64_t at_ms, exp_ms;
	bool ascending, key_absent;
	char topic[64], key[64], frame[64];
	uint8_t id[16];
};

static void
copy(char dst[64], struct span s)
{
	size_t n = s.n < 63 ? s.n : 63;

	memcpy(dst, s.p != NULL ? s.p : (const uint8_t *)"", n);
	dst[n] = '\0';
}

static bool
see(void *arg, const struct journal_row *r)
{
	struct seen *s = arg;

	if (s->n == 0) {
		s->first = r->seq;
	} else {
		s->ascending = s->ascending && r->seq > s->last;
	}
	s->n++;
	s->last = r->seq;
	s->at_ms = r->at_ms;
	s->exp_ms = r->exp_ms;
	s->key_absent = r->key.p == NULL;
	copy(s->topic, r->topic);
	copy(s->key, r->key);
	copy(s->frame, r->frame);
	memcpy(s->id, r->id, sizeof s->id);
	return s->stop_after == 0 || s->n < s->stop_after;
}

static struct seen
read_all(struct journal *j, uint64_t from, uint64_t *next)
{
	struct seen s = {.ascending = true};

	*next = from;
	do {
		*next = journal_read(j, *next, see, &s);
	} while (*next != 0 && *next <= journal_head(j));
	return s;
}

static unsigned
count(struct journal *j)
{
	uint64_t next;

	return read_all(j, 1, &next).n;
}

static void
test_empty(struct journal *j)
{
	struct seen s = {0};
	uint8_t *p;
	size_t n;

	CHECK(journal_head(j) == 0);
	CHECK(journal_first(j) == 1);
	CHECK(journal_read(j, 1, see, &s) == 1);
	CHECK(journal_read(j, 99, see, &s) == 1);
	CHECK(s.n == 0);
	CHECK(journal_cursor(j, span_str("src"), &p, &n) == 0 && p == NULL && n == 0);
	CHECK(journal_reap(j) == NULL);
	CHECK(!journal_failed(j));
	CHECK(kit_trim(j, 100, &(uint64_t){0}) == ERR_OK && journal_first(j) == 1);
}

static void
test_put(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "frame one");
	struct journal_op op = kit_put(&r, 1);
	struct seen s = {.ascending = true};

	r.key = span_str("key");
	r.exp_ms = KIT_T0 + 5;
	atomic_store(&kit_clock, KIT_T0);
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(r.seq == 1 && !r.repeat);
	CHECK(journal_head(j) == 1 && journal_first(j) == 1);
	CHECK(journal_read(j, 0, see, &s) == 2);
	CHECK(s.n == 1 && s.first == 1);
	CHECK(s.at_ms == KIT_T0 && s.exp_ms == KIT_T0 + 5);
	CHECK_STR(s.topic, "a.b");
	CHECK_STR(s.key, "key");
	CHECK_STR(s.frame, "frame one");
	CHECK(memcmp(s.id, r.id, sizeof r.id) == 0);

	r = kit_rec(2, "");
	CHECK(kit_run(j, &op) == ERR_OK && r.seq == 2);
	CHECK(journal_read(j, 2, see, &s) == 3 && s.key_absent && s.frame[0] == '\0');
	r = kit_rec(3, "x");
	r.key = span_str("");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(journal_read(j, 3, see, &s) == 4 && !s.key_absent && s.key[0] == '\0');
}

static void
test_order(struct journal *j)
{
	enum { N = 50 };
	struct journal_rec recs[N];
	struct journal_op ops[N];
	size_t queued = 0;
	bool ok = true;

	for (unsigned i = 0; i < N; i++) {
		recs[i] = kit_rec(i, "frame");
		ops[i] = kit_put(&recs[i], 1);
		journal_submit(j, &ops[i]);
		queued += ops[i].bytes;
	}
	CHECK(journal_queued_bytes(j) == queued && queued > N * sizeof ops[0]);
	journal_flush(j);
	CHECK(journal_head(j) == 0);
	for (unsigned i = 0; i < N; i++) {
		ok = kit_reap(j) == &ops[i] && recs[i].seq == i + 1 && journal_head(j) == i + 1 &&
		     ok;
	}
	CHECK(ok);
	CHECK(journal_queued_bytes(j) == 0);
	CHECK(journal_reap(j) == NULL);
}

/* Flushed in parts, as a long turn does: all come back, in order, in no more commits than parts. */
static void
test_parts(struct journal *j)
{
	enum { N = 40 };
	struct journal_rec recs[N];
	struct journal_op ops[N];
	struct journal_stats st;
	bool ok = true;

	for (unsigned i = 0; i < N; i++) {
		recs[i] = kit_rec(i, "frame");
		ops[i] = kit_put(&recs[i], 1);
		journal_submit(j, &ops[i]);
		if (i % 10 == 9)
			journal_flush(j);
	}
	journal_flush(j);
	for (unsigned i = 0; i < N; i++)
		ok = kit_reap(j) == &ops[i] && recs[i].seq == i + 1 && ok;
	CHECK(ok && journal_reap(j) == NULL && count(j) == N);
	journal_stats(j, &st);
	/* In memory each is a commit of its own. */
	CHECK(((st.commits >= 1 && st.commits <= N / 10) || st.commits == N) && st.records == N);
	CHECK(kit_put1(j, 1000, "after", NULL) == ERR_OK);
}

/* The descriptor stays readable until there is nothing left, also for one who reaps by ones. */
static void
test_fd(struct journal *j)
{
	struct journal_rec recs[3] = {kit_rec(1, "a"), kit_rec(2, "b"), kit_rec(3, "c")};
	struct journal_op ops[3];
	struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};
	struct seen s = {0};

	CHECK(poll(&p, 1, 0) == 0);
	for (unsigned i = 0; i < 3; i++) {
		ops[i] = kit_put(&recs[i], 1);
		journal_submit(j, &ops[i]);
	}
	journal_flush(j);
	for (unsigned i = 0; i < 3; i++) {
		CHECK(poll(&p, 1, KIT_WAIT_MS) == 1);
		CHECK(kit_reap(j) == &ops[i]);
		/* What is committed but not reaped is not served. */
		s = (struct seen){0};
		CHECK(journal_read(j, 1, see, &s) == i + 2 && s.n == i + 1);
	}
	CHECK(journal_reap(j) == NULL);
	CHECK(poll(&p, 1, 0) == 0);
}

/* ---- once in ---- */

static void
test_repeat(struct journal *j)
{
	struct journal_rec a = kit_rec(1, "first"), b = kit_rec(1, "first"),
			   c = kit_rec(1, "other");
	struct journal_op pa = kit_put(&a, 1), pb = kit_put(&b, 1), pc = kit_put(&c, 1);
	struct journal_stats st;

	b.groups = 99;
	/* In one transaction first. */
	journal_submit(j, &pa);
	journal_submit(j, &pb);
	journal_submit(j, &pc);
	journal_flush(j);
	CHECK(kit_reap(j) == &pa && pa.err == ERR_OK && a.seq == 1 && !a.repeat);
	CHECK(kit_reap(j) == &pb && pb.err == ERR_OK && b.seq == 1 && b.repeat && b.groups == 7);
	CHECK(kit_reap(j) == &pc && pc.err == ERR_CONFLICT && pc.conflict_at == 0);
	/* And in another. */
	b = kit_rec(1, "first");
	CHECK(kit_run(j, &pb) == ERR_OK && b.seq == 1 && b.repeat && b.groups == 7);
	CHECK(kit_run(j, &pc) == ERR_CONFLICT && pc.conflict_at == 0);
	CHECK(journal_head(j) == 1 && count(j) == 1);
	journal_stats(j, &st);
	CHECK(st.records == 1 && st.repeats == 2 && st.bytes == 5);
}

static void
test_batch(struct journal *j)
{
	struct journal_rec r[5];
	struct journal_op op = kit_put(r, 5);

	CHECK(kit_put1(j, 2, "two", NULL) == ERR_OK);
	for (unsigned i = 0; i < 5; i++)
		r[i] = kit_rec(i, i == 2 ? "two" : "new");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(r[0].seq == 2 && r[1].seq == 3 && r[3].seq == 4 && r[4].seq == 5);
	CHECK(r[2].seq == 1 && r[2].repeat && !r[3].repeat);

	/* One conflict refuses all. */
	for (unsigned i = 0; i < 5; i++)
		r[i] = kit_rec(10 + i, "new");
	r[3] = kit_rec(2, "not two");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == 3);
	CHECK(journal_head(j) == 5 && count(j) == 5);
	r[3] = kit_rec(13, "new");
	CHECK(kit_run(j, &op) == ERR_OK && r[0].seq == 6 && !r[0].repeat);
	CHECK(kit_run(j, &op) == ERR_OK && r[4].seq == 10 && r[4].repeat);
}

/* The same id twice in one batch. */
static void
test_twins(struct journal *j)
{
	struct journal_rec r[5];
	struct journal_op op = kit_put(r, 5);

	for (unsigned i = 0; i < 5; i++)
		r[i] = kit_rec(i, "new");
	r[3] = r[1];
	r[4] = kit_rec(1, "other");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == 4);
	CHECK(journal_head(j) == 0);
	r[0] = kit_rec(1, "other");
	r[4] = r[1];
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == 1);
	r[0] = kit_rec(0, "new");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(r[0].seq == 1 && r[1].seq == 2 && r[2].seq == 3);
	CHECK(r[3].repeat && r[3].seq == 2 && r[4].repeat && r[4].seq == 2);
	CHECK(journal_head(j) == 3 && count(j) == 3);
}

/* N lone ones in one flush, from id `from` on: a repeat, a conflict and twins among new ones. */
enum { MANY = 600, KNOWN = 20, OTHER = 30, TWIN = 40 };

static bool
put_many(struct journal *j, uint64_t from, bool spoiled)
{
	static struct journal_rec recs[MANY];
	static struct journal_op ops[MANY];
	uint64_t seq = journal_head(j);
	bool ok = true;

	for (unsigned i = 0; i < MANY; i++) {
		recs[i] = kit_rec(from + i, "new");
		if (spoiled && (i == KNOWN || i == OTHER))
			recs[i] = kit_rec(1, i == KNOWN ? "one" : "other");
		if (spoiled && i == TWIN)
			recs[i] = recs[i - 1];
		ops[i] = kit_put(&recs[i], 1);
		journal_submit(j, &ops[i]);
	}
	journal_flush(j);
	for (unsigned i = 0; i < MANY; i++) {
		bool old = spoiled && (i == KNOWN || i == OTHER || i == TWIN);

		ok = kit_reap(j) == &ops[i] && ok;
		ok = ops[i].err == (old && i == OTHER ? ERR_CONFLICT : ERR_OK) && ok;
		ok = (ops[i].err != ERR_OK || recs[i].repeat == old) && ok;
		seq += old ? 0 : 1;
		ok = ops[i].head == seq && (old || recs[i].seq == seq) && ok;
	}
	return ok && (!spoiled || (recs[KNOWN].seq == 1 && recs[TWIN].seq == recs[TWIN - 1].seq));
}

static void
test_many(struct journal *j)
{
	struct journal_stats st;

	atomic_store(&kit_clock, KIT_T0);
	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	CHECK(put_many(j, 1000, false));
	CHECK(journal_head(j) == MANY + 1 && count(j) == MANY + 1);
	CHECK(put_many(j, 2000, true));
	CHECK(journal_head(j) == 2 * MANY - 2 && count(j) == 2 * MANY - 2);
	/* What is known only from the window before. */
	atomic_store(&kit_clock, KIT_T0 + 25 * 3600 * 1000);
	CHECK(put_many(j, 3000, true));
	CHECK(put_many(j, 4000, false));
	journal_stats(j, &st);
	CHECK(st.records == 4 * MANY - 5 && st.repeats == 4);
	atomic_store(&kit_clock, KIT_T0);
}

static void
test_window(struct journal *j)
{
	const int64_t hour = 3600 * 1000;
	struct journal_rec r;

	atomic_store(&kit_clock, KIT_T0);
	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	CHECK(kit_trim(j, 100, NULL) == ERR_OK && count(j) == 0);
	atomic_store(&kit_clock, KIT_T0 + 23 * hour);
	CHECK(kit_put1(j, 1, "one", &r) == ERR_OK && r.repeat && r.seq == 1);
	CHECK(kit_put1(j, 2, "two", &r) == ERR_OK && !r.repeat);
	/* The clock set back changes nothing. */
	atomic_store(&kit_clock, KIT_T0 - 9 * hour);
	CHECK(kit_put1(j, 1, "one", &r) == ERR_OK && r.repeat);
	atomic_store(&kit_clock, KIT_T0 + 25 * hour);
	CHECK(kit_put1(j, 1, "one", &r) == ERR_OK && r.repeat);
	CHECK(kit_put1(j, 1, "1", &r) == ERR_CONFLICT);
	CHECK(kit_put1(j, 3, "three", &r) == ERR_OK && !r.repeat);
	atomic_store(&kit_clock, KIT_T0 + 50 * hour);
	CHECK(kit_put1(j, 3, "three", &r) == ERR_OK && r.repeat);
	CHECK(kit_put1(j, 1, "one", &r) == ERR_OK && !r.repeat && r.seq == 4);
	atomic_store(&kit_clock, KIT_T0 + 75 * hour);
	CHECK(kit_put1(j, 3, "three", &r) == ERR_OK && !r.repeat && r.seq == 5);
	CHECK(kit_put1(j, 1, "one", &r) == ERR_OK && r.repeat && r.seq == 4);
	atomic_store(&kit_clock, KIT_T0);
}

static void
test_time(struct journal *j)
{
	struct seen s = {0};

	atomic_store(&kit_clock, KIT_T0);
	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	atomic_store(&kit_clock, KIT_T0 - 5000);
	CHECK(kit_put1(j, 2, "two", NULL) == ERR_OK);
	CHECK(journal_read(j, 2, see, &s) == 3 && s.at_ms == KIT_T0);
	atomic_store(&kit_clock, KIT_T0 + 5000);
	CHECK(kit_put1(j, 3, "three", NULL) == ERR_OK);
	CHECK(journal_read(j, 3, see, &s) == 4 && s.at_ms == KIT_T0 + 5000);
	atomic_store(&kit_clock, KIT_T0);
}

/* ---- cursors ---- */

static bool
cursor_is(struct journal *j, const char *src, const char *cur)
{
	uint8_t *p;
	size_t n;
	bool is;

	if (journal_cursor(j, span_str(src), &p, &n) != 0)
		return false;
	is = cur == NULL ? p == NULL : p != NULL && span_is(span_of(p, n), cur);
	free(p);
	return is;
}

static struct journal_op
with_cursor(struct journal_rec *recs, unsigned n, const char *was, const char *cur)
{
	struct journal_op op = kit_put(recs, n);

	op.u.put.src = span_str("files");
	op.u.put.owner = span_str("me");
	op.u.put.was = was != NULL ? span_str(was) : none;
	op.u.put.cur = cur != NULL ? span_str(cur) : none;
	return op;
}

static void
test_cursor(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "one");
	struct journal_op op = with_cursor(&r, 1, "1", "2");

	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == -1);
	CHECK(cursor_is(j, "files", NULL) && count(j) == 0);
	op = with_cursor(&r, 1, "", "1");
	CHECK(kit_run(j, &op) == ERR_OK && cursor_is(j, "files", "1"));
	r = kit_rec(2, "two");
	op = with_cursor(&r, 1, "", "2");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == -1 && journal_head(j) == 1);
	op = with_cursor(&r, 1, "1", "2");
	CHECK(kit_run(j, &op) == ERR_OK && cursor_is(j, "files", "2") && journal_head(j) == 2);
	/* Without `was` it is not compared. */
	op = with_cursor(NULL, 0, NULL, "7");
	CHECK(kit_run(j, &op) == ERR_OK && cursor_is(j, "files", "7"));
	op = with_cursor(NULL, 0, NULL, "");
	CHECK(kit_run(j, &op) == ERR_OK && cursor_is(j, "files", ""));
	/* Without `cur` it is only compared. */
	r = kit_rec(3, "three");
	op = with_cursor(&r, 1, "7", NULL);
	CHECK(kit_run(j, &op) == ERR_CONFLICT && journal_head(j) == 2);
	op = with_cursor(&r, 1, "", NULL);
	CHECK(kit_run(j, &op) == ERR_OK && journal_head(j) == 3 && cursor_is(j, "files", ""));
	CHECK(cursor_is(j, "file", NULL) && cursor_is(j, "filess", NULL));
	/* A conflict of a record keeps the cursor too. */
	r = kit_rec(3, "not three");
	op = with_cursor(&r, 1, "", "8");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == 0 && cursor_is(j, "files", ""));
}

static void
test_cursor_owner(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "one");
	struct journal_op op = with_cursor(&r, 1, NULL, "1");

	CHECK(kit_run(j, &op) == ERR_OK);
	op.u.put.owner = span_str("you");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == -1);
	r = kit_rec(2, "two");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && journal_head(j) == 1);
	op.u.put.owner = span_str("me");
	CHECK(kit_run(j, &op) == ERR_OK && journal_head(j) == 2);
}

/* A batch whose answer was lost, sent again after its own cursor was stored. */
static void
test_cursor_repeat(struct journal *j)
{
	struct journal_rec r[3] = {kit_rec(1, "one"), kit_rec(2, "two")};
	struct journal_op op = with_cursor(r, 2, "", "2");

	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(kit_run(j, &op) == ERR_OK && r[0].repeat && r[1].repeat && r[1].seq == 2);
	/* With something new in it, it is not a repeat. */
	r[2] = kit_rec(3, "three");
	op = with_cursor(r, 3, "", "2");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == -1 && journal_head(j) == 2);
	/* Known records may still move another's cursor. */
	op = with_cursor(r, 2, "", "2");
	op.u.put.src = span_str("elsewhere");
	CHECK(kit_run(j, &op) == ERR_OK && cursor_is(j, "elsewhere", "2"));
	op = with_cursor(NULL, 0, "1", "2");
	CHECK(kit_run(j, &op) == ERR_OK && cursor_is(j, "files", "2"));
	op = with_cursor(NULL, 0, "1", "3");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && cursor_is(j, "files", "2"));
	/* All of it is stored and the cursor has moved on since: it was sent again. */
	op = with_cursor(r, 2, "1", "3");
	CHECK(kit_run(j, &op) == ERR_OK && r[1].repeat && cursor_is(j, "files", "2"));
}

/* ---- groups ---- */

struct group_seen {
	unsigned n;
	uint64_t next;
	char names[64], settings[64], state[64];
};

static void
see_group(void *arg, const struct journal_group *g)
{
	struct group_seen *s = arg;
	char name[64];
	size_t used = strlen(s->names);

	s->n++;
	copy(name, g->name);
	(void)snprintf(s->names + used, sizeof s->names - used, "%s ", name);
	copy(s->settings, g->settings);
	copy(s->state, g->state);
	s->next = g->next;
}

static uint64_t
make_group(struct journal *j, const char *name, enum journal_from from, int64_t arg)
{
	struct journal_op op = {
	    .kind = JOURNAL_GROUP, .u.group = {span_str(name), span_str("set"), from, arg, 0}};

	CHECK(kit_run(j, &op) == ERR_OK);
	return op.u.group.next;
}

static void
test_groups(struct journal *j)
{
	struct journal_op op = {
	    .kind = JOURNAL_GROUP_STATE, .u.state = {span_str("g"), span_str("state")}};
	struct group_seen s = {0};

	CHECK(kit_run(j, &op) == ERR_NOT_FOUND);
	CHECK(make_group(j, "g", JOURNAL_FROM_NEW, 0) == 1);
	CHECK(journal_groups(j, see_group, &s) == 0 && s.n == 1 && s.next == 1);
	CHECK_STR(s.settings, "set");
	CHECK_STR(s.state, "");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	/* For a name that is there only the settings count. */
	op = (struct journal_op){.kind = JOURNAL_GROUP,
	    .u.group = {span_str("g"), span_str("changed"), JOURNAL_FROM_NEW, 0, 0}};
	CHECK(kit_run(j, &op) == ERR_OK && op.u.group.next == 1);
	CHECK(make_group(j, "f", JOURNAL_FROM_NEW, 0) == 2);
	s = (struct group_seen){0};
	CHECK(journal_groups(j, see_group, &s) == 0 && s.n == 2);
	CHECK_STR(s.names, "f g ");
	CHECK_STR(s.settings, "changed");
	CHECK_STR(s.state, "state");
	CHECK(s.next == 1);
	op = (struct journal_op){.kind = JOURNAL_GROUP_DEL, .u.group.name = span_str("g")};
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(kit_run(j, &op) == ERR_OK);
	s = (struct group_seen){0};
	CHECK(journal_groups(j, see_group, &s) == 0);
	CHECK_STR(s.names, "f ");
	CHECK(make_group(j, "g", JOURNAL_FROM_NEW, 0) == 2);
}

static void
test_group_from(struct journal *j)
{
	struct journal_rec r = kit_rec(99, "x");
	struct journal_op put = kit_put(&r, 1);
	struct journal_op group = {.kind = JOURNAL_GROUP,
	    .u.group = {span_str("same turn"), none, JOURNAL_FROM_NEW, 0, 0}};

	for (unsigned i = 0; i < 10; i++) {
		atomic_store(&kit_clock, KIT_T0 + 100 * i);
		CHECK(kit_put1(j, i, "x", NULL) == ERR_OK);
	}
	CHECK(kit_trim(j, 4, NULL) == ERR_OK && journal_first(j) == 4);
	CHECK(make_group(j, "new", JOURNAL_FROM_NEW, 0) == 11);
	CHECK(make_group(j, "all", JOURNAL_FROM_ALL, 0) == 4);
	CHECK(make_group(j, "seq", JOURNAL_FROM_SEQ, 6) == 6);
	CHECK(make_group(j, "seq low", JOURNAL_FROM_SEQ, 2) == 4);
	CHECK(make_group(j, "seq negative", JOURNAL_FROM_SEQ, -2) == 4);
	CHECK(make_group(j, "seq end", JOURNAL_FROM_SEQ, 11) == 11);
	CHECK(make_group(j, "seq high", JOURNAL_FROM_SEQ, INT64_MAX) == 11);
	CHECK(make_group(j, "time", JOURNAL_FROM_TIME, KIT_T0 + 500) == 6);
	CHECK(make_group(j, "time between", JOURNAL_FROM_TIME, KIT_T0 + 501) == 7);
	CHECK(make_group(j, "time low", JOURNAL_FROM_TIME, 0) == 4);
	CHECK(make_group(j, "time last", JOURNAL_FROM_TIME, KIT_T0 + 900) == 10);
	CHECK(make_group(j, "time high", JOURNAL_FROM_TIME, INT64_MAX) == 11);
	/* NEW is after what was submitted before it, in the same transaction too. */
	journal_submit(j, &put);
	journal_submit(j, &group);
	journal_flush(j);
	CHECK(kit_reap(j) == &put && r.seq == 11);
	CHECK(kit_reap(j) == &group && group.u.group.next == 12);
	CHECK(kit_trim(j, 1000, NULL) == ERR_OK);
	CHECK(make_group(j, "all of nothing", JOURNAL_FROM_ALL, 0) == 12);
	CHECK(make_group(j, "time of nothing", JOURNAL_FROM_TIME, 0) == 12);
	atomic_store(&kit_clock, KIT_T0);
}

/* ---- dead letters, claims ---- */

static uint64_t
bury(struct journal *j, const char *group, uint64_t seq)
{
	struct journal_op op = {.kind = JOURNAL_DEAD,
	    .u.dead = {.group = span_str(group),
		.topic = span_str("t.t"),
		.reason = span_str("REJECTED"),
		.frame = span_str("the frame"),
		.id = {1, 2, 3},
		.seq = seq,
		.tries = 3}};

	CHECK(kit_run(j, &op) == ERR_OK);
	return op.u.dead.no;
}

struct dead_seen {
	unsigned n, stop_after;
	uint64_t no[8], seq[8];
	bool same;
};

static bool
see_dead(void *arg, const struct journal_dead *d)
{
	struct dead_seen *s = arg;

	s->no[s->n] = d->no;
	s->seq[s->n] = d->seq;
	s->same = span_is(d->topic, "t.t") && span_is(d->reason, "REJECTED") &&
		  span_is(d->frame, "the frame") && d->key.p == NULL && d->tries == 3 &&
		  d->id[1] == 2 && d->at_ms == KIT_T0;
	return ++s->n < (s->stop_after != 0 ? s->stop_after : 8);
}

static void
test_dead(struct journal *j)
{
	struct dead_seen s = {0};
	struct journal_op drop = {.kind = JOURNAL_DEAD_DROP, .u.dead.no = 3};

	atomic_store(&kit_clock, KIT_T0);
	CHECK(bury(j, "g", 10) == 1 && bury(j, "h", 11) == 2 && bury(j, "g", 12) == 3);
	CHECK(journal_dead_each(j, none, 0, see_dead, &s) == 0);
	CHECK(s.n == 3 && s.no[0] == 1 && s.no[2] == 3 && s.seq[1] == 11 && s.same);
	s = (struct dead_seen){0};
	CHECK(journal_dead_each(j, span_str("g"), 0, see_dead, &s) == 0);
	CHECK(s.n == 2 && s.seq[0] == 10 && s.seq[1] == 12);
	s = (struct dead_seen){0};
	CHECK(journal_dead_each(j, span_str("g"), 1, see_dead, &s) == 0);
	CHECK(s.n == 1 && s.no[0] == 3);
	s = (struct dead_seen){.stop_after = 2};
	CHECK(journal_dead_each(j, none, 0, see_dead, &s) == 0 && s.n == 2);
	s = (struct dead_seen){0};
	CHECK(journal_dead_each(j, none, UINT64_MAX, see_dead, &s) == 0 && s.n == 0);
	CHECK(kit_run(j, &drop) == ERR_OK);
	CHECK(kit_run(j, &drop) == ERR_NOT_FOUND);
	CHECK(bury(j, "g", 13) == 4);
}

static void
see_claim(void *arg, struct span path, struct span name)
{
	char *s = arg, p[64], n[64];
	size_t used = strlen(s);

	copy(p, path);
	copy(n, name);
	(void)snprintf(s + used, 128 - used, "%s=%s ", p, n);
}

static const char *
claim(struct journal *j, const char *path, const char *name)
{
	static char owner[128];
	struct journal_op op = {
	    .kind = JOURNAL_CLAIM, .u.claim = {.path = span_str(path), .name = span_str(name)}};

	CHECK(kit_run(j, &op) == ERR_OK);
	memcpy(owner, op.u.claim.owner, sizeof owner);
	return owner;
}

static void
test_claims(struct journal *j)
{
	struct journal_op del = {.kind = JOURNAL_CLAIM_DEL, .u.claim.path = span_str("/a")};
	char all[128] = "";

	CHECK_STR(claim(j, "/b", "tower"), "tower");
	CHECK_STR(claim(j, "/a", "store"), "store");
	CHECK_STR(claim(j, "/a", "thief"), "store");
	CHECK(journal_claims(j, see_claim, all) == 0);
	CHECK_STR(all, "/a=store /b=tower ");
	CHECK(kit_run(j, &del) == ERR_OK && kit_run(j, &del) == ERR_OK);
	CHECK_STR(claim(j, "/a", "heir"), "heir");
}

/* ---- pages, retention ---- */

static void
test_pages(struct journal *j)
{
	enum { N = 20, BIG = 60 * 1024 };
	struct journal_rec *recs = xcalloc(N, sizeof *recs);
	char *body = xcalloc(1, 2 * JOURNAL_PAGE_BYTES);
	struct journal_op op = kit_put(recs, N);
	struct seen s;
	uint64_t next;

	for (unsigned i = 0; i < N; i++) {
		recs[i] = kit_rec(i, "");
		recs[i].frame = span_of(body, i == 10 ? 2 * JOURNAL_PAGE_BYTES : BIG);
	}
	CHECK(kit_run(j, &op) == ERR_OK && journal_head(j) == N);
	s = (struct seen){.ascending = true};
	next = journal_read(j, 1, see, &s);
	CHECK(s.n == 5 && next == 6);
	s = (struct seen){.ascending = true};
	CHECK(journal_read(j, 11, see, &s) == 12 && s.n == 1);
	s = (struct seen){.stop_after = 2, .ascending = true};
	CHECK(journal_read(j, 3, see, &s) == 5 && s.n == 2 && s.last == 4);
	s = (struct seen){.stop_after = 1};
	CHECK(journal_read(j, N, see, &s) == N + 1 && s.n == 1);
	s = read_all(j, 1, &next);
	CHECK(s.n == N && s.ascending && s.first == 1 && s.last == N && next == N + 1);
	free(recs);
	free(body);
}

static void
test_trim(struct journal *j)
{
	enum { N = 2500 };
	struct journal_rec *recs = xcalloc(N, sizeof *recs), r;
	struct journal_op op = kit_put(recs, N);
	struct journal_stats st;
	struct seen s;
	uint64_t deleted, next;

	for (unsigned i = 0; i < N; i++)
		recs[i] = kit_rec(i, "12345678");
	CHECK(kit_run(j, &op) == ERR_OK);
	journal_stats(j, &st);
	CHECK(st.kept_bytes == N * 8 && st.bytes == N * 8 && st.oldest_ms != 0);
	CHECK(kit_trim(j, 11, &deleted) == ERR_OK && deleted == 10 && journal_first(j) == 11);
	CHECK(kit_trim(j, 11, &deleted) == ERR_OK && deleted == 0 && journal_first(j) == 11);
	CHECK(kit_trim(j, 5000, &deleted) == ERR_OK && deleted == 1000);
	CHECK(journal_first(j) == 1011 && journal_head(j) == N);
	s = read_all(j, 1, &next);
	CHECK(s.n == N - 1010 && s.first == 1011 && next == N + 1);
	journal_stats(j, &st);
	CHECK(st.kept_bytes == (N - 1010) * 8 && st.records == N);
	CHECK(kit_trim(j, UINT64_MAX, &deleted) == ERR_OK && deleted == 1000);
	CHECK(kit_trim(j, UINT64_MAX, &deleted) == ERR_OK && deleted == N - 2010);
	CHECK(kit_trim(j, UINT64_MAX, &deleted) == ERR_OK && deleted == 0);
	CHECK(journal_first(j) == N + 1 && journal_head(j) == N && count(j) == 0);
	journal_stats(j, &st);
	CHECK(st.kept_bytes == 0 && st.oldest_ms == 0);
	/* What is gone is still known, and no seq comes twice. */
	CHECK(kit_put1(j, 7, "12345678", &r) == ERR_OK && r.repeat && r.seq == 8);
	CHECK(kit_put1(j, N, "new", &r) == ERR_OK && r.seq == N + 1 && journal_first(j) == N + 1);
	free(recs);
}

/* ---- both the same ---- */

static const struct {
	const char *name;
	void (*fn)(struct journal *j);
} tests[] = {
    {"empty", test_empty},
    {"put", test_put},
    {"order", test_order},
    {"parts", test_parts},
    {"fd", test_fd},
    {"repeat", test_repeat},
    {"batch", test_batch},
    {"many", test_many},
    {"twins", test_twins},
    {"window", test_window},
    {"time", test_time},
    {"cursor", test_cursor},
    {"cursor_owner", test_cursor_owner},
    {"cursor_repeat", test_cursor_repeat},
    {"groups", test_groups},
    {"group_from", test_group_from},
    {"dead", test_dead},
    {"claims", test_claims},
    {"pages", test_pages},
    {"trim", test_trim},
};

int
main(void)
{
	for (size_t i = 0; i < 2 * (sizeof tests / sizeof tests[0]); i++) {
		char *dir = i % 2 != 0 ? kit_dir() : NULL;
		struct journal *j = kit_open(dir);

		printf("# %s, %s\n", tests[i / 2].name, dir != NULL ? "sqlite" : "memory");
		if (CHECK(j != NULL))
			tests[i / 2].fn(j);
		journal_close(j);
		if (dir != NULL)
			kit_rmdir(dir);
	}
	return check_done();
}

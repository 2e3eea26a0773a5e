/* The suite's second half, run against every implementation: who sent a record and who is owed it,
 * records stored anew, last values, policies, dead letters edited and sent again, looking up. */
#include "broker/journal.h"
#include "tests/unit/journal_kit.h"

#define HOUR INT64_C(3600000)

static const struct span none = {NULL, 0};

struct seen {
	unsigned n, stop_after;
	uint64_t seq[16];
	struct journal_row last; /* spans in the buffers */
	char topics[256], topic[64], key[64], frame[64], from[64], only[64];
};

static void
copy(char dst[64], struct span s)
{
	size_t n = s.n < 63 ? s.n : 63;

	if (s.p != NULL)
		memcpy(dst, s.p, n);
	dst[n] = '\0';
	if (s.p == NULL)
		memcpy(dst, "-", 2);
}

static bool
see(void *arg, const struct journal_row *r)
{
	struct seen *s = arg;
	size_t used = strlen(s->topics);

	if (s->n < 16)
		s->seq[s->n] = r->seq;
	s->last = *r;
	copy(s->topic, r->topic);
	copy(s->key, r->key);
	copy(s->frame, r->frame);
	copy(s->from, r->from);
	copy(s->only, r->only);
	(void)snprintf(s->topics + used, sizeof s->topics - used, "%s ", s->topic);
	return ++s->n != s->stop_after;
}

static void
test_sender(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "one");
	struct journal_op op = kit_put(&r, 1);
	struct seen s = {0};

	r.from = span_str("lab-7");
	r.only = span_str("pushers");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(op.bytes == sizeof op + sizeof r + 3 + 3 + 5 + 7);
	CHECK(journal_read(j, 1, see, &s) == 2);
	CHECK_STR(s.from, "lab-7");
	CHECK_STR(s.only, "pushers");
	r = kit_rec(2, "two");
	r.only = span_str("");
	CHECK(kit_run(j, &op) == ERR_OK && journal_read(j, 2, see, &s) == 3);
	CHECK_STR(s.from, "-");
	CHECK_STR(s.only, "");
	CHECK(kit_put1(j, 3, "three", NULL) == ERR_OK && journal_read(j, 3, see, &s) == 4);
	CHECK_STR(s.only, "-");
}

/* An id that is stored already, stored again: neither a repeat nor a conflict, nor later taken for
 * the first. */
static void
test_anew(struct journal *j)
{
	struct journal_rec r[3] = {kit_rec(1, "one"), kit_rec(1, "other"), kit_rec(1, "one")};
	struct journal_op op = kit_put(r, 3);
	struct journal_rec again;

	CHECK(kit_put1(j, 1, "one", NULL) == ERR_OK);
	for (unsigned i = 0; i < 3; i++)
		r[i].anew = true;
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(r[0].seq == 2 && r[1].seq == 3 && r[2].seq == 4 && !r[0].repeat && !r[2].repeat);
	CHECK(kit_put1(j, 1, "one", &again) == ERR_OK && again.repeat && again.seq == 1);
	CHECK(journal_find(j, again.id) == 1);
	/* One that nobody knows does not enter the window by it. */
	r[0] = kit_rec(5, "five");
	r[0].anew = true;
	op = kit_put(r, 1);
	CHECK(kit_run(j, &op) == ERR_OK && r[0].seq == 5 && journal_find(j, r[0].id) == 0);
	/* Beside one that is not anew, and twice. */
	r[0] = kit_rec(6, "six");
	r[1] = kit_rec(6, "not six");
	r[1].anew = true;
	r[2] = r[0];
	op = kit_put(r, 3);
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(r[0].seq == 6 && r[1].seq == 7 && r[2].seq == 6 && r[2].repeat && !r[1].repeat);
}

static void
test_find(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "one");
	struct journal_op op = kit_put(&r, 1);

	atomic_store(&kit_clock, KIT_T0);
	CHECK(journal_find(j, r.id) == 0);
	journal_submit(j, &op);
	journal_flush(j);
	CHECK(journal_find(j, r.id) == 0);
	CHECK(kit_reap(j) == &op && journal_find(j, r.id) == 1);
	CHECK(kit_put1(j, 2, "two", NULL) == ERR_OK && kit_trim(j, 9, NULL) == ERR_OK);
	CHECK(journal_find(j, r.id) == 1);
	atomic_store(&kit_clock, KIT_T0 + 25 * HOUR);
	CHECK(kit_put1(j, 3, "three", NULL) == ERR_OK && journal_find(j, r.id) == 1);
	atomic_store(&kit_clock, KIT_T0 + 50 * HOUR);
	CHECK(kit_put1(j, 4, "four", &r) == ERR_OK && journal_find(j, r.id) == 4);
	CHECK(journal_find(j, kit_rec(3, "").id) == 3 && journal_find(j, kit_rec(1, "").id) == 0);
	atomic_store(&kit_clock, KIT_T0);
}

static void
test_seek(struct journal *j)
{
	CHECK(journal_seek(j, 0) == 1);
	for (unsigned i = 0; i < 10; i++) {
		atomic_store(&kit_clock, KIT_T0 + 100 * (i / 2));
		CHECK(kit_put1(j, i, "x", NULL) == ERR_OK);
	}
	CHECK(journal_seek(j, 0) == 1 && journal_seek(j, INT64_MIN) == 1);
	CHECK(journal_seek(j, KIT_T0) == 1 && journal_seek(j, KIT_T0 + 1) == 3);
	CHECK(journal_seek(j, KIT_T0 + 300) == 7 && journal_seek(j, KIT_T0 + 400) == 9);
	CHECK(journal_seek(j, KIT_T0 + 401) == 11 && journal_seek(j, INT64_MAX) == 11);
	CHECK(kit_trim(j, 6, NULL) == ERR_OK && journal_seek(j, 0) == 6);
	CHECK(journal_seek(j, KIT_T0 + 300) == 7);
	CHECK(kit_trim(j, 99, NULL) == ERR_OK && journal_seek(j, 0) == 11);
	atomic_store(&kit_clock, KIT_T0);
}

/* ---- last values ---- */

static enum err
retain(struct journal *j, const char *topic, const char *frame, enum journal_retain how)
{
	static uint64_t n = 1000;
	struct journal_rec r = kit_rec(++n, frame);
	struct journal_op op = kit_put(&r, 1);

	r.topic = span_str(topic);
	r.retain = how;
	return kit_run(j, &op);
}

static void
test_retained(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "b's first");
	struct journal_op op = kit_put(&r, 1);
	struct seen s = {0};

	r.topic = span_str("b");
	r.key = span_str("k");
	r.from = span_str("me");
	r.only = span_str("g");
	r.exp_ms = 77;
	r.retain = JOURNAL_RETAIN_SET;
	CHECK(journal_retained(j, none, see, &s) == 0 && s.n == 0);
	/* Not before it is reaped. */
	journal_submit(j, &op);
	journal_flush(j);
	CHECK(journal_retained(j, none, see, &s) == 0 && s.n == 0);
	CHECK(kit_reap(j) == &op && op.err == ERR_OK);
	CHECK(journal_retained(j, none, see, &s) == 0 && s.n == 1);
	CHECK(s.last.seq == 1 && s.last.exp_ms == 77 && s.last.at_ms == KIT_T0);
	CHECK(memcmp(s.last.id, r.id, sizeof r.id) == 0);
	CHECK_STR(s.topic, "b");
	CHECK_STR(s.key, "k");
	CHECK_STR(s.frame, "b's first");
	CHECK_STR(s.from, "me");
	CHECK_STR(s.only, "-");
	/* It is a record like any other, and stays when that goes. */
	s = (struct seen){0};
	CHECK(journal_read(j, 1, see, &s) == 2 && s.n == 1 && span_is(span_str(s.only), "g"));
	CHECK(kit_trim(j, 2, NULL) == ERR_OK);
	CHECK(retain(j, "c", "c's", JOURNAL_RETAIN_SET) == ERR_OK);
	CHECK(retain(j, "a", "a's", JOURNAL_RETAIN_SET) == ERR_OK);
	CHECK(retain(j, "c", "c's second", JOURNAL_RETAIN_SET) == ERR_OK);
	CHECK(retain(j, "c", "nobody's", JOURNAL_RETAIN_NO) == ERR_OK);
	s = (struct seen){0};
	CHECK(journal_retained(j, none, see, &s) == 0 && s.n == 3);
	CHECK_STR(s.topics, "a b c ");
	CHECK_STR(s.frame, "c's second");
	s = (struct seen){.stop_after = 1};
	CHECK(journal_retained(j, span_str("a"), see, &s) == 0);
	CHECK_STR(s.topics, "b ");
	/* A repeat changes nothing; what takes it away is a record too. */
	CHECK(retain(j, "b", "", JOURNAL_RETAIN_CLEAR) == ERR_OK && journal_head(j) == 6);
	CHECK(kit_run(j, &op) == ERR_OK && r.repeat);
	CHECK(retain(j, "nowhere", "", JOURNAL_RETAIN_CLEAR) == ERR_OK);
	s = (struct seen){0};
	CHECK(journal_retained(j, none, see, &s) == 0);
	CHECK_STR(s.topics, "a c ");
}

static void
test_retained_batch(struct journal *j)
{
	struct journal_rec r[4] = {
	    kit_rec(1, "a1"), kit_rec(2, "b"), kit_rec(3, "a2"), kit_rec(4, "b gone")};
	struct journal_op op = kit_put(r, 4);
	struct seen s = {0};

	for (unsigned i = 0; i < 4; i++) {
		r[i].topic = span_str(i % 2 == 0 ? "a" : "b");
		r[i].retain = i == 3 ? JOURNAL_RETAIN_CLEAR : JOURNAL_RETAIN_SET;
	}
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(journal_retained(j, none, see, &s) == 0 && s.n == 1);
	CHECK_STR(s.frame, "a2");
	CHECK(s.last.seq == 3);
}

static void
test_retained_limits(struct journal *j)
{
	enum { BIG = 8 * 1024 * 1024, N = JOURNAL_RETAINED_BYTES / BIG };
	char *body = xcalloc(1, BIG), topic[16];
	struct journal_rec r;
	struct journal_op op = kit_put(&r, 1);
	struct seen s = {0};

	for (unsigned i = 0; i <= N; i++) {
		(void)snprintf(topic, sizeof topic, "t%02u", i);
		r = kit_rec(i, "");
		r.topic = span_str(topic);
		r.frame = span_of(body, BIG);
		r.retain = JOURNAL_RETAIN_SET;
		CHECK(kit_run(j, &op) == (i < N ? ERR_OK : ERR_QUOTA));
	}
	/* Refused whole; what replaces has the room of what it replaces. */
	CHECK(journal_head(j) == N && journal_find(j, r.id) == 0);
	r.topic = span_str("t00");
	CHECK(kit_run(j, &op) == ERR_OK && r.seq == N + 1);
	CHECK(retain(j, "one more", "x", JOURNAL_RETAIN_SET) == ERR_QUOTA);
	CHECK(retain(j, "one more", "x", JOURNAL_RETAIN_NO) == ERR_OK);
	CHECK(retain(j, "t01", "", JOURNAL_RETAIN_CLEAR) == ERR_OK);
	CHECK(retain(j, "one more", "x", JOURNAL_RETAIN_SET) == ERR_OK);
	/* At least one a page, whatever its size. */
	CHECK(journal_retained(j, none, see, &s) == 0);
	CHECK_STR(s.topics, "one more t00 ");
	s = (struct seen){0};
	CHECK(journal_retained(j, span_str("one more"), see, &s) == 0 && s.n == 1);
	free(body);
}

/* ---- policies ---- */

static enum err
policy(struct journal *j, enum journal_kind kind, const char *pattern, const char *settings)
{
	struct journal_op op = {.kind = kind,
	    .u.policy = {.pattern = span_str(pattern), .settings = span_str(settings)}};

	return kit_run(j, &op);
}

static void
see_policy(void *arg, struct span pattern, struct span settings)
{
	char *s = arg, p[64], v[64];
	size_t used = strlen(s);

	copy(p, pattern);
	copy(v, settings);
	(void)snprintf(s + used, 128 - used, "%s=%s ", p, v);
}

static void
count_policy(void *arg, struct span pattern, struct span settings)
{
	unsigned *n = arg;

	(void)settings;
	*n += pattern.n > 0;
}

static void
test_policies(struct journal *j)
{
	char all[128] = "", pattern[16];
	unsigned n = 0;

	CHECK(policy(j, JOURNAL_POLICY, "b.>", "1") == ERR_OK);
	CHECK(policy(j, JOURNAL_POLICY, "a.*", "2") == ERR_OK);
	CHECK(policy(j, JOURNAL_POLICY, "b.>", "3") == ERR_OK);
	CHECK(journal_policies(j, see_policy, all) == 0);
	CHECK_STR(all, "a.*=2 b.>=3 ");
	CHECK(policy(j, JOURNAL_POLICY_DEL, "a.*", "") == ERR_OK);
	CHECK(policy(j, JOURNAL_POLICY_DEL, "a.*", "") == ERR_OK);
	all[0] = '\0';
	CHECK(journal_policies(j, see_policy, all) == 0);
	CHECK_STR(all, "b.>=3 ");
	for (unsigned i = 1; i < JOURNAL_POLICIES; i++) {
		(void)snprintf(pattern, sizeof pattern, "p%u", i);
		CHECK(policy(j, JOURNAL_POLICY, pattern, "x") == ERR_OK);
	}
	CHECK(policy(j, JOURNAL_POLICY, "one more", "x") == ERR_QUOTA);
	CHECK(policy(j, JOURNAL_POLICY, "b.>", "replaced") == ERR_OK);
	CHECK(journal_policies(j, count_policy, &n) == 0 && n == JOURNAL_POLICIES);
}

/* ---- dead letters ---- */

static uint64_t
bury(struct journal *j, const char *from)
{
	struct journal_op op = {.kind = JOURNAL_DEAD,
	    .u.dead = {.group = span_str("g"),
		.topic = span_str("t"),
		.reason = span_str("REJECTED"),
		.frame = span_str("frame"),
		.key = span_str("key"),
		.from = from != NULL ? span_str(from) : none,
		.id = {7},
		.seq = 5,
		.tries = 3}};

	CHECK(kit_run(j, &op) == ERR_OK);
	return op.u.dead.no;
}

static bool
show(void *arg, const struct journal_dead *d)
{
	char g[64], t[64], k[64], r[64], f[64], from[64];

	copy(g, d->group);
	copy(t, d->topic);
	copy(k, d->key);
	copy(r, d->reason);
	copy(f, d->frame);
	copy(from, d->from);
	(void)snprintf(arg, 512, "%llu %s %llu %s %s %s %u %s %s %u", (unsigned long long)d->no, g,
	    (unsigned long long)d->seq, t, k, r, d->tries, f, from, d->id[0]);
	return true;
}

static void
test_edit(struct journal *j)
{
	struct journal_op op = {.kind = JOURNAL_DEAD_EDIT,
	    .u.dead = {.frame = span_str("mended"), .topic = span_str("u"), .no = 2}};
	char text[512] = "";

	CHECK(bury(j, "lab") == 1 && bury(j, NULL) == 2);
	CHECK(journal_dead_each(j, none, 1, show, text) == 0);
	CHECK_STR(text, "2 g 5 t key REJECTED 3 frame - 7");
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(journal_dead_each(j, span_str("g"), 1, show, text) == 0);
	CHECK_STR(text, "2 g 5 u - REJECTED 3 mended - 7");
	op.u.dead.no = 1;
	op.u.dead.key = span_str("k2");
	CHECK(kit_run(j, &op) == ERR_OK);
	op.u.dead.no = 3;
	CHECK(kit_run(j, &op) == ERR_NOT_FOUND);
	op = (struct journal_op){.kind = JOURNAL_DEAD_DROP, .u.dead.no = 2};
	CHECK(kit_run(j, &op) == ERR_OK);
	CHECK(journal_dead_each(j, none, 0, show, text) == 0);
	CHECK_STR(text, "1 g 5 u k2 REJECTED 3 mended lab 7");
	CHECK(bury(j, NULL) == 3);
}

static bool
count_dead(void *arg, const struct journal_dead *d)
{
	unsigned *n = arg;

	*n += d->no > 0;
	return true;
}

static unsigned
letters(struct journal *j)
{
	unsigned n = 0;

	CHECK(journal_dead_each(j, none, 0, count_dead, &n) == 0);
	return n;
}

/* Owed again and no dead letter any more: both, or neither. */
static void
test_retry(struct journal *j)
{
	struct journal_rec r = kit_rec(1, "one");
	struct journal_op op = kit_put(&r, 1);

	CHECK(bury(j, NULL) == 1 && bury(j, NULL) == 2);
	r.anew = true;
	r.only = span_str("g");
	op.u.put.dead = 3;
	CHECK(kit_run(j, &op) == ERR_NOT_FOUND && journal_head(j) == 0 && letters(j) == 2);
	op.u.put.dead = 2;
	CHECK(kit_run(j, &op) == ERR_OK && r.seq == 1 && letters(j) == 1);
	CHECK(kit_run(j, &op) == ERR_NOT_FOUND && journal_head(j) == 1);
	/* What refuses the put keeps the letter. */
	CHECK(kit_put1(j, 2, "two", NULL) == ERR_OK);
	r = kit_rec(2, "not two");
	op.u.put.dead = 1;
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == 0 && letters(j) == 1);
	r = kit_rec(3, "three");
	op.u.put.src = span_str("src");
	op.u.put.was = span_str("never");
	CHECK(kit_run(j, &op) == ERR_CONFLICT && op.conflict_at == -1 && letters(j) == 1);
	op.u.put.src = none;
	CHECK(kit_run(j, &op) == ERR_OK && letters(j) == 0 && journal_head(j) == 3);
}

static const struct {
	const char *name;
	void (*fn)(struct journal *j);
} tests[] = {
    {"sender", test_sender},
    {"anew", test_anew},
    {"find", test_find},
    {"seek", test_seek},
    {"retained", test_retained},
    {"retained_batch", test_retained_batch},
    {"retained_limits", test_retained_limits},
    {"policies", test_policies},
    {"edit", test_edit},
    {"retry", test_retry},
};

int
main(void)
{
	for (size_t i = 0; i < 2 * (sizeof tests / sizeof tests[0]); i++) {
		char *dir = i % 2 != 0 ? kit_dir() : NULL;
		struct journal *j = kit_open(dir);

		printf("# %s, %s\n", tests[i / 2].name, dir != NULL ? "sqlite" : "memory");
		atomic_store(&kit_clock, KIT_T0);
		if (CHECK(j != NULL))
			tests[i / 2].fn(j);
		journal_close(j);
		if (dir != NULL)
			kit_rmdir(dir);
	}
	return check_done();
}

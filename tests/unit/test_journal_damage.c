/* A byte of a checkpointed journal changes, or the file ends early; the WAL likewise.  Whatever is
 * served is as it was written; what is missing is reported; nothing ends the process.
 *
 * The default run takes some of the bytes; JOURNAL_EVERY=1 takes each (minutes). */
#include "broker/journal.h"
#include "broker/journal_verify.h"
#include "tests/unit/journal_disk.h" /* nothing is synced */
#include "tests/unit/journal_ops.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define TURNS 300u
#define POINTS 400u

struct bytes {
	uint8_t *p;
	size_t n;
};

static struct bytes
load(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	struct bytes b = {NULL, 0};

	if (fd != -1) {
		INVARIANT(fstat(fd, &st) == 0);
		b.n = (size_t)st.st_size;
		b.p = xcalloc(1, b.n + 1);
		INVARIANT(read(fd, b.p, b.n) == (ssize_t)b.n);
		close(fd);
	}
	free(path);
	return b;
}

static void
save(const char *dir, const char *name, const uint8_t *p, size_t n)
{
	char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	INVARIANT(fd != -1 && write(fd, p, n) == (ssize_t)n);
	close(fd);
	free(path);
}

/* ---- what is served ---- */

/* Every item as a number that stands for all of its bytes, sorted. */
struct items {
	uint64_t v[4096];
	size_t n;
	bool failed;
};

static uint64_t
mix(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * UINT64_C(1099511628211);
	return h;
}

static uint64_t
mix_span(uint64_t h, struct span s)
{
	uint64_t n = s.p == NULL ? UINT64_MAX : s.n;

	h = mix(h, &n, sizeof n);
	return s.p != NULL ? mix(h, s.p, s.n) : h;
}

static uint64_t
mix_n(uint64_t h, uint64_t v)
{
	return mix(h, &v, sizeof v);
}

static void
add(struct items *it, uint64_t v)
{
	INVARIANT(it->n < sizeof it->v / sizeof it->v[0]);
	it->v[it->n++] = v;
}

static uint64_t
row_number(uint64_t kind, const struct journal_row *r)
{
	uint64_t h = mix_n(kind, r->seq);

	h = mix_n(mix_n(h, (uint64_t)r->at_ms), (uint64_t)r->exp_ms);
	h = mix_span(mix_span(mix_span(h, r->topic), r->key), r->frame);
	h = mix_span(mix_span(h, r->from), r->only);
	return mix(h, r->id, sizeof r->id);
}

static bool
on_row(void *arg, const struct journal_row *r)
{
	add(arg, row_number(1, r));
	return true;
}

static bool
on_retained(void *arg, const struct journal_row *r)
{
	add(arg, row_number(2, r));
	return true;
}

/* A state that cannot be trusted is left out, and all is owed again. */
static void
on_group(void *arg, const struct journal_group *g)
{
	uint64_t h = mix_n(mix_span(mix_span(3, g->name), g->settings), g->next);

	add(arg, h);
	if (g->state.n > 0)
		add(arg, mix_span(mix_span(4, g->name), g->state));
}

static void
on_claim(void *arg, struct span path, struct span name)
{
	add(arg, mix_span(mix_span(5, path), name));
}

static void
on_policy(void *arg, struct span pattern, struct span settings)
{
	add(arg, mix_span(mix_span(6, pattern), settings));
}

static bool
on_dead(void *arg, const struct journal_dead *d)
{
	uint64_t h = mix_n(mix_n(mix_n(7, d->no), d->seq), d->tries);

	h = mix_n(h, (uint64_t)d->at_ms);
	h = mix_span(mix_span(mix_span(h, d->group), d->topic), d->reason);
	h = mix_span(mix_span(mix_span(h, d->frame), d->key), d->from);
	add(arg, mix(h, d->id, sizeof d->id));
	return true;
}

static int
by_value(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return a < b ? -1 : a > b;
}

static void
items_of(struct items *it, struct journal *j)
{
	static const struct span none = {NULL, 0};
	uint64_t next = 1;

	it->n = 0;
	it->failed = false;
	do {
		next = journal_read(j, next, on_row, it);
	} while (next != 0 && next <= journal_head(j));
	it->failed = next == 0 || journal_groups(j, on_group, it) == -1 ||
		     journal_claims(j, on_claim, it) == -1 ||
		     journal_policies(j, on_policy, it) == -1 ||
		     journal_retained(j, none, on_retained, it) == -1 ||
		     journal_dead_each(j, none, 0, on_dead, it) == -1;
	for (unsigned i = 0; i < OPS_WORDS; i++) {
		uint8_t *p;
		size_t n;

		if (journal_cursor(j, span_str(ops_words[i]), &p, &n) == -1)
			it->failed = true;
		if (p != NULL)
			add(it, mix_span(mix_n(8, i), span_of(p, n)));
		free(p);
	}
	for (unsigned i = 0; i < 200; i++) {
		uint64_t seq = journal_find(j, kit_rec(i, "").id);

		if (seq != 0)
			add(it, mix_n(mix_n(9, i), seq));
	}
	qsort(it->v, it->n, sizeof it->v[0], by_value);
}

/* ---- one changed journal ---- */

static struct items good, seen;

static void
count_problem(void *arg, const char *text)
{
	(void)arg;
	(void)text;
}

/* Whether verify finds something. */
static bool
is_seen(const char *dir)
{
	struct journal_verified v;

	return journal_verify(dir, count_problem, NULL, &v) == -1 || v.problems > 0;
}

struct tally {
	unsigned n, refused, reported, same, only_verify;
	unsigned wrong;
};

enum honesty { HONEST, SILENT, LYING };

/* Served is a part of what was stored; if not all of it, somebody says so. */
static enum honesty
honesty_of(const char *dir, struct tally *t)
{
	struct journal *j = kit_open(dir);
	struct journal_stats st;
	size_t a = 0;
	bool reported;

	t->n++;
	if (j == NULL) {
		t->refused++;
		return HONEST;
	}
	items_of(&seen, j);
	journal_stats(j, &st);
	reported = seen.failed || st.damaged > 0 || st.lost > 0 || journal_failed(j);
	journal_close(j);
	for (size_t b = 0; b < seen.n; b++) {
		while (a < good.n && good.v[a] < seen.v[b])
			a++;
		if (a == good.n || good.v[a] != seen.v[b])
			return LYING;
		a++;
	}
	t->reported += reported;
	t->same += seen.n == good.n;
	return seen.n == good.n || reported ? HONEST : SILENT;
}

static void
show(const char *what, const struct tally *t)
{
	printf(
	    "# %s: %u changed, %u all the same, %u refused, %u reported, %u seen by verify alone\n",
	    what, t->n, t->same, t->refused, t->reported, t->only_verify);
}

static const char *const names[] = {"journal.db", "journal.db-wal", "journal.lock"};

static void
lay_out(const char *dir, const struct bytes *files)
{
	kit_empty(dir);
	for (unsigned i = 0; i < 3; i++) {
		if (files[i].p != NULL)
			save(dir, names[i], files[i].p, files[i].n);
	}
}

static void
judge(const char *dir, const struct bytes *files, const char *what, size_t at, struct tally *t)
{
	enum honesty h;

	lay_out(dir, files);
	h = honesty_of(dir, t);
	if (h == SILENT) {
		lay_out(dir, files);
		t->only_verify++;
		h = is_seen(dir) ? HONEST : SILENT;
	}
	if (h != HONEST && t->wrong++ < 10) {
		printf("# %s at %zu: %s\n", what, at,
		    h == LYING ? "served, but not what was stored" : "missing, and nobody says so");
	}
}

/* ---- a small journal ---- */

static void
fill(const char *dir, uint64_t seed, unsigned turns)
{
	struct journal *j = kit_open(dir);

	for (unsigned t = 0; t < turns; t++) {
		struct journal_op op;
		struct journal_rec recs[OPS_RECS];

		ops_make(&op, recs, &seed);
		if (op.kind == JOURNAL_TRIM)
			op.u.trim.before = 9;
		(void)kit_run(j, &op);
	}
	items_of(&good, j);
	journal_close(j);
}

static size_t
step_of(size_t n)
{
	const char *every = getenv("JOURNAL_EVERY");
	size_t step = every != NULL ? strtoul(every, NULL, 10) : n / POINTS + 1;

	return step > 0 ? step : 1;
}

static void
load_all(const char *dir, struct bytes *files)
{
	for (unsigned i = 0; i < 3; i++)
		files[i] = load(dir, names[i]);
}

static void
forget_all(struct bytes *files)
{
	for (unsigned i = 0; i < 3; i++)
		free(files[i].p);
}

/* Of a page that ends in zeroes they may be missing: SQLite reads them all the same. */
static bool
is_whole(const struct bytes *f, size_t n)
{
	for (size_t i = n; i < f->n; i++)
		if (f->p[i] != 0 || f->n - n >= 4096)
			return false;
	return true;
}

/* A bit of each byte of file `k`, and each length of it. */
static void
change(struct bytes *files, unsigned k, uint64_t *seed, struct tally *flips, struct tally *cuts)
{
	char *dir = kit_dir();
	size_t n = files[k].n, step = step_of(n);

	for (size_t at = kit_below(seed, (unsigned)step); at < n; at += step) {
		uint8_t bit = (uint8_t)(1 << kit_below(seed, 8));

		files[k].p[at] ^= bit;
		judge(dir, files, "bit", at, flips);
		files[k].p[at] ^= bit;
	}
	for (size_t at = kit_below(seed, 64); at < n; at += 3 * step) {
		if (is_whole(&files[k], at))
			continue;
		files[k].n = at;
		judge(dir, files, "end", at, cuts);
		files[k].n = n;
	}
	kit_rmdir(dir);
}

/* A leaf of a tree names one of its cells twice and its neighbour not at all: each by itself is as
 * it was stored. */
static void
name_twice(struct bytes *files, struct tally *t)
{
	char *dir = kit_dir();

	for (size_t page = 4096; page < files[0].n; page += 4096) {
		uint8_t *p = files[0].p + page;
		unsigned cells = (unsigned)p[3] << 8 | p[4];

		if (p[0] != 0x0a && p[0] != 0x0d)
			continue;
		for (unsigned i = 0; i + 1 < cells && i < 8; i++) {
			uint8_t *at = p + 8 + (size_t)2 * i, was[2] = {at[0], at[1]};

			memcpy(at, at + 2, 2);
			judge(dir, files, "cell", page + 8 + (size_t)2 * i, t);
			memcpy(at, was, 2);
		}
	}
	kit_rmdir(dir);
}

static void
test_database(uint64_t *seed)
{
	char *dir = kit_dir();
	struct bytes files[3];
	struct tally flips = {0}, cuts = {0}, twice = {0};

	fill(dir, 4711, TURNS);
	CHECK(good.n > 60);
	CHECK(!is_seen(dir));
	load_all(dir, files);
	CHECK(files[1].n == 0);
	change(files, 0, seed, &flips, &cuts);
	show("bits of the database", &flips);
	CHECK(flips.wrong == 0 && flips.refused > 0 && flips.reported > 0 && flips.same > 0);
	show("ends of the database", &cuts);
	CHECK(cuts.wrong == 0 && cuts.same == 0 && cuts.refused > 0);
	name_twice(files, &twice);
	show("cells named twice", &twice);
	CHECK(twice.wrong == 0 && twice.n > 20 && twice.reported > 0);
	forget_all(files);
	kit_rmdir(dir);
}

/* The files of a journal that is open, as a kill would leave them. */
static void
test_wal(uint64_t *seed)
{
	char *dir = kit_dir();
	struct journal *j = kit_open(dir);
	struct bytes files[3];
	struct tally flips = {0}, cuts = {0};

	journal_close(j);
	j = kit_open(dir);
	for (unsigned i = 0; i < 12; i++)
		CHECK(kit_put1(j, i, "frame", NULL) == ERR_OK);
	items_of(&good, j);
	load_all(dir, files);
	journal_close(j);
	CHECK(files[1].n > 12 * 4096);
	change(files, 1, seed, &flips, &cuts);
	show("bits of the WAL", &flips);
	CHECK(flips.wrong == 0 && flips.reported > flips.n / 2 && flips.only_verify == 0);
	show("ends of the WAL", &cuts);
	CHECK(cuts.wrong == 0 && cuts.only_verify == 0 && cuts.reported > cuts.n / 2);
	forget_all(files);
	kit_rmdir(dir);
}

/* What was lost is told in numbers, and its seqs do not come again. */
static void
test_lost(void)
{
	char *dir = kit_dir();
	struct journal *j = kit_open(dir);
	struct journal_rec r;
	struct journal_stats st;
	struct bytes db, lock;

	/* A clean end, so that the tables are in the database. */
	journal_close(j);
	j = kit_open(dir);
	for (unsigned i = 1; i <= 5; i++)
		CHECK(kit_put1(j, i, "x", NULL) == ERR_OK);
	db = load(dir, "journal.db");
	journal_close(j);
	lock = load(dir, "journal.lock");
	kit_empty(dir);
	/* All of the five were in the WAL. */
	save(dir, "journal.db", db.p, db.n);
	save(dir, "journal.lock", lock.p, lock.n);
	j = kit_open(dir);
	if (CHECK(j != NULL)) {
		journal_stats(j, &st);
		CHECK(st.lost == 5 && journal_head(j) == 5 && journal_first(j) == 6);
		journal_known(j, 4);
		CHECK(journal_head(j) == 5);
		journal_known(j, 9);
		journal_stats(j, &st);
		CHECK(st.lost == 9 && journal_head(j) == 9);
		CHECK(kit_put1(j, 1, "x", &r) == ERR_OK && r.seq == 10 && !r.repeat);
		CHECK(journal_first(j) == 10);
	}
	journal_close(j);
	j = kit_open(dir);
	journal_stats(j, &st);
	CHECK(st.lost == 0 && journal_head(j) == 10);
	journal_close(j);
	/* A file that is empty is no new journal where one was. */
	kit_empty(dir);
	save(dir, "journal.db", db.p, 0);
	save(dir, "journal.lock", lock.p, lock.n);
	errno = 0;
	CHECK(kit_open(dir) == NULL && errno == EUCLEAN);
	free(db.p);
	free(lock.p);
	kit_rmdir(dir);
}

int
main(void)
{
	uint64_t seed = kit_seed();

	test_lost();
	test_database(&seed);
	test_wal(&seed);
	return check_done();
}

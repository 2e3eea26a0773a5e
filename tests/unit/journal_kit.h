#ifndef TESTS_UNIT_JOURNAL_KIT_H
#define TESTS_UNIT_JOURNAL_KIT_H
/* What the tests of the journal share: a clock they turn, a directory of their own, operations made
 * short and waited for, and a seeded generator. */
#include <dirent.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "broker/journal_impl.h"
#include "base/die.h"
#include "tests/unit/check.h"

#define KIT_WAIT_MS 60000
#define KIT_T0 INT64_C(1700000000000)

static _Atomic int64_t kit_clock = KIT_T0;

static inline int64_t
kit_now(void)
{
	return atomic_load(&kit_clock);
}

static inline char *
kit_dir(void)
{
	char *dir = xstrdup("/tmp/taxi-journal-XXXXXX");

	INVARIANT(mkdtemp(dir) != NULL);
	return dir;
}

static inline void
kit_empty(const char *dir)
{
	DIR *d = opendir(dir);
	const struct dirent *e;

	INVARIANT(d != NULL);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] != '.')
			(void)unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}

static inline void
kit_rmdir(char *dir)
{
	kit_empty(dir);
	(void)rmdir(dir);
	free(dir);
}

/* dir NULL: in memory. */
static inline struct journal *
kit_open(const char *dir)
{
	struct journal *j = dir != NULL ? journal_open_sqlite(dir) : journal_open_mem();

	if (j != NULL)
		j->now_ms = kit_now;
	return j;
}

/* Every record, a page at a time: how many fn, whose arg is that number, has counted. */
static inline unsigned
kit_count(struct journal *j, journal_row_fn *fn)
{
	unsigned n = 0;
	uint64_t next = 1;

	do {
		next = journal_read(j, next, fn, &n);
	} while (next != 0 && next <= journal_head(j));
	return n;
}

static inline int64_t
kit_size(const char *dir, const char *name)
{
	char *path = xasprintf("%s/%s", dir, name);
	struct stat st;

	INVARIANT(stat(path, &st) == 0);
	free(path);
	return st.st_size;
}

/* The next finished operation; what is not finished within a minute never is. */
static inline struct journal_op *
kit_reap(struct journal *j)
{
	struct pollfd p = {.fd = journal_fd(j), .events = POLLIN};

	for (;;) {
		struct journal_op *op = journal_reap(j);

		if (op != NULL)
			return op;
		if (poll(&p, 1, KIT_WAIT_MS) != 1)
			die(1, "nothing to reap");
	}
}

static inline enum err
kit_run(struct journal *j, struct journal_op *op)
{
	journal_submit(j, op);
	journal_flush(j);
	INVARIANT(kit_reap(j) == op);
	return op->err;
}

/* Record n: its id says n, its digest says which content. */
static inline struct journal_rec
kit_rec(uint64_t n, const char *frame)
{
	struct journal_rec r = {.topic = span_str("a.b"), .frame = span_str(frame), .groups = 7};

	for (int i = 0; i < 8; i++)
		r.id[15 - i] = (uint8_t)(n >> (8 * i));
	for (size_t i = 0; i < r.frame.n; i++)
		r.dig[i % sizeof r.dig] = (uint8_t)(r.dig[i % sizeof r.dig] * 31 + r.frame.p[i]);
	return r;
}

static inline uint64_t
kit_rec_n(const uint8_t id[16])
{
	uint64_t n = 0;

	for (int i = 8; i < 16; i++)
		n = n << 8 | id[i];
	return n;
}

static inline struct journal_op
kit_put(struct journal_rec *recs, unsigned n)
{
	return (struct journal_op){.kind = JOURNAL_PUT, .u.put = {.recs = recs, .n = n}};
}

static inline enum err
kit_put1(struct journal *j, uint64_t n, const char *frame, struct journal_rec *out)
{
	struct journal_rec r = kit_rec(n, frame);
	struct journal_op op = kit_put(&r, 1);
	enum err e = kit_run(j, &op);

	if (out != NULL)
		*out = r;
	return e;
}

static inline enum err
kit_trim(struct journal *j, uint64_t before, uint64_t *deleted)
{
	struct journal_op op = {.kind = JOURNAL_TRIM, .u.trim.before = before};
	enum err e = kit_run(j, &op);

	if (deleted != NULL)
		*deleted = op.u.trim.deleted;
	return e;
}

/* xorshift64*: the same numbers for the same seed, everywhere. */
static inline uint64_t
kit_random(uint64_t *s)
{
	*s ^= *s >> 12;
	*s ^= *s << 25;
	*s ^= *s >> 27;
	return *s * UINT64_C(2685821657736338717);
}

/* 0 <= it < n; n > 0 */
static inline unsigned
kit_below(uint64_t *s, unsigned n)
{
	return (unsigned)((kit_random(s) >> 32) * n >> 32);
}

/* $JOURNAL_SEED, or a fixed one: a failure is repeated by giving the number that was printed. */
static inline uint64_t
kit_seed(void)
{
	const char *s = getenv("JOURNAL_SEED");
	uint64_t seed = s != NULL ? strtoull(s, NULL, 10) : 20261121;

	printf("# JOURNAL_SEED=%llu\n", (unsigned long long)seed);
	return seed != 0 ? seed : 1;
}

#endif

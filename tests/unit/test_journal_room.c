/* A real file system that fills up: what is stored stays, what makes room is still done, and with
 * room the journal goes on by itself. */
#include "broker/journal.h"

#include <errno.h>
#include <sched.h>
#include <sys/mount.h>
#include "tests/unit/journal_kit.h"

#define DISK "size=40m"
#define LEN 20000u

static char body[LEN];

static enum err
put(struct journal *j, uint64_t n, struct journal_rec *out)
{
	struct journal_rec r = kit_rec(n, "");
	struct journal_op op = kit_put(&r, 1);
	enum err e;

	r.frame = span_of(body, sizeof body);
	e = kit_run(j, &op);
	if (out != NULL)
		*out = r;
	return e;
}

static enum err
ack(struct journal *j, const char *state)
{
	struct journal_op op = {.kind = JOURNAL_GROUP_STATE,
	    .u.state = {.name = span_str("g"), .state = span_str(state)}};

	return kit_run(j, &op);
}

static bool
count_row(void *arg, const struct journal_row *r)
{
	unsigned *n = arg;

	*n += r->frame.n == LEN;
	return true;
}

/* Puts until one is refused; how many were stored. */
static unsigned
fill(struct journal *j, uint64_t from, unsigned max)
{
	unsigned n = 0;

	while (n < max && put(j, from + n, NULL) == ERR_OK)
		n++;
	return n;
}

static void
test_fill_up(const char *dir)
{
	struct journal *j = kit_open(dir);
	struct journal_op group = {.kind = JOURNAL_GROUP,
	    .u.group = {span_str("g"), span_str("s"), JOURNAL_FROM_ALL, 0, 0}};
	struct journal_rec out;
	unsigned stored, tries = 0;
	uint64_t deleted;

	CHECK(kit_run(j, &group) == ERR_OK);
	stored = fill(j, 1, 10000);
	printf("# %u records fit\n", stored);
	CHECK(stored > 500 && stored < 10000);
	CHECK(journal_head(j) == stored && kit_count(j, count_row) == stored);
	/* Full: nothing new, but acks and deletions. */
	for (unsigned i = 0; i < 50; i++)
		(void)put(j, 20000 + i, NULL);
	CHECK(ack(j, "half done") == ERR_OK);
	CHECK(!journal_failed(j));
	for (unsigned before = 100; before <= stored; before += 100)
		CHECK(kit_trim(j, before, &deleted) == ERR_OK && deleted > 0);
	CHECK(ack(j, "done") == ERR_OK);
	/* Each commit gives back some of it. */
	while (put(j, 50000, &out) != ERR_OK && tries < 100000)
		tries++;
	printf("# %u tries until there was room\n", tries);
	CHECK(out.seq > stored && !out.repeat);
	CHECK(fill(j, 60000, 300) == 300);
	CHECK(put(j, 1, &out) == ERR_OK && out.repeat && out.seq == 1);
	stored = kit_count(j, count_row);
	journal_close(j);
	j = kit_open(dir);
	CHECK(j != NULL && kit_count(j, count_row) == stored);
	CHECK(put(j, 70000, &out) == ERR_OK && out.seq == journal_head(j));
	journal_close(j);
}

/* Stopped while full, started again while still full. */
static void
test_start_full(const char *dir)
{
	struct journal *j = kit_open(dir);
	unsigned stored = fill(j, 1, 10000), tries = 0;

	CHECK(stored > 500 && stored < 10000);
	journal_close(j);
	j = kit_open(dir);
	if (!CHECK(j != NULL))
		return;
	CHECK(journal_head(j) == stored && kit_count(j, count_row) == stored);
	while (journal_first(j) <= stored && tries++ < 100)
		(void)kit_trim(j, stored + 1, NULL);
	CHECK(journal_first(j) == stored + 1);
	tries = 0;
	while (put(j, 50000, NULL) != ERR_OK && tries < 100000)
		tries++;
	printf("# %u tries until there was room\n", tries);
	CHECK(journal_head(j) > stored);
	journal_close(j);
}

/* Something else fills the disk, and goes away. */
static void
test_other(const char *dir)
{
	struct journal *j = kit_open(dir);
	char *path = xasprintf("%s/ballast", dir);
	FILE *f = fopen(path, "w");
	unsigned stored;
	struct journal_rec out;

	INVARIANT(f != NULL);
	while (fwrite(body, sizeof body, 1, f) == 1) {
	}
	(void)fclose(f);
	stored = fill(j, 1, 10000);
	CHECK(stored < 1000 && !journal_failed(j) && journal_head(j) == stored);
	CHECK(unlink(path) == 0);
	CHECK(put(j, 50000, &out) == ERR_OK && out.seq == stored + 1 &&
	      kit_count(j, count_row) == stored + 1);
	journal_close(j);
	free(path);
}

/* A small disk of our own, seen by nobody else; false where that is not allowed. */
static bool
mount_small(const char *dir)
{
	if (unshare(CLONE_NEWNS) == -1 && unshare(CLONE_NEWUSER | CLONE_NEWNS) == -1)
		return false;
	return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", dir, "tmpfs", 0, DISK) == 0;
}

int
main(void)
{
	void (*const tests[])(const char *dir) = {test_fill_up, test_start_full, test_other};
	char *dir = kit_dir();

	if (mount_small(dir)) {
		for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) {
			printf("# %zu\n", i);
			tests[i](dir);
			kit_empty(dir);
		}
		(void)umount(dir);
	} else {
		printf("ok %d - # SKIP no mount of our own: %s\n", ++check_n, strerror(errno));
	}
	kit_rmdir(dir);
	return check_done();
}

/* kill -9 at any moment, again and again on one journal: what was reaped is there, nothing else is,
 * no seq comes twice, and what was answered once is answered the same again. */
#include "broker/journal.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include "tests/unit/journal_kit.h"

#define ROUNDS 30u
#define FLIGHT 64u
#define BATCH 4u
#define KEEP 500u     /* records a trim leaves */
#define STEP 1000000u /* ids of a round begin at round * STEP */
#define LEDGER 100000u

struct line {
	uint64_t n, seq; /* record n was reaped as seq */
};

/* ---- the process that is killed ---- */

struct slot {
	struct journal_op op;
	struct journal_rec recs[BATCH];
	char frame[BATCH][400];
};

static size_t
frame_of(uint64_t n, char frame[400])
{
	size_t len = 20 + n % 380;

	memset(frame, (int)('a' + n % 26), len);
	memcpy(frame, &n, sizeof n);
	return len;
}

static void
slot_fill(struct slot *s, struct journal *j, uint64_t *n, uint64_t *seed)
{
	unsigned what = kit_below(seed, 10), count = 1 + kit_below(seed, BATCH);

	if (what == 0 && journal_head(j) > KEEP) {
		s->op = (struct journal_op){
		    .kind = JOURNAL_TRIM, .u.trim.before = journal_head(j) - KEEP};
		return;
	}
	if (what == 1) {
		s->op = (struct journal_op){.kind = JOURNAL_GROUP,
		    .u.group = {span_str("g"), span_str("s"), JOURNAL_FROM_NEW, 0, 0}};
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		size_t len = frame_of(++*n, s->frame[i]);

		s->recs[i] = kit_rec(*n, "");
		s->recs[i].frame = span_of(s->frame[i], len);
	}
	s->op = kit_put(s->recs, count);
}

static void
report(const struct slot *s, int fd)
{
	struct line lines[BATCH];

	if (s->op.kind != JOURNAL_PUT)
		return;
	for (unsigned i = 0; i < s->op.u.put.n; i++)
		lines[i] = (struct line){kit_rec_n(s->recs[i].id), s->recs[i].seq};
	if (write(fd, lines, s->op.u.put.n * sizeof lines[0]) == -1)
		_exit(3);
}

_Noreturn static void
victim(const char *dir, unsigned round, uint64_t seed, int fd)
{
	struct journal *j = kit_open(dir);
	static struct slot slots[FLIGHT];
	uint64_t n = (uint64_t)round * STEP;

	if (j == NULL)
		_exit(2);
	for (unsigned i = 0; i < FLIGHT; i++) {
		slot_fill(&slots[i], j, &n, &seed);
		journal_submit(j, &slots[i].op);
	}
	journal_flush(j);
	for (;;) {
		struct slot *s = (struct slot *)(void *)kit_reap(j);

		if (s->op.err != ERR_OK)
			_exit(4);
		report(s, fd);
		slot_fill(s, j, &n, &seed);
		journal_submit(j, &s->op);
		if (kit_below(&seed, 3) == 0 || journal_queued_bytes(j) > FLIGHT / 2 * sizeof s->op)
			journal_flush(j);
	}
}

/* ---- the one who looks ---- */

static struct line ledger[LEDGER];
static unsigned ledger_n;

/* Starts a victim and kills it after it has reported about `lines` records. */
static bool
kill_one(const char *dir, unsigned round, uint64_t seed, unsigned lines)
{
	int fd[2], status = 0;
	unsigned before = ledger_n;
	bool killed = false;
	ssize_t n;
	pid_t pid;

	INVARIANT(pipe(fd) == 0);
	(void)fflush(NULL);
	pid = fork();
	INVARIANT(pid != -1);
	if (pid == 0) {
		close(fd[0]);
		victim(dir, round, seed, fd[1]);
	}
	close(fd[1]);
	/* Lines are written whole, and what is in the pipe outlives who wrote it. */
	while (
	    (n = read(fd[0], &ledger[ledger_n], sizeof ledger[0])) == (ssize_t)sizeof ledger[0]) {
		INVARIANT(++ledger_n < LEDGER);
		if (ledger_n - before == lines)
			killed = kill(pid, SIGKILL) == 0;
	}
	INVARIANT(n == 0);
	close(fd[0]);
	INVARIANT(waitpid(pid, &status, 0) == pid);
	if (!WIFSIGNALED(status))
		printf("# the victim ended by itself: %d\n", WEXITSTATUS(status));
	return killed && WIFSIGNALED(status);
}

struct look {
	uint64_t last;
	unsigned n, at, missing, wrong;
};

/* Records and ledger are both in order of seq. */
static bool
look(void *arg, const struct journal_row *r)
{
	struct look *l = arg;
	uint64_t n = kit_rec_n(r->id);
	char frame[400];
	size_t len = frame_of(n, frame);

	l->n++;
	if (r->seq <= l->last || !span_eq(r->frame, span_of(frame, len)) ||
	    !span_is(r->topic, "a.b"))
		l->wrong++;
	l->last = r->seq;
	for (; l->at < ledger_n && ledger[l->at].seq < r->seq; l->at++)
		l->missing++;
	if (l->at < ledger_n && ledger[l->at].seq == r->seq) {
		l->wrong += ledger[l->at].n != n;
		l->at++;
	}
	return true;
}

static void
check_repeats(struct journal *j, uint64_t *seed)
{
	bool ok = true;

	for (unsigned i = 0; i < 20; i++) {
		const struct line *was = &ledger[kit_below(seed, ledger_n)];
		struct journal_rec r;

		ok = kit_put1(j, was->n, "", &r) == ERR_OK && r.repeat && r.seq == was->seq && ok;
	}
	CHECK(ok);
}

static void
check_after(const char *dir, uint64_t head_before, unsigned old, uint64_t *seed)
{
	struct journal *j = kit_open(dir);
	struct look l = {0};
	uint64_t next, first, head;
	bool fresh = true;

	if (!CHECK(j != NULL))
		return;
	first = next = journal_first(j);
	head = journal_head(j);
	while (l.at < ledger_n && ledger[l.at].seq < first)
		l.at++;
	for (unsigned i = old; i < ledger_n; i++) {
		fresh = fresh && ledger[i].seq > head_before &&
			(i == 0 || ledger[i].seq > ledger[i - 1].seq);
	}
	CHECK(fresh);
	while (next != 0 && next <= head)
		next = journal_read(j, next, look, &l);
	CHECK(next == head + 1);
	CHECK(l.missing == 0 && l.at == ledger_n && l.wrong == 0);
	CHECK(l.n == head + 1 - first && l.last == head);
	CHECK(head >= ledger[ledger_n - 1].seq);
	CHECK(first == 1 || head + 1 - first >= KEEP);
	check_repeats(j, seed);
	CHECK(journal_head(j) == head);
	journal_close(j);
}

int
main(void)
{
	char *dir = kit_dir();
	uint64_t seed = kit_seed(), head = 0;

	for (unsigned i = 1; i <= ROUNDS; i++) {
		unsigned old = ledger_n;
		struct journal *j;

		CHECK(kill_one(dir, i, kit_random(&seed) | 1, 1 + kit_below(&seed, 1500)));
		if (ledger_n == old)
			continue;
		check_after(dir, head, old, &seed);
		j = kit_open(dir);
		if (!CHECK(j != NULL))
			break;
		head = journal_head(j);
		printf("# round %u: %u reaped, head %llu\n", i, ledger_n - old,
		    (unsigned long long)head);
		journal_close(j);
	}
	kit_rmdir(dir);
	return check_done();
}

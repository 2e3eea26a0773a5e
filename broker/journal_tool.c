#include "broker/journal_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "base/opt.h"
#include "broker/journal_copy.h"
#include "broker/journal_dump.h"
#include "broker/journal_look.h"
#include "broker/journal_schema.h"
#include "broker/journal_verify.h"
#include "broker/journal_write.h"
#include "proto/topic.h"

/* As the command line's: 1 for what is wrong, 2 for wrong use, 3 for what is not there. */
enum { DAMAGED = 1, USAGE = 2, NOT_THERE = 3 };

static struct journal_dump dump;
static int64_t dump_from, dump_to;
static const char *dump_topic;
static bool quiet, full;

static const struct opt verify_rows[] = {
    {"quiet", OPT_BOOL, &quiet, "false", 0, 0, 0, "say nothing; the exit code tells"},
};
static const struct opt dump_rows[] = {
    {"from", OPT_INT, &dump_from, "0", 0, INT64_MAX, 0, "first seq (or number of a dead letter)"},
    {"to", OPT_INT, &dump_to, "0", 0, INT64_MAX, 0, "last one; 0: to the end"},
    {"topic", OPT_STR, &dump_topic, "", 0, 0, 0, "only topics that this pattern matches"},
    {"dead", OPT_BOOL, &dump.dead, "false", 0, 0, 0, "dead letters instead of records"},
    {"frames", OPT_BOOL, &dump.frames, "false", 0, 0, 0, "each frame byte for byte, in hex"},
};
static const struct opt compact_rows[] = {
    {"full", OPT_BOOL, &full, "false", 0, 0, 0,
	"write the file anew, in order; needs as much room again"},
};

static void
say_problem(void *arg, const char *text)
{
	(void)arg;
	if (!quiet)
		printf("%s\n", text);
}

static int
run_verify(char **argv)
{
	struct journal_verified v;

	if (journal_verify(argv[0], say_problem, NULL, &v) == -1)
		return access(argv[0], F_OK) == 0 ? DAMAGED : NOT_THERE;
	if (quiet)
		return v.problems == 0 ? 0 : DAMAGED;
	printf("%s: %" PRIu64 " records (%" PRIu64 " to %" PRIu64 "), %" PRIu64
	       " dead letters, %" PRIu64 " last values, %" PRIu64 " ids: ",
	    argv[0], v.records, v.first, v.head, v.dead, v.retained, v.ids);
	if (v.problems == 0) {
		puts("sound");
	} else {
		printf("%" PRIu64 " problems\n", v.problems);
	}
	return v.problems == 0 ? 0 : DAMAGED;
}

static int
run_dump(char **argv)
{
	uint64_t damaged = 0;

	dump.from = (uint64_t)dump_from;
	dump.to = dump_to == 0 ? INT64_MAX : (uint64_t)dump_to;
	if (dump_topic[0] != '\0' && !topic_is_pattern(span_str(dump_topic))) {
		fprintf(stderr, "--topic %s: expected a pattern such as 'trigger.>'\n", dump_topic);
		return USAGE;
	}
	dump.pattern = dump_topic[0] != '\0' ? dump_topic : NULL;
	if (journal_dump(argv[0], &dump, stdout, &damaged) == -1 || fflush(stdout) != 0)
		return access(argv[0], F_OK) == 0 ? DAMAGED : NOT_THERE;
	if (damaged > 0) {
		fprintf(stderr, "%s: %" PRIu64 " damaged or missing, left out\n", argv[0], damaged);
	}
	return damaged == 0 ? 0 : DAMAGED;
}

static int64_t
pages(struct journal_db *d)
{
	int64_t n = 0;

	(void)journal_db_get(d, "PRAGMA page_count", &n);
	return n;
}

/* Only for a better word than the lock's own refusal, which comes right after. */
static bool
is_in_use(const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_LOCK, dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool yes = fd != -1 && flock(fd, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK;

	if (fd != -1)
		close(fd);
	free(path);
	return yes;
}

static int
run_compact(char **argv)
{
	struct journal_writer w = {.room.fd = -1, .mark_fd = -1};
	int64_t before = 0, after = 0;
	char *file = xasprintf("%s/" JOURNAL_FILE, argv[0]);
	int rc = access(file, F_OK) == 0 ? 0 : NOT_THERE;

	if (rc != 0) {
		fprintf(stderr, "%s: not there\n", file);
		free(file);
		return rc;
	}
	free(file);
	if (is_in_use(argv[0])) {
		fprintf(stderr,
		    "%s: a broker is at work on it; stop it first: scripts/down.sh, or s6-svc -d "
		    "<state>/service/broker\n",
		    argv[0]);
		return DAMAGED;
	}
	/* Ours alone: the lock is held for as long as this process lives. */
	w.mark_fd = journal_schema_lock(argv[0]);
	if (w.mark_fd == -1)
		return DAMAGED;
	rc = journal_write_open(&w, argv[0]);
	if (rc == 0) {
		before = pages(&w.db);
		rc = journal_db_exec(&w.db, full ? "VACUUM" : "PRAGMA incremental_vacuum");
		if (rc == SQLITE_OK)
			rc = journal_db_exec(&w.db, "PRAGMA wal_checkpoint(TRUNCATE)");
		if (rc != SQLITE_OK)
			fprintf(stderr, "%s: %s\n", argv[0], sqlite3_errmsg(w.db.db));
		after = pages(&w.db);
	}
	journal_write_close(&w, false);
	close(w.mark_fd);
	if (rc == 0) {
		printf("%s: %" PRId64 " pages of 4 KiB before, %" PRId64 " now\n", argv[0], before,
		    after);
	}
	return rc == 0 ? 0 : DAMAGED;
}

static int64_t
size_of(const char *dir)
{
	char *file = xasprintf("%s/" JOURNAL_FILE, dir);
	struct stat st = {0};

	(void)stat(file, &st);
	free(file);
	return st.st_size;
}

static int
run_backup(char **argv)
{
	struct journal_db look;
	struct journal_copy c;
	int rc;

	if (journal_look_open(&look, argv[0]) == -1)
		return access(argv[0], F_OK) == 0 ? DAMAGED : NOT_THERE;
	rc = journal_copy_begin(&c, look.db, argv[1]) == 0 ? 1 : -1;
	while (rc == 1)
		rc = journal_copy_step(&c, 1024);
	journal_look_close(&look);
	if (rc == 0)
		printf("%s: a copy of %" PRId64 " bytes\n", argv[1], size_of(argv[1]));
	return rc == 0 ? 0 : DAMAGED;
}

static const struct {
	const char *name, *usage;
	const struct opt *rows;
	size_t n;
	int operands;
	int (*run)(char **argv);
} commands[] = {
    {"verify",
	"journal verify DIR [--quiet]\n"
	"Every record, dead letter, last value and setting against its checksum, and the pages "
	"they "
	"are on.\nA broker may be at work on it. Exit code 0: sound, 1: not.",
	verify_rows, 1, 1, run_verify},
    {"dump",
	"journal dump DIR [options]\n"
	"A line of JSON a record. What is damaged is left out and counted on stderr. A broker may "
	"be "
	"at work on it.",
	dump_rows, sizeof dump_rows / sizeof *dump_rows, 1, run_dump},
    {"compact",
	"journal compact DIR [--full]\n"
	"Gives free pages back to the file system. The broker must be stopped.",
	compact_rows, 1, 1, run_compact},
    {"backup",
	"journal backup DIR TO\n"
	"A copy in the directory TO, of a journal no broker works on (with one at work: `taxi "
	"journal "
	"backup`).",
	NULL, 0, 2, run_backup},
};

int
journal_tool(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands && argc > 1; i++) {
		const struct opt_table t = {
		    "TAXI_JOURNAL_", "options", commands[i].rows, commands[i].n};
		int rest, rc;

		if (strcmp(argv[1], commands[i].name) != 0)
			continue;
		log_set_level(LOG_WARN);
		rc = opt_parse(&t, 1, commands[i].usage, argc - 1, argv + 1, &rest);
		if (rc != 0)
			return rc > 0 ? 0 : USAGE;
		if (argc - 1 - rest == commands[i].operands)
			return commands[i].run(argv + 1 + rest);
		fprintf(stderr, "usage: %s\n", commands[i].usage);
		return USAGE;
	}
	fputs("usage: journal verify|dump|compact|backup DIR … (each with --help)\n", stderr);
	return USAGE;
}

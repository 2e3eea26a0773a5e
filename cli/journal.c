/* taxi journal: what the broker's program does to a journal at rest, and a copy of one at work. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "cli/ask.h"

enum { ARGS = 12 };

static struct {
	bool quiet, dead, frames, full;
	int64_t from, to;
	const char *topic, *journal;
} opt;

static const struct opt verify_rows[] = {
    {"quiet", OPT_BOOL, &opt.quiet, "false", 0, 0, 0, "say nothing; the exit code tells"},
};
static const struct opt dump_rows[] = {
    {"from", OPT_INT, &opt.from, "0", 0, INT64_MAX, 0, "first seq (or number of a dead letter)"},
    {"to", OPT_INT, &opt.to, "0", 0, INT64_MAX, 0, "last one; 0: to the end"},
    {"topic", OPT_STR, &opt.topic, "", 0, 0, 0, "only topics that this pattern matches"},
    {"dead", OPT_BOOL, &opt.dead, "false", 0, 0, 0, "dead letters instead of records"},
    {"frames", OPT_BOOL, &opt.frames, "false", 0, 0, 0, "each frame byte for byte, in hex"},
};
static const struct opt compact_rows[] = {
    {"full", OPT_BOOL, &opt.full, "false", 0, 0, 0,
	"write the file anew, in order; needs as much room again"},
};
static const struct opt backup_rows[] = {
    {"journal", OPT_STR, &opt.journal, "", 0, 0, 0,
	"copy this directory, on which no broker works, instead of asking the broker"},
};

/* The words of the command to run; they live as long as this process. */
struct words {
	char *v[ARGS + 1];
	size_t n;
};

static void __attribute__((format(printf, 2, 3))) word(struct words *w, const char *fmt, ...)
{
	va_list ap;

	INVARIANT(w->n < ARGS);
	va_start(ap, fmt);
	if (vasprintf(&w->v[w->n++], fmt, ap) == -1)
		die(EXIT_AGAIN, "memory");
	va_end(ap);
}

static struct words
begin(const char *command)
{
	struct words w = {.n = 0};

	word(&w, "broker");
	word(&w, "journal");
	word(&w, "%s", command);
	return w;
}

/* The broker beside this program, else the one that is found by name. */
static int
become_broker(struct words *w, int argc, char **argv)
{
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - sizeof "broker");
	char *slash = NULL;

	for (int i = 0; i < argc; i++)
		word(w, "%s", argv[i]);
	if (n > 0) {
		self[n] = '\0';
		slash = strrchr(self, '/');
	}
	if (slash != NULL) {
		memcpy(slash + 1, "broker", sizeof "broker");
		(void)execv(self, w->v);
	}
	(void)execvp(w->v[0], w->v);
	fprintf(stderr, "taxi: `broker` is neither beside this program nor in PATH: %s\n",
	    strerror(errno));
	return CLI_FAILED;
}

static int
run_verify(struct cli *c, int argc, char **argv)
{
	struct words w = begin("verify");

	(void)c;
	if (opt.quiet)
		word(&w, "--quiet");
	return become_broker(&w, argc, argv);
}

static int
run_dump(struct cli *c, int argc, char **argv)
{
	struct words w = begin("dump");

	(void)c;
	word(&w, "--from=%lld", (long long)opt.from);
	word(&w, "--to=%lld", (long long)opt.to);
	if (opt.topic[0] != '\0')
		word(&w, "--topic=%s", opt.topic);
	if (opt.dead)
		word(&w, "--dead");
	if (opt.frames)
		word(&w, "--frames");
	return become_broker(&w, argc, argv);
}

static int
run_compact(struct cli *c, int argc, char **argv)
{
	struct words w = begin("compact");

	(void)c;
	if (opt.full)
		word(&w, "--full");
	return become_broker(&w, argc, argv);
}

static void
print_backup(const struct cli_reply *r)
{
	const msgpack_object *o = &r->doc.root;
	struct span path = doc_str(o, "path");

	printf("%.*s: a copy of %lld bytes, up to seq %lld\n", (int)path.n, (const char *)path.p,
	    (long long)doc_i64(o, "bytes", 0), (long long)doc_i64(o, "head", 0));
}

static int
run_backup(struct cli *c, int argc, char **argv)
{
	struct words w;
	struct map m;
	char *cwd, *path;
	int code;

	if (opt.journal[0] != '\0') {
		w = begin("backup");
		word(&w, "%s", opt.journal);
		return become_broker(&w, argc, argv);
	}
	cwd = argv[0][0] == '/' ? xstrdup("") : getcwd(NULL, 0);
	if (cwd == NULL) {
		fprintf(stderr, "taxi: the current directory: %s\n", strerror(errno));
		return CLI_FAILED;
	}
	path = xasprintf("%s%s%s", cwd, argv[0][0] == '/' ? "" : "/", argv[0]);
	map_init(&m);
	map_str(&m, "path", path);
	code = ask_print(c, "sys.backup", &m, print_backup);
	free(path);
	free(cwd);
	return code;
}

const struct cli_command cli_journal_verify = {
    .name = "journal verify",
    .operands = "DIR",
    .about = "Check every byte of a journal that is checked by something",
    .help = "  taxi journal verify state/journal\n\n"
	    "Every record, dead letter, last value and setting against its checksum, and the pages "
	    "they are on.  A broker may be at\n"
	    "work on it.  Exit code 0: sound; 1: a line for each thing that is not.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = verify_rows,
    .nrows = sizeof verify_rows / sizeof verify_rows[0],
    .run = run_verify,
    .section = CLI_MEND,
};

const struct cli_command cli_journal_dump = {
    .name = "journal dump",
    .operands = "DIR",
    .about = "Print what a journal holds, a line of JSON a record",
    .help = "  taxi journal dump state/journal --topic 'trigger.>' --from 1000\n"
	    "  taxi journal dump state/journal --dead\n\n"
	    "What is damaged is left out and counted on stderr (exit code 1).  A broker may be at "
	    "work on it.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = dump_rows,
    .nrows = sizeof dump_rows / sizeof dump_rows[0],
    .run = run_dump,
    .section = CLI_MEND,
};

const struct cli_command cli_journal_compact = {
    .name = "journal compact",
    .operands = "DIR",
    .about = "Give a journal's free pages back to the file system",
    .help =
	"  taxi journal compact state/journal\n\n"
	"The broker must be stopped.  It gives pages back by itself, a few with each trim; this "
	"gives all of them at once.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = compact_rows,
    .nrows = sizeof compact_rows / sizeof compact_rows[0],
    .run = run_compact,
    .section = CLI_MEND,
};

const struct cli_command cli_journal_backup = {
    .name = "journal backup",
    .operands = "TO",
    .about = "Copy the journal while the broker works",
    .help =
	"  taxi journal backup /backup/monday --timeout 600000\n"
	"  taxi journal backup /backup/monday --journal state/journal    (the broker is "
	"stopped)\n\n"
	"TO is a directory on the broker's machine that holds no journal; it is made when it is "
	"not there.  `taxi journal verify TO`\n"
	"checks the copy, `broker --journal TO` starts from it.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = backup_rows,
    .nrows = sizeof backup_rows / sizeof backup_rows[0],
    .run = run_backup,
    .section = CLI_MEND,
    .json = "As sys.backup answers: {path, head, bytes}.\n",
};

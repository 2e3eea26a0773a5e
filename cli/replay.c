/* taxi replay: a range of the journal to one group, page by page. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/ask.h"
#include "cli/fmt.h"
#include "cli/when.h"
#include "proto/mp.h"
#include "proto/topic.h"

static struct {
	const char *group, *from, *to, *topic;
	bool dry;
} opt;

static const struct opt rows[] = {
    {"group", OPT_STR, &opt.group, NULL, 0, 0, OPT_REQUIRED, "the group that is to get it again"},
    {"from", OPT_STR, &opt.from, NULL, 0, 0, OPT_REQUIRED,
	"first record: all, a seq, an age or a time (`taxi help times`)"},
    {"to", OPT_STR, &opt.to, "", 0, 0, 0, "last record (itself too); the newest one of now"},
    {"topic", OPT_STR, &opt.topic, "", 0, 0, 0, "only what matches this pattern"},
    {"dry", OPT_BOOL, &opt.dry, "false", 0, 0, 0, "count only"},
};

struct range {
	struct when from, to;
	bool has_to;
	int64_t first; /* seq where it began; 0: not known yet */
	uint64_t replayed, pages;
};

static void
put_when(struct map *m, const char *key, const struct when *w)
{
	struct buf b;

	buf_init(&b, 64);
	if (w->kind == WHEN_SEQ) {
		mp_put_i64(&b, w->n);
	} else {
		when_put(w, &b);
	}
	map_raw(m, key, buf_span(&b));
	buf_fini(&b);
}

static void
show(const struct range *g, int64_t next)
{
	int64_t span = g->to.n - g->first;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r%" PRIu64 " records, at seq %" PRId64, g->replayed, next);
	if (span > 0)
		fprintf(stderr, " (%" PRId64 " %%)", (next - g->first) * 100 / span);
	fputs("\033[K", stderr);
}

/* One page: 0 with *next, which is 0 at the end; or an exit code. */
static int
page(struct cli *c, struct range *g, int64_t *next)
{
	struct cli_reply r;
	struct map m;
	int code;

	map_init(&m);
	map_str(&m, "group", opt.group);
	put_when(&m, "from", &g->from);
	if (g->has_to)
		put_when(&m, "to", &g->to);
	if (opt.topic[0])
		map_str(&m, "topic", opt.topic);
	if (opt.dry)
		map_bool(&m, "dry", true);
	code = ask(c, "sys.replay", &m, &r);
	if (code == 0) {
		*next = doc_i64(&r.doc.root, "next", 0);
		g->replayed += (uint64_t)doc_i64(&r.doc.root, "replayed", 0);
		g->pages++;
		if (g->first == 0)
			g->first = doc_i64(&r.doc.root, "from", 0);
		/* What the group is handed again is at the end of the journal: without this the
		 * range would grow as it is replayed. */
		g->to = (struct when){WHEN_SEQ, doc_i64(&r.doc.root, "to", 0)};
		g->has_to = true;
	}
	cli_reply_fini(&r);
	return code;
}

static void
report(const struct cli *c, const struct range *g, int code)
{
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (cli_is_json(c)) {
		printf("{\"group\":\"%s\",\"replayed\":%" PRIu64 ",\"from\":%" PRId64
		       ",\"to\":%" PRId64 ",\"dry\":%s,\"next\":",
		    opt.group, g->replayed, g->first, g->to.n, opt.dry ? "true" : "false");
		if (code == 0) {
			puts("null}");
		} else {
			printf("%" PRId64 "}\n", g->from.n);
		}
	} else if (g->pages > 0) {
		printf("%s %" PRIu64 " records of seq %" PRId64 " to %" PRId64 " to %s\n",
		    opt.dry ? "would replay" : "replayed", g->replayed, g->first,
		    code == 0 ? g->to.n : g->from.n - 1, opt.group);
	}
	if (code != 0 && g->pages > 0) {
		fprintf(stderr,
		    "taxi: stopped; go on with: taxi replay --group %s --from %" PRId64
		    " --to %" PRId64 "%s%s\n",
		    opt.group, g->from.n, g->to.n, opt.topic[0] ? " --topic " : "", opt.topic);
	}
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct range g = {.has_to = opt.to[0] != '\0'};
	int64_t now = clock_real_ms(), next = 0;
	int code;

	(void)argc;
	(void)argv;
	if (when_parse(opt.from, now, &g.from) != 0 || g.from.kind == WHEN_NEW) {
		return cli_usage(c,
		    "--from must be all, a seq, an age or a time (`taxi help times`), not '%s'",
		    opt.from);
	}
	if (g.has_to && (when_parse(opt.to, now, &g.to) != 0 || g.to.kind == WHEN_NEW ||
			    g.to.kind == WHEN_ALL)) {
		return cli_usage(c,
		    "--to must be a seq, an age or a time (`taxi help times`), not '%s'", opt.to);
	}
	if (opt.topic[0] && !topic_is_pattern(span_str(opt.topic)))
		return cli_usage(c, "--topic '%s' is no pattern (`taxi help topics`)", opt.topic);
	do {
		code = page(c, &g, &next);
		if (code == 0 && next > 0) {
			g.from = (struct when){WHEN_SEQ, next};
			show(&g, next);
		}
		if (code == 0 && next > 0 && c->signal != 0)
			code = 128 + c->signal;
	} while (code == 0 && next > 0);
	report(c, &g, code);
	return code;
}

const struct cli_command cli_replay = {
    .name = "replay",
    .operands = "",
    .about = "Give a group a range of the journal again",
    .help =
	"  taxi replay --group pusher-postgres --from -2h --dry\n"
	"  taxi replay --group pusher-postgres --from -2h --topic rows.in\n"
	"  taxi replay --group audit --from 1200 --to 1300\n\n"
	"The group must be there: a new one gets the past with `taxi sub --group NEW --from -2h "
	"PATTERN`, or a worker's own `from`.\n"
	"The records come again behind what the group is owed, each with a new seq and its old "
	"id.  What was stopped says\n"
	"where to go on.\n",
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_MEND,
    .json =
	"{group, replayed, from, to, dry, next}; next is null when all is done, else where to go "
	"on.\n",
};

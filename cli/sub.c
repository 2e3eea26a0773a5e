/* taxi sub: a live tail, or a member of a durable group that acknowledges what it printed. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/list.h"
#include "cli/away.h"
#include "cli/filter.h"
#include "cli/ids.h"
#include "cli/line.h"
#include "cli/when.h"
#include "proto/topic.h"

static struct {
	const char *group, *from, *since, *where;
	int64_t count;
	bool raw, whole, dead;
} opt;

static const struct opt rows[] = {
    {"where", OPT_STR, &opt.where, "", 0, 0, 0,
	"only bodies for which this holds, as status=failed,rows>8 (`taxi help filters`)"},
    {"count", OPT_INT, &opt.count, "0", 0, INT64_MAX, 0,
	"end after this many envelopes; 0 is never"},
    {"from", OPT_STR, &opt.from, "", 0, 0, 0,
	"begin here: new, all, a seq, an age or a time (`taxi help times`); without it: the last "
	"values that are retained, then what comes"},
    {"since", OPT_STR, &opt.since, "", 0, 0, 0, "begin so long ago, as 90s or 1h30m"},
    {"group", OPT_STR, &opt.group, "", 0, 0, 0,
	"work as a member of this durable group and acknowledge what was printed"},
    {"dead", OPT_BOOL, &opt.dead, "false", 0, 0, 0,
	"watch what becomes a dead letter, of topics that match PATTERN"},
    {"raw", OPT_BOOL, &opt.raw, "false", 0, 0, 0, "the body alone; text and bytes as they are"},
    {"long", OPT_BOOL, &opt.whole, "false", 0, 0, 0, "whole ids, seq and key; cut no line"},
};

enum { HELD = 16, EXTEND_MS = 10000 };

struct tail {
	struct cli *c;
	struct away away;
	struct filter filter;
	struct when from;
	const char *pattern; /* as the operand has it */
	struct worker_sub *sub;
	uint64_t last;              /* seq of the last durable one seen */
	uint64_t kept, kept_before; /* highest seq of a retained one; when the broker went */
	int64_t seen, credit;
	struct worker_msg *held[HELD]; /* printed, not yet acknowledged */
	unsigned nheld;
	struct timer extend;
	enum line_style style;
	size_t width;
	struct buf out, body;
};

static bool
is_wanted(const struct tail *t, const struct worker_msg *m)
{
	struct doc d;
	bool yes = true;

	if (t->filter.n == 0 && !opt.dead)
		return true;
	if (doc_parse(&d, m->env.body) != 0)
		return false;
	if (opt.dead)
		yes = topic_match(span_str(t->pattern), doc_str(&d.root, "topic"));
	yes = yes && filter_match(&t->filter, &d.root);
	doc_fini(&d);
	return yes;
}

static struct span
identity(const struct worker_msg *m)
{
	struct doc d;
	struct span s = {NULL, 0};

	/* The string borrows from the message, not from the doc. */
	if (doc_parse(&d, env_s(&m->head, ENV_M_FROM)) == 0)
		s = doc_span(&d.root);
	doc_fini(&d);
	return s;
}

/* What the broker itself tells has ids as bytes. */
static struct span
body_of(struct tail *t, const struct worker_msg *m)
{
	struct doc d;

	if (!topic_is_sys(m->env.topic) || doc_parse(&d, m->env.body) != 0)
		return m->env.body;
	buf_reset(&t->body);
	ids_put(&t->body, &d.root);
	doc_fini(&d);
	return buf_span(&t->body);
}

static void
print(struct tail *t, const struct worker_msg *m)
{
	const struct line l = {
	    .at_ms = line_at(m->env.id, clock_real_ms()),
	    .topic = m->env.topic,
	    .key = env_s(&m->env, ENV_M_KEY),
	    .group = env_s(&m->head, ENV_M_GROUP),
	    .from = identity(m),
	    .id = m->env.id,
	    .root = env_s(&m->env, ENV_M_ROOT).p,
	    .seq = env_u(&m->head, ENV_M_SEQ, 0),
	    .try = env_u(&m->head, ENV_M_TRY, 0),
	    .retained = env_u(&m->head, ENV_M_RETAIN, 0) != 0,
	    .body = body_of(t, m),
	};

	buf_reset(&t->out);
	line_put(&l, t->style, t->width, &t->out);
	fwrite(buf_cstr(&t->out), 1, t->out.n, stdout);
	fflush(stdout);
}

static void
stop(void *arg)
{
	cli_end(((struct tail *)arg)->c, 0);
}

/* An ack gives credit back, and the next envelope comes: of a counted share the last ones are
 * acknowledged only at the end, so that no more is handed over than is taken. */
static void
finish(struct tail *t, struct worker_msg *m)
{
	if (!env_has(&m->head, ENV_M_GROUP)) {
		worker_drop(m);
	} else if (opt.count > 0 && t->seen > opt.count - t->credit && t->nheld < HELD) {
		t->held[t->nheld++] = m;
		worker_extend(m, DEFAULT_ACK_MS); /* the group's may end before on_extend */
	} else {
		worker_ack(m);
	}
}

static void
got(void *arg, struct worker_msg *m)
{
	struct tail *t = arg;
	uint64_t seq = env_u(&m->head, ENV_M_SEQ, 0);
	bool retained = env_has(&m->head, ENV_M_RETAIN);

	if (opt.count > 0 && t->seen == opt.count) {
		worker_drop(m); /* a tail: more than was asked for */
		return;
	}
	if (retained && seq <= t->kept_before) {
		worker_drop(m); /* printed before the broker went */
		return;
	}
	if (retained && seq > t->kept)
		t->kept = seq;
	if (!retained && seq > t->last)
		t->last = seq;
	if (is_wanted(t, m)) {
		print(t, m);
		t->seen++;
	}
	finish(t, m);
	if (t->seen == opt.count && opt.count > 0)
		loop_later(t->c->loop, stop, t);
}

/* What is held is still being worked on. */
static void
on_extend(struct timer *timer)
{
	struct tail *t = LIST_ITEM(timer, struct tail, extend);

	for (unsigned i = 0; i < t->nheld; i++)
		worker_extend(t->held[i], DEFAULT_ACK_MS);
	loop_timer(t->c->loop, timer, loop_now(t->c->loop) + EXTEND_MS);
}

static void
refused(void *arg, const struct env *err)
{
	struct tail *t = arg;
	struct cli_reply r = {.err = env_err_code(err), .env = *err};

	cli_end(t->c, cli_reply_say(t->c, &r));
}

static void
subscribe(struct tail *t)
{
	struct worker_sub_spec spec = {
	    .pattern = opt.dead ? "sys.dead" : t->pattern,
	    .group = opt.group[0] ? opt.group : NULL,
	    .msg = got,
	    .refused = refused,
	    .arg = t,
	};

	if (t->from.kind == WHEN_SEQ) {
		spec.from_seq = t->from.n;
	} else if (t->from.kind == WHEN_TIME) {
		spec.from_time_ms = t->from.n;
	} else if (opt.from[0]) {
		spec.from = t->from.kind == WHEN_ALL ? "all" : "new";
	}
	if (opt.group[0] && opt.count > 0)
		spec.credit = (unsigned)t->credit;
	t->sub = worker_sub(t->c->worker, &spec);
}

/* The broker went: what is asked for next is what comes after the last that was seen. */
static void
on_down(void *arg)
{
	struct tail *t = arg;

	t->kept_before = t->kept;
	if (opt.group[0] || t->last == 0)
		return;
	t->from = (struct when){WHEN_SEQ, (int64_t)t->last + 1};
	worker_unsub(t->sub);
	subscribe(t);
}

static void
on_pipe(void *arg, short revents)
{
	struct tail *t = arg;

	if (revents & ZMQ_POLLERR)
		cli_end(t->c, 0);
}

/* Nobody reads any more: end, also when nothing comes that could not be written. */
static void
watch_stdout(struct tail *t)
{
	struct winsize w = {0};
	struct stat st;

	if (fstat(STDOUT_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)))
		loop_fd(t->c->loop, STDOUT_FILENO, ZMQ_POLLERR, on_pipe, t);
	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0)
		t->width = w.ws_col;
}

static void
say_bye(struct cli *c)
{
	struct cli_reply r;
	struct env e;

	env_init(&e, ENV_BYE, span_str(""), NULL);
	cli_send(c, &e, &r);
	cli_reply_fini(&r);
}

/* A BYE ends a tail at once, where the broker would notice only later, and keeps it from handing a
 * member more.  Acks have no answer: the OK of a second BYE says that the broker read them. */
static void
leave(struct tail *t)
{
	loop_timer_clear(t->c->loop, &t->extend);
	if (link_is_up(t->c->link)) {
		t->c->signal = 0;
		say_bye(t->c);
	}
	for (unsigned i = 0; i < t->nheld; i++)
		worker_ack(t->held[i]);
	if (opt.group[0] && link_is_up(t->c->link))
		say_bye(t->c);
}

static int
read_options(struct cli *c, struct tail *t)
{
	const char *why;
	int64_t ago = when_duration(opt.since);

	if (!topic_is_pattern(span_str(t->pattern))) {
		return cli_usage(c,
		    "'%s' is no pattern: tokens joined by dots, * for one, > at the end for the "
		    "rest",
		    t->pattern);
	}
	if (opt.from[0] && opt.since[0])
		return cli_usage(c, "--since and --from both say where to begin: give one");
	if (opt.from[0] && when_parse(opt.from, clock_real_ms(), &t->from) != 0)
		return cli_usage(c, "--from must be %s, not '%s'", WHEN_EXPECTED, opt.from);
	if (opt.since[0] && ago < 0) {
		return cli_usage(
		    c, "--since must be an age like 90s or 1h30m, not '%s'", opt.since);
	}
	if (opt.since[0])
		t->from = (struct when){WHEN_TIME, clock_real_ms() - ago};
	if (filter_parse(&t->filter, opt.where, &why) != 0)
		return cli_usage(c, "--where '%s': %s", opt.where, why);
	if (opt.group[0] && (opt.where[0] || opt.dead)) {
		return cli_usage(c,
		    "--group goes with neither --where nor --dead: a member acknowledges all it is "
		    "given");
	}
	t->style = opt.raw          ? LINE_RAW
		   : cli_is_json(c) ? LINE_JSON
		   : opt.whole      ? LINE_LONG
				    : LINE_TEXT;
	return 0;
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct tail t = {.c = c, .pattern = argc > 0 ? argv[0] : ">"};
	int code = argc > 0 || opt.dead ? read_options(c, &t) : cli_usage(c, "expected PATTERN");

	if (code != 0)
		return code;
	cli_connect(c);
	code = away_reach(c);
	if (code != 0)
		return code;
	buf_init(&t.out, 8 * LIMIT_FRAME);
	buf_init(&t.body, 2 * LIMIT_FRAME);
	cli_on_signal(c, stop, &t);
	t.away = (struct away){.down = on_down, .arg = &t};
	away_watch(&t.away, c);
	watch_stdout(&t);
	t.credit = opt.count < HELD ? opt.count : HELD;
	t.extend.fn = on_extend;
	loop_timer(c->loop, &t.extend, loop_now(c->loop) + EXTEND_MS);
	subscribe(&t);
	code = cli_wait(c);
	leave(&t);
	away_end(&t.away);
	cli_on_signal(c, NULL, NULL);
	buf_fini(&t.out);
	buf_fini(&t.body);
	return code;
}

const struct cli_command cli_sub = {
    .name = "sub",
    .operands = "PATTERN",
    .about = "Print envelopes as they come",
    .help =
	"  taxi sub 'trigger.>'\n"
	"  taxi sub 'status.*' --where status=failed --since 1h\n"
	"  taxi sub -o json 'rows.in' | jq .body.uuid\n"
	"  taxi sub --dead 'rows.>'\n"
	"  taxi sub --group audit --from all 'rows.in' --count 10\n\n"
	"Without --group it watches and disturbs nobody.  It outlives a restart of the broker, "
	"says so, and goes on\n"
	"after the last envelope it saw.  The time is when the envelope was made (its id says "
	"so), else when it came.\n"
	"With --group it takes its share of the work, and each envelope is acknowledged when it "
	"was written out.\n"
	"Ends with Ctrl-C, after --count envelopes, or when nobody reads its output any more.\n",
    .max_operands = 1,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_TALK,
    .json =
	"A line an envelope: {topic, id, seq?, at, key?, root?, group?, try?, from?, retained?, "
	"body}.\n",
};

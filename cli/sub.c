/* taxi sub: a live tail, or a worker of a durable group that acknowledges what it printed. */
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/uuid.h"
#include "cli/cli.h"
#include "proto/json.h"
#include "proto/topic.h"

static struct {
	const char *group, *from;
	int64_t count;
} opt;

static const struct opt rows[] = {
    {"group", OPT_STR, &opt.group, "", 0, 0, 0,
	"work as a member of this durable group and acknowledge what was printed"},
    {"from", OPT_STR, &opt.from, "new", 0, 0, 0,
	"where a group that does not exist yet begins: new or all"},
    {"count", OPT_INT, &opt.count, "0", 0, INT64_MAX, 0,
	"end after this many envelopes; 0 is never"},
};

struct tail {
	struct cli *c;
	int64_t seen;
	int sigfd;
};

static void
print_msg(const struct cli *c, const struct worker_msg *m)
{
	char id[UUID_TEXT + 1];
	struct buf b;

	uuid_text(m->env.id, id);
	buf_init(&b, 4 * LIMIT_FRAME);
	if (cli_is_json(c)) {
		buf_puts(&b, "{\"topic\":");
		json_put_str(&b, m->env.topic);
		buf_printf(&b, ",\"id\":\"%s\"", id);
		if (env_has(&m->head, ENV_M_SEQ)) {
			buf_printf(
			    &b, ",\"seq\":%llu", (unsigned long long)env_u(&m->head, ENV_M_SEQ, 0));
		}
		buf_puts(&b, ",\"body\":");
	} else {
		buf_put(&b, m->env.topic.p, m->env.topic.n);
		buf_printf(&b, "  %s  ", id);
	}
	if (json_from_mp(m->env.body, &b, 0) != 0)
		buf_puts(&b, "null");
	if (cli_is_json(c))
		buf_putc(&b, '}');
	puts(buf_cstr(&b));
	fflush(stdout);
	buf_fini(&b);
}

static void
bye(void *arg)
{
	struct tail *t = arg;

	cli_end(t->c, 0);
}

static void
got(void *arg, struct worker_msg *m)
{
	struct tail *t = arg;

	print_msg(t->c, m);
	if (env_has(&m->head, ENV_M_GROUP)) {
		worker_ack(m);
	} else {
		worker_drop(m);
	}
	if (++t->seen == opt.count)
		loop_later(t->c->loop, bye, t);
}

static void
refused(void *arg, const struct env *err)
{
	struct tail *t = arg;

	cli_end(t->c, cli_error(err));
}

static void
on_signal(void *arg, short revents)
{
	struct tail *t = arg;

	(void)revents;
	cli_end(t->c, 0);
}

static int
run_sub(struct cli *c, int argc, char **argv)
{
	struct tail t = {.c = c};
	struct worker_sub_spec spec = {
	    .pattern = argv[0],
	    .group = opt.group[0] ? opt.group : NULL,
	    .from = opt.from,
	    .msg = got,
	    .refused = refused,
	    .arg = &t,
	};
	sigset_t set;

	(void)argc;
	if (!topic_is_pattern(span_str(argv[0]))) {
		fprintf(stderr,
		    "taxi: '%s' is no pattern: tokens joined by dots, * for one, > at the end for "
		    "the rest\n",
		    argv[0]);
		return CLI_USAGE;
	}
	if (strcmp(opt.from, "new") != 0 && strcmp(opt.from, "all") != 0) {
		fprintf(stderr, "taxi: --from must be new or all, not '%s'\n", opt.from);
		return CLI_USAGE;
	}
	cli_connect(c);
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	t.sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	loop_fd(c->loop, t.sigfd, ZMQ_POLLIN, on_signal, &t);
	worker_sub(c->worker, &spec);
	cli_wait(c);
	close(t.sigfd);
	return c->exit_code;
}

const struct cli_command cli_sub = {
    .name = "sub",
    .operands = "PATTERN",
    .about = "Print envelopes as they come",
    .help = "  taxi sub 'trigger.>'\n"
	    "  taxi sub -o json 'status.*' | jq .body.status\n"
	    "  taxi sub --group audit --from all 'rows.in'\n\n"
	    "Without --group it watches and disturbs nobody.  Ends with Ctrl-C or after --count "
	    "envelopes.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run_sub,
};

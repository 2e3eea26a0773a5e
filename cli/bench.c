/* taxi bench: load on a running broker, by the client library. */
#include <stdio.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/uuid.h"
#include "cli/bench_lane.h"
#include "cli/cli.h"
#include "cli/fmt.h"
#include "proto/json.h"
#include "proto/mp.h"

#define WARM_MS 300
#define STEP_MS 20

static struct {
	int64_t clients, workers, window, size, secs, count;
	const char *topic;
	bool live;
} opt;

static const struct opt rows[] = {
    {"clients", OPT_INT, &opt.clients, "1", 1, 256, 0, "connections that publish or request"},
    {"workers", OPT_INT, &opt.workers, "1", 0, 256, 0,
	"connections that answer or consume; req: 0 leaves it to whoever serves --topic"},
    {"window", OPT_INT, &opt.window, "64", 1, 65536, 0, "how many each keeps outstanding"},
    {"size", OPT_INT, &opt.size, "128", 8, 1 << 20, 0, "bytes of a body"},
    {"secs", OPT_INT, &opt.secs, "3", 1, 86400, 0, "how long to measure"},
    {"count", OPT_INT, &opt.count, "0", 0, INT64_MAX / 2, 0,
	"end after so many instead; 0: after --secs"},
    {"topic", OPT_STR, &opt.topic, "", 0, 0, 0, "instead of a topic of its own below bench."},
    {"live", OPT_BOOL, &opt.live, "false", 0, 0, 0,
	"pub: a topic below live., which is not stored"},
};

struct bench {
	struct cli *c;
	const char *kind;
	struct bench_run run;
	struct bench_lane **lanes;
	unsigned n;
	char topic[128], group[64];
	double secs;
	struct hist hist;
	uint64_t errors[ERR_COUNT];
};

static void
add(struct bench *b, enum bench_role role, int64_t n)
{
	for (; n > 0; n--)
		b->lanes[b->n++] = bench_lane_start(&b->run, role);
}

static bool
all_up(const struct bench *b)
{
	for (unsigned i = 0; i < b->n; i++) {
		if (!bench_lane_is_up(b->lanes[i]))
			return false;
	}
	return true;
}

/* 0, or the exit code. */
static int
await_up(struct bench *b)
{
	int64_t end = clock_mono_ms() + b->c->timeout_ms;

	while (!all_up(b)) {
		if (clock_mono_ms() > end) {
			fprintf(stderr, "taxi: %s at %s within %lld ms\n",
			    link_is_up(b->c->link) ? "not everything was subscribed"
						   : "no broker answers",
			    b->c->bus, (long long)b->c->timeout_ms);
			return link_is_up(b->c->link) ? CLI_FAILED : CLI_UNREACHABLE;
		}
		cli_pause(b->c, STEP_MS);
		if (b->c->signal != 0)
			return 128 + b->c->signal;
	}
	return 0;
}

static bool
is_over(const struct bench *b, int64_t begun_us)
{
	if (b->c->signal != 0 || b->run.fatal != 0)
		return true;
	return opt.count > 0 ? b->run.done >= opt.count
			     : clock_mono_us() - begun_us >= opt.secs * 1000000;
}

/* A signal ends the measuring early; what was measured is still printed. */
static int
measure(struct bench *b)
{
	enum err fatal;
	int64_t begun;

	b->run.measuring = opt.count > 0;
	b->run.go = true;
	begun = clock_mono_us();
	if (opt.count == 0) {
		cli_pause(b->c, WARM_MS);
		begun = clock_mono_us();
		b->run.measuring = true;
	}
	while (!is_over(b, begun))
		cli_pause(b->c, STEP_MS);
	b->run.measuring = false;
	b->secs = (double)(clock_mono_us() - begun) / 1e6;
	fatal = (enum err)b->run.fatal;
	if (fatal == ERR_OK)
		return 0;
	fprintf(stderr, "taxi: %s: %s\n", err_name(fatal), err_title(fatal));
	return fatal == ERR_NO_WORKERS || fatal == ERR_NOT_FOUND     ? CLI_NOT_FOUND
	       : fatal == ERR_DENIED || fatal == ERR_UNAUTHENTICATED ? CLI_DENIED
								     : CLI_FAILED;
}

static void
stop(struct bench *b)
{
	for (unsigned i = 0; i < b->n; i++)
		bench_lane_stop(b->lanes[i]);
	for (unsigned i = 0; i < b->n; i++) {
		hist_merge(&b->hist, bench_lane_hist(b->lanes[i]));
		for (unsigned k = 0; k < ERR_COUNT; k++)
			b->errors[k] += bench_lane_errors(b->lanes[i], (enum err)k);
		bench_lane_free(b->lanes[i]);
	}
}

/* 0, or the exit code: a group that stays would hold back what is published to its topic. */
static int
remove_group(struct bench *b)
{
	struct cli_reply r;
	struct buf body;
	int code, sig = b->c->signal;

	b->c->signal = 0; /* it has ended the measuring; what it left is still to be cleared away */
	buf_init(&body, 256);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "group");
	mp_put_cstr(&body, b->group);
	cli_ask(b->c, "sys.groups.delete", buf_span(&body), &r);
	buf_fini(&body);
	code = cli_reply_say(b->c, &r);
	cli_reply_fini(&r);
	if (b->c->signal == 0)
		b->c->signal = sig;
	if (code != 0) {
		fprintf(
		    stderr, "taxi: the group is still there: taxi groups delete %s\n", b->group);
	}
	return code;
}

static void
print_json(const struct bench *b)
{
	static const struct {
		const char *name;
		unsigned permille;
	} points[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}, {"max", 1000}};
	struct buf o;
	unsigned nerrors = 0;

	buf_init(&o, 4096);
	for (unsigned k = 0; k < ERR_COUNT; k++)
		nerrors += b->errors[k] > 0;
	mp_put_map(&o, 10);
	mp_put_cstr(&o, "kind");
	mp_put_cstr(&o, b->kind);
	mp_put_cstr(&o, "topic");
	mp_put_cstr(&o, b->topic);
	mp_put_cstr(&o, "clients");
	mp_put_i64(&o, opt.clients);
	mp_put_cstr(&o, "workers");
	mp_put_i64(&o, opt.workers);
	mp_put_cstr(&o, "window");
	mp_put_i64(&o, opt.window);
	mp_put_cstr(&o, "size");
	mp_put_i64(&o, opt.size);
	mp_put_cstr(&o, "secs");
	mp_put_double(&o, b->secs);
	mp_put_cstr(&o, "rate");
	mp_put_double(&o, (double)b->hist.n / b->secs);
	mp_put_cstr(&o, "us");
	mp_put_map(&o, sizeof points / sizeof points[0]);
	for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++) {
		mp_put_cstr(&o, points[i].name);
		mp_put_u64(&o, hist_at(&b->hist, points[i].permille));
	}
	mp_put_cstr(&o, "errors");
	mp_put_map(&o, nerrors);
	for (unsigned k = 0; k < ERR_COUNT; k++) {
		if (b->errors[k] > 0) {
			mp_put_cstr(&o, err_name((enum err)k));
			mp_put_u64(&o, b->errors[k]);
		}
	}
	cli_print_json(buf_span(&o));
	buf_fini(&o);
}

static void
print_text(const struct bench *b)
{
	double rate = (double)b->hist.n / b->secs;

	printf("%s %s: %lld clients x %lld outstanding, %lld workers, %lld bytes, %.1f s\n",
	    b->kind, b->topic, (long long)opt.clients, (long long)opt.window,
	    (long long)opt.workers, (long long)opt.size, b->secs);
	printf("  %.0f a second (%s/s)\n", rate, fmt_bytes((uint64_t)(rate * (double)opt.size)).s);
	printf("  %s  p50 %s  p90 %s  p99 %s  p99.9 %s  max %s\n",
	    strcmp(b->kind, "sub") == 0 ? "published to consumed" : "sent to answered",
	    fmt_us((int64_t)hist_at(&b->hist, 500)).s, fmt_us((int64_t)hist_at(&b->hist, 900)).s,
	    fmt_us((int64_t)hist_at(&b->hist, 990)).s, fmt_us((int64_t)hist_at(&b->hist, 999)).s,
	    fmt_us((int64_t)b->hist.max).s);
	for (unsigned k = 0; k < ERR_COUNT; k++) {
		if (b->errors[k] > 0) {
			printf("  %llu x %s, tried again\n", (unsigned long long)b->errors[k],
			    err_name((enum err)k));
		}
	}
}

static void
name_it(struct bench *b, bool is_sub)
{
	char id[UUID_TEXT + 1];
	uint8_t raw[16];

	uuid_v7(raw, clock_real_ms());
	uuid_text(raw, id);
	if (opt.topic[0] != '\0') {
		snprintf(b->topic, sizeof b->topic, "%s", opt.topic);
	} else {
		snprintf(b->topic, sizeof b->topic, "%s.%s", opt.live ? "live.bench" : "bench",
		    id + UUID_TEXT - 12);
	}
	if (is_sub)
		snprintf(b->group, sizeof b->group, "bench-%s", id + UUID_TEXT - 12);
	b->run.topic = b->topic;
	b->run.group = b->group;
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct bench b = {.c = c, .kind = argv[0]};
	bool req = strcmp(argv[0], "req") == 0, sub = strcmp(argv[0], "sub") == 0;
	int code;

	(void)argc;
	if (!req && !sub && strcmp(argv[0], "pub") != 0)
		return cli_usage(c, "expected pub, req or sub, not '%s'", argv[0]);
	if (sub && (opt.workers == 0 || opt.live))
		return cli_usage(c, "sub needs workers, and a topic that is stored");
	if (req && opt.workers == 0 && opt.topic[0] == '\0')
		return cli_usage(c, "without workers of its own, req needs the --topic of others");
	cli_connect(c);
	if (!req && !sub)
		opt.workers = 0;
	name_it(&b, sub);
	b.run.bus = c->bus;
	b.run.window = (unsigned)opt.window;
	b.run.size = (size_t)opt.size;
	b.run.timeout_ms = c->timeout_ms;
	b.run.left = opt.count > 0 ? opt.count : INT64_MAX;
	b.lanes = xcalloc((size_t)(opt.clients + opt.workers), sizeof(struct bench_lane *));
	add(&b, sub ? BENCH_CONSUME : BENCH_SERVE, opt.workers);
	code = await_up(&b);
	if (code == 0) {
		add(&b, req ? BENCH_REQUEST : BENCH_PUBLISH, opt.clients);
		code = await_up(&b);
	}
	if (code == 0)
		code = measure(&b);
	stop(&b);
	if (code == 0)
		cli_is_json(c) ? print_json(&b) : print_text(&b);
	if (sub && code != CLI_UNREACHABLE) {
		int gone = remove_group(&b);

		code = code != 0 ? code : gone;
	}
	free(b.lanes);
	return code != 0 ? code : c->signal != 0 ? 128 + c->signal : 0;
}

const struct cli_command cli_bench = {
    .name = "bench",
    .operands = "pub|req|sub",
    .about = "Put load on the broker and say what it took",
    .help =
	"  taxi bench pub --window 1024          stored envelopes, until their OK\n"
	"  taxi bench req --clients 4 --workers 2  requests, and workers that answer them\n"
	"  taxi bench sub --clients 2            published, delivered to a group, acknowledged\n"
	"  taxi bench req --workers 0 --topic lab.echo   what others serve\n\n"
	"Works on a topic of its own below bench.; the group of `sub` is removed at the end. What "
	"was published stays in the\n"
	"journal until it is retained no longer.  What is refused for now (BUSY) is tried again "
	"and "
	"counted.\n",
    .min_operands = 1,
    .max_operands = 1,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_LOOK,
    .json = "{kind, topic, clients, workers, window, size, secs, rate, us:{p50,p90,p99,p999,max}, "
	    "errors:{CODE: n}}; sub counts what was consumed.\n",
};

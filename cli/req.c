/* taxi req: one request; an answer in parts is written as the parts come. */
#include <stdio.h>

#include "base/uuid.h"
#include "cli/line.h"
#include "cli/say.h"
#include "proto/topic.h"

static struct {
	const char *id;
	bool again, raw;
} opt;

static const struct opt rows[] = {
    {"again", OPT_BOOL, &opt.again, "false", 0, 0, 0,
	"the request may be run twice (tried again when a worker dies)"},
    {"id", OPT_STR, &opt.id, "", 0, 0, 0, "UUID of the request"},
    {"raw", OPT_BOOL, &opt.raw, "false", 0, 0, 0,
	"text and bytes as they are, nothing between parts"},
};

struct request {
	struct cli *c;
	uint8_t id[16];
};

static void
put(struct span body)
{
	struct line l = {.body = body};
	struct buf out;

	if (!opt.raw) {
		cli_print_json(body);
		return;
	}
	buf_init(&out, 8 * LIMIT_FRAME);
	line_put(&l, LINE_RAW, 0, &out);
	/* without the newline that ends a line */
	fwrite(buf_cstr(&out), 1, out.n > 0 ? out.n - 1 : 0, stdout);
	fflush(stdout);
	buf_fini(&out);
}

static void
on_part(void *arg, const struct env *e)
{
	struct request *r = arg;

	put(e->body);
	client_more(r->c->client, r->id, 1);
}

static void
on_done(void *arg, const struct env *e)
{
	struct request *r = arg;
	int code = 0;

	if (e->verb == ENV_ERR && r->c->signal != 0) {
		code = 128 + r->c->signal;
	} else if (e->verb == ENV_ERR && !link_is_up(r->c->link)) {
		code = say_unreached(cli_is_json(r->c), r->c->bus, link_refused(r->c->link));
	} else if (e->verb == ENV_ERR) {
		code = say_error(cli_is_json(r->c), e);
	} else if (e->body.n > 0 || env_u(e, ENV_M_PART, 0) == 0) {
		put(e->body); /* the end of a stream may have nothing to say */
	}
	cli_end(r->c, code);
}

static void
on_signal(void *arg)
{
	struct request *r = arg;

	client_cancel(r->c->client, r->id);
}

static int
send_it(struct cli *c, struct env *e)
{
	struct request r = {.c = c};
	enum err err;

	cli_connect(c);
	err = client_stream(c->client, e, c->timeout_ms, on_part, on_done, &r);
	if (err != ERR_OK) {
		fprintf(stderr, "taxi: %s\n      %s\n", err_title(err), say_next(err));
		return say_exit_code(err);
	}
	memcpy(r.id, e->id, 16);
	cli_on_signal(c, on_signal, &r);
	(void)cli_wait(c);
	cli_on_signal(c, NULL, NULL);
	return c->exit_code;
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct buf body;
	struct env e;
	int code = 0;

	if (!topic_is_valid(span_str(argv[0]))) {
		return cli_usage(c,
		    "'%s' is no topic: tokens of [A-Za-z0-9_-] joined by dots, no wildcard",
		    argv[0]);
	}
	env_init(&e, ENV_REQ, span_str(argv[0]), NULL);
	if (opt.id[0] && uuid_parse(span_str(opt.id), e.id) != 0)
		return cli_usage(c, "--id must be a UUID, not '%s'", opt.id);
	if (opt.again)
		env_set_u(&e, ENV_M_AGAIN, 1);
	buf_init(&body, LIMIT_FRAME);
	if (cli_body(argc > 1 ? argv[1] : NULL, &body) != 0) {
		code = CLI_USAGE;
	} else {
		if (body.n > 0)
			e.body = buf_span(&body);
		code = send_it(c, &e);
	}
	buf_fini(&body);
	return code;
}

const struct cli_command cli_req = {
    .name = "req",
    .operands = "TOPIC [BODY]",
    .about = "Send a request and print the answer as JSON",
    .help = "BODY is JSON, @FILE or - (standard input).\n\n"
	    "  taxi req sys.groups\n"
	    "  echo '{\"base\":\"EUR\"}' | taxi req --timeout 2000 --json "
	    "service.currency_exchange.v1.rates -\n\n"
	    "An answer in parts is printed as the parts come, a line each; --timeout is for the "
	    "first and then for each gap.\n"
	    "A refusal goes to stderr with what to do next (--json: as a problem), and the exit "
	    "code says which kind it is.\n",
    .min_operands = 1,
    .max_operands = 2,
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_TALK,
    .json = "The answer's body.  A refusal, on stderr: {error, status, title, retry, detail, next, "
	    "exit}.\n",
};

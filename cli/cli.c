#include "cli/cli.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "cli/ids.h"
#include "cli/say.h"
#include "proto/json.h"
#include "proto/keys.h"
#include "proto/sock.h"

bool
cli_is_json(const struct cli *c)
{
	return strcmp(c->output, "json") == 0;
}

/* ---- the connection ---- */

static void
on_signal(void *arg, short revents)
{
	struct signalfd_siginfo info;
	struct cli *c = arg;

	(void)revents;
	if (read(c->sigfd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	c->signal = (int)info.ssi_signo;
	if (c->on_signal != NULL) {
		c->on_signal(c->signal_arg);
	} else {
		cli_end(c, 128 + c->signal);
	}
}

void
cli_on_signal(struct cli *c, loop_fn *fn, void *arg)
{
	c->on_signal = fn;
	c->signal_arg = arg;
}

static void
watch_signals(struct cli *c)
{
	struct sigaction plain = {.sa_handler = SIG_DFL};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	c->sigfd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	loop_fd(c->loop, c->sigfd, ZMQ_POLLIN, on_signal, c);
	/* A closed pipe ends us as it ends every filter; libzmq writes from threads that block it.
	 */
	(void)sigaction(SIGPIPE, &plain, NULL);
}

static void
end_calls(void *arg)
{
	struct cli *c = arg;

	client_end(c->client);
}

/* Nothing will be answered: what waits ends now, and says so; who only watches ends here. */
static void
on_barred(void *arg, const char *why)
{
	struct cli *c = arg;

	if (client_pending(c->client) > 0) {
		loop_later(c->loop, end_calls, c);
	} else {
		cli_end(c, say_unreached(cli_is_json(c), c->bus, why));
	}
}

void
cli_connect(struct cli *c)
{
	char why[KEYS_WHY];

	if (c->loop != NULL)
		return;
	sock_process_init();
	if (keys_use(c->key, c->broker_key, why) != 0) {
		fprintf(
		    stderr, "taxi: --key, --broker-key: %s; `taxi keys new` makes a pair\n", why);
		exit(CLI_USAGE);
	}
	c->loop = loop_new();
	c->link = link_new(c->loop, c->bus);
	c->client = client_new(c->link, LIMIT_MAXMSG);
	c->worker = worker_new(c->client);
	link_listen(c->link, &(struct link_ops){.refused = on_barred, .arg = c});
	watch_signals(c);
}

void
cli_close(struct cli *c)
{
	if (c->loop == NULL)
		return;
	worker_free(c->worker);
	client_free(c->client);
	link_free(c->link);
	loop_free(c->loop);
	(void)close(c->sigfd);
	c->worker = NULL;
	c->client = NULL;
	c->link = NULL;
	c->loop = NULL;
}

int
cli_wait(struct cli *c)
{
	loop_run(c->loop);
	return c->exit_code;
}

void
cli_end(struct cli *c, int exit_code)
{
	c->exit_code = exit_code;
	loop_stop(c->loop);
}

struct pause {
	struct timer timer;
	struct cli *c;
};

static void
on_pause_over(struct timer *t)
{
	loop_stop(LIST_ITEM(t, struct pause, timer)->c->loop);
}

void
cli_pause(struct cli *c, int64_t ms)
{
	struct pause p = {.timer = {.fn = on_pause_over}, .c = c};

	loop_timer(c->loop, &p.timer, loop_now(c->loop) + ms);
	loop_run(c->loop);
	loop_timer_clear(c->loop, &p.timer);
}

/* ---- calls ---- */

struct waiting {
	struct cli *c;
	struct cli_reply *r;
};

static void
on_answer(void *arg, const struct env *e)
{
	struct waiting *w = arg;
	struct cli_reply *r = w->r;

	r->done = true;
	r->err = e->verb == ENV_ERR ? env_err_code(e) : ERR_OK;
	r->unreached = e->verb == ENV_ERR && !link_is_up(w->c->link);
	if (env_encode(e, &r->frame) != ERR_OK ||
	    env_decode(&r->env, buf_span(&r->frame), false, NULL) != ERR_OK)
		r->err = ERR_INTERNAL;
	loop_stop(w->c->loop);
}

static void
refused(struct cli_reply *r, enum err code)
{
	r->err = code;
	if (env_encode_err(&r->frame, r->env.id, code, err_title(code)) == ERR_OK)
		(void)env_decode(&r->env, buf_span(&r->frame), false, NULL);
}

void
cli_send(struct cli *c, struct env *e, struct cli_reply *r)
{
	struct waiting w;
	int64_t began = clock_mono_us();
	enum err err;

	*r = (struct cli_reply){.err = ERR_OK};
	w = (struct waiting){c, r};
	/* What an answer may be, and what re-encoding it may add. */
	buf_init(&r->frame, LIMIT_MAXMSG);
	cli_connect(c);
	err = client_call(c->client, e, c->timeout_ms, on_answer, &w);
	if (err != ERR_OK) {
		refused(r, err);
		return;
	}
	while (!r->done && c->signal == 0)
		loop_run(c->loop);
	if (!r->done) {
		client_cancel(c->client, e->id);
		while (!r->done)
			loop_run(c->loop);
	}
	r->took_us = clock_mono_us() - began;
	if (r->err == ERR_OK && doc_parse(&r->doc, r->env.body) != 0)
		doc_fini(&r->doc); /* nil */
}

void
cli_ask(struct cli *c, const char *topic, struct span body, struct cli_reply *r)
{
	struct env e;

	env_init(&e, ENV_REQ, span_str(topic), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = body;
	cli_send(c, &e, r);
}

void
cli_reply_fini(struct cli_reply *r)
{
	doc_fini(&r->doc);
	buf_fini(&r->frame);
}

int
cli_reply_say(const struct cli *c, const struct cli_reply *r)
{
	if (r->err == ERR_OK)
		return 0;
	if (c->signal != 0)
		return 128 + c->signal;
	if (r->unreached)
		return say_unreached(cli_is_json(c), c->bus, link_refused(c->link));
	return say_error(cli_is_json(c), &r->env);
}

int
cli_call(struct cli *c, struct env *e, cli_print_fn *print)
{
	struct cli_reply r;
	int code;

	cli_send(c, e, &r);
	code = cli_reply_say(c, &r);
	if (code == 0 && print != NULL) {
		print(c, &r.env);
	} else if (code == 0) {
		cli_print_json(r.env.body);
	}
	cli_reply_fini(&r);
	return code;
}

const msgpack_object_array *
cli_list(const struct cli_reply *r, const char *key)
{
	return doc_list(&r->doc.root, key);
}

/* ---- bodies in ---- */

static int
read_all(FILE *f, struct buf *out)
{
	uint8_t *room;
	size_t n;

	do {
		room = buf_room(out, 65536);
		if (room == NULL) {
			fprintf(stderr,
			    "taxi: the body is over %u bytes; send it in pieces, one envelope "
			    "each\n",
			    LIMIT_FRAME);
			return -1;
		}
		n = fread(room, 1, 65536, f);
		out->n += n;
	} while (n > 0);
	return 0;
}

static int
read_operand(const char *operand, struct buf *text)
{
	FILE *f = stdin;
	int rc;

	if (operand[0] != '@' && strcmp(operand, "-") != 0) {
		buf_puts(text, operand);
		return 0;
	}
	if (operand[0] == '@' && (f = fopen(operand + 1, "rb")) == NULL) {
		fprintf(stderr,
		    "taxi: %s: %s; name a file that can be read, or - for standard input\n",
		    operand + 1, strerror(errno));
		return -1;
	}
	rc = read_all(f, text);
	if (f != stdin)
		fclose(f);
	return rc;
}

int
cli_body(const char *operand, struct buf *out)
{
	struct json_error err;
	struct buf text;
	int rc;

	if (operand == NULL)
		return 0;
	buf_init(&text, LIMIT_FRAME);
	rc = read_operand(operand, &text);
	if (rc == 0) {
		rc = json_to_mp(buf_span(&text), out, &err);
		if (rc != 0) {
			fprintf(stderr,
			    "taxi: the body is not JSON: line %d, column %d: %s; text wants quotes "
			    "of "
			    "its own: '\"text\"'\n",
			    err.line, err.column, err.text);
		}
	}
	buf_fini(&text);
	return rc;
}

/* ---- bodies out ---- */

void
cli_print_json(struct span body)
{
	struct buf b;

	buf_init(&b, 4 * LIMIT_FRAME);
	if (json_from_mp(body, &b, 0) == 0) {
		puts(buf_cstr(&b));
	} else {
		fputs("taxi: the body is not msgpack that JSON can say; --raw prints its bytes\n",
		    stderr);
	}
	fflush(stdout);
	buf_fini(&b);
}

void
cli_print_answer(struct cli *c, const struct env *answer)
{
	struct doc d;
	struct buf b;

	(void)c;
	buf_init(&b, 2 * LIMIT_FRAME);
	if (doc_parse(&d, answer->body) == 0)
		ids_put(&b, &d.root);
	cli_print_json(buf_span(&b));
	doc_fini(&d);
	buf_fini(&b);
}

/* ---- people ---- */

bool
cli_confirm(const char *question)
{
	char line[16];

	if (!isatty(STDIN_FILENO)) {
		fprintf(stderr, "taxi: %s  Say --yes where nobody can be asked.\n", question);
		return false;
	}
	fprintf(stderr, "%s [y/N] ", question);
	return fgets(line, sizeof line, stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

int
cli_usage(const struct cli *c, const char *fmt, ...)
{
	va_list ap;

	fputs("taxi", stderr);
	if (c->command != NULL)
		fprintf(stderr, " %s", c->command->name);
	fputs(": ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (c->command != NULL)
		fprintf(stderr, "; `taxi %s --help` shows how", c->command->name);
	fputc('\n', stderr);
	return CLI_USAGE;
}

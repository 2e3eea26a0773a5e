/* taxi pub --lines: a window of envelopes under way; what the broker has no room for yet waits. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "base/uuid.h"
#include "cli/away.h"
#include "cli/fmt.h"
#include "cli/pub.h"
#include "cli/say.h"
#include "proto/digest.h"
#include "proto/json.h"

enum { READ = 65536, AGAIN_MS = 250, SHOW_MS = 500 };

struct many {
	const struct pub_many *p;
	struct cli *c;
	struct away away;
	char of[UUID_TEXT + 1];
	const char *stream;
	int fd;
	struct loop_fd *watch;
	struct timer show;
	struct buf in;     /* read and not yet cut into lines */
	size_t at;         /* so much of it is done with */
	bool eof, stopped; /* stopped: take no further line */
	bool quit;         /* stopped, and what is under way is not waited for */
	struct list items;
	int64_t under_way, began_us;
	uint64_t line, lines, stored, first_seq, last_seq;
	uint64_t failed_line;
	int code;
};

/* One line until it is stored. */
struct item {
	struct list node;
	struct many *m;
	struct timer again;
	uint64_t line;
	struct buf body;
};

void
pub_line_id(const char *of, uint64_t n, uint8_t id[16])
{
	uint8_t number[8], digest[32];
	struct span parts[2] = {span_str(of), span_of(number, 8)};

	for (int i = 0; i < 8; i++)
		number[i] = (uint8_t)(n >> (56 - 8 * i));
	digest_parts(digest, parts, 2);
	uuid_v8(id, digest);
}

static void take_lines(struct many *m);

static void
item_free(struct item *it)
{
	loop_timer_clear(it->m->c->loop, &it->again);
	list_remove(&it->node);
	it->m->under_way--;
	buf_fini(&it->body);
	free(it);
}

static void
finish_if_done(struct many *m)
{
	if (m->under_way == 0 && (m->stopped || m->eof))
		cli_end(m->c, m->code);
}

static void
fail(struct many *m, uint64_t line, int code)
{
	m->stopped = true;
	if (m->failed_line == 0 || line < m->failed_line) {
		m->failed_line = line;
		m->code = code;
	}
}

static void on_answer(void *arg, const struct env *e);

static void
send_item(struct item *it)
{
	struct many *m = it->m;
	struct env e;
	enum err err;

	env_init(&e, ENV_PUB, span_str(m->p->topic), NULL);
	pub_line_id(m->stream, it->line, e.id);
	e.body = buf_span(&it->body);
	if (m->p->key != NULL)
		env_set_s(&e, ENV_M_KEY, span_str(m->p->key));
	if (m->p->retain)
		env_set_u(&e, ENV_M_RETAIN, 1);
	/* No bound: the client sends it again after a reconnect, and its id makes that harmless. */
	err = client_call(m->c->client, &e, 0, on_answer, it);
	if (err == ERR_BUSY) {
		loop_timer(m->c->loop, &it->again, loop_now(m->c->loop) + AGAIN_MS);
	} else if (err != ERR_OK) {
		fprintf(stderr, "taxi: line %" PRIu64 ": %s\n", it->line, err_title(err));
		fail(m, it->line, say_exit_code(err));
		item_free(it);
	}
}

static void
on_again(struct timer *t)
{
	send_item(LIST_ITEM(t, struct item, again));
}

static void
on_answer(void *arg, const struct env *e)
{
	struct item *it = arg;
	struct many *m = it->m;
	uint64_t seq = env_u(e, ENV_M_SEQ, 0);

	if (m->quit) {
		item_free(it);
		return;
	}
	if (e->verb == ENV_ERR && err_retry(env_err_code(e)) == ERR_LATER && !m->stopped) {
		loop_timer(m->c->loop, &it->again, loop_now(m->c->loop) + AGAIN_MS);
		return;
	}
	if (e->verb == ENV_ERR) {
		fprintf(stderr, "taxi: line %" PRIu64 ":\n", it->line);
		fail(m, it->line, say_error(cli_is_json(m->c), e));
	} else {
		m->stored++;
		if (seq != 0 && (m->first_seq == 0 || seq < m->first_seq))
			m->first_seq = seq;
		m->last_seq = seq > m->last_seq ? seq : m->last_seq;
	}
	item_free(it);
	take_lines(m);
	finish_if_done(m);
}

static void
take_line(struct many *m, struct span text)
{
	struct item *it;
	struct json_error err;
	size_t blank = 0;

	m->line++;
	while (blank < text.n && strchr(" \t\r", text.p[blank]) != NULL)
		blank++;
	if (blank == text.n)
		return;
	it = xcalloc(1, sizeof *it);
	it->m = m;
	it->line = m->line;
	it->again.fn = on_again;
	buf_init(&it->body, LIMIT_FRAME);
	list_push_back(&m->items, &it->node);
	m->under_way++;
	if (json_to_mp(text, &it->body, &err) != 0) {
		fprintf(stderr, "taxi: line %" PRIu64 " is not JSON: column %d: %s\n", m->line,
		    err.column, err.text);
		fail(m, m->line, CLI_USAGE);
		item_free(it);
		return;
	}
	m->lines++;
	send_item(it);
}

static bool
next_line(struct many *m, struct span *out)
{
	const uint8_t *from = m->in.p + m->at, *end;
	size_t n = m->in.n - m->at;

	if (n == 0)
		return false;
	end = memchr(from, '\n', n);
	if (end == NULL && !m->eof)
		return false;
	*out = span_of(from, end ? (size_t)(end - from) : n);
	m->at += out->n + (end ? 1 : 0);
	return true;
}

static void
take_lines(struct many *m)
{
	struct span text;

	while (!m->stopped && m->under_way < m->p->window && next_line(m, &text))
		take_line(m, text);
	if (m->watch != NULL && !m->eof && !m->stopped)
		loop_fd_events(m->watch, m->under_way < m->p->window ? ZMQ_POLLIN : 0);
}

static void
on_input(void *arg, short revents)
{
	struct many *m = arg;
	uint8_t *room;
	ssize_t n;

	(void)revents;
	if (m->at > 0) {
		memmove(m->in.p, m->in.p + m->at, m->in.n - m->at);
		m->in.n -= m->at;
		m->at = 0;
	}
	room = buf_room(&m->in, READ);
	n = room ? read(m->fd, room, READ) : -1;
	if (n < 0 && (errno == EAGAIN || errno == EINTR) && room != NULL)
		return;
	if (n < 0) {
		fprintf(stderr, "taxi: line %" PRIu64 ": %s\n", m->line + 1,
		    room ? strerror(errno) : "longer than an envelope may be");
		fail(m, m->line + 1, CLI_FAILED);
	} else {
		m->in.n += (size_t)n;
		m->eof = n == 0;
	}
	if (m->eof || m->stopped)
		loop_fd_events(m->watch, 0);
	take_lines(m);
	finish_if_done(m);
}

static void
on_signal(void *arg)
{
	struct many *m = arg;

	/* The first lets what is under way end, the second does not wait. */
	if (m->stopped) {
		m->quit = true;
		cli_end(m->c, 128 + m->c->signal);
	}
	fail(m, m->line + 1, 128 + m->c->signal);
	loop_fd_events(m->watch, 0);
	finish_if_done(m);
}

static void
on_show(struct timer *t)
{
	struct many *m = LIST_ITEM(t, struct many, show);
	double s = (double)(clock_mono_us() - m->began_us) / 1e6;

	fprintf(stderr, "\r%" PRIu64 " stored, %s/s, %" PRId64 " under way  ", m->stored,
	    fmt_rate((double)m->stored / s).s, m->under_way);
	loop_timer(m->c->loop, t, loop_now(m->c->loop) + SHOW_MS);
}

static void
report(const struct many *m)
{
	int64_t us = clock_mono_us() - m->began_us;

	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
	if (cli_is_json(m->c)) {
		printf("{\"of\":\"%s\",\"topic\":\"%s\",\"lines\":%" PRIu64 ",\"stored\":%" PRIu64
		       ",\"firstSeq\":%" PRIu64 ",\"lastSeq\":%" PRIu64 ",\"ms\":%" PRId64 "}\n",
		    m->stream, m->p->topic, m->lines, m->stored, m->first_seq, m->last_seq,
		    us / 1000);
	} else {
		printf("stored %" PRIu64 " of %" PRIu64 " lines in %s", m->stored, m->lines,
		    fmt_us(us).s);
		if (m->last_seq != 0)
			printf(", seq %" PRIu64 " to %" PRIu64, m->first_seq, m->last_seq);
		puts("");
	}
	fflush(stdout);
	if (m->code != 0) {
		fprintf(stderr,
		    "taxi: stopped at line %" PRIu64
		    "; the same input again with --of %s stores only what is missing\n",
		    m->failed_line, m->stream);
	}
}

static int
open_input(struct many *m)
{
	const char *name = m->p->operand;

	if (strcmp(name, "-") == 0) {
		m->fd = STDIN_FILENO;
		return 0;
	}
	m->fd = open(name + (name[0] == '@'), O_RDONLY | O_CLOEXEC);
	if (m->fd != -1)
		return 0;
	fprintf(stderr, "taxi: %s: %s; --lines wants a file that can be read, or -\n", name,
	    strerror(errno));
	return CLI_USAGE;
}

static bool
is_stream_name(const char *s)
{
	size_t n = strlen(s);

	return n <= 128 && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				     "0123456789-_.:/") == n;
}

static int
drive(struct many *m)
{
	int code = away_reach(m->c);

	if (code != 0)
		return code;
	m->began_us = clock_mono_us();
	cli_on_signal(m->c, on_signal, m);
	away_watch(&m->away, m->c);
	m->watch = loop_fd(m->c->loop, m->fd, ZMQ_POLLIN, on_input, m);
	m->show.fn = on_show;
	if (isatty(STDERR_FILENO))
		loop_timer(m->c->loop, &m->show, loop_now(m->c->loop) + SHOW_MS);
	code = cli_wait(m->c);
	loop_timer_clear(m->c->loop, &m->show);
	loop_fd_end(m->watch);
	away_end(&m->away);
	cli_on_signal(m->c, NULL, NULL);
	report(m);
	return code;
}

int
pub_many(struct cli *c, const struct pub_many *p)
{
	struct many m = {.p = p, .c = c, .stream = p->of};
	struct item *it;
	uint8_t id[16];
	int code;

	if (!is_stream_name(p->of)) {
		return cli_usage(
		    c, "--of must be at most 128 of [A-Za-z0-9-_.:/], not '%s'", p->of);
	}
	if (p->of[0] == '\0') {
		uuid_v7(id, clock_real_ms());
		m.stream = uuid_text(id, m.of);
	}
	code = open_input(&m);
	if (code != 0)
		return code;
	/* A line of JSON may be longer than what it says. */
	buf_init(&m.in, 4 * LIMIT_FRAME);
	list_init(&m.items);
	cli_connect(c);
	code = drive(&m);
	client_end(c->client); /* what is left after a second signal */
	LIST_EACH (it, &m.items, struct item, node)
		item_free(it);
	buf_fini(&m.in);
	if (m.fd != STDIN_FILENO)
		(void)close(m.fd);
	return code;
}

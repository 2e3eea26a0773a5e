/* taxi top: looks once a second and draws. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/ask.h"
#include "cli/fmt.h"
#include "cli/top.h"

static struct {
	bool once;
	int64_t every_ms;
} opt;

static const struct opt rows[] = {
    {"once", OPT_BOOL, &opt.once, "false", 0, 0, 0, "one table, and end"},
    {"every", OPT_INT, &opt.every_ms, "1000", 100, 60000, 0, "how often to look, in ms"},
};

struct screen {
	struct cli *c;
	struct termios was;
	bool raw, quit;
};

/* One look: 0, or an exit code; what went wrong is said where there is no screen. */
static int
look(struct cli *c, struct top *t, bool say)
{
	static const char *const topics[] = {"sys.stats", "sys.groups", "sys.peers"};
	struct cli_reply r[3];
	unsigned n = 0;
	int code = 0;

	*t = (struct top){.at_us = 0};
	while (n < 3 && code == 0) {
		cli_ask(c, topics[n], (struct span){NULL, 0}, &r[n]);
		code = r[n].err != ERR_OK;
		n++;
	}
	t->at_us = clock_mono_us();
	if (code == 0) {
		top_read(t, &r[0].doc.root, &r[1].doc.root, &r[2].doc.root, clock_real_ms());
	} else if (say) {
		code = cli_reply_say(c, &r[n - 1]);
	}
	while (n > 0)
		cli_reply_fini(&r[--n]);
	return code;
}

static void
print(const struct cli *c, const struct top *t)
{
	struct winsize w = {0};
	struct buf out;

	buf_init(&out, 64u << 20);
	if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0)
		w.ws_col = 80;
	if (cli_is_json(c)) {
		top_json(t, &out);
	} else {
		top_render(t, w.ws_col, 0, &out);
	}
	fwrite(buf_cstr(&out), 1, out.n, stdout);
	fflush(stdout);
	buf_fini(&out);
}

/* Rates want two looks. */
static int
once(struct cli *c)
{
	struct top before, now;
	int code = look(c, &before, true);

	if (code != 0)
		return code;
	cli_pause(c, opt.every_ms);
	code = c->signal != 0 ? 128 + c->signal : look(c, &now, true);
	if (code == 0) {
		top_compare(&now, &before);
		print(c, &now);
		top_fini(&now);
	}
	top_fini(&before);
	return code;
}

/* ---- the terminal ---- */

static void
on_key(void *arg, short revents)
{
	struct screen *s = arg;
	char keys[64];
	ssize_t n = read(STDIN_FILENO, keys, sizeof keys);

	(void)revents;
	for (ssize_t i = 0; i < n; i++)
		s->quit |= keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 3;
	s->quit |= n == 0;
	if (s->quit)
		loop_stop(s->c->loop);
}

static void
on_signal(void *arg)
{
	struct screen *s = arg;

	s->quit = true;
	loop_stop(s->c->loop);
}

static struct loop_fd *
screen_open(struct screen *s)
{
	struct termios raw;

	/* The other screen, no cursor. */
	fputs("\033[?1049h\033[?25l", stdout);
	if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &s->was) != 0)
		return NULL;
	raw = s->was;
	raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	s->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
	return loop_fd(s->c->loop, STDIN_FILENO, ZMQ_POLLIN, on_key, s);
}

static void
screen_close(struct screen *s, struct loop_fd *keys)
{
	loop_fd_end(keys);
	fputs("\033[?25h\033[?1049l", stdout);
	fflush(stdout);
	if (s->raw)
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &s->was);
}

static void
draw(const struct screen *s, const struct top *t, bool there)
{
	struct winsize w = {0};
	struct buf out, all;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0 || w.ws_row == 0)
		w = (struct winsize){.ws_col = 80, .ws_row = 24};
	buf_init(&out, 1u << 20);
	buf_init(&all, 2u << 20);
	buf_printf(&out, "taxi top  %s  %s  q quits%s\n", s->c->bus, fmt_time(clock_real_ms()).s,
	    there ? "" : "  NO BROKER ANSWERS; waiting");
	top_render(t, w.ws_col, w.ws_row - 1u, &out);
	/* From the top; each line wipes what was behind it, the last what was below. */
	buf_puts(&all, "\033[H");
	for (size_t i = 0; i < out.n; i++) {
		if (out.p[i] == '\n')
			buf_puts(&all, "\033[K");
		buf_putc(&all, (char)out.p[i]);
	}
	buf_puts(&all, "\033[J");
	fwrite(buf_cstr(&all), 1, all.n, stdout);
	fflush(stdout);
	buf_fini(&out);
	buf_fini(&all);
}

static void
watch(struct screen *s, struct top *shown)
{
	while (!s->quit) {
		struct top now;
		int code = look(s->c, &now, false);

		if (code == 0) {
			top_compare(&now, shown);
			top_fini(shown);
			*shown = now;
		}
		draw(s, shown, code == 0);
		if (!s->quit)
			cli_pause(s->c, opt.every_ms);
	}
}

static int
run(struct cli *c, int argc, char **argv)
{
	struct screen s = {.c = c};
	struct top first;
	struct loop_fd *keys;
	bool live = !opt.once && isatty(STDOUT_FILENO) && !cli_is_json(c);
	int code;

	(void)argc;
	(void)argv;
	if (!live)
		return once(c);
	code = look(c, &first, true);
	if (code != 0)
		return code;
	cli_on_signal(c, on_signal, &s);
	keys = screen_open(&s);
	top_compare(&first, &first);
	draw(&s, &first, true);
	cli_pause(c, opt.every_ms);
	watch(&s, &first);
	screen_close(&s, keys);
	cli_on_signal(c, NULL, NULL);
	top_fini(&first);
	return 0;
}

const struct cli_command cli_top = {
    .name = "top",
    .operands = "",
    .about = "Live table of groups, peers and the broker",
    .help = "  taxi top\n  taxi top --once\n  taxi top -o json | jq '.groups[] | "
	    "select(.lagMs > 60000)'\n\n"
	    "OWED and LAG: what a group is still owed, in envelopes and as the age of the oldest. "
	    " IN/S and OUT/S: what it got and\n"
	    "what it acknowledged since the last look.  AGAIN: deliveries that were not the first. "
	    " Peers: who holds most first.\n"
	    "Without a terminal it is one table, as with --once, of two looks so that there are "
	    "rates.  q ends it.\n",
    .rows = rows,
    .nrows = sizeof rows / sizeof rows[0],
    .run = run,
    .section = CLI_LOOK,
    .json = "{broker: {version, uptimeMs, head, storedPerS, inPerS, outPerS, requestsPerS, "
	    "commitsPerS,\ncommitP50Us, commitP99Us, journalBytes, memoryBytes, memoryLimit, "
	    "drops},\ngroups: [{group, pattern, state, owed, lagMs, inPerS, outPerS, "
	    "redeliveredPerS, inFlight,\nworkers, acked, redelivered, dead, dropped}],\npeers: "
	    "[{session, identity, subs, inFlight, bytes, connectedMs, silentMs}]}.\n",
};

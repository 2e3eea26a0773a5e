#ifndef CLI_CLI_H
#define CLI_CLI_H
/* taxi, the command: one connection, one command, one exit code.  A command is one row of the table
 * in main.c; help, completion and the man page are made from that table. */
#include "base/opt.h"
#include "proto/doc.h"
#include "proto/worker.h"

/* Kept for good: scripts rely on them (`taxi help exit-codes`). */
#define CLI_FAILED 1      /* the bus said no, and would again */
#define CLI_USAGE 2       /* wrong use: nothing was sent */
#define CLI_NOT_FOUND 3   /* not there, or nobody serves it */
#define CLI_UNREACHABLE 4 /* no broker answers */
#define CLI_LATER 5       /* certainly not done; try again later */
#define CLI_UNCERTAIN 6   /* it may have been done */
#define CLI_DENIED 7      /* no key, or not allowed */

enum cli_section { CLI_HOUSE, CLI_TALK, CLI_LOOK, CLI_MEND, CLI_SECTIONS };

struct cli;

struct cli_command {
	const char *name;     /* "pub", "trigger publish" */
	const char *operands; /* "TOPIC [BODY]" */
	const char *about;    /* one line */
	const char *help;     /* examples and what is printed */
	int min_operands, max_operands;
	const struct opt *rows; /* its own options */
	size_t nrows;
	/* argv: the operands; returns the exit code */
	int (*run)(struct cli *c, int argc, char **argv);
	enum cli_section section; /* under which heading help lists it */
	const char *json;         /* what -o json prints: for the manual; NULL: none */
};

struct cli {
	/* options of every command */
	const char *bus, *output, *key, *broker_key;
	int64_t timeout_ms;
	/* the tables, for help and completion */
	const struct cli_command *const *commands;
	size_t ncommands;
	struct opt_table common;
	const struct cli_command *command; /* the one that runs */
	/* the connection, made by cli_connect */
	struct loop *loop;
	struct link *link;
	struct client *client;
	struct worker *worker;
	int exit_code;
	int sigfd;
	int signal;         /* SIGINT or SIGTERM came */
	loop_fn *on_signal; /* cli_on_signal */
	void *signal_arg;
};

bool cli_is_json(const struct cli *c);
/* What SIGINT and SIGTERM do from now on; fn NULL: the loop ends, exit code 128 + signal. */
void cli_on_signal(struct cli *c, loop_fn *fn, void *arg);
/* A second call does nothing.  Keys that cannot be read end the process, with CLI_USAGE. */
void cli_connect(struct cli *c);
void cli_close(struct cli *c);
/* Run the loop until cli_end or a signal. */
int cli_wait(struct cli *c);
void cli_end(struct cli *c, int exit_code);
/* Run the loop for so long, or until cli_end or a signal. */
void cli_pause(struct cli *c, int64_t ms);

/* The end of a call. */
struct cli_reply {
	enum err err;   /* ERR_OK: answered */
	bool unreached; /* err, and no broker was there */
	struct env env; /* of the answer; its spans borrow from `frame` */
	struct buf frame;
	struct doc doc; /* the answer's body; nil when it cannot be read */
	int64_t took_us;
	bool done;
};
/* Send e and wait for its end.  Free the reply with cli_reply_fini, whatever came. */
void cli_send(struct cli *c, struct env *e, struct cli_reply *r);
/* As cli_send: a REQ that may be run twice; `body` is msgpack, or {NULL, 0}. */
void cli_ask(struct cli *c, const char *topic, struct span body, struct cli_reply *r);
void cli_reply_fini(struct cli_reply *r);
/* What went wrong and what to do next on stderr, once; returns the exit code that goes with it, 0
 * when nothing did. */
int cli_reply_say(const struct cli *c, const struct cli_reply *r);

/* Send e and print the answer by `print` (NULL: the body as JSON).  Errors go to stderr.  Returns
 * the exit code. */
typedef void cli_print_fn(struct cli *c, const struct env *answer);
int cli_call(struct cli *c, struct env *e, cli_print_fn *print);

/* The array under `key` of the answer, an empty one when there is none. */
const msgpack_object_array *cli_list(const struct cli_reply *r, const char *key);

/* An operand that is JSON, @file or - (standard input) -> msgpack in `out`; absent is no body.  0,
 * or -1 said on stderr. */
int cli_body(const char *operand, struct buf *out);
/* A msgpack value as one line of JSON on stdout. */
void cli_print_json(struct span body);
/* The same of an answer of the broker, ids as UUIDs. */
void cli_print_answer(struct cli *c, const struct env *answer);
/* Ask on the terminal; --yes is said by the caller.  False: no, said on stderr. */
bool cli_confirm(const char *question);
/* Wrong use: one line on stderr; returns CLI_USAGE. */
int cli_usage(const struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif

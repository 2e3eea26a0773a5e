#ifndef CLI_CLI_H
#define CLI_CLI_H
/* taxi, the command: one connection, one command, one exit code.
 * Exit codes: 0 done; 1 the bus said no; 2 wrong use; 3 not found, or nobody serves it; 4 no broker
 * answers. */
#include "base/opt.h"
#include "proto/worker.h"

#define CLI_FAILED 1
#define CLI_USAGE 2
#define CLI_NOT_FOUND 3
#define CLI_UNREACHABLE 4

struct cli {
	/* options of every command */
	const char *bus, *output;
	int64_t timeout_ms;
	/* the connection, made by cli_connect */
	struct loop *loop;
	struct link *link;
	struct client *client;
	struct worker *worker;
	int exit_code;
};

struct cli_command {
	const char *name;     /* "pub", "trigger publish" */
	const char *operands; /* "TOPIC [BODY]" */
	const char *about;    /* one line */
	const char *help;     /* examples and what is printed */
	int min_operands, max_operands;
	const struct opt *rows; /* its own options */
	size_t nrows;
	int (*run)(
	    struct cli *c, int argc, char **argv); /* argv: the operands; returns the exit code */
};

extern const struct cli_command cli_pub, cli_req, cli_trigger_publish, cli_sub, cli_services,
    cli_groups, cli_stats, cli_peers;

bool cli_is_json(const struct cli *c);
void cli_connect(struct cli *c);
/* Run the loop until cli_end. */
int cli_wait(struct cli *c);
void cli_end(struct cli *c, int exit_code);

/* Send e and print the answer by `print` (NULL: the body as JSON).  Errors go to stderr.  Returns
 * the exit code. */
typedef void cli_print_fn(struct cli *c, const struct env *answer);
int cli_call(struct cli *c, struct env *e, cli_print_fn *print);

/* An operand that is JSON, @file or - (standard input) -> msgpack in `out`; absent is no body.  0,
 * or -1 said on stderr. */
int cli_body(const char *operand, struct buf *out);
/* A msgpack value as one line of JSON on stdout. */
void cli_print_json(struct span body);
/* Say what went wrong, once, on stderr; returns the exit code that goes with it. */
int cli_error(const struct env *err);

/* Rows of text in columns as wide as their widest cell.  Cells are copied. */
struct cli_table {
	struct buf text; /* cells, each NUL-terminated */
	unsigned columns, cells;
};
void cli_table_init(struct cli_table *t, unsigned columns);
void cli_table_cell(struct cli_table *t, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void cli_table_print(struct cli_table *t); /* and frees */

#endif

#ifndef BASE_OPT_H
#define BASE_OPT_H
/* One row an option: flag = environment variable = line of --help.  A flag wins over the environment,
 * the environment over the default.  `--max-body` of a table with prefix "TAXI_" is $TAXI_MAX_BODY.
 *
 *	static const struct opt rows[] = {
 *		{"poll-ms", OPT_INT, &cfg.poll_ms, "1000", 10, 60000, 0, "how often to look, in ms"},
 *	};
 */
#include <stddef.h>
#include <stdint.h>

enum opt_type {
	OPT_STR,  /* const char ** : points into argv, environ or the default */
	OPT_INT,  /* int64_t *     : decimal, min <= value <= max; suffix k, m, g = 1024 powers */
	OPT_BOOL, /* bool *        : --flag or --flag=true|false|1|0 */
};

#define OPT_REQUIRED 1u /* no default: absent is an error */
#define OPT_SECRET 2u	/* never printed by --help, INFO or a log */

struct opt {
	const char *flag;
	enum opt_type type;
	void *dst;
	const char *def;
	int64_t min, max;
	unsigned flags;
	const char *help;
};

struct opt_table {
	const char *env_prefix; /* "TAXI_", "PLUGIN_FILE_" */
	const char *title;	/* heading in --help */
	const struct opt *rows;
	size_t n;
};

/* Reads every row of every table.  Wrong use (unknown flag, bad value, a required row absent) prints
 * one line that names the option and what was expected, and returns -1: the caller exits 100.
 * --help prints `usage` and all rows, --version prints the version; both return 1: the caller exits
 * 0.  `rest` gets the index in argv of the first operand; "--" ends the flags; with
 * rest NULL an operand is wrong use.  An empty environment variable counts as not set. */
int opt_parse(const struct opt_table *t, size_t n, const char *usage, int argc, char **argv, int *rest);

/* Edits that turn a into b; a large number when one is over 64 bytes: for "did you mean". */
unsigned opt_distance(const char *a, const char *b);

#endif

#include "tests/unit/check.h"

#include <stdbool.h>
#include <stdlib.h>

#include "base/opt.h"
#include "tests/unit/capture.h"

static struct {
	const char *name, *key, *extra;
	int64_t poll_ms, size;
	bool fast;
} cfg;

static const struct opt common[] = {
    {"name", OPT_STR, &cfg.name, "anon", 0, 0, 0, "who this is"},
    {"poll-ms", OPT_INT, &cfg.poll_ms, "1000", 10, 60000, 0, "how often to look, in ms"},
    {"fast", OPT_BOOL, &cfg.fast, "false", 0, 0, 0, "do not wait"},
};
static const struct opt more[] = {
    {"max-size", OPT_INT, &cfg.size, "8m", 1, INT64_MAX, 0, "bytes"},
    {"key", OPT_STR, &cfg.key, NULL, 0, 0, OPT_REQUIRED | OPT_SECRET, "the secret"},
    {"extra", OPT_STR, &cfg.extra, NULL, 0, 0, 0, "may be absent"},
};
static const struct opt_table tables[] = {
    {"UNIT_", "Common", common, 3},
    {"UNIT_MORE_", "More", more, 3},
};

static char out[8192], err[8192];
static int rest;

/* Runs the parser on space-separated words; out and err hold what it printed. */
static int
parse_into(int *operand, const char *words)
{
	static char line[512];
	char *argv[16] = {line}, *p = line;
	struct capture o, e;
	int argc = 1, rc;

	memset(&cfg, 0, sizeof cfg);
	snprintf(line, sizeof line, "unit %s", words);
	while ((p = strchr(p, ' ')) != NULL && p[1]) {
		*p++ = 0;
		argv[argc++] = p;
	}
	capture_start(&o, STDOUT_FILENO);
	capture_start(&e, STDERR_FILENO);
	rc = opt_parse(tables, 2, "unit [flags] - a test", argc, argv, operand);
	capture_end(&e, err, sizeof err);
	capture_end(&o, out, sizeof out);
	return rc;
}

static int
parse(const char *words)
{
	return parse_into(&rest, words);
}

static void
test_values(void)
{
	CHECK(parse("--key k") == 0);
	CHECK_STR(cfg.name, "anon");
	CHECK(cfg.poll_ms == 1000 && cfg.size == 8 << 20 && !cfg.fast && cfg.extra == NULL);
	CHECK_STR(cfg.key, "k");
	CHECK(rest == 3);
	CHECK(parse("--key=k=v --poll-ms 20 --fast --name= --max-size=2k") == 0);
	CHECK_STR(cfg.key, "k=v");
	CHECK_STR(cfg.name, "");
	CHECK(cfg.poll_ms == 20 && cfg.fast && cfg.size == 2048);
	CHECK(parse("--key k --fast=0 --max-size 7G") == 0);
	CHECK(!cfg.fast && cfg.size == INT64_C(7) << 30);
	CHECK(parse("--key k --fast=true op1 --poll-ms 20") == 0);
	CHECK(cfg.fast && rest == 4 && cfg.poll_ms == 1000);
	CHECK(parse("--key k -- --fast") == 0);
	CHECK(!cfg.fast && rest == 4);
	CHECK(parse("--key k - x") == 0 && rest == 3);
	/* the value of a flag is whatever stands next to it */
	CHECK(parse("--key --fast") == 0 && strcmp(cfg.key, "--fast") == 0 && !cfg.fast);
	/* the last one wins */
	CHECK(parse("--key k --poll-ms 11 --poll-ms 12") == 0 && cfg.poll_ms == 12);
}

static void
test_environment(void)
{
	setenv("UNIT_POLL_MS", "30", 1);
	setenv("UNIT_MORE_KEY", "from-env", 1);
	setenv("UNIT_NAME", "", 1);
	CHECK(parse("") == 0 && cfg.poll_ms == 30);
	CHECK_STR(cfg.key, "from-env");
	CHECK_STR(cfg.name, "anon");
	CHECK(parse("--poll-ms 40") == 0 && cfg.poll_ms == 40);
	setenv("UNIT_POLL_MS", "soon", 1);
	CHECK(parse("") == -1);
	CHECK(
	    strstr(err, "$UNIT_POLL_MS: expected a whole number from 10 to 60000, not \"soon\"\n"));
	/* a flag wins, so what it covers is not even read */
	CHECK(parse("--poll-ms 40") == 0 && cfg.poll_ms == 40);
	unsetenv("UNIT_POLL_MS");
	unsetenv("UNIT_MORE_KEY");
	unsetenv("UNIT_NAME");
}

static void
test_refusals(void)
{
	CHECK(parse("") == -1);
	CHECK(strstr(err, "--key (or $UNIT_MORE_KEY) is required: the secret\n"));
	CHECK(parse("--key k --poll-ms 9") == -1);
	CHECK(strstr(err, "--poll-ms: expected a whole number from 10 to 60000, not \"9\"\n"));
	CHECK(parse("--key k --poll-ms 60001") == -1);
	CHECK(parse("--key k --poll-ms=") == -1);
	CHECK(parse("--key k --poll-ms k") == -1);
	CHECK(parse("--key k --poll-ms 1x") == -1);
	CHECK(parse("--key k --max-size 9999999999g") == -1);
	CHECK(parse("--key k --max-size 9223372036854775807k") == -1);
	CHECK(parse("--key k --fast=maybe") == -1);
	CHECK(strstr(err, "--fast: expected true or false, not \"maybe\"\n"));
	CHECK(parse("--key") == -1);
	CHECK(strstr(err, "--key: expected a value\n"));
	CHECK(parse("--key k --poll-sm 20") == -1);
	CHECK(strstr(err, "--poll-sm: no such option; did you mean --poll-ms?\n"));
	CHECK(parse("--key k --fats") == -1 && strstr(err, "did you mean --fast?"));
	CHECK(parse("--key k --nam x") == -1 && strstr(err, "did you mean --name?"));
	CHECK(parse("--key k --maxsize=1") == -1 &&
	      strstr(err, "--maxsize=1: no such option; did you mean --max-size?"));
	CHECK(parse("--key k --f") == -1 && strstr(err, "see --help"));
	CHECK(parse("--key k --zzzzzzzz") == -1);
	CHECK(strstr(err, "--zzzzzzzz: no such option; see --help\n"));
	CHECK(parse("--key k -x") == -1);
	CHECK(strstr(err, "-x: no such option"));
	CHECK(parse("--key k --") == 0);
	CHECK(parse_into(NULL, "--key k") == 0);
	CHECK(parse_into(NULL, "--key k stray") == -1);
	CHECK(strstr(err, "stray: nothing but options expected\n"));
}

static void
test_help(void)
{
	setenv("UNIT_MORE_KEY", "hush", 1);
	CHECK(parse("--help") == 1);
	CHECK(strstr(out, "unit [flags] - a test\n") == out);
	CHECK(strstr(out, "Common:\n") && strstr(out, "More:\n"));
	CHECK(strstr(out, "--poll-ms N\n"));
	CHECK(strstr(out, "how often to look, in ms\n"));
	CHECK(strstr(out, "$UNIT_POLL_MS, 10 to 60000, default 1000\n"));
	CHECK(strstr(out, "$UNIT_MORE_KEY, required\n"));
	CHECK(strstr(out, "hush") == NULL);
	CHECK(parse("-h") == 1);
	CHECK(parse("--version") == 1);
	CHECK_STR(out, TAXI_VERSION "\n");
	unsetenv("UNIT_MORE_KEY");
}

int
main(void)
{
	test_values();
	test_environment();
	test_refusals();
	test_help();
	return check_done();
}

#include "base/opt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/die.h"
#include "base/str.h"

enum { ENV_NAME_MAX = 128, FLAG_MAX = 64, ROWS_MAX = 256 };

struct reader {
	const struct opt_table *t;
	size_t n;
	int argc, at;
	char **argv;
	bool seen[ROWS_MAX]; /* by flag; rows counted through all tables */
};

/* What sets an option, for the message that refuses it. */
struct origin {
	const char *what; /* "--" or "$" */
	const char *name;
};

static const char *
env_name(const struct opt_table *t, const struct opt *o, char out[ENV_NAME_MAX])
{
	size_t n;

	snprintf(out, ENV_NAME_MAX, "%s%s", t->env_prefix, o->flag);
	n = strlen(t->env_prefix);
	for (char *p = out + (n < ENV_NAME_MAX ? n : 0); *p; p++) {
		if (*p == '-') {
			*p = '_';
		} else if (*p >= 'a' && *p <= 'z') {
			*p = (char)(*p - 'a' + 'A');
		}
	}
	return out;
}

static int
refuse(const struct opt *o, struct origin from, const char *value, const char *expected)
{
	const char *prog = program_invocation_short_name;

	if (o->flags & OPT_SECRET) {
		fprintf(stderr, "%s: %s%s: expected %s\n", prog, from.what, from.name, expected);
	} else {
		fprintf(stderr, "%s: %s%s: expected %s, not \"%s\"\n", prog, from.what, from.name,
		    expected, value);
	}
	return -1;
}

static int
set_int(const struct opt *o, struct origin from, const char *value)
{
	struct span s = span_str(value);
	int64_t scale = 1, v;
	char expected[96];

	if (s.n > 1) {
		switch (s.p[s.n - 1] | 0x20) {
		case 'k': scale = INT64_C(1) << 10; break;
		case 'm': scale = INT64_C(1) << 20; break;
		case 'g': scale = INT64_C(1) << 30; break;
		default: break;
		}
	}
	if (scale > 1)
		s.n--;
	if (str_i64(s, INT64_MIN / scale, INT64_MAX / scale, &v) != 0 || v * scale < o->min ||
	    v * scale > o->max) {
		snprintf(expected, sizeof expected, "a whole number from %" PRId64 " to %" PRId64,
		    o->min, o->max);
		return refuse(o, from, value, expected);
	}
	*(int64_t *)o->dst = v * scale;
	return 0;
}

static int
set_bool(const struct opt *o, struct origin from, const char *value)
{
	bool yes = strcmp(value, "true") == 0 || strcmp(value, "1") == 0;

	if (!yes && strcmp(value, "false") != 0 && strcmp(value, "0") != 0)
		return refuse(o, from, value, "true or false");
	*(bool *)o->dst = yes;
	return 0;
}

static int
set_value(const struct opt *o, struct origin from, const char *value)
{
	switch (o->type) {
	case OPT_STR: *(const char **)o->dst = value; return 0;
	case OPT_INT: return set_int(o, from, value);
	case OPT_BOOL: return set_bool(o, from, value);
	}
	return -1;
}

/* Everything a flag did not set: from the environment, else the default. */
static int
set_from_env(const struct opt_table *t, const struct opt *o)
{
	char name[ENV_NAME_MAX];
	const char *value = getenv(env_name(t, o, name));

	/* an empty variable is how shells and supervisors write "not set" */
	if (value != NULL && *value)
		return set_value(o, (struct origin){"$", name}, value);
	if (o->flags & OPT_REQUIRED) {
		fprintf(stderr, "%s: --%s (or $%s) is required: %s\n",
		    program_invocation_short_name, o->flag, name, o->help);
		return -1;
	}
	return o->def ? set_value(o, (struct origin){"default of --", o->flag}, o->def) : 0;
}

static void
print_row(const struct opt_table *t, const struct opt *o)
{
	static const char *const kinds[] = {" TEXT", " N", ""};
	char name[ENV_NAME_MAX];

	printf("  --%s%s\n        %s\n        $%s", o->flag, kinds[o->type], o->help,
	    env_name(t, o, name));
	if (o->type == OPT_INT)
		printf(", %" PRId64 " to %" PRId64, o->min, o->max);
	if (o->flags & OPT_REQUIRED) {
		printf(", required");
	} else if (o->flags & OPT_SECRET) {
		printf(", secret");
	} else if (o->def != NULL && *o->def) {
		printf(", default %s", o->def);
	}
	printf("\n");
}

static void
print_help(const struct reader *r, const char *usage)
{
	printf("%s\n", usage);
	for (size_t i = 0; i < r->n; i++) {
		printf("\n%s:\n", r->t[i].title);
		for (size_t k = 0; k < r->t[i].n; k++)
			print_row(&r->t[i], &r->t[i].rows[k]);
	}
	printf("\n  --help, --version\n");
}

unsigned
opt_distance(const char *a, const char *b)
{
	unsigned row[FLAG_MAX + 1];
	size_t an = strlen(a), bn = strlen(b);

	if (an > FLAG_MAX || bn > FLAG_MAX)
		return FLAG_MAX;
	for (unsigned j = 0; j <= bn; j++)
		row[j] = j;
	for (unsigned i = 1; i <= an; i++) {
		unsigned diag = row[0];

		row[0] = i;
		for (unsigned j = 1; j <= bn; j++) {
			unsigned swap = diag + (a[i - 1] != b[j - 1]);
			unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;

			diag = row[j];
			row[j] = swap < best ? swap : best;
		}
	}
	return row[bn];
}

static int
unknown_flag(const struct reader *r, const char *arg, const char *name)
{
	const char *near = NULL;
	unsigned best = 3;

	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->t[i].n; k++) {
			unsigned d = opt_distance(name, r->t[i].rows[k].flag);

			if (d < best) {
				best = d;
				near = r->t[i].rows[k].flag;
			}
		}
	}
	fprintf(stderr, "%s: %s: no such option", program_invocation_short_name, arg);
	if (near != NULL) {
		fprintf(stderr, "; did you mean --%s?\n", near);
	} else {
		fprintf(stderr, "; see --help\n");
	}
	return -1;
}

static const struct opt *
find_row(struct reader *r, const char *name)
{
	size_t row = 0;

	for (size_t i = 0; i < r->n; i++) {
		for (size_t k = 0; k < r->t[i].n; k++, row++) {
			if (strcmp(r->t[i].rows[k].flag, name) == 0) {
				r->seen[row] = true;
				return &r->t[i].rows[k];
			}
		}
	}
	return NULL;
}

/* One flag at r->at, with its value. */
static int
read_flag(struct reader *r)
{
	const char *arg = r->argv[r->at++], *eq = strchr(arg, '='), *value;
	const struct opt *o;
	char name[FLAG_MAX + 1];
	struct span s = span_of(arg + 2, eq ? (size_t)(eq - arg - 2) : strlen(arg) - 2);

	if (arg[1] != '-' || !str_copy(name, sizeof name, s))
		return unknown_flag(r, arg, arg + 1);
	o = find_row(r, name);
	if (o == NULL)
		return unknown_flag(r, arg, name);
	if (eq != NULL) {
		value = eq + 1;
	} else if (o->type == OPT_BOOL) {
		value = "true";
	} else if (r->at < r->argc) {
		value = r->argv[r->at++];
	} else {
		fprintf(
		    stderr, "%s: --%s: expected a value\n", program_invocation_short_name, name);
		return -1;
	}
	return set_value(o, (struct origin){"--", name}, value);
}

/* The flags up to the first operand: 0, -1, or 1 after --help or --version. */
static int
read_flags(struct reader *r, const char *usage)
{
	while (r->at < r->argc) {
		const char *arg = r->argv[r->at];

		if (arg[0] != '-' || arg[1] == 0)
			return 0;
		if (strcmp(arg, "--") == 0) {
			r->at++;
			return 0;
		}
		if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0) {
			print_help(r, usage);
			return 1;
		}
		if (strcmp(arg, "--version") == 0) {
			printf("%s\n", TAXI_VERSION);
			return 1;
		}
		if (read_flag(r) != 0)
			return -1;
	}
	return 0;
}

int
opt_parse(const struct opt_table *t, size_t n, const char *usage, int argc, char **argv, int *rest)
{
	struct reader r = {.t = t, .n = n, .argc = argc, .at = 1, .argv = argv};
	size_t row = 0;
	int rc;

	for (size_t i = 0; i < n; i++)
		row += t[i].n;
	INVARIANT(row <= ROWS_MAX);
	rc = read_flags(&r, usage);
	if (rc != 0)
		return rc;
	row = 0;
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < t[i].n; k++, row++) {
			if (!r.seen[row] && set_from_env(&t[i], &t[i].rows[k]) != 0)
				return -1;
		}
	}
	if (rest != NULL) {
		*rest = r.at;
	} else if (r.at < argc) {
		fprintf(stderr, "%s: %s: nothing but options expected\n",
		    program_invocation_short_name, argv[r.at]);
		return -1;
	}
	return 0;
}

#ifndef CLI_FILTER_H
#define CLI_FILTER_H
/* --where: which bodies are wanted.  Terms joined by commas, all of which must hold:
 *
 *	status=failed   spec.plate.rows>=8   !detail   name~"a, b"   items.0.ok=true
 *
 * A path walks maps by key and arrays by number (a leading dot may be written); the operators are =
 * != ~ (contains) > >= < <=; a path alone: it is there and neither null nor false; ! before it: not
 * so.  A value in double quotes is taken as text.  Pure. */
#include <msgpack.h>
#include "base/span.h"

#define FILTER_TERMS 16

enum filter_op {
	FILTER_HAS,
	FILTER_HAS_NOT,
	FILTER_EQ,
	FILTER_NE,
	FILTER_IN,
	FILTER_GT,
	FILTER_GE,
	FILTER_LT,
	FILTER_LE
};

struct filter_term {
	struct span path, value;
	enum filter_op op;
	bool quoted;
};

struct filter {
	struct filter_term terms[FILTER_TERMS];
	unsigned n; /* 0: everything is wanted */
};

/* Borrows from text.  0, or -1 with *why a sentence that names what is wrong. */
int filter_parse(struct filter *f, const char *text, const char **why)
    __attribute__((warn_unused_result));
bool filter_match(const struct filter *f, const msgpack_object *body);

#endif

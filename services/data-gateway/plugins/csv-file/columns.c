#include "services/data-gateway/plugins/csv-file/columns.h"

#include <stdlib.h>
#include <uthash.h>

#include "base/die.h"
#include "services/data-gateway/plugins/csv-file/csv.h"

static const char *const fixed[COLUMNS_FIXED] = {"receipt", "position", "index"};

struct column {
	UT_hash_handle hh;
	size_t place, n;
	uint8_t name[]; /* as in the header */
};

static void
name_of(struct span key, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < COLUMNS_FIXED; i++) {
		if (span_is(key, fixed[i]))
			buf_puts(out, "data.");
	}
	buf_put(out, key.p, key.n);
}

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct column *
find(const struct columns *c, struct span name) /* NOLINT(readability-function-size) */
{
	struct column *col;

	HASH_FIND(hh, c->by_name, name.p, (unsigned)name.n, col);
	return col;
}

static void
put_in(struct columns *c, struct column *col) /* NOLINT(readability-function-size) */
{
	HASH_ADD_KEYPTR(hh, c->by_name, col->name, (unsigned)col->n, col);
}

static void
take_out(struct columns *c, struct column *col) /* NOLINT(readability-function-size) */
{
	HASH_DEL(c->by_name, col); /* NOLINT(clang-analyzer-core.NullDereference) */
}

static bool
is_fixed(struct span key)
{
	return span_is(key, fixed[0]) || span_is(key, fixed[1]) || span_is(key, fixed[2]);
}

ssize_t
columns_find(const struct columns *c, struct span key)
{
	struct column *col;
	struct buf name;

	if (!is_fixed(key)) {
		col = find(c, key);
	} else {
		buf_init(&name, 64);
		name_of(key, &name);
		col = find(c, buf_span(&name));
		buf_fini(&name);
	}
	return col != NULL ? (ssize_t)col->place : -1;
}

static void
add_name(struct columns *c, struct span name)
{
	struct column *col;

	if (find(c, name) != NULL)
		return;
	col = xcalloc(1, sizeof *col + name.n);
	memcpy(col->name, name.p, name.n);
	col->n = name.n;
	col->place = c->n;
	put_in(c, col);
	if (c->n == c->cap) {
		c->cap = c->cap > 0 ? c->cap * 2 : 16;
		c->at = xrealloc(c->at, c->cap * sizeof(struct column *));
	}
	c->at[c->n++] = col;
}

void
columns_add(struct columns *c, struct span key)
{
	struct buf name;

	buf_init(&name, 512);
	name_of(key, &name);
	add_name(c, buf_span(&name));
	buf_fini(&name);
}

void
columns_cut(struct columns *c, size_t n)
{
	while (c->n > n) {
		struct column *col = c->at[--c->n];

		take_out(c, col);
		free(col);
	}
}

void
columns_fini(struct columns *c)
{
	columns_cut(c, 0);
	free(c->at);
	*c = (struct columns){.n = 0};
}

void
columns_append(struct columns *c, const struct columns *more)
{
	for (size_t i = 0; i < more->n; i++)
		add_name(c, span_of(more->at[i]->name, more->at[i]->n));
}

void
columns_put(const struct columns *c, struct buf *out)
{
	for (size_t i = 0; i < COLUMNS_FIXED; i++)
		csv_put_field(out, span_str(fixed[i]), i == 0);
	for (size_t i = 0; i < c->n; i++)
		csv_put_field(out, span_of(c->at[i]->name, c->at[i]->n), false);
	buf_putc(out, '\n');
}

int
columns_read(struct columns *c, struct span record)
{
	struct span rest = record;
	struct buf field;
	size_t i = 0;
	int bad = 0;

	buf_init(&field, 4096);
	for (; bad == 0 && csv_next_field(&rest, &field); i++) {
		if (field.failed || (i < COLUMNS_FIXED && !span_is(buf_span(&field), fixed[i]))) {
			bad = -1;
		} else if (i >= COLUMNS_FIXED) {
			add_name(c, buf_span(&field));
		}
	}
	buf_fini(&field);
	/* A name that is there twice would shift what stands behind it. */
	return bad == 0 && i >= COLUMNS_FIXED && c->n == i - COLUMNS_FIXED ? 0 : -1;
}

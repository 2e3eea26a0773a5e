#include "services/data-store/columns.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/str.h"
#include "store/pg.h"

static const struct {
	const char *name, *sql;
} types[] = {
#define X(id, name, sql) {name, sql},
    COLUMN_TYPES(X)
#undef X
};

static const struct {
	const char *name;
	enum column_type type;
} also[] = {
    {"string", COLUMN_TEXT},
    {"integer", COLUMN_BIGINT},
    {"number", COLUMN_NUMERIC},
    {"decimal", COLUMN_NUMERIC},
    {"float", COLUMN_DOUBLE},
    {"double precision", COLUMN_DOUBLE},
    {"bool", COLUMN_BOOLEAN},
};

static const char *const reserved[] = {"id", "datafile_created", "datafile_updated", "data_hash",
    "data_source_row_id", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"};

void
columns_fini(struct columns *c)
{
	free(c->v);
	c->v = NULL;
	c->n = 0;
}

bool
columns_is_name(struct span s)
{
	if (s.n == 0 || s.n > COLUMNS_NAME || s.p[0] < 'a' || s.p[0] > 'z')
		return false;
	for (size_t i = 1; i < s.n; i++) {
		uint8_t c = s.p[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '_')
			return false;
	}
	return true;
}

bool
columns_is_reserved(struct span s)
{
	for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++) {
		if (span_is(s, reserved[i]))
			return true;
	}
	return false;
}

static int
type_of(struct span name, enum column_type *out)
{
	*out = COLUMN_TEXT;
	if (name.p == NULL)
		return 0;
	for (unsigned i = 0; i < COLUMN_TYPE_COUNT; i++) {
		*out = (enum column_type)i;
		if (span_is(name, types[i].name))
			return 0;
	}
	for (size_t i = 0; i < sizeof also / sizeof *also; i++) {
		*out = also[i].type;
		if (span_is(name, also[i].name))
			return 0;
	}
	return -1;
}

__attribute__((format(printf, 3, 4))) static int
refuse(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -1;
}

/* For %.*s */
#define SHOWN(s) (int)((s).n > 100 ? 100 : (s).n), (const char *)(s).p

int
columns_add(struct columns *c, struct span name, struct span type, char *why, size_t size)
{
	enum column_type t;

	if (c->n >= COLUMNS_MAX)
		return refuse(why, size, "column \"%.*s\" is one too many", SHOWN(name));
	if (!columns_is_name(name)) {
		return refuse(why, size,
		    "\"%.*s\" cannot name a column: names start with a letter and hold only "
		    "lower-case letters, digits and underscores, at most 63",
		    SHOWN(name));
	}
	if (columns_is_reserved(name)) {
		return refuse(why, size,
		    "\"%.*s\" is a reserved column name: rename that column in the data file",
		    SHOWN(name));
	}
	if (columns_find(c, name) != NULL)
		return refuse(why, size, "column \"%.*s\" is there twice", SHOWN(name));
	if (type_of(type, &t) == -1) {
		return refuse(why, size,
		    "\"%.*s\" is no type: expected text, bigint, numeric, double, boolean, date, "
		    "time, timestamp, timestamptz or uuid",
		    SHOWN(type));
	}
	c->v = xrealloc(c->v, (c->n + 1) * sizeof *c->v);
	str_copy(c->v[c->n].name, sizeof c->v[c->n].name, name);
	c->v[c->n++].type = t;
	return 0;
}

const struct column *
columns_find(const struct columns *c, struct span name)
{
	for (size_t i = 0; i < c->n; i++) {
		if (span_is(name, c->v[i].name))
			return &c->v[i];
	}
	return NULL;
}

bool
columns_eq(const struct columns *a, const struct columns *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++) {
		if (a->v[i].type != b->v[i].type || strcmp(a->v[i].name, b->v[i].name) != 0)
			return false;
	}
	return true;
}

const char *
columns_sql_type(enum column_type t)
{
	return types[t].sql;
}

const char *
columns_type_name(enum column_type t)
{
	return types[t].name;
}

void
columns_put_json(const struct columns *c, struct buf *out)
{
	buf_putc(out, '[');
	for (size_t i = 0; i < c->n; i++) {
		buf_printf(out, "%s{\"name\":\"%s\",\"type\":\"%s\"}", i ? "," : "", c->v[i].name,
		    types[c->v[i].type].name);
	}
	buf_putc(out, ']');
}

int
columns_read(struct columns *c, struct span lines)
{
	char why[1];

	while (lines.n > 0) {
		const uint8_t *end = memchr(lines.p, '\n', lines.n);
		size_t n = end ? (size_t)(end - lines.p) : lines.n;
		const uint8_t *gap = memchr(lines.p, ' ', n);

		if (gap == NULL)
			return -1;
		size_t name = (size_t)(gap - lines.p);

		if (columns_add(c, span_of(lines.p, name), span_of(gap + 1, n - name - 1), why,
			sizeof why) == -1)
			return -1;
		lines.p += n;
		lines.n -= n;
		if (end != NULL) {
			lines.p++;
			lines.n--;
		}
	}
	return 0;
}

void
columns_put_names(const struct columns *c, struct buf *out)
{
	for (size_t i = 0; i < c->n; i++) {
		if (i > 0)
			buf_putc(out, ',');
		pg_put_ident(out, span_str(c->v[i].name));
	}
}

void
columns_put_ddl(const struct columns *c, struct buf *out)
{
	for (size_t i = 0; i < c->n; i++) {
		if (i > 0)
			buf_puts(out, ", ");
		pg_put_ident(out, span_str(c->v[i].name));
		buf_printf(out, " %s", types[c->v[i].type].sql);
	}
}

#include "services/data-store/spec.h"

#include <stdio.h>

#include "base/str.h"
#include "fetch/url.h"
#include "proto/digest.h"
#include "proto/doc.h"

_Static_assert(SPEC_DIGEST == DIGEST_BYTES, "one digest");

struct parse {
	struct spec *s;
	struct faults *f;
};

/* Faults for the keys of a map that are not in `known` (ends with NULL), or are there twice. */
static void
check_keys(struct parse *p, const msgpack_object *map, const char *at, const char *const *known)
{
	for (uint32_t i = 0; i < map->via.map.size; i++) {
		struct span key = doc_span(&map->via.map.ptr[i].key);
		char pointer[256];
		size_t k = 0;

		if (key.p == NULL) {
			faults_add(p->f, at, "expected keys that are text");
			continue;
		}
		snprintf(pointer, sizeof pointer, "%s", at);
		faults_push(pointer, sizeof pointer, key);
		while (known[k] != NULL && !span_is(key, known[k]))
			k++;
		if (known[k] == NULL) {
			faults_add(p->f, pointer, "is not a field of an Ingest");
		} else if (doc_get(map, known[k]) != &map->via.map.ptr[i].val) {
			faults_add(p->f, pointer, "is there more than once");
		}
	}
}

bool
spec_is_table(struct span s)
{
	if (s.n == 0 || s.n > 40)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i], low = c | 0x20;

		if (!(low >= 'a' && low <= 'z') &&
		    (i == 0 || !((c >= '0' && c <= '9') || c == '_')))
			return false;
	}
	return true;
}

static void
read_name(struct parse *p, const msgpack_object *o, const char *key, char *dst)
{
	struct span v = doc_str(o, key);
	char at[64];

	snprintf(at, sizeof at, "/spec/%s", key);
	if (columns_is_name(v)) {
		str_copy(dst, COLUMNS_NAME + 1, v);
	} else {
		faults_add(p->f, at,
		    "expected a name: a lower-case letter, then lower-case letters, digits and "
		    "underscores, at most 63");
	}
}

static void
put_schema(struct spec *s)
{
	struct buf b;

	buf_init(&b, COLUMNS_NAME);
	buf_printf(&b, "%s.%s", s->organisation, s->dataset);
	str_copy(s->schema, sizeof s->schema, buf_span(&b));
	buf_fini(&b);
}

static void
read_target(struct parse *p, const msgpack_object *o)
{
	struct spec *s = p->s;
	const msgpack_object *table = doc_get(o, "table");

	read_name(p, o, "organisation", s->organisation);
	read_name(p, o, "dataset", s->dataset);
	if (strlen(s->organisation) + 1 + strlen(s->dataset) > COLUMNS_NAME) {
		faults_add(p->f, "/spec/dataset",
		    "organisation and dataset together are longer than %d bytes", COLUMNS_NAME - 1);
	} else if (s->organisation[0] != '\0' && s->dataset[0] != '\0') {
		put_schema(s);
	}
	str_copy(s->table, sizeof s->table, span_str("L0"));
	if (table == NULL)
		return;
	if (spec_is_table(doc_span(table))) {
		str_copy(s->table, sizeof s->table, doc_span(table));
	} else {
		faults_add(p->f, "/spec/table",
		    "expected a letter, then letters, digits and underscores, at most 40");
	}
}

/* A string of 1 byte, into *c. */
static void
read_byte(struct parse *p, const msgpack_object *o, const char *at, char *c)
{
	struct span v = doc_span(o);

	if (v.n == 1 && v.p[0] != '\n' && v.p[0] != '\r' && v.p[0] != DSV_NO_QUOTE &&
	    v.p[0] != '\0') {
		*c = (char)v.p[0];
	} else {
		faults_add(p->f, at, "expected one character, ASCII, no line end");
	}
}

static bool
is_plain(struct span v, size_t max)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < ' ' || v.p[i] > '~')
			return false;
	}
	return v.p != NULL && v.n <= max;
}

static void
read_text(struct parse *p, const msgpack_object *o, const char *at, char *dst, size_t size)
{
	struct span v = doc_span(o);

	if (is_plain(v, size - 1)) {
		str_copy(dst, size, v);
	} else {
		faults_add(p->f, at, "expected at most %zu printable ASCII characters", size - 1);
	}
}

static void
read_column(struct parse *p, const msgpack_object *o, uint32_t i)
{
	static const char *const known[] = {"name", "type", NULL};
	const msgpack_object *type = doc_get(o, "type");
	char at[64], why[300];

	snprintf(at, sizeof at, "/spec/source/format/columns/%u", i);
	if (o->type == MSGPACK_OBJECT_MAP)
		check_keys(p, o, at, known);
	if (doc_str(o, "name").p == NULL) {
		faults_add(p->f, at, "expected {name, type?}");
		return;
	}
	if (type != NULL && type->type != MSGPACK_OBJECT_STR) {
		faults_add(p->f, at, "type: expected a string");
	} else if (columns_add(
		       &p->s->columns, doc_str(o, "name"), doc_span(type), why, sizeof why) == -1) {
		faults_add(p->f, at, "%s", why);
	}
}

static void
read_columns(struct parse *p, const msgpack_object *o)
{
	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size == 0 ||
	    o->via.array.size > COLUMNS_MAX) {
		faults_add(
		    p->f, "/spec/source/format/columns", "expected 1 to %d columns", COLUMNS_MAX);
		return;
	}
	for (uint32_t i = 0; i < o->via.array.size; i++)
		read_column(p, &o->via.array.ptr[i], i);
}

static void
read_bool(struct parse *p, const msgpack_object *o, const char *at, bool *dst)
{
	if (o->type == MSGPACK_OBJECT_BOOLEAN) {
		*dst = o->via.boolean;
	} else {
		faults_add(p->f, at, "expected true or false");
	}
}

/* One of n words; its place, or -1 with a fault. */
static int
read_word(struct parse *p, const msgpack_object *o, const char *at, const char *const *words)
{
	struct span v = doc_span(o);
	char all[120] = "";
	size_t n = 0;

	for (int i = 0; words[i] != NULL; i++) {
		if (span_is(v, words[i]))
			return i;
		n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", i ? ", " : "", words[i]);
	}
	faults_add(p->f, at, "expected one of %s", all);
	return -1;
}

/* What csv, tsv and delimited mean where nothing else is said. */
static void
set_type(struct parse *p, int type)
{
	struct dsv_format *d = &p->s->format;

	d->delimiter = ",\t"[type];
	d->quote = "\"\0"[type];
	d->header = type != 2;
}

static void
read_details(struct parse *p, const msgpack_object *o)
{
#define AT "/spec/source/format/"
	static const char *const rules[] = {"refuse", "pad", NULL};
	static const char *const codes[] = {"utf-8", "latin-1", "windows-1252", NULL};
	struct dsv_format *d = &p->s->format;
	const msgpack_object *v;
	int i;

	if ((v = doc_get(o, "delimiter")) != NULL)
		read_byte(p, v, AT "delimiter", &d->delimiter);
	if ((v = doc_get(o, "quote")) != NULL && v->type == MSGPACK_OBJECT_NIL) {
		d->quote = '\0';
	} else if (v != NULL) {
		read_byte(p, v, AT "quote", &d->quote);
	}
	if ((v = doc_get(o, "header")) != NULL)
		read_bool(p, v, AT "header", &d->header);
	if ((v = doc_get(o, "comment")) != NULL)
		read_text(p, v, AT "comment", d->comment, sizeof d->comment);
	if ((v = doc_get(o, "null")) != NULL)
		read_text(p, v, AT "null", d->null, sizeof d->null);
	if ((v = doc_get(o, "short_rows")) != NULL)
		d->pad = read_word(p, v, AT "short_rows", rules) == 1;
	if ((v = doc_get(o, "encoding")) != NULL &&
	    (i = read_word(p, v, AT "encoding", codes)) >= 0)
		d->encoding = (enum dsv_encoding)i;
#undef AT
}

/* What is missing: said of what was not given, never of what was given wrong. */
static void
check_missing(struct parse *p, const msgpack_object *o)
{
	const msgpack_object *header = doc_get(o, "header");
	bool header_known = header == NULL || header->type == MSGPACK_OBJECT_BOOLEAN;

	if (p->s->format.delimiter == '\0' && doc_get(o, "delimiter") == NULL) {
		faults_add(
		    p->f, "/spec/source/format/delimiter", "expected, as the type is delimited");
	}
	if (header_known && !p->s->format.header && doc_get(o, "columns") == NULL) {
		faults_add(p->f, "/spec/source/format/columns",
		    "expected, as the files have no header to name them");
	}
}

/* What goes together, of parts that are right each by itself. */
static void
check_together(struct parse *p)
{
	const struct dsv_format *d = &p->s->format;

	if (d->delimiter == '\0')
		return;
	if (d->delimiter == d->quote)
		faults_add(p->f, "/spec/source/format/quote", "the delimiter cannot be the quote");
	if (strchr(d->null, d->delimiter) || (d->quote && strchr(d->null, d->quote))) {
		faults_add(
		    p->f, "/spec/source/format/null", "cannot hold the delimiter or the quote");
	}
}

static void
read_format_map(struct parse *p, const msgpack_object *o)
{
	static const char *const known[] = {"type", "delimiter", "quote", "header", "columns",
	    "comment", "short_rows", "null", "encoding", NULL};
	static const char *const types[] = {"csv", "tsv", "delimited", NULL};
	const msgpack_object *type = doc_get(o, "type");
	unsigned before;
	int t = 2;

	check_keys(p, o, "/spec/source/format", known);
	if (type != NULL)
		t = read_word(p, type, "/spec/source/format/type", types);
	if (t >= 0)
		set_type(p, t);
	before = p->f->n;
	read_details(p, o);
	if (t >= 0 && p->f->n == before)
		check_together(p);
	if (t >= 0)
		check_missing(p, o);
	if (doc_get(o, "columns") != NULL)
		read_columns(p, doc_get(o, "columns"));
}

static void
read_format(struct parse *p, const msgpack_object *o)
{
	if (o != NULL && o->type == MSGPACK_OBJECT_MAP) {
		read_format_map(p, o);
	} else if (span_is(doc_span(o), "csv")) {
		set_type(p, 0);
	} else if (span_is(doc_span(o), "tsv")) {
		set_type(p, 1);
	} else {
		faults_add(p->f, "/spec/source/format",
		    "expected csv, tsv, or an object with type delimited");
	}
}

static void
read_url(struct parse *p, const msgpack_object *o)
{
	struct span v = doc_str(o, "url");
	struct buf whole;

	buf_init(&whole, SPEC_URL);
	if (v.n > 0 && v.n <= SPEC_URL && memchr(v.p, '\0', v.n) == NULL) {
		str_copy(p->s->url, sizeof p->s->url, v);
		if (url_join(p->s->url, span_str(""), &whole) == 0 && !whole.failed) {
			str_copy(p->s->url, sizeof p->s->url, buf_span(&whole));
			buf_fini(&whole);
			return;
		}
	}
	buf_fini(&whole);
	faults_add(p->f, "/spec/source/url",
	    "expected an absolute http or https address, at most %d bytes", SPEC_URL);
}

static void
read_source(struct parse *p, const msgpack_object *o)
{
	static const char *const known[] = {"url", "pattern", "files", "format", NULL};
	static const char *const which[] = {"all", "last", NULL};
	const msgpack_object *v;

	if (o == NULL || o->type != MSGPACK_OBJECT_MAP) {
		faults_add(p->f, "/spec/source", "expected an object with url and format");
		return;
	}
	check_keys(p, o, "/spec/source", known);
	read_url(p, o);
	if ((v = doc_get(o, "pattern")) != NULL) {
		struct span s = doc_span(v);

		if (s.n > 0 && s.n <= SPEC_PATTERN && str_is_utf8(s) && !memchr(s.p, '/', s.n) &&
		    !memchr(s.p, '\0', s.n)) {
			str_copy(p->s->pattern, sizeof p->s->pattern, s);
		} else {
			faults_add(p->f, "/spec/source/pattern",
			    "expected a pattern of file names, as *.csv, without slash");
		}
	}
	if ((v = doc_get(o, "files")) != NULL)
		p->s->last = read_word(p, v, "/spec/source/files", which) == 1;
	read_format(p, doc_get(o, "format"));
}

static void
set_digest(struct spec *s)
{
	const struct dsv_format *d = &s->format;
	char flags[16];
	struct buf columns;
	int n =
	    snprintf(flags, sizeof flags, "%d%d%d%d", d->header, d->pad, (int)d->encoding, s->last);

	buf_init(&columns, COLUMNS_MAX * 100);
	columns_put_json(&s->columns, &columns);
	struct span parts[] = {span_of(&d->delimiter, 1), span_of(&d->quote, 1),
	    span_str(d->comment), span_str(d->null), span_of(flags, (size_t)n), buf_span(&columns)};
	digest_parts(s->digest, parts, sizeof parts / sizeof *parts);
	buf_fini(&columns);
}

void
spec_parse(struct spec *s, const msgpack_object *o, struct faults *f)
{
	static const char *const known[] = {"organisation", "dataset", "table", "source", NULL};
	struct parse p = {.s = s, .f = f};

	memset(s, 0, sizeof *s);
	if (o == NULL || o->type != MSGPACK_OBJECT_MAP) {
		faults_add(f, "/spec", "expected an object with organisation, dataset and source");
		return;
	}
	check_keys(&p, o, "/spec", known);
	read_target(&p, o);
	read_source(&p, doc_get(o, "source"));
	set_digest(s);
}

void
spec_fini(struct spec *s)
{
	columns_fini(&s->columns);
}

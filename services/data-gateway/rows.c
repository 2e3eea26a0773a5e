#include "services/data-gateway/rows.h"

#include "proto/limits.h"
#include "proto/mp.h"
#include "services/data-gateway/row.h"

/* The keys of the bodies we know. */
enum { UUID, ROW, ROWS, LINES, CHUNK, LAST, FIRST, OF, PART, BODY, MEMBERS };
static const char *const names[MEMBERS] = {
    "uuid", "row", "rows", "lines", "chunk", "last", "first", "of", "part", "body"};

static int
member(struct span key)
{
	for (int i = 0; i < MEMBERS; i++) {
		if (span_is(key, names[i]))
			return i;
	}
	return -1;
}

static bool
is_one_object(struct span body)
{
	return body.n > 0 && mp_scan(body, LIMIT_NEST, LIMIT_BODY_ELEMENTS) == body.n;
}

static void
split(struct span m[MEMBERS], struct span body)
{
	struct mp_r r;

	memset(m, 0, MEMBERS * sizeof *m);
	mp_r_init(&r, body);
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		int i = member(mp_peek(&r) == MP_STR ? mp_str(&r, SIZE_MAX) : mp_raw(&r));
		struct span value = mp_raw(&r);

		if (i >= 0)
			m[i] = value;
	}
}

/* Only `uuid` and `what`, each once.  Requests are read strictly, so that a misspelt key is not
 * lost. */
static void
check_members(struct span body, int what, struct faults *f)
{
	struct row_path at = {.n = 0};
	unsigned seen[MEMBERS] = {0};
	struct mp_r r;

	mp_r_init(&r, body);
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		struct span key = mp_peek(&r) == MP_STR ? mp_str(&r, SIZE_MAX) : mp_raw(&r);
		size_t back = row_path_push(&at, key);
		int i = member(key);

		if (i != UUID && i != what) {
			faults_add(f, at.text, "unknown key; expected uuid and %s", names[what]);
		} else if (seen[i]++ > 0) {
			faults_add(f, at.text, "this key is there twice");
		}
		(void)mp_raw(&r);
		row_path_pop(&at, back);
	}
}

static enum mp_type
type_of(struct span raw)
{
	struct mp_r r;

	mp_r_init(&r, raw);
	return mp_peek(&r);
}

static struct span
text_of(struct span raw)
{
	struct mp_r r;

	mp_r_init(&r, raw);
	return mp_str(&r, SIZE_MAX);
}

static bool
uuid_of(struct span raw, uint8_t id[16])
{
	struct span text = text_of(raw);

	return text.n == UUID_TEXT && uuid_parse(text, id) == 0;
}

static void
read_uuid(struct rows *r, struct span given, struct span beside, struct faults *f)
{
	uint8_t other[16];

	if (given.p == NULL && beside.p == NULL) {
		faults_add(
		    f, "/uuid", "is missing: the uuid of the trigger that the rows belong to");
		return;
	}
	if (!uuid_of(given.p != NULL ? given : beside, r->uuid)) {
		faults_add(f, "/uuid", "expected a uuid in its 36-character text form");
		return;
	}
	if (given.p != NULL && beside.p != NULL &&
	    (!uuid_of(beside, other) || memcmp(other, r->uuid, 16) != 0))
		faults_add(f, "/uuid", "is not the uuid that the query gives");
	(void)uuid_text(r->uuid, r->uuid_text);
}

static void
read_array(struct rows *r, struct span raw, const char *name, struct faults *f)
{
	struct row_path at = {.n = 0};
	struct mp_r in;

	(void)row_path_push(&at, span_str(name));
	if (raw.p == NULL) {
		faults_add(f, at.text, "is missing: an array of rows");
		return;
	}
	if (type_of(raw) != MP_ARRAY) {
		row_fault_type(&at, f, "an array of rows", type_of(raw));
		return;
	}
	mp_r_init(&in, raw);
	r->raw = raw;
	r->n = mp_array(&in);
	if (r->n == 0)
		faults_add(f, at.text, "expected at least one row");
	if (r->n > ROWS_MAX) {
		faults_add(f, at.text, "at most %u rows at once, found %u", ROWS_MAX, r->n);
		return;
	}
	for (unsigned i = 0; i < r->n; i++) {
		size_t back = row_path_push_index(&at, r->first + i);

		row_check(&in, &at, f);
		row_path_pop(&at, back);
	}
}

static void
read_one(struct rows *r, struct span raw, struct faults *f)
{
	struct row_path at = {.n = 0};
	struct mp_r in;

	r->one = true;
	r->n = 1;
	r->raw = raw;
	(void)row_path_push(&at, span_str("row"));
	mp_r_init(&in, raw);
	if (raw.p == NULL) {
		faults_add(f, "/row", "is missing: an object with `data`");
	} else {
		row_check(&in, &at, f);
	}
}

static uint64_t
number_of(struct span raw, const char *pointer, struct faults *f)
{
	struct mp_r r;
	uint64_t v;

	mp_r_init(&r, raw);
	v = mp_u64(&r, INT32_MAX);
	if (r.bad)
		faults_add(f, pointer, "expected an integer of at least 0");
	return v;
}

/* What a piece of a stream says of itself; its number is `chunk` from the edge and `part` when it
 * travels. */
static void
read_part(struct rows *r, const struct span m[MEMBERS], int number, struct faults *f)
{
	char pointer[16];
	struct mp_r last;

	(void)snprintf(pointer, sizeof pointer, "/%s", names[number]);
	mp_r_init(&last, m[LAST]);
	r->is_part = true;
	r->part = number_of(m[number], pointer, f);
	r->last = mp_bool(&last);
	if (last.bad)
		faults_add(f, "/last", "expected true or false");
	if (m[FIRST].p != NULL)
		r->first = number_of(m[FIRST], "/first", f);
	if (!uuid_of(m[OF], r->of))
		faults_add(f, "/of", "expected a uuid in its 36-character text form");
}

static void
read_in(struct rows *r, const struct span m[MEMBERS], struct faults *f)
{
	if (m[OF].p != NULL || m[PART].p != NULL)
		read_part(r, m, PART, f);
	read_array(r, m[ROWS], "rows", f);
}

bool
rows_read(
    struct rows *r, enum rows_form form, struct span body, struct span beside, struct faults *f)
{
	int what = form == ROWS_ONE ? ROW : form == ROWS_LINES ? LINES : ROWS;
	struct span m[MEMBERS];

	*r = (struct rows){.n = 0};
	if (!is_one_object(body) || type_of(body) != MP_MAP) {
		faults_add(f, "", "expected an object with uuid and %s", names[what]);
		return false;
	}
	if (form == ROWS_ONE || form == ROWS_BATCH)
		check_members(body, what, f);
	split(m, body);
	read_uuid(r, m[UUID], beside, f);
	switch (form) {
	case ROWS_ONE: read_one(r, m[ROW], f); break;
	case ROWS_BATCH: read_array(r, m[ROWS], "rows", f); break;
	case ROWS_LINES:
		read_part(r, m, CHUNK, f);
		read_array(r, m[LINES], "lines", f);
		break;
	case ROWS_IN: read_in(r, m, f); break;
	}
	return f->n == 0;
}

enum rows_form
rows_unwrap(struct span *body, struct span *beside)
{
	struct span m[MEMBERS];

	*beside = (struct span){NULL, 0};
	if (!is_one_object(*body) || type_of(*body) != MP_MAP)
		return ROWS_BATCH;
	split(m, *body);
	if (m[LINES].p != NULL)
		return ROWS_LINES;
	if (m[BODY].p != NULL) {
		*body = m[BODY];
		*beside = m[UUID];
	}
	return ROWS_BATCH;
}

void
rows_put_in(const struct rows *r, struct buf *out)
{
	char of[UUID_TEXT + 1];

	mp_put_map(out, r->is_part ? 5 : 2);
	mp_put_cstr(out, "uuid");
	mp_put_cstr(out, r->uuid_text);
	if (r->is_part) {
		mp_put_cstr(out, "of");
		mp_put_cstr(out, uuid_text(r->of, of));
		mp_put_cstr(out, "part");
		mp_put_u64(out, r->part);
		mp_put_cstr(out, "last");
		mp_put_bool(out, r->last);
	}
	mp_put_cstr(out, "rows");
	if (r->one)
		mp_put_array(out, 1);
	buf_put(out, r->raw.p, r->raw.n);
}

bool
rows_peek(struct rows *r, struct span body)
{
	struct span m[MEMBERS];
	struct mp_r rows, part, last;

	*r = (struct rows){.n = 0};
	if (!is_one_object(body) || type_of(body) != MP_MAP)
		return false;
	split(m, body);
	mp_r_init(&rows, m[ROWS]);
	mp_r_init(&part, m[PART]);
	mp_r_init(&last, m[LAST]);
	r->n = mp_array(&rows);
	r->raw = m[ROWS];
	if (rows.bad || !uuid_of(m[UUID], r->uuid))
		return false;
	(void)uuid_text(r->uuid, r->uuid_text);
	r->part = mp_u64(&part, INT32_MAX);
	r->last = mp_bool(&last);
	r->is_part = m[PART].p != NULL && !part.bad && uuid_of(m[OF], r->of);
	return true;
}

void
rows_walk_init(struct rows_walk *w, const struct rows *r)
{
	struct mp_r in;

	mp_r_init(&in, r->raw);
	w->left = r->one ? 1 : mp_array(&in);
	w->rest = span_of(in.p, (size_t)(in.end - in.p));
}

bool
rows_walk_next(struct rows_walk *w, struct rows_row *row)
{
	struct mp_r in;

	if (w->left == 0)
		return false;
	*row = (struct rows_row){.has_index = false};
	mp_r_init(&in, w->rest);
	for (unsigned n = mp_map(&in); n > 0 && !in.bad; n--) {
		struct span key = mp_str(&in, SIZE_MAX);

		if (span_is(key, "data")) {
			row->data = mp_raw(&in);
		} else if (span_is(key, "index") && mp_peek(&in) == MP_INT) {
			row->has_index = true;
			row->index = mp_u64(&in, INT64_MAX);
		} else {
			(void)mp_raw(&in);
		}
	}
	w->rest = span_of(in.p, (size_t)(in.end - in.p));
	w->left = in.bad ? 0 : w->left - 1;
	return !in.bad;
}

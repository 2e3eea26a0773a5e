#include "services/data-store/lists.h"

#include <stdio.h>

#include "base/str.h"
#include "proto/doc.h"
#include "proto/mp.h"

enum { LIMIT_DEFAULT = 50, LIMIT_MAX = 500, TEXT_MAX = 255 };

#define TIME(x) "to_char(" x " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"

/* One column of a list, in the order of its query; the first is the key of the pages. */
struct item {
	const char *key;
	bool number;
};

struct list_kind {
	const char *query; /* $1 after this key, $2 rows, $3 and $4 filters */
	struct {
		const char *key;
		struct span (*read)(const msgpack_object *o, const char *key, struct faults *f);
	} filters[2];
	const struct item *items;
	int n;
	pg_done_fn *done;
};

static const char datafiles_query[] =
    "SELECT id, source, file_name, state, error_message, " TIME("created_timestamp") ", " TIME(
	"updated_timestamp") ", url, sha256, size, etag, last_modified, rows, version "
			     "FROM operations.datafile_registry WHERE ($1::bigint IS NULL OR id < "
			     "$1) "
			     "AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR "
			     "state::text = $4) "
			     "ORDER BY id DESC LIMIT $2";

static const struct item datafile_items[] = {{"id", true}, {"source", false}, {"fileName", false},
    {"state", false}, {"errorMessage", false}, {"createdTimestamp", false},
    {"updatedTimestamp", false}, {"url", false}, {"sha256", false}, {"size", true}, {"etag", false},
    {"lastModified", false}, {"rows", true}, {"version", true}};

static const char datasets_query[] =
    "SELECT id, organisation, dataset, schema_name, table_name, version, rows, files, "
    "last_file, " TIME(
	"loaded_at") " FROM operations.current_versions WHERE ($1::bigint IS NULL OR id > $1) "
		     "AND ($3::text IS NULL OR organisation = $3) AND ($4::text IS NULL OR dataset "
		     "= $4) "
		     "ORDER BY id LIMIT $2";

static const struct item dataset_items[] = {{"id", true}, {"organisation", false},
    {"dataset", false}, {"schema", false}, {"table", false}, {"version", true}, {"rows", true},
    {"files", true}, {"lastFile", false}, {"loadedAt", false}};

/* One more than asked for is read, to know whether more follow; m->user is how many were asked for.
 */
static void
put_list(struct worker_msg *m, const struct list_kind *k, const PGresult *res)
{
	int n = PQntuples(res);
	int64_t limit = (int64_t)(intptr_t)m->user;
	bool more = n > limit;
	struct buf b;

	n = more ? (int)limit : n;
	buf_init(&b, LIMIT_FRAME);
	mp_put_map(&b, 2);
	mp_put_cstr(&b, "items");
	mp_put_array(&b, (size_t)n);
	for (int row = 0; row < n; row++) {
		mp_put_map(&b, (size_t)k->n);
		for (int i = 0; i < k->n; i++) {
			if (k->items[i].number) {
				answer_put_i64(&b, k->items[i].key, res, row, i);
			} else {
				answer_put(&b, k->items[i].key, answer_text(res, row, i));
			}
		}
	}
	answer_put(&b, "next", more ? answer_text(res, n - 1, 0) : (struct span){NULL, 0});
	answer_ok(m, &b, NULL);
	buf_fini(&b);
}

static struct span
read_filter(const msgpack_object *o, const char *key, struct faults *f)
{
	const msgpack_object *v = doc_get(o, key);
	struct span s = doc_span(v);
	char at[32];

	if (v == NULL || v->type == MSGPACK_OBJECT_NIL)
		return (struct span){NULL, 0};
	if (s.n > 0 && s.n <= TEXT_MAX && memchr(s.p, '\0', s.n) == NULL)
		return s;
	snprintf(at, sizeof at, "/%s", key);
	faults_add(f, at, "expected a string of 1 to %d bytes", TEXT_MAX);
	return (struct span){NULL, 0};
}

/* As read_filter, for operations.processing_state. */
static struct span
read_state(const msgpack_object *o, const char *key, struct faults *f)
{
	static const char *const states[] = {"processing", "failed", "processed", "ignored"};
	const msgpack_object *v = doc_get(o, key);

	if (v == NULL || v->type == MSGPACK_OBJECT_NIL)
		return (struct span){NULL, 0};
	for (size_t i = 0; i < sizeof states / sizeof *states; i++) {
		if (span_is(doc_span(v), states[i]))
			return doc_span(v);
	}
	faults_add(f, "/state", "expected processing, failed, processed or ignored");
	return (struct span){NULL, 0};
}

static void on_datafiles(void *arg, const struct pg_done *d);
static void on_datasets(void *arg, const struct pg_done *d);

static const struct list_kind datafiles = {datafiles_query,
    {{"source", read_filter}, {"state", read_state}}, datafile_items,
    sizeof datafile_items / sizeof *datafile_items, on_datafiles};
static const struct list_kind datasets = {datasets_query,
    {{"organisation", read_filter}, {"dataset", read_filter}}, dataset_items,
    sizeof dataset_items / sizeof *dataset_items, on_datasets};

static void
on_datafiles(void *arg, const struct pg_done *d)
{
	if (d->end == PG_OK) {
		put_list(arg, &datafiles, d->res);
	} else {
		answer_away(arg, d);
	}
}

static void
on_datasets(void *arg, const struct pg_done *d)
{
	if (d->end == PG_OK) {
		put_list(arg, &datasets, d->res);
	} else {
		answer_away(arg, d);
	}
}

static void
read_cursor(const msgpack_object *o, char after[24], struct pg_param *p, struct faults *f)
{
	const msgpack_object *v = doc_get(o, "cursor");
	int64_t id;

	if (v == NULL || v->type == MSGPACK_OBJECT_NIL)
		return;
	if (str_i64(doc_span(v), 0, INT64_MAX, &id) == -1) {
		faults_add(f, "/cursor", "expected the `next` of the page before");
		return;
	}
	snprintf(after, 24, "%lld", (long long)id);
	p->v = span_str(after);
}

static void
take(struct answer_house *h, struct worker_msg *m, const struct list_kind *k)
{
	struct pg_param p[4] = {0};
	char after[24], rows[24];
	struct faults f;
	struct doc d;
	int64_t limit;

	faults_init(&f);
	if (doc_parse(&d, m->env.body) == -1)
		faults_add(&f, "", "expected an object");
	limit = answer_number(&d.root, "limit", 1, LIMIT_MAX, LIMIT_DEFAULT, &f);
	read_cursor(&d.root, after, &p[0], &f);
	snprintf(rows, sizeof rows, "%lld", (long long)limit + 1);
	p[1].v = span_str(rows);
	p[2].v = k->filters[0].read(&d.root, k->filters[0].key, &f);
	p[3].v = k->filters[1].read(&d.root, k->filters[1].key, &f);
	m->user = (void *)(intptr_t)limit;
	if (f.n > 0) {
		answer_faults(m, &f);
	} else if (!pg_is_up(h->pg)) {
		worker_fail(m, ERR_BUSY, "the database is away");
	} else if (pg_query(h->pg, k->query, p, 4, k->done, m) == -1) {
		worker_fail(m, ERR_BUSY, "too many queries wait for the database");
	}
	doc_fini(&d);
	faults_fini(&f);
}

void
lists_on_datafiles(void *arg, struct worker_msg *m)
{
	take(arg, m, &datafiles);
}

void
lists_on_datasets(void *arg, struct worker_msg *m)
{
	take(arg, m, &datasets);
}

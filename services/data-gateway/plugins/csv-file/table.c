#include "services/data-gateway/plugins/csv-file/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/die.h"
#include "base/log.h"
#include "proto/json.h"
#include "proto/limits.h"
#include "proto/mp.h"
#include "services/data-gateway/plugins/csv-file/csv.h"
#include "services/data-gateway/plugins/csv-file/table_impl.h"

#define FILES_MAX 1024               /* remembered at a time */
#define SEEN_MAX (64u * 1024 * 1024) /* bytes of fingerprints in all of them */
#define OUT_MAX (256u * 1024 * 1024)
#define OUT_FLUSH (1024u * 1024)

/* --- the files we know --- */

struct tables *
tables_new(const char *dir)
{
	struct tables *t = xcalloc(1, sizeof *t);

	list_init(&t->used);
	t->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (t->dir == -1) {
		tables_free(t);
		return NULL;
	}
	return t;
}

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

static struct table *
find_table(struct tables *t, const uint8_t uuid[16]) /* NOLINT(readability-function-size) */
{
	struct table *f;

	HASH_FIND(hh, t->by_uuid, uuid, 16, f);
	return f;
}

static void
put_in(struct tables *t, struct table *f) /* NOLINT(readability-function-size) */
{
	HASH_ADD(hh, t->by_uuid, uuid, 16, f);
}

static void
take_out(struct tables *t, struct table *f) /* NOLINT(readability-function-size) */
{
	HASH_DEL(t->by_uuid, f); /* NOLINT(clang-analyzer-core.NullDereference) */
}

static void
forget(struct tables *t, struct table *f)
{
	take_out(t, f);
	list_remove(&f->used);
	t->n--;
	table_file_close(f);
	columns_fini(&f->columns);
	seen_fini(&f->seen);
	free(f);
}

void
tables_free(struct tables *t)
{
	if (t == NULL)
		return;
	while (t->by_uuid != NULL)
		forget(t, t->by_uuid);
	if (t->dir != -1)
		(void)close(t->dir);
	free(t);
}

static struct table *
table_of(struct tables *t, const struct rows *r)
{
	struct table *f = find_table(t, r->uuid);

	if (f != NULL) {
		list_remove(&f->used);
	} else {
		f = xcalloc(1, sizeof *f);
		memcpy(f->uuid, r->uuid, 16);
		(void)snprintf(f->name, sizeof f->name, "%s.csv", r->uuid_text);
		f->fd = -1;
		put_in(t, f);
		t->n++;
	}
	list_push_back(&t->used, &f->used);
	return f;
}

/* Who was not written to for longest goes first; the one just written to stays. */
static void
keep_bounded(struct tables *t)
{
	size_t bytes = 0;
	struct table *f;

	LIST_EACH (f, &t->used, struct table, used)
		bytes += f->seen.cap * sizeof *f->seen.slots;
	LIST_EACH (f, &t->used, struct table, used) {
		if (t->n <= 1 || (t->n <= FILES_MAX && bytes <= SEEN_MAX))
			return;
		bytes -= f->seen.cap * sizeof *f->seen.slots;
		forget(t, f);
	}
}

/* --- which rows are missing --- */

struct table_want *
table_want_of(const struct table_wants *w, const uint8_t *id) /* NOLINT */
{
	struct table_want *want;

	HASH_FIND(hh, w->by_receipt, id, 16, want);
	return want;
}

static void
add_want(struct table_wants *w, const uint8_t receipt[16]) /* NOLINT(readability-function-size) */
{
	struct table_want *want = &w->all[w->n++];

	memcpy(want->receipt, receipt, 16);
	HASH_ADD(hh, w->by_receipt, receipt, 16, want);
}

static void
free_wants(struct table_wants *w)
{
	HASH_CLEAR(hh, w->by_receipt);
	free(w->all);
}

static int
find_wants(struct table *f, struct table_wants *w, const struct table_row_set *sets, size_t n)
{
	bool look = false;

	w->all = xcalloc(n, sizeof *w->all);
	for (size_t i = 0; i < n; i++) {
		const uint8_t *receipt = sets[i].item->receipt;

		if (table_want_of(w, receipt) != NULL)
			continue;
		add_want(w, receipt);
		look = look || seen_maybe(&f->seen, receipt);
	}
	return look ? table_file_find(f, w) : 0;
}

/* --- which columns are missing --- */

static void
add_keys(const struct table *f, struct columns *more, struct span data)
{
	struct mp_r r;

	mp_r_init(&r, data);
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		struct span key = mp_str(&r, SIZE_MAX);

		(void)mp_raw(&r);
		if (columns_find(&f->columns, key) < 0)
			columns_add(more, key);
	}
}

static void
collect_columns(const struct table *f, struct columns *more, struct table_row_set *set)
{
	size_t before = more->n;
	struct rows_walk walk;
	struct rows_row row;

	rows_walk_init(&walk, &set->item->rows);
	while (rows_walk_next(&walk, &row) && f->columns.n + more->n <= COLUMNS_MAX)
		add_keys(f, more, row.data);
	if (f->columns.n + more->n <= COLUMNS_MAX)
		return;
	columns_cut(more, before);
	set->end = PUSHER_DEAD;
	set->why = "the file would have more than 16384 columns";
}

/* --- rows --- */

struct out {
	struct table *f;
	struct buf buf;
	off_t at;           /* where buf goes */
	struct span *cells; /* one a column */
};

static int
flush(struct out *o)
{
	if (o->buf.failed) {
		errno = ENOMEM;
		return -1;
	}
	if (table_file_write(o->f->fd, buf_span(&o->buf), o->at) != 0)
		return -1;
	o->at += (off_t)o->buf.n;
	buf_reset(&o->buf);
	return 0;
}

static int
put_row(struct out *o, const struct pusher_item *it, uint64_t position, const struct rows_row *row)
{
	const struct columns *c = &o->f->columns;
	struct mp_r r;
	int bad = 0;

	memset(o->cells, 0, c->n * sizeof *o->cells);
	mp_r_init(&r, row->data);
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		ssize_t at = columns_find(c, mp_str(&r, SIZE_MAX));
		struct span raw = mp_raw(&r);

		if (at >= 0)
			o->cells[at] = raw;
	}
	buf_printf(&o->buf, "%s,%llu,", it->receipt_text, (unsigned long long)position);
	if (row->has_index)
		buf_printf(&o->buf, "%llu", (unsigned long long)row->index);
	for (size_t i = 0; bad == 0 && i < c->n; i++) {
		if (o->cells[i].p != NULL) {
			bad = csv_put_value(&o->buf, o->cells[i], false);
		} else {
			buf_putc(&o->buf, ',');
		}
	}
	buf_putc(&o->buf, '\n');
	if (bad != 0)
		errno = EINVAL;
	return bad != 0 || (o->buf.n >= OUT_FLUSH && flush(o) != 0) ? -1 : 0;
}

static int
put_item(struct out *o, const struct pusher_item *it, struct table_want *w)
{
	struct rows_walk walk;
	struct rows_row row;
	uint64_t i = 0;

	rows_walk_init(&walk, &it->rows);
	for (; rows_walk_next(&walk, &row); i++) {
		if (i >= w->next && put_row(o, it, i, &row) != 0)
			return -1;
	}
	if (i > w->next)
		w->next = i;
	return 0;
}

/* Into the file behind what is good in it; fsynced when there was anything to write. */
static int
append(struct tables *t, struct table *f, const struct table_wants *wants,
    struct table_row_set *sets, size_t n)
{
	struct out o = {.f = f, .at = f->size};
	bool is_new = !f->has_header;
	int bad = 0;

	o.cells = xcalloc(f->columns.n + 1, sizeof *o.cells);
	buf_init(&o.buf, OUT_MAX);
	if (is_new)
		columns_put(&f->columns, &o.buf);
	for (size_t i = 0; bad == 0 && i < n; i++) {
		const struct pusher_item *it = sets[i].item;

		if (sets[i].end != PUSHER_DEAD)
			bad = put_item(&o, it, table_want_of(wants, it->receipt));
	}
	if (bad == 0)
		bad = flush(&o);
	/* Also when nothing was written: who wrote it may have died before it was safe. */
	if (bad == 0)
		bad = fsync(f->fd);
	if (bad == 0 && is_new)
		bad = fsync(t->dir);
	if (bad == 0) {
		f->size = o.at;
		f->has_header = true;
	}
	free(o.cells);
	buf_fini(&o.buf);
	return bad;
}

/* --- one write --- */

static int
write_locked(struct tables *t, struct table *f, struct table_row_set *sets, size_t n)
{
	struct table_wants wants = {.n = 0};
	struct columns more = {.n = 0};
	int bad = find_wants(f, &wants, sets, n);

	for (size_t i = 0; bad == 0 && i < n; i++)
		collect_columns(f, &more, &sets[i]);
	if (bad == 0)
		bad = table_file_widen(t, f, &more);
	if (bad == 0) {
		bad = append(t, f, &wants, sets, n);
		if (bad != 0) {
			int e = errno;

			if (ftruncate(f->fd, f->size) != 0)
				log_warn("csv_not_cut_back", LOG_ERRNO());
			f->ino = 0;
			errno = e;
		}
	}
	for (size_t i = 0; bad == 0 && i < n; i++)
		seen_add(&f->seen, sets[i].item->receipt);
	columns_fini(&more);
	free_wants(&wants);
	return bad;
}

static const char *
explain(struct tables *t, const struct table *f)
{
	char text[128];

	if (errno == EEXIST) {
		(void)snprintf(t->why, sizeof t->why,
		    "%s: its first line is not a header of ours; move the file away", f->name);
	} else {
		(void)snprintf(
		    t->why, sizeof t->why, "%s: %s", f->name, strerror_r(errno, text, sizeof text));
	}
	return t->why;
}

void
tables_write(struct tables *t, struct table_row_set *sets, size_t n)
{
	struct table *f = table_of(t, &sets[0].item->rows);
	const char *why = NULL;

	for (size_t i = 0; i < n; i++)
		sets[i].end = PUSHER_OK;
	if (table_file_open(t, f) != 0 || write_locked(t, f, sets, n) != 0)
		why = explain(t, f);
	table_file_close(f);
	for (size_t i = 0; why != NULL && i < n; i++) {
		sets[i].end = PUSHER_RETRY;
		sets[i].why = why;
	}
	if (why != NULL)
		forget(t, f);
	keep_bounded(t);
}

/* What of a trigger never changes. */
static void
put_trigger(struct span trigger, struct buf *out)
{
	static const char *const keys[] = {
	    "uuid", "apiVersion", "protocol", "plate", "spec", "metadata", "createdAt"};
	struct buf pairs;
	struct mp_r r;
	size_t kept = 0;

	buf_init(&pairs, LIMIT_FRAME_RX);
	mp_r_init(&r, trigger);
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		struct span key = mp_str(&r, SIZE_MAX), value = mp_raw(&r);

		for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
			if (!span_is(key, keys[i]))
				continue;
			mp_put_str(&pairs, key);
			buf_put(&pairs, value.p, value.n);
			kept++;
		}
	}
	mp_put_map(out, kept);
	buf_put(out, pairs.p, pairs.n);
	buf_fini(&pairs);
}

int
tables_write_trigger(struct tables *t, const char *uuid, struct span trigger)
{
	char name[UUID_TEXT + 8];
	struct buf json, kept;
	struct stat st;
	int bad;

	(void)snprintf(name, sizeof name, "%s.json", uuid);
	if (fstatat(t->dir, name, &st, 0) == 0)
		return 0;
	buf_init(&json, OUT_MAX);
	buf_init(&kept, LIMIT_FRAME_RX);
	put_trigger(trigger, &kept);
	bad = json_from_mp(buf_span(&kept), &json, 2);
	buf_putc(&json, '\n');
	if (bad == 0 && !json.failed) {
		bad = table_file_put(t, name, buf_span(&json));
	} else {
		bad = -1;
	}
	buf_fini(&json);
	buf_fini(&kept);
	return bad;
}

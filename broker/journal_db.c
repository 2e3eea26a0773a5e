#include "broker/journal_db.h"

#include <stdlib.h>

#include "base/die.h"

int
journal_db_open(struct journal_db *d, const char *path, const char *vfs)
{
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
	int rc = sqlite3_open_v2(path, &d->db, flags, vfs);

	if (rc == SQLITE_OK)
		rc = sqlite3_extended_result_codes(d->db, 1);
	return rc;
}

int
journal_db_prepare(struct journal_db *d, const char *const *sql, unsigned n)
{
	d->st = xcalloc(n, sizeof(sqlite3_stmt *));
	d->n = n;
	for (unsigned i = 0; i < n; i++) {
		int rc = sqlite3_prepare_v3(
		    d->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &d->st[i], NULL);

		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

void
journal_db_forget(struct journal_db *d)
{
	for (unsigned i = 0; i < d->n; i++)
		sqlite3_finalize(d->st[i]);
	free(d->st);
	*d = (struct journal_db){0};
}

void
journal_db_close(struct journal_db *d)
{
	sqlite3 *db = d->db;

	journal_db_forget(d);
	sqlite3_close(db);
}

int
journal_db_exec(struct journal_db *d, const char *sql)
{
	return sqlite3_exec(d->db, sql, NULL, NULL, NULL);
}

int
journal_db_get(struct journal_db *d, const char *sql, int64_t *out)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(d->db, sql, -1, &st, NULL);

	*out = 0;
	if (rc != SQLITE_OK)
		return rc;
	rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	return sqlite3_finalize(st);
}

void
journal_db_bind_u(struct journal_db *d, unsigned i, int at, uint64_t v)
{
	sqlite3_bind_int64(d->st[i], at, (sqlite3_int64)v);
}

void
journal_db_bind_i(struct journal_db *d, unsigned i, int at, int64_t v)
{
	sqlite3_bind_int64(d->st[i], at, v);
}

void
journal_db_bind_text(struct journal_db *d, unsigned i, int at, struct span s)
{
	sqlite3_bind_text64(d->st[i], at, (const char *)s.p, s.n, SQLITE_STATIC, SQLITE_UTF8);
}

void
journal_db_bind_blob(struct journal_db *d, unsigned i, int at, struct span s)
{
	sqlite3_bind_blob64(d->st[i], at, s.p, s.n, SQLITE_STATIC);
}

int
journal_db_step(struct journal_db *d, unsigned i)
{
	int rc = sqlite3_step(d->st[i]);

	if (rc != SQLITE_ROW)
		sqlite3_reset(d->st[i]);
	return rc;
}

void
journal_db_done(struct journal_db *d, unsigned i)
{
	sqlite3_reset(d->st[i]);
}

int
journal_db_run(struct journal_db *d, unsigned i)
{
	int rc = sqlite3_step(d->st[i]);

	sqlite3_reset(d->st[i]);
	return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int
journal_db_seek(struct journal_db *d, unsigned i, int64_t ms, uint64_t end, uint64_t *seq)
{
	uint64_t lo = *seq, hi = end;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		int64_t at = INT64_MAX;
		int rc;

		journal_db_bind_u(d, i, 1, mid);
		rc = journal_db_step(d, i);
		if (rc == SQLITE_ROW) {
			at = journal_db_i(d, i, 0);
			journal_db_done(d, i);
		} else if (rc != SQLITE_DONE) {
			return rc;
		}
		if (at < ms) {
			lo = mid + 1;
		} else {
			hi = mid;
		}
	}
	*seq = lo;
	return SQLITE_OK;
}

uint64_t
journal_db_u(const struct journal_db *d, unsigned i, int col)
{
	return (uint64_t)sqlite3_column_int64(d->st[i], col);
}

int64_t
journal_db_i(const struct journal_db *d, unsigned i, int col)
{
	return sqlite3_column_int64(d->st[i], col);
}

struct span
journal_db_span(const struct journal_db *d, unsigned i, int col)
{
	const void *p;

	if (sqlite3_column_type(d->st[i], col) == SQLITE_NULL)
		return (struct span){NULL, 0};
	p = sqlite3_column_blob(d->st[i], col);
	return span_of(p != NULL ? p : "", (size_t)sqlite3_column_bytes(d->st[i], col));
}

bool
journal_db_fixed(const struct journal_db *d, unsigned i, int col, uint8_t *dst, size_t n)
{
	struct span s = journal_db_span(d, i, col);

	if (s.p == NULL || s.n != n)
		return false;
	memcpy(dst, s.p, n);
	return true;
}

#include "broker/journal_verify.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "broker/journal_crc.h"
#include "broker/journal_dedup.h"
#include "broker/journal_format.h"
#include "broker/journal_last.h"
#include "broker/journal_look.h"
#include "broker/journal_mark.h"
#include "broker/journal_reader.h"
#include "broker/journal_schema.h"

struct check {
	struct journal_db db;
	journal_verify_fn *say;
	void *arg;
	struct journal_verified *v;
	uint64_t kept_later; /* bytes of frames above meta's head */
	uint64_t kept;
};

enum { RECORDS, RETAINED, IDS, STATEMENTS = IDS + 3 };

static const char *const sql[STATEMENTS] = {
    [RECORDS] = "SELECT seq, at, exp, id, crc, topic, key, frame, sender, only FROM records"
		" ORDER BY seq",
    [RETAINED] = "SELECT " JOURNAL_LAST ", NULL FROM retained",
    [IDS] = "SELECT id, dig, seq, groups FROM dedup_0",
    [IDS + 1] = "SELECT id, dig, seq, groups FROM dedup_1",
    [IDS + 2] = "SELECT id, dig, seq, groups FROM dedup_2",
};

/* Tables whose rows are checked where they are: what to call a row that is not right. */
static const struct {
	const char *what, *sql;
} tables[] = {
    {"meta", "SELECT 'row' FROM meta WHERE crc IS NOT journal_crc(head, at, kept, gen, since)"},
    {"cursor", "SELECT src FROM cursors WHERE crc IS NOT journal_crc(src, owner, cur)"},
    {"group", "SELECT name FROM groups WHERE crc IS NOT journal_crc(name, settings, next)"},
    {"state of group", "SELECT name FROM groups WHERE state_crc IS NOT journal_crc(name, state)"},
    {"claim", "SELECT path FROM claims WHERE crc IS NOT journal_crc(path, name)"},
    {"policy", "SELECT pattern FROM policies WHERE crc IS NOT journal_crc(pattern, settings)"},
    {"dead letter", "SELECT no FROM dead WHERE crc IS NOT"
		    " journal_crc(no, seq, at, tries, id, grp, topic, key, reason, sender, frame)"},
    {"page", "SELECT * FROM pragma_integrity_check(100) WHERE integrity_check <> 'ok'"},
};

static void __attribute__((format(printf, 2, 3))) problem(struct check *c, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	c->v->problems++;
	c->say(c->arg, text);
}

static void
broken(struct check *c, const char *what)
{
	problem(c, "%s: cannot be read: %s", what, sqlite3_errmsg(c->db.db));
}

static void
check_table(struct check *c, const char *what, const char *text)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(c->db.db, text, -1, &st, NULL);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW) {
			const unsigned char *name = sqlite3_column_text(st, 0);

			problem(c, "%s: %s", what, name != NULL ? (const char *)name : "NULL");
		}
	}
	if (rc != SQLITE_DONE)
		broken(c, what);
	sqlite3_finalize(st);
}

static void
check_records(struct check *c, uint64_t meta_head)
{
	uint64_t due = 0;
	int64_t at = INT64_MIN;
	struct journal_row row;
	int rc;

	while ((rc = journal_db_step(&c->db, RECORDS)) == SQLITE_ROW) {
		bool sound = journal_reader_row(&c->db, RECORDS, &row);

		if (!sound)
			problem(c, "record %llu: damaged", (unsigned long long)row.seq);
		if (due != 0 && row.seq != due) {
			problem(c, "records %llu to %llu: missing", (unsigned long long)due,
			    (unsigned long long)row.seq - 1);
		}
		if (sound && row.at_ms < at) {
			problem(c, "record %llu: before the one before it",
			    (unsigned long long)row.seq);
		}
		if (sound)
			at = row.at_ms;
		if (c->v->records++ == 0)
			c->v->first = row.seq;
		c->kept += row.frame.n;
		c->kept_later += row.seq > meta_head ? row.frame.n : 0;
		c->v->head = row.seq;
		due = row.seq + 1;
	}
	if (rc != SQLITE_DONE)
		broken(c, "records");
}

static void
check_retained(struct check *c)
{
	struct journal_row row;
	int rc;

	while ((rc = journal_db_step(&c->db, RETAINED)) == SQLITE_ROW) {
		c->v->retained++;
		if (!journal_reader_row(&c->db, RETAINED, &row)) {
			problem(c, "last value of %.*s: damaged", (int)row.topic.n,
			    row.topic.p != NULL ? (const char *)row.topic.p : "");
		}
	}
	if (rc != SQLITE_DONE)
		broken(c, "last values");
}

static void
check_ids(struct check *c, unsigned st)
{
	uint8_t id[16];
	int rc;

	while ((rc = journal_db_step(&c->db, st)) == SQLITE_ROW) {
		uint64_t seq = journal_db_u(&c->db, st, 2);

		c->v->ids++;
		if (!journal_db_fixed(&c->db, st, 0, id, sizeof id) ||
		    !journal_dedup_sound(
			id, journal_db_span(&c->db, st, 1), seq, journal_db_u(&c->db, st, 3)))
			problem(c, "id of seq %llu: damaged", (unsigned long long)seq);
	}
	if (rc != SQLITE_DONE)
		broken(c, "ids");
}

static int64_t
number(struct check *c, const char *text)
{
	int64_t v = 0;

	if (journal_db_get(&c->db, text, &v) != SQLITE_OK)
		broken(c, text);
	return v;
}

/* 0: there is none. */
static uint64_t
mark_of(const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_LOCK, dir);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	uint64_t mark = 0;

	if (fd != -1) {
		if (!journal_mark_read(fd, &mark))
			mark = 0;
		close(fd);
	}
	free(path);
	return mark;
}

/* What several places say about the same thing. */
static void
check_head(struct check *c, uint64_t mark, uint64_t meta_head)
{
	uint64_t next = (uint64_t)number(c, "SELECT coalesce(max(next), 0) FROM groups");
	uint64_t kept = (uint64_t)number(c, "SELECT kept FROM meta") + c->kept_later;

	if (c->v->records > 0 && c->v->head < meta_head) {
		problem(c, "records end at %llu, meta says %llu", (unsigned long long)c->v->head,
		    (unsigned long long)meta_head);
	}
	if (c->v->records == 0) {
		c->v->head = meta_head;
		c->v->first = meta_head + 1;
	}
	if (next > c->v->head + 1) {
		problem(c, "records end at %llu, a group begins at %llu",
		    (unsigned long long)c->v->head, (unsigned long long)next);
	}
	if (mark > c->v->head) {
		problem(c, "records end at %llu, " JOURNAL_LOCK " says %llu",
		    (unsigned long long)c->v->head, (unsigned long long)mark);
	}
	if (kept != c->kept) {
		problem(c, "frames of %llu bytes, meta says %llu", (unsigned long long)c->kept,
		    (unsigned long long)kept);
	}
}

static char *
layout(struct journal_db *d)
{
	sqlite3_stmt *st = NULL;
	char *text = NULL;

	if (sqlite3_prepare_v2(d->db,
		"SELECT group_concat(name || coalesce(sql, ''), ';') FROM"
		" (SELECT name, sql FROM sqlite_schema ORDER BY name)",
		-1, &st, NULL) == SQLITE_OK &&
	    sqlite3_step(st) == SQLITE_ROW && sqlite3_column_text(st, 0) != NULL)
		text = xstrdup((const char *)sqlite3_column_text(st, 0));
	sqlite3_finalize(st);
	return text;
}

/* As a new file would be. */
static void
check_layout(struct check *c)
{
	struct journal_db fresh = {0};
	char *want = NULL, *have = layout(&c->db);

	if (journal_db_open(&fresh, ":memory:", NULL) == SQLITE_OK &&
	    journal_format_raise(&fresh, 0) == SQLITE_OK)
		want = layout(&fresh);
	if (want == NULL || have == NULL || strcmp(want, have) != 0)
		problem(c, "tables: not laid out as format %d is", JOURNAL_FORMAT);
	journal_db_close(&fresh);
	free(want);
	free(have);
}

int
journal_verify(const char *dir, journal_verify_fn *say, void *arg, struct journal_verified *out)
{
	struct check c = {.say = say, .arg = arg, .v = out};
	uint64_t meta_head, mark = mark_of(dir); /* before the snapshot, which may be later */

	*out = (struct journal_verified){0};
	if (journal_look_open(&c.db, dir) == -1)
		return -1;
	check_layout(&c);
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
		check_table(&c, tables[i].what, tables[i].sql);
	if (journal_db_prepare(&c.db, sql, STATEMENTS) != SQLITE_OK) {
		broken(&c, "tables");
	} else {
		meta_head = (uint64_t)number(&c, "SELECT head FROM meta");
		check_records(&c, meta_head);
		check_retained(&c);
		for (unsigned i = 0; i < 3; i++)
			check_ids(&c, IDS + i);
		check_head(&c, mark, meta_head);
		out->dead = (uint64_t)number(&c, "SELECT count(*) FROM dead");
	}
	journal_look_close(&c.db);
	return 0;
}

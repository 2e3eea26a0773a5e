#include "broker/journal_write.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/journal_crc.h"
#include "broker/journal_exec.h"
#include "broker/journal_schema.h"

#define CHECKPOINT_PAGES 1000
#define META_EVERY 10000u /* records that a start may have to add up again */
#define DRAIN_BUSY 256u   /* expired ids deleted in a commit, besides one for each record */
#define DRAIN_IDLE 1000u
#define FREE_MIN 1024 /* pages kept for what comes next */

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct journal_writer *w = arg;

	(void)db;
	(void)name;
	/* Fewer than before: the WAL started over. */
	if (pages < w->wal_pages)
		w->checkpoint_at = CHECKPOINT_PAGES;
	w->wal_pages = pages;
	w->wrote = true;
	return SQLITE_OK;
}

int
journal_write_open(struct journal_writer *w, const char *dir)
{
	int rc;

	journal_crc_init();
	if (journal_schema_writer(&w->db, dir) == -1)
		return -1;
	rc = journal_exec_prepare(w);
	if (rc == SQLITE_OK)
		rc = journal_exec_recover(w);
	if (rc == SQLITE_OK)
		rc = journal_dedup_init(&w->dedup, w->db.db, w->pos.gen, w->pos.since_ms);
	if (rc != SQLITE_OK) {
		journal_schema_complain(&w->db, dir, "recover");
		return -1;
	}
	w->committed = w->pos;
	w->checkpoint_at = CHECKPOINT_PAGES;
	sqlite3_wal_hook(w->db.db, on_commit, w);
	return 0;
}

void
journal_write_close(struct journal_writer *w, bool keep_wal)
{
	if (w->db.db != NULL) {
		sqlite3_db_config(
		    w->db.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal ? 1 : 0, NULL);
	}
	journal_dedup_fini(&w->dedup);
	journal_db_close(&w->db);
	free(w->leader);
	w->leader = NULL;
}

/* Nothing of the transaction was executed, for certain, and a later one may succeed. */
static bool
is_passing(int rc)
{
	return (rc & 0xff) == SQLITE_FULL || (rc & 0xff) == SQLITE_BUSY;
}

static bool
fail(const struct journal_writer *w, const char *what, int rc)
{
	log_error("journal_failed", LOG_S("what", what), LOG_S("sqlite", sqlite3_errmsg(w->db.db)),
	    LOG_I("rc", rc), LOG_I("errno", sqlite3_system_errno(w->db.db)));
	return false;
}

static void
note_full(struct journal_writer *w, int rc)
{
	if (!w->full)
		log_error("journal_full", LOG_S("sqlite", sqlite3_errstr(rc)));
	w->full = true;
}

static void
note_healed(struct journal_writer *w)
{
	if (w->stuck)
		return;
	if (w->full)
		log_info("journal_healed", LOG_U("head", w->pos.head));
	w->full = false;
}

static int
drain(struct journal_writer *w, unsigned n)
{
	if (w->dedup.draining)
		w->vacuum = true;
	return journal_dedup_drain(&w->dedup, n);
}

/* Pages beyond what the next records will use again go back to the file system, a few at a time. */
static int
vacuum(struct journal_writer *w, const char *step)
{
	int64_t pages, unused;
	int rc = journal_db_get(&w->db, "PRAGMA freelist_count", &unused);

	if (rc == SQLITE_OK)
		rc = journal_db_get(&w->db, "PRAGMA page_count", &pages);
	if (rc != SQLITE_OK)
		return rc;
	w->vacuum = unused > FREE_MIN && unused > pages / 8;
	return w->vacuum ? journal_db_exec(&w->db, step) : SQLITE_OK;
}

static int
begin(struct journal_writer *w, int64_t now_ms)
{
	bool turned = false;
	int rc = journal_exec_begin(w);

	if (rc != SQLITE_OK)
		return rc;
	if (now_ms > w->pos.at_ms)
		w->pos.at_ms = now_ms;
	w->trimmed = false;
	rc = journal_dedup_turn(&w->dedup, w->pos.at_ms, &turned);
	if (rc != SQLITE_OK || !turned)
		return rc;
	w->pos.gen = w->dedup.gen;
	w->pos.since_ms = w->dedup.since_ms;
	return journal_exec_meta(w);
}

static int
commit(struct journal_writer *w)
{
	int64_t start = clock_mono_us();
	int rc;

	w->wrote = false;
	rc = journal_exec_commit(w);
	if (rc != SQLITE_OK)
		return rc;
	w->committed = w->pos;
	/* Nothing but repeats: nothing was synced, nothing to measure. */
	if (w->wrote) {
		w->commit_us[w->commits % JOURNAL_COMMITS] = (uint32_t)(clock_mono_us() - start);
		w->commits++;
	}
	return SQLITE_OK;
}

static int
rollback(struct journal_writer *w, int rc)
{
	journal_exec_rollback(w);
	w->pos = w->committed;
	if (is_passing(rc)) {
		int again = journal_dedup_restore(&w->dedup, w->pos.gen, w->pos.since_ms);

		if (again != SQLITE_OK && !is_passing(again))
			return again;
	}
	return rc;
}

static int
execute(struct journal_writer *w, struct list *ops, bool only_trims)
{
	struct journal_op *op;
	int rc = SQLITE_OK;

	LIST_EACH (op, ops, struct journal_op, node) {
		op->err = ERR_OK;
		op->conflict_at = -1;
		if (only_trims && op->kind != JOURNAL_TRIM) {
			op->err = ERR_BUSY;
		} else {
			rc = journal_exec(w, op);
		}
		if (rc != SQLITE_OK)
			return rc;
		op->head = w->pos.head;
		op->first = w->pos.first;
	}
	return SQLITE_OK;
}

/* All of the list in one transaction, or none of it. */
static int
attempt(struct journal_writer *w, struct list *ops, int64_t now_ms, bool only_trims)
{
	unsigned added;
	int rc = begin(w, now_ms);

	if (rc == SQLITE_OK)
		rc = execute(w, ops, only_trims);
	added = (unsigned)(w->pos.records - w->committed.records);
	if (rc == SQLITE_OK && w->dedup.draining)
		rc = drain(w, DRAIN_BUSY + added);
	if (rc == SQLITE_OK && w->trimmed)
		rc = vacuum(w, "PRAGMA incremental_vacuum(64)");
	if (rc == SQLITE_OK && (w->trimmed || w->pos.head - w->pos.meta_head >= META_EVERY))
		rc = journal_exec_meta(w);
	if (rc == SQLITE_OK)
		rc = commit(w);
	return rc == SQLITE_OK ? rc : rollback(w, rc);
}

static void
refuse(const struct journal_writer *w, struct list *ops, enum err err)
{
	struct journal_op *op;

	LIST_EACH (op, ops, struct journal_op, node) {
		op->err = err;
		op->conflict_at = -1;
		op->head = w->committed.head;
		op->first = w->committed.first;
	}
}

static bool
has_trim(struct list *ops)
{
	struct journal_op *op;

	LIST_EACH (op, ops, struct journal_op, node)
		if (op->kind == JOURNAL_TRIM)
			return true;
	return false;
}

bool
journal_write_batch(struct journal_writer *w, struct list *ops, int64_t now_ms)
{
	int rc = attempt(w, ops, now_ms, false);

	if (rc == SQLITE_OK) {
		note_healed(w);
		return true;
	}
	if (is_passing(rc)) {
		note_full(w, rc);
		/* What does not fit must not hold up what makes room. */
		if (has_trim(ops))
			rc = attempt(w, ops, now_ms, true);
		if (rc == SQLITE_OK)
			return true;
		if (is_passing(rc)) {
			refuse(w, ops, ERR_BUSY);
			return true;
		}
	}
	refuse(w, ops, ERR_STORE_FAILED);
	return fail(w, "transaction", rc);
}

bool
journal_write_checkpoint(struct journal_writer *w)
{
	int rc;

	if (w->wal_pages < w->checkpoint_at)
		return true;
	/* SQLite's own automatic checkpoint forgets a failed fsync of the database and tries again;
	 * the second one may succeed without the pages of the first. */
	rc = sqlite3_wal_checkpoint_v2(w->db.db, "main", SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	w->checkpoint_at = w->wal_pages + CHECKPOINT_PAGES;
	w->stuck = (rc & 0xff) == SQLITE_FULL;
	if (w->stuck)
		note_full(w, rc);
	return rc == SQLITE_OK || is_passing(rc) ? true : fail(w, "checkpoint", rc);
}

bool
journal_write_untidy(const struct journal_writer *w)
{
	return (w->dedup.draining || w->vacuum) && !w->full;
}

bool
journal_write_tidy(struct journal_writer *w)
{
	int rc = journal_exec_begin(w);

	if (rc == SQLITE_OK)
		rc = drain(w, DRAIN_IDLE);
	if (rc == SQLITE_OK && w->vacuum)
		rc = vacuum(w, "PRAGMA incremental_vacuum(256)");
	if (rc == SQLITE_OK)
		rc = commit(w);
	if (rc == SQLITE_OK)
		return true;
	rc = rollback(w, rc);
	if (is_passing(rc)) {
		note_full(w, rc);
		return true;
	}
	return fail(w, "tidying", rc);
}

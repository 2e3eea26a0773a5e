#include "broker/journal_write.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "broker/journal_crc.h"
#include "broker/journal_exec.h"
#include "broker/journal_mark.h"
#include "broker/journal_schema.h"

#define META_EVERY 10000u /* records that a start may have to add up again */
#define DRAIN_BUSY 256u   /* expired ids deleted in a commit, besides one for each record */
#define DRAIN_IDLE 1000u
#define FREE_MIN 1024 /* pages kept for what comes next */

static void
mark(struct journal_writer *w)
{
	if (journal_mark_write(w->mark_fd, w->pos.head))
		return;
	if (!w->unmarked)
		log_warn("journal_mark", LOG_ERRNO());
	w->unmarked = true;
}

/* What is on disk besides the records may know of later ones. */
static void
note_lost(struct journal_writer *w)
{
	uint64_t marked = 0;

	(void)journal_mark_read(w->mark_fd, &marked);
	journal_write_known(w, marked, "mark");
	mark(w);
}

/* What a killed broker wrote and did not sync counts as committed from here on: repeats are
 * answered by it. */
static int
sync_wal(sqlite3 *db)
{
	sqlite3_file *f = NULL;
	int rc = sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &f);

	if (rc == SQLITE_OK && f != NULL && f->pMethods != NULL)
		rc = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	return rc;
}

int
journal_write_open(struct journal_writer *w, const char *dir)
{
	int rc;

	journal_crc_init();
	rc = journal_schema_writer(&w->db, dir, w->mark_fd);
	if (rc != 0)
		return rc;
	rc = journal_exec_prepare(w);
	if (rc == SQLITE_OK)
		rc = journal_exec_recover(w);
	if (rc == SQLITE_OK)
		rc = sync_wal(w->db.db);
	if (rc == SQLITE_OK)
		rc = journal_dedup_init(&w->dedup, w->db.db, w->pos.gen, w->pos.since_ms);
	w->bulk = xcalloc(1, sizeof *w->bulk);
	if (rc == SQLITE_OK)
		rc = journal_bulk_init(w->bulk, w->db.db);
	if (rc != SQLITE_OK) {
		int hopeless = journal_schema_complain(&w->db, dir, "recover");

		return rc == SQLITE_CORRUPT ? JOURNAL_HOPELESS : hopeless;
	}
	if (journal_room_open(&w->room, dir) == -1)
		return -1;
	w->full = w->vacuum = !w->room.held;
	journal_place_open(&w->place, dir);
	note_lost(w);
	w->committed = w->pos;
	journal_checkpoint_init(&w->checkpoint, w->db.db);
	return 0;
}

void
journal_write_known(struct journal_writer *w, uint64_t head, const char *from)
{
	if (head <= w->pos.head)
		return;
	log_error("journal_lost", LOG_U("head", w->pos.head), LOG_U("was", head),
	    LOG_U("lost", head - w->pos.head), LOG_S("says", from));
	w->lost += head - w->pos.head;
	/* No seq is given out twice, even so. */
	if (w->pos.first > w->pos.head)
		w->pos.first = head + 1;
	w->pos.head = head;
	w->committed = w->pos;
}

void
journal_write_close(struct journal_writer *w, bool keep_wal)
{
	keep_wal = !journal_checkpoint_close(&w->checkpoint) || keep_wal;
	if (w->db.db != NULL) {
		sqlite3_db_config(
		    w->db.db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep_wal ? 1 : 0, NULL);
	}
	journal_dedup_fini(&w->dedup);
	if (w->bulk != NULL)
		journal_bulk_fini(w->bulk);
	journal_db_forget(&w->names);
	journal_db_forget(&w->letters);
	journal_db_forget(&w->last);
	journal_db_close(&w->db);
	journal_room_close(&w->room);
	journal_place_close(&w->place);
	free(w->bulk);
	w->bulk = NULL;
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
	bool elsewhere = w->checkpoint.failed != SQLITE_OK; /* than on our connection */

	log_error("journal_failed", LOG_S("what", what),
	    LOG_S("sqlite", elsewhere ? sqlite3_errstr(rc) : sqlite3_errmsg(w->db.db)),
	    LOG_I("rc", rc),
	    LOG_I("errno", elsewhere ? w->checkpoint.err : sqlite3_system_errno(w->db.db)));
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
	if (!w->room.held)
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

/* Pages beyond what the next records will use again go back to the file system, a few at a time;
 * all of them when it is the file system that has none. */
static int
vacuum(struct journal_writer *w, const char *step)
{
	int64_t pages = 0, unused = 0;
	int rc = journal_db_get(&w->db, "PRAGMA freelist_count", &unused);

	if (rc == SQLITE_OK)
		rc = journal_db_get(&w->db, "PRAGMA page_count", &pages);
	if (rc != SQLITE_OK)
		return rc;
	w->vacuum = w->room.held ? unused > FREE_MIN && unused > pages / 8 : unused > 0;
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
	/* By the clock as it is: commit time does not go back with it, and would stand still. */
	rc = journal_dedup_turn(&w->dedup, now_ms, &turned);
	w->pos.since_ms = w->dedup.since_ms;
	if (rc != SQLITE_OK || !turned)
		return rc;
	w->pos.gen = w->dedup.gen;
	return journal_exec_meta(w);
}

static int
commit(struct journal_writer *w)
{
	int64_t start = clock_mono_us();
	uint64_t before = w->checkpoint.commits;
	int rc;

	rc = journal_exec_commit(w);
	if (rc != SQLITE_OK)
		return rc;
	if (w->pos.head != w->committed.head)
		mark(w);
	w->committed = w->pos;
	/* Nothing but repeats: nothing was synced, nothing to measure. */
	if (w->checkpoint.commits != before) {
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

/* What can be done on a full disk: it deletes, or lets retention delete. */
static bool
makes_room(const struct journal_op *op)
{
	return op->kind == JOURNAL_TRIM || op->kind == JOURNAL_GROUP_STATE ||
	       op->kind == JOURNAL_GROUP_DEL || op->kind == JOURNAL_DEAD_DROP ||
	       op->kind == JOURNAL_CLAIM_DEL || op->kind == JOURNAL_POLICY_DEL;
}

static int
execute_one(struct journal_writer *w, struct journal_op *op)
{
	int rc = SQLITE_OK;

	op->err = ERR_OK;
	op->conflict_at = -1;
	if (!w->room.held && !makes_room(op)) {
		op->err = ERR_BUSY;
	} else {
		rc = journal_exec(w, op);
	}
	op->head = w->pos.head;
	op->first = w->pos.first;
	return rc;
}

/* The lone PUTs from `from` on in one go, if there are some and all are new.  *many: how many there
 * are; not *stored: they are to be executed one by one. */
static int
execute_many(struct journal_writer *w, const struct list *ops, struct list *from, unsigned *many,
    bool *stored)
{
	struct journal_bulk *bulk = w->bulk;
	int rc = SQLITE_OK;

	journal_bulk_reset(bulk, w->pos.at_ms);
	for (struct list *n = from; n != ops && bulk->n < JOURNAL_BULK_MOST; n = n->next) {
		struct journal_op *op = LIST_ITEM(n, struct journal_op, node);

		if (!journal_exec_is_lone(op))
			break;
		op->u.put.recs->seq = w->pos.head + 1 + bulk->n;
		journal_bulk_add(bulk, op->u.put.recs);
	}
	*stored = false;
	*many = bulk->n;
	if (bulk->n >= JOURNAL_BULK_LEAST)
		rc = journal_bulk_store(bulk, &w->dedup, stored);
	return rc;
}

/* The list from `from` on. */
static int
execute(struct journal_writer *w, const struct list *ops, struct list *from)
{
	unsigned many = 0;
	bool stored = false;
	int rc = SQLITE_OK;

	for (struct list *n = from; n != ops && rc == SQLITE_OK; n = n->next) {
		struct journal_op *op = LIST_ITEM(n, struct journal_op, node);

		if (many == 0 && w->room.held) {
			rc = execute_many(w, ops, n, &many, &stored);
			if (rc != SQLITE_OK)
				break;
		}
		if (many > 0 && stored) {
			journal_exec_settle(w, op);
		} else {
			rc = execute_one(w, op);
		}
		many -= many > 0 ? 1 : 0;
	}
	return rc;
}

static int
execute_all(struct journal_writer *w, struct list *ops)
{
	struct list *last = ops;
	int rc;

	do {
		rc = execute(w, ops, last->next);
		last = ops->prev;
	} while (rc == SQLITE_OK && w->more != NULL && w->more(w->more_arg, ops));
	return rc;
}

/* All of the list in one transaction, or none of it; without the reserve only what makes room. */
static int
attempt(struct journal_writer *w, struct list *ops, int64_t now_ms)
{
	unsigned added;
	int rc = begin(w, now_ms);

	if (rc == SQLITE_OK)
		rc = execute_all(w, ops);
	added = (unsigned)(w->pos.records - w->committed.records);
	if (rc == SQLITE_OK && w->dedup.draining)
		rc = drain(w, DRAIN_BUSY + added);
	if (rc == SQLITE_OK && (w->trimmed || (w->vacuum && !w->room.held)))
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

/* Moves the WAL into the database, so that it starts over in the room it has, with the help of the
 * reserve if it must be, or if `harder`.  SQLITE_FULL when there is nothing left to try. */
static int
make_room(struct journal_writer *w, bool harder)
{
	int rc = SQLITE_FULL;

	if (!harder && !w->checkpoint.moved)
		rc = journal_checkpoint_now(&w->checkpoint);
	if ((rc & 0xff) != SQLITE_FULL || !w->room.held)
		return rc;
	note_full(w, rc);
	journal_room_release(&w->room);
	w->vacuum = true;
	return w->checkpoint.moved ? SQLITE_OK : journal_checkpoint_now(&w->checkpoint);
}

static int
store(struct journal_writer *w, struct list *ops, int64_t now_ms)
{
	int rc = attempt(w, ops, now_ms);

	for (int i = 0; i < 2 && (rc & 0xff) == SQLITE_FULL; i++) {
		note_full(w, rc);
		rc = make_room(w, i > 0);
		if (rc == SQLITE_OK)
			rc = attempt(w, ops, now_ms);
	}
	return rc;
}

bool
journal_write_batch(struct journal_writer *w, struct list *ops, int64_t now_ms)
{
	const char *lost;
	int rc;

	rc = journal_checkpoint_look(&w->checkpoint);
	if (rc != SQLITE_OK) {
		refuse(w, ops, ERR_STORE_FAILED);
		return fail(w, "checkpoint", rc);
	}
	(void)journal_room_regain(&w->room);
	rc = store(w, ops, now_ms);
	/* What was committed to files that are no more is on no disk. */
	if (rc == SQLITE_OK && (lost = journal_place_lost(&w->place)) != NULL) {
		log_error("journal_gone", LOG_S("file", lost),
		    LOG_S("help", "deleted, moved or replaced; sys.backup saves what is open"));
		w->gone = true;
		rc = SQLITE_IOERR;
	}
	if (rc == SQLITE_OK) {
		note_healed(w);
		w->vacuum = w->vacuum || !w->room.held;
		return true;
	}
	if (is_passing(rc)) {
		note_full(w, rc);
		refuse(w, ops, ERR_BUSY);
		return true;
	}
	refuse(w, ops, ERR_STORE_FAILED);
	return fail(w, "transaction", rc);
}

bool
journal_write_checkpoint(struct journal_writer *w)
{
	int rc;

	/* Without the reserve each page counts, and the file shrinks only here. */
	if (w->room.held) {
		rc = journal_checkpoint_step(&w->checkpoint);
		if ((rc & 0xff) == SQLITE_FULL)
			rc = make_room(w, false);
	} else {
		rc = w->checkpoint.moved ? SQLITE_OK : make_room(w, false);
	}
	return rc == SQLITE_OK || is_passing(rc) ? true : fail(w, "checkpoint", rc);
}

bool
journal_write_untidy(const struct journal_writer *w)
{
	return w->dedup.draining || w->vacuum;
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
	if (rc != SQLITE_OK)
		rc = rollback(w, rc);
	if (rc == SQLITE_OK)
		return journal_write_checkpoint(w);
	/* Not again before something else went well. */
	w->vacuum = false;
	return is_passing(rc) ? true : fail(w, "tidying", rc);
}

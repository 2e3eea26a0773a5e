#include "broker/journal_exec.h"

#include <limits.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/journal_crc.h"
#include "broker/journal_last.h"
#include "broker/journal_letters.h"
#include "broker/journal_names.h"

enum st {
	BEGIN,
	COMMIT,
	ROLLBACK,
	REC_ADD,
	REC_OLD,
	REC_DEL,
	META_SET,
	SRC_GET,
	SRC_SET,
	STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [REC_ADD] = ("INSERT INTO records(seq, at, exp, id, crc, topic, key, frame, sender, only)"
		 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"),
    [REC_OLD] = ("SELECT count(*), max(seq), sum(length(frame)) FROM"
		 " (SELECT seq, frame FROM records WHERE seq < ?1 ORDER BY seq LIMIT ?2)"),
    [REC_DEL] = "DELETE FROM records WHERE seq <= ?1",
    [META_SET] = "UPDATE meta SET head = ?1, at = ?2, kept = ?3, gen = ?4, since = ?5, crc = ?6",
    [SRC_GET] = "SELECT owner, cur, crc FROM cursors WHERE src = ?1",
    [SRC_SET] = ("INSERT INTO cursors(src, owner, cur, crc) VALUES(?1, ?2, ?3, ?4)"
		 " ON CONFLICT(src) DO UPDATE SET cur = ?3, crc = ?4"),
};

int
journal_exec_prepare(struct journal_writer *w)
{
	int rc = journal_db_prepare(&w->db, sql, STATEMENTS);

	if (rc == SQLITE_OK)
		rc = journal_names_prepare(w);
	if (rc == SQLITE_OK)
		rc = journal_letters_prepare(w);
	return rc == SQLITE_OK ? journal_last_prepare(w) : rc;
}

int
journal_exec_begin(struct journal_writer *w)
{
	return journal_db_run(&w->db, BEGIN);
}

int
journal_exec_commit(struct journal_writer *w)
{
	return journal_db_run(&w->db, COMMIT);
}

void
journal_exec_rollback(struct journal_writer *w)
{
	if (sqlite3_get_autocommit(w->db.db) == 0)
		(void)journal_db_run(&w->db, ROLLBACK);
}

static uint32_t
meta_crc(uint64_t head, int64_t at_ms, uint64_t kept, uint64_t gen, int64_t since_ms)
{
	uint32_t c = journal_crc_num(0, head);

	c = journal_crc_num(c, (uint64_t)at_ms);
	c = journal_crc_num(c, kept);
	c = journal_crc_num(c, gen);
	return journal_crc_num(c, (uint64_t)since_ms);
}

int
journal_exec_meta(struct journal_writer *w)
{
	journal_db_bind_u(&w->db, META_SET, 1, w->pos.head);
	journal_db_bind_i(&w->db, META_SET, 2, w->pos.at_ms);
	journal_db_bind_u(&w->db, META_SET, 3, w->pos.kept);
	journal_db_bind_u(&w->db, META_SET, 4, w->pos.gen);
	journal_db_bind_i(&w->db, META_SET, 5, w->pos.since_ms);
	journal_db_bind_u(&w->db, META_SET, 6,
	    meta_crc(w->pos.head, w->pos.at_ms, w->pos.kept, w->pos.gen, w->pos.since_ms));
	w->pos.meta_head = w->pos.head;
	return journal_db_run(&w->db, META_SET);
}

int
journal_exec_recover(struct journal_writer *w)
{
	struct {
		const char *sql;
		int64_t v;
	} q[] = {
	    {"SELECT head FROM meta", 0},
	    {"SELECT max(seq) FROM records", 0},
	    {"SELECT min(seq) FROM records", 0},
	    {"SELECT at FROM meta", 0},
	    {"SELECT at FROM records ORDER BY seq DESC LIMIT 1", 0},
	    {"SELECT kept FROM meta", 0},
	    {"SELECT sum(length(frame)) FROM records WHERE seq > (SELECT head FROM meta)", 0},
	    {"SELECT gen FROM meta", 0},
	    {"SELECT since FROM meta", 0},
	    {"SELECT crc FROM meta", 0},
	    {"SELECT max(next) - 1 FROM groups", 0},
	};
	struct journal_pos *p = &w->pos;

	for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
		int rc = journal_db_get(&w->db, q[i].sql, &q[i].v);

		if (rc != SQLITE_OK)
			return rc;
	}
	if ((uint64_t)q[9].v !=
	    meta_crc((uint64_t)q[0].v, q[3].v, (uint64_t)q[5].v, (uint64_t)q[7].v, q[8].v)) {
		log_error("journal_damaged", LOG_S("table", "meta"));
		return SQLITE_CORRUPT;
	}
	p->meta_head = (uint64_t)q[0].v;
	/* Records go from the front: while there is one, the last is the last. */
	p->head = (uint64_t)(q[1].v != 0 ? q[1].v : q[0].v);
	p->first = q[2].v != 0 ? (uint64_t)q[2].v : p->head + 1;
	p->at_ms = q[4].v > q[3].v ? q[4].v : q[3].v;
	p->kept = (uint64_t)(q[5].v + q[6].v);
	p->gen = (uint64_t)q[7].v;
	p->since_ms = q[8].v;
	journal_write_known(w, (uint64_t)q[0].v, "meta");
	journal_write_known(w, (uint64_t)q[10].v, "groups");
	return journal_last_recover(w);
}

static void
refuse(struct journal_op *op, enum err code, int at)
{
	op->err = code;
	op->conflict_at = at;
}

/* What is known about each record, before anything is changed. */
static int
put_look(struct journal_writer *w, struct journal_op *op, unsigned *repeats)
{
	struct journal_rec *recs = op->u.put.recs;
	unsigned n = op->u.put.n, twin;

	if (n > w->leader_n) {
		w->leader = xrealloc(w->leader, n * sizeof *w->leader);
		w->leader_n = n;
	}
	twin = journal_twins(recs, n, w->leader);
	for (unsigned i = 0; i < n; i++) {
		enum journal_dedup_hit hit = JOURNAL_DEDUP_NEW;
		int rc = SQLITE_OK;

		recs[i].repeat = false;
		if (!recs[i].anew)
			rc = journal_dedup_find(&w->dedup, &recs[i], &hit);
		if (rc != SQLITE_OK)
			return rc;
		if (hit == JOURNAL_DEDUP_CONFLICT || i == twin) {
			refuse(op, ERR_CONFLICT, (int)i);
			return SQLITE_OK;
		}
		if (recs[i].known && hit == JOURNAL_DEDUP_NEW) {
			refuse(op, ERR_NOT_FOUND, (int)i);
			return SQLITE_OK;
		}
		*repeats += hit == JOURNAL_DEDUP_REPEAT;
	}
	return SQLITE_OK;
}

static int
src_look(struct journal_writer *w, const struct journal_op *op, struct journal_src *s)
{
	struct span owner, cur;
	int rc;

	if (op->u.put.src.p == NULL)
		return SQLITE_OK;
	journal_db_bind_text(&w->db, SRC_GET, 1, op->u.put.src);
	rc = journal_db_step(&w->db, SRC_GET);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_OK : rc;
	s->known = true;
	owner = journal_db_span(&w->db, SRC_GET, 0);
	cur = journal_db_span(&w->db, SRC_GET, 1);
	/* A damaged one is nobody's, and refuses whatever is asked of it. */
	if (journal_db_u(&w->db, SRC_GET, 2) == journal_crc_cursor(op->u.put.src, owner, cur)) {
		s->mine = span_eq(owner, op->u.put.owner);
		s->is_cur = span_eq(cur, op->u.put.cur);
		s->is_was = span_eq(cur, op->u.put.was);
	} else {
		log_error(
		    "journal_damaged", LOG_S("table", "cursors"), LOG_B("name", op->u.put.src));
	}
	journal_db_done(&w->db, SRC_GET);
	return SQLITE_OK;
}

static int
src_set(struct journal_writer *w, const struct journal_op *op)
{
	journal_db_bind_text(&w->db, SRC_SET, 1, op->u.put.src);
	journal_db_bind_text(&w->db, SRC_SET, 2, op->u.put.owner);
	journal_db_bind_blob(&w->db, SRC_SET, 3, op->u.put.cur);
	journal_db_bind_u(
	    &w->db, SRC_SET, 4, journal_crc_cursor(op->u.put.src, op->u.put.owner, op->u.put.cur));
	return journal_db_run(&w->db, SRC_SET);
}

static void
count_in(struct journal_writer *w, const struct journal_rec *rec)
{
	w->pos.head = rec->seq;
	w->pos.kept += rec->frame.n;
	w->pos.bytes += rec->frame.n;
	w->pos.records++;
}

static int
rec_store(struct journal_writer *w, const struct journal_rec *rec)
{
	struct journal_row row = {
	    .seq = rec->seq,
	    .topic = rec->topic,
	    .key = rec->key,
	    .frame = rec->frame,
	    .at_ms = w->pos.at_ms,
	    .exp_ms = rec->exp_ms,
	    .from = rec->from,
	    .only = rec->only,
	};
	int rc;

	count_in(w, rec);
	memcpy(row.id, rec->id, sizeof row.id);
	journal_db_bind_u(&w->db, REC_ADD, 1, row.seq);
	journal_db_bind_i(&w->db, REC_ADD, 2, row.at_ms);
	journal_db_bind_i(&w->db, REC_ADD, 3, row.exp_ms);
	journal_db_bind_blob(&w->db, REC_ADD, 4, span_of(rec->id, sizeof rec->id));
	journal_db_bind_u(&w->db, REC_ADD, 5, journal_crc_row(&row));
	journal_db_bind_text(&w->db, REC_ADD, 6, row.topic);
	journal_db_bind_text(&w->db, REC_ADD, 7, row.key);
	journal_db_bind_blob(&w->db, REC_ADD, 8, row.frame);
	journal_db_bind_text(&w->db, REC_ADD, 9, row.from);
	journal_db_bind_text(&w->db, REC_ADD, 10, row.only);
	rc = journal_db_run(&w->db, REC_ADD);
	if (rc == SQLITE_OK && rec->retain != JOURNAL_RETAIN_NO)
		rc = journal_last_store(w, &row, rec->retain == JOURNAL_RETAIN_CLEAR);
	return rc;
}

static int
rec_add(struct journal_writer *w, struct journal_rec *rec)
{
	int rc = SQLITE_OK;

	rec->seq = w->pos.head + 1;
	if (!rec->anew)
		rc = journal_dedup_add(&w->dedup, rec);
	return rc == SQLITE_OK ? rec_store(w, rec) : rc;
}

static int
put_store(struct journal_writer *w, struct journal_op *op)
{
	struct journal_rec *recs = op->u.put.recs;

	for (unsigned i = 0; i < op->u.put.n; i++) {
		const struct journal_rec *twin = &recs[w->leader[i]];
		int rc;

		if (recs[i].repeat)
			continue;
		if (twin != &recs[i]) {
			recs[i].seq = twin->seq;
			recs[i].groups = twin->groups;
			recs[i].repeat = true;
			w->pos.repeats++;
			continue;
		}
		rc = rec_add(w, &recs[i]);
		if (rc != SQLITE_OK)
			return rc;
	}
	return SQLITE_OK;
}

/* Everything that can refuse is looked at before anything is stored, so that all or none needs no
 * savepoint. */
static int
put_check(struct journal_writer *w, struct journal_op *op, bool *moves)
{
	struct journal_src src = {0};
	unsigned repeats = 0;
	enum journal_move move;
	bool there = true, fits = true;
	int rc = src_look(w, op, &src);

	if (rc == SQLITE_OK && op->u.put.dead != 0)
		rc = journal_letters_has(w, op->u.put.dead, &there);
	if (rc == SQLITE_OK && !there)
		op->err = ERR_NOT_FOUND;
	if (rc == SQLITE_OK && op->err == ERR_OK)
		rc = put_look(w, op, &repeats);
	if (rc == SQLITE_OK && op->err == ERR_OK)
		rc = journal_last_look(w, op, &fits);
	if (rc != SQLITE_OK || op->err != ERR_OK)
		return rc;
	move = journal_move(op, &src, repeats == op->u.put.n);
	if (move == JOURNAL_REFUSE) {
		refuse(op, ERR_CONFLICT, -1);
	} else if (!fits) {
		op->err = ERR_QUOTA;
	} else {
		w->pos.repeats += repeats;
	}
	*moves = move == JOURNAL_MOVE;
	return SQLITE_OK;
}

bool
journal_exec_is_lone(const struct journal_op *op)
{
	return op->kind == JOURNAL_PUT && op->u.put.n == 1 && op->u.put.src.p == NULL &&
	       op->u.put.dead == 0 && !op->u.put.recs->anew && !op->u.put.recs->known &&
	       op->u.put.recs->retain == JOURNAL_RETAIN_NO;
}

void
journal_exec_settle(struct journal_writer *w, struct journal_op *op)
{
	op->err = ERR_OK;
	op->conflict_at = -1;
	op->u.put.recs->repeat = false;
	count_in(w, op->u.put.recs);
	op->head = w->pos.head;
	op->first = w->pos.first;
}

/* To know that its id is new and to note the id is one step.  Not *stored: the long way. */
static int
put_lone(struct journal_writer *w, const struct journal_op *op, bool *stored)
{
	struct journal_rec *rec = op->u.put.recs;
	int rc;

	if (!journal_exec_is_lone(op))
		return SQLITE_OK;
	rec->repeat = false;
	rec->seq = w->pos.head + 1;
	rc = journal_dedup_claim(&w->dedup, rec, stored);
	return rc == SQLITE_OK && *stored ? rec_store(w, rec) : rc;
}

static int
put(struct journal_writer *w, struct journal_op *op)
{
	bool moves = false, stored = false;
	int rc = put_lone(w, op, &stored);

	if (rc != SQLITE_OK || stored)
		return rc;
	rc = put_check(w, op, &moves);

	if (rc != SQLITE_OK || op->err != ERR_OK)
		return rc;
	rc = put_store(w, op);
	if (rc == SQLITE_OK && moves)
		rc = src_set(w, op);
	if (rc == SQLITE_OK && op->u.put.dead != 0)
		rc = journal_letters_drop(w, op->u.put.dead);
	return rc;
}

static int
trim(struct journal_writer *w, struct journal_op *op)
{
	uint64_t last, bytes;
	int rc;

	op->u.trim.deleted = 0;
	if (op->u.trim.before <= w->pos.first || w->pos.first > w->pos.head)
		return SQLITE_OK;
	journal_db_bind_i(&w->db, REC_OLD, 1,
	    op->u.trim.before > INT64_MAX ? INT64_MAX : (int64_t)op->u.trim.before);
	journal_db_bind_u(&w->db, REC_OLD, 2, JOURNAL_TRIM_MAX);
	rc = journal_db_step(&w->db, REC_OLD);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
	op->u.trim.deleted = journal_db_u(&w->db, REC_OLD, 0);
	last = journal_db_u(&w->db, REC_OLD, 1);
	bytes = journal_db_u(&w->db, REC_OLD, 2);
	journal_db_done(&w->db, REC_OLD);
	if (op->u.trim.deleted == 0)
		return SQLITE_OK;
	w->pos.first = last + 1;
	w->pos.kept -= bytes < w->pos.kept ? bytes : w->pos.kept;
	w->trimmed = true;
	journal_db_bind_u(&w->db, REC_DEL, 1, last);
	return journal_db_run(&w->db, REC_DEL);
}

int
journal_exec(struct journal_writer *w, struct journal_op *op)
{
	switch (op->kind) {
	case JOURNAL_PUT: return put(w, op);
	case JOURNAL_TRIM: return trim(w, op);
	case JOURNAL_DEAD:
	case JOURNAL_DEAD_DROP:
	case JOURNAL_DEAD_EDIT: return journal_letters_exec(w, op);
	case JOURNAL_GROUP:
	case JOURNAL_GROUP_STATE:
	case JOURNAL_GROUP_DEL:
	case JOURNAL_CLAIM:
	case JOURNAL_CLAIM_DEL:
	case JOURNAL_POLICY:
	case JOURNAL_POLICY_DEL: return journal_names_exec(w, op);
	case JOURNAL_BACKUP: break; /* journal_backup.c took it out */
	}
	return SQLITE_MISUSE;
}

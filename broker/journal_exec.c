#include "broker/journal_exec.h"

#include <limits.h>

#include "base/die.h"
#include "base/str.h"
#include "broker/journal_crc.h"

enum st {
	BEGIN,
	COMMIT,
	ROLLBACK,
	REC_ADD,
	REC_AT,
	REC_OLD,
	REC_DEL,
	META_SET,
	SRC_GET,
	SRC_SET,
	GROUP_GET,
	GROUP_ADD,
	GROUP_SET,
	GROUP_STATE,
	GROUP_DEL,
	DEAD_ADD,
	DEAD_DEL,
	CLAIM_ADD,
	CLAIM_GET,
	CLAIM_DEL,
	STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
    [ROLLBACK] = "ROLLBACK",
    [REC_ADD] = ("INSERT INTO records(seq, at, exp, id, crc, topic, key, frame)"
		 " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"),
    [REC_AT] = "SELECT at FROM records WHERE seq >= ?1 ORDER BY seq LIMIT 1",
    [REC_OLD] = ("SELECT count(*), max(seq), sum(length(frame)) FROM"
		 " (SELECT seq, frame FROM records WHERE seq < ?1 ORDER BY seq LIMIT ?2)"),
    [REC_DEL] = "DELETE FROM records WHERE seq <= ?1",
    [META_SET] = "UPDATE meta SET head = ?1, at = ?2, kept = ?3, gen = ?4, since = ?5",
    [SRC_GET] = "SELECT owner, cur FROM cursors WHERE src = ?1",
    [SRC_SET] = ("INSERT INTO cursors(src, owner, cur) VALUES(?1, ?2, ?3)"
		 " ON CONFLICT(src) DO UPDATE SET cur = ?3"),
    [GROUP_GET] = "SELECT next FROM groups WHERE name = ?1",
    [GROUP_ADD] = "INSERT INTO groups(name, settings, next) VALUES(?1, ?2, ?3)",
    [GROUP_SET] = "UPDATE groups SET settings = ?2 WHERE name = ?1",
    [GROUP_STATE] = "UPDATE groups SET state = ?2 WHERE name = ?1",
    [GROUP_DEL] = "DELETE FROM groups WHERE name = ?1",
    [DEAD_ADD] = ("INSERT INTO dead(grp, seq, id, topic, key, reason, tries, at, frame)"
		  " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"),
    [DEAD_DEL] = "DELETE FROM dead WHERE no = ?1",
    [CLAIM_ADD] = ("INSERT INTO claims(path, name) SELECT ?1, ?2"
		   " WHERE (SELECT count(*) FROM claims) < ?3 ON CONFLICT DO NOTHING"),
    [CLAIM_GET] = "SELECT name FROM claims WHERE path = ?1",
    [CLAIM_DEL] = "DELETE FROM claims WHERE path = ?1",
};

int
journal_exec_prepare(struct journal_writer *w)
{
	return journal_db_prepare(&w->db, sql, STATEMENTS);
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

int
journal_exec_meta(struct journal_writer *w)
{
	journal_db_bind_u(&w->db, META_SET, 1, w->pos.head);
	journal_db_bind_i(&w->db, META_SET, 2, w->pos.at_ms);
	journal_db_bind_u(&w->db, META_SET, 3, w->pos.kept);
	journal_db_bind_u(&w->db, META_SET, 4, w->pos.gen);
	journal_db_bind_i(&w->db, META_SET, 5, w->pos.since_ms);
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
	};
	struct journal_pos *p = &w->pos;

	for (size_t i = 0; i < sizeof q / sizeof q[0]; i++) {
		int rc = journal_db_get(&w->db, q[i].sql, &q[i].v);

		if (rc != SQLITE_OK)
			return rc;
	}
	p->meta_head = (uint64_t)q[0].v;
	p->head = (uint64_t)(q[1].v > q[0].v ? q[1].v : q[0].v);
	p->first = q[2].v != 0 ? (uint64_t)q[2].v : p->head + 1;
	p->at_ms = q[4].v > q[3].v ? q[4].v : q[3].v;
	p->kept = (uint64_t)(q[5].v + q[6].v);
	p->gen = (uint64_t)q[7].v;
	p->since_ms = q[8].v;
	return SQLITE_OK;
}

static void
conflict(struct journal_op *op, int at)
{
	op->err = ERR_CONFLICT;
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
		enum journal_dedup_hit hit;
		int rc = journal_dedup_find(&w->dedup, &recs[i], &hit);

		if (rc != SQLITE_OK)
			return rc;
		if (hit == JOURNAL_DEDUP_CONFLICT || i == twin) {
			conflict(op, (int)i);
			return SQLITE_OK;
		}
		*repeats += hit == JOURNAL_DEDUP_REPEAT;
	}
	return SQLITE_OK;
}

static int
src_look(struct journal_writer *w, const struct journal_op *op, struct journal_src *s)
{
	int rc;

	if (op->u.put.src.p == NULL)
		return SQLITE_OK;
	journal_db_bind_text(&w->db, SRC_GET, 1, op->u.put.src);
	rc = journal_db_step(&w->db, SRC_GET);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_OK : rc;
	s->known = true;
	s->mine = span_eq(journal_db_span(&w->db, SRC_GET, 0), op->u.put.owner);
	s->is_cur = span_eq(journal_db_span(&w->db, SRC_GET, 1), op->u.put.cur);
	s->is_was = span_eq(journal_db_span(&w->db, SRC_GET, 1), op->u.put.was);
	journal_db_done(&w->db, SRC_GET);
	return SQLITE_OK;
}

static int
src_set(struct journal_writer *w, const struct journal_op *op)
{
	journal_db_bind_text(&w->db, SRC_SET, 1, op->u.put.src);
	journal_db_bind_text(&w->db, SRC_SET, 2, op->u.put.owner);
	journal_db_bind_blob(&w->db, SRC_SET, 3, op->u.put.cur);
	return journal_db_run(&w->db, SRC_SET);
}

static int
rec_add(struct journal_writer *w, struct journal_rec *rec)
{
	struct journal_row row = {
	    .seq = ++w->pos.head,
	    .topic = rec->topic,
	    .key = rec->key,
	    .frame = rec->frame,
	    .at_ms = w->pos.at_ms,
	    .exp_ms = rec->exp_ms,
	};
	int rc;

	rec->seq = row.seq;
	rc = journal_dedup_add(&w->dedup, rec);
	if (rc != SQLITE_OK)
		return rc;
	memcpy(row.id, rec->id, sizeof row.id);
	journal_db_bind_u(&w->db, REC_ADD, 1, row.seq);
	journal_db_bind_i(&w->db, REC_ADD, 2, row.at_ms);
	journal_db_bind_i(&w->db, REC_ADD, 3, row.exp_ms);
	journal_db_bind_blob(&w->db, REC_ADD, 4, span_of(rec->id, sizeof rec->id));
	journal_db_bind_u(&w->db, REC_ADD, 5, journal_crc_row(&row));
	journal_db_bind_text(&w->db, REC_ADD, 6, row.topic);
	journal_db_bind_text(&w->db, REC_ADD, 7, row.key);
	journal_db_bind_blob(&w->db, REC_ADD, 8, row.frame);
	w->pos.kept += row.frame.n;
	w->pos.bytes += row.frame.n;
	w->pos.records++;
	return journal_db_run(&w->db, REC_ADD);
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
put(struct journal_writer *w, struct journal_op *op)
{
	struct journal_src src = {0};
	unsigned repeats = 0;
	enum journal_move move;
	int rc = src_look(w, op, &src);

	if (rc == SQLITE_OK)
		rc = put_look(w, op, &repeats);
	if (rc != SQLITE_OK || op->err != ERR_OK)
		return rc;
	move = journal_move(op, &src, repeats == op->u.put.n);
	if (move == JOURNAL_REFUSE) {
		conflict(op, -1);
		return SQLITE_OK;
	}
	w->pos.repeats += repeats;
	rc = put_store(w, op);
	if (rc == SQLITE_OK && move == JOURNAL_MOVE)
		rc = src_set(w, op);
	return rc;
}

/* The first seq whose commit time is not before `ms`.  Times never go back along the seqs. */
static int
seq_at_time(struct journal_writer *w, int64_t ms, uint64_t *seq)
{
	uint64_t lo = w->pos.first, hi = w->pos.head + 1;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		int64_t at = INT64_MAX;
		int rc;

		journal_db_bind_u(&w->db, REC_AT, 1, mid);
		rc = journal_db_step(&w->db, REC_AT);
		if (rc == SQLITE_ROW) {
			at = journal_db_i(&w->db, REC_AT, 0);
			journal_db_done(&w->db, REC_AT);
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

static int
group_start(struct journal_writer *w, struct journal_op *op)
{
	uint64_t first = w->pos.first, end = w->pos.head + 1;
	int64_t arg = op->u.group.from_arg;

	switch (op->u.group.from) {
	case JOURNAL_FROM_NEW: op->u.group.next = end; break;
	case JOURNAL_FROM_ALL: op->u.group.next = first; break;
	case JOURNAL_FROM_TIME: return seq_at_time(w, arg, &op->u.group.next);
	case JOURNAL_FROM_SEQ:
		op->u.group.next = arg < 0 || (uint64_t)arg < first ? first : (uint64_t)arg;
		if (op->u.group.next > end)
			op->u.group.next = end;
		break;
	}
	return SQLITE_OK;
}

static int
group(struct journal_writer *w, struct journal_op *op)
{
	enum st st = GROUP_SET;
	int rc;

	journal_db_bind_text(&w->db, GROUP_GET, 1, op->u.group.name);
	rc = journal_db_step(&w->db, GROUP_GET);
	if (rc == SQLITE_ROW) {
		op->u.group.next = journal_db_u(&w->db, GROUP_GET, 0);
		journal_db_done(&w->db, GROUP_GET);
	} else if (rc == SQLITE_DONE) {
		st = GROUP_ADD;
		rc = group_start(w, op);
		if (rc != SQLITE_OK)
			return rc;
		journal_db_bind_u(&w->db, st, 3, op->u.group.next);
	} else {
		return rc;
	}
	journal_db_bind_text(&w->db, st, 1, op->u.group.name);
	journal_db_bind_blob(&w->db, st, 2, op->u.group.settings);
	return journal_db_run(&w->db, st);
}

/* ERR_NOT_FOUND when the statement that ran before changed no row. */
static int
expect_one(struct journal_writer *w, struct journal_op *op, int rc)
{
	if (rc == SQLITE_OK && sqlite3_changes(w->db.db) == 0)
		op->err = ERR_NOT_FOUND;
	return rc;
}

static int
group_state(struct journal_writer *w, struct journal_op *op)
{
	journal_db_bind_text(&w->db, GROUP_STATE, 1, op->u.state.name);
	journal_db_bind_blob(&w->db, GROUP_STATE, 2, op->u.state.state);
	return expect_one(w, op, journal_db_run(&w->db, GROUP_STATE));
}

static int
dead(struct journal_writer *w, struct journal_op *op)
{
	int rc;

	journal_db_bind_text(&w->db, DEAD_ADD, 1, op->u.dead.group);
	journal_db_bind_u(&w->db, DEAD_ADD, 2, op->u.dead.seq);
	journal_db_bind_blob(&w->db, DEAD_ADD, 3, span_of(op->u.dead.id, sizeof op->u.dead.id));
	journal_db_bind_text(&w->db, DEAD_ADD, 4, op->u.dead.topic);
	journal_db_bind_text(&w->db, DEAD_ADD, 5, op->u.dead.key);
	journal_db_bind_text(&w->db, DEAD_ADD, 6, op->u.dead.reason);
	journal_db_bind_u(&w->db, DEAD_ADD, 7, op->u.dead.tries);
	journal_db_bind_i(&w->db, DEAD_ADD, 8, w->pos.at_ms);
	journal_db_bind_blob(&w->db, DEAD_ADD, 9, op->u.dead.frame);
	rc = journal_db_run(&w->db, DEAD_ADD);
	op->u.dead.no = (uint64_t)sqlite3_last_insert_rowid(w->db.db);
	return rc;
}

static int
dead_drop(struct journal_writer *w, struct journal_op *op)
{
	journal_db_bind_u(&w->db, DEAD_DEL, 1, op->u.dead.no);
	return expect_one(w, op, journal_db_run(&w->db, DEAD_DEL));
}

static int
claim(struct journal_writer *w, struct journal_op *op)
{
	int rc;

	journal_db_bind_text(&w->db, CLAIM_ADD, 1, op->u.claim.path);
	journal_db_bind_text(&w->db, CLAIM_ADD, 2, op->u.claim.name);
	journal_db_bind_u(&w->db, CLAIM_ADD, 3, JOURNAL_CLAIMS);
	rc = journal_db_run(&w->db, CLAIM_ADD);
	if (rc != SQLITE_OK)
		return rc;
	journal_db_bind_text(&w->db, CLAIM_GET, 1, op->u.claim.path);
	rc = journal_db_step(&w->db, CLAIM_GET);
	if (rc == SQLITE_DONE) {
		op->err = ERR_QUOTA;
		return SQLITE_OK;
	}
	if (rc != SQLITE_ROW)
		return rc;
	(void)str_copy(
	    op->u.claim.owner, sizeof op->u.claim.owner, journal_db_span(&w->db, CLAIM_GET, 0));
	journal_db_done(&w->db, CLAIM_GET);
	return SQLITE_OK;
}

static int
delete_by_name(struct journal_writer *w, enum st st, struct span name)
{
	journal_db_bind_text(&w->db, st, 1, name);
	return journal_db_run(&w->db, st);
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
	case JOURNAL_GROUP: return group(w, op);
	case JOURNAL_GROUP_STATE: return group_state(w, op);
	case JOURNAL_GROUP_DEL: return delete_by_name(w, GROUP_DEL, op->u.group.name);
	case JOURNAL_DEAD: return dead(w, op);
	case JOURNAL_DEAD_DROP: return dead_drop(w, op);
	case JOURNAL_CLAIM: return claim(w, op);
	case JOURNAL_CLAIM_DEL: return delete_by_name(w, CLAIM_DEL, op->u.claim.path);
	case JOURNAL_TRIM: return trim(w, op);
	}
	return SQLITE_MISUSE;
}

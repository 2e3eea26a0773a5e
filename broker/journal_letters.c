#include "broker/journal_letters.h"

#include "base/log.h"
#include "broker/journal_crc.h"

enum st { NEXT, ADD, GET, HAS, EDIT, DEL, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    /* The first for numbers that were given out, the second should that row be damaged. */
    [NEXT] = ("SELECT 1 + max(coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'dead'), 0),"
	      " coalesce((SELECT max(no) FROM dead), 0))"),
    [ADD] = "INSERT INTO dead(" JOURNAL_LETTER ")"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    [GET] = "SELECT " JOURNAL_LETTER " FROM dead WHERE no = ?1",
    [HAS] = "SELECT 1 FROM dead WHERE no = ?1",
    [EDIT] = "UPDATE dead SET topic = ?2, key = ?3, frame = ?4, crc = ?5 WHERE no = ?1",
    [DEL] = "DELETE FROM dead WHERE no = ?1",
};

int
journal_letters_prepare(struct journal_writer *w)
{
	w->letters.db = w->db.db;
	return journal_db_prepare(&w->letters, sql, STATEMENTS);
}

bool
journal_letters_load(const struct journal_db *d, unsigned st, struct journal_dead *out)
{
	*out = (struct journal_dead){
	    .no = journal_db_u(d, st, 0),
	    .group = journal_db_span(d, st, 1),
	    .seq = journal_db_u(d, st, 2),
	    .topic = journal_db_span(d, st, 4),
	    .key = journal_db_span(d, st, 5),
	    .reason = journal_db_span(d, st, 6),
	    .tries = (uint32_t)journal_db_u(d, st, 7),
	    .at_ms = journal_db_i(d, st, 8),
	    .frame = journal_db_span(d, st, 9),
	    .from = journal_db_span(d, st, 10),
	};
	return journal_db_fixed(d, st, 3, out->id, sizeof out->id) &&
	       journal_db_u(d, st, 11) == journal_crc_dead(out);
}

static int
next_no(struct journal_writer *w, uint64_t *no)
{
	int rc = journal_db_step(&w->letters, NEXT);

	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_CORRUPT : rc;
	*no = journal_db_u(&w->letters, NEXT, 0);
	journal_db_done(&w->letters, NEXT);
	return SQLITE_OK;
}

static int
add(struct journal_writer *w, struct journal_op *op)
{
	struct journal_db *d = &w->letters;
	struct journal_dead l = journal_dead_of(op, w->pos.at_ms);
	int rc = next_no(w, &l.no);

	if (rc != SQLITE_OK)
		return rc;
	op->u.dead.no = l.no;
	journal_db_bind_u(d, ADD, 1, l.no);
	journal_db_bind_text(d, ADD, 2, l.group);
	journal_db_bind_u(d, ADD, 3, l.seq);
	journal_db_bind_blob(d, ADD, 4, span_of(l.id, sizeof l.id));
	journal_db_bind_text(d, ADD, 5, l.topic);
	journal_db_bind_text(d, ADD, 6, l.key);
	journal_db_bind_text(d, ADD, 7, l.reason);
	journal_db_bind_u(d, ADD, 8, l.tries);
	journal_db_bind_i(d, ADD, 9, l.at_ms);
	journal_db_bind_blob(d, ADD, 10, l.frame);
	journal_db_bind_text(d, ADD, 11, l.from);
	journal_db_bind_u(d, ADD, 12, journal_crc_dead(&l));
	return journal_db_run(d, ADD);
}

/* What is damaged is not made good by a new frame. */
static int
edit(struct journal_writer *w, struct journal_op *op)
{
	struct journal_db *d = &w->letters;
	struct journal_dead l;
	uint32_t crc = 0;
	int rc;

	journal_db_bind_u(d, GET, 1, op->u.dead.no);
	rc = journal_db_step(d, GET);
	if (rc == SQLITE_ROW) {
		if (!journal_letters_load(d, GET, &l)) {
			log_error("journal_damaged", LOG_S("table", "dead"), LOG_U("dead", l.no));
			op->err = ERR_NOT_FOUND;
		}
		l.frame = op->u.dead.frame;
		l.topic = op->u.dead.topic;
		l.key = op->u.dead.key;
		crc = journal_crc_dead(&l);
		journal_db_done(d, GET);
	} else if (rc == SQLITE_DONE) {
		op->err = ERR_NOT_FOUND;
	} else {
		return rc;
	}
	if (op->err != ERR_OK)
		return SQLITE_OK;
	journal_db_bind_u(d, EDIT, 1, op->u.dead.no);
	journal_db_bind_text(d, EDIT, 2, op->u.dead.topic);
	journal_db_bind_text(d, EDIT, 3, op->u.dead.key);
	journal_db_bind_blob(d, EDIT, 4, op->u.dead.frame);
	journal_db_bind_u(d, EDIT, 5, crc);
	return journal_db_run(d, EDIT);
}

int
journal_letters_has(struct journal_writer *w, uint64_t no, bool *has)
{
	int rc;

	journal_db_bind_u(&w->letters, HAS, 1, no);
	rc = journal_db_step(&w->letters, HAS);
	*has = rc == SQLITE_ROW;
	if (rc == SQLITE_ROW)
		journal_db_done(&w->letters, HAS);
	return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
journal_letters_drop(struct journal_writer *w, uint64_t no)
{
	journal_db_bind_u(&w->letters, DEL, 1, no);
	return journal_db_run(&w->letters, DEL);
}

int
journal_letters_exec(struct journal_writer *w, struct journal_op *op)
{
	int rc;

	if (op->kind == JOURNAL_DEAD)
		return add(w, op);
	if (op->kind == JOURNAL_DEAD_EDIT)
		return edit(w, op);
	rc = journal_letters_drop(w, op->u.dead.no);
	if (rc == SQLITE_OK && sqlite3_changes(w->db.db) == 0)
		op->err = ERR_NOT_FOUND;
	return rc;
}

#include "broker/journal_last.h"

#include "broker/journal_crc.h"

enum st { GET, SET, DEL, STATEMENTS };

static const char *const sql[STATEMENTS] = {
    [GET] = "SELECT length(frame) FROM retained WHERE topic = ?1",
    [SET] = "INSERT OR REPLACE INTO retained(" JOURNAL_LAST ")"
	    " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    [DEL] = "DELETE FROM retained WHERE topic = ?1",
};

int
journal_last_prepare(struct journal_writer *w)
{
	w->last.db = w->db.db;
	return journal_db_prepare(&w->last, sql, STATEMENTS);
}

int
journal_last_recover(struct journal_writer *w)
{
	int64_t n, bytes;
	int rc = journal_db_get(&w->db, "SELECT count(*) FROM retained", &n);

	if (rc == SQLITE_OK)
		rc = journal_db_get(&w->db, "SELECT sum(length(frame)) FROM retained", &bytes);
	if (rc == SQLITE_OK)
		w->pos.last = (struct journal_kept){(uint64_t)n, (uint64_t)bytes};
	return rc;
}

/* What is kept of a topic now: nothing, or one value. */
static int
of_topic(struct journal_writer *w, struct span topic, struct journal_kept *old)
{
	int rc;

	*old = (struct journal_kept){0};
	journal_db_bind_text(&w->last, GET, 1, topic);
	rc = journal_db_step(&w->last, GET);
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_OK : rc;
	*old = (struct journal_kept){1, journal_db_u(&w->last, GET, 0)};
	journal_db_done(&w->last, GET);
	return SQLITE_OK;
}

int
journal_last_look(struct journal_writer *w, const struct journal_op *op, bool *fits)
{
	const struct journal_rec *r = op->u.put.recs;
	struct journal_kept old = {0};
	int rc = SQLITE_OK;

	if (op->u.put.n == 1 && r->retain == JOURNAL_RETAIN_SET && !r->repeat)
		rc = of_topic(w, r->topic, &old);
	*fits = journal_fits(op, w->pos.last, old);
	return rc;
}

int
journal_last_store(struct journal_writer *w, const struct journal_row *r, bool clear)
{
	struct journal_db *d = &w->last;
	struct journal_row row = *r;
	struct journal_kept old;
	int rc = of_topic(w, r->topic, &old);

	if (rc != SQLITE_OK)
		return rc;
	w->pos.last.n -= old.n;
	w->pos.last.bytes -= old.bytes;
	if (clear) {
		journal_db_bind_text(d, DEL, 1, r->topic);
		return journal_db_run(d, DEL);
	}
	w->pos.last.n++;
	w->pos.last.bytes += r->frame.n;
	row.only = (struct span){NULL, 0};
	journal_db_bind_u(d, SET, 1, r->seq);
	journal_db_bind_i(d, SET, 2, r->at_ms);
	journal_db_bind_i(d, SET, 3, r->exp_ms);
	journal_db_bind_blob(d, SET, 4, span_of(r->id, sizeof r->id));
	journal_db_bind_u(d, SET, 5, journal_crc_row(&row));
	journal_db_bind_text(d, SET, 6, r->topic);
	journal_db_bind_text(d, SET, 7, r->key);
	journal_db_bind_blob(d, SET, 8, r->frame);
	journal_db_bind_text(d, SET, 9, r->from);
	return journal_db_run(d, SET);
}

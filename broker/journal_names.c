#include "broker/journal_names.h"

#include "base/log.h"
#include "base/str.h"
#include "broker/journal_crc.h"

enum st {
	REC_AT,
	GROUP_GET,
	GROUP_ADD,
	GROUP_SET,
	GROUP_STATE,
	GROUP_DEL,
	CLAIM_ADD,
	CLAIM_GET,
	CLAIM_DEL,
	POLICY_ADD,
	POLICY_DEL,
	STATEMENTS
};

static const char *const sql[STATEMENTS] = {
    [REC_AT] = "SELECT at FROM records WHERE seq >= ?1 ORDER BY seq LIMIT 1",
    [GROUP_GET] = "SELECT next FROM groups WHERE name = ?1",
    [GROUP_ADD] = ("INSERT INTO groups(name, settings, next, crc, state_crc)"
		   " VALUES(?1, ?2, ?3, ?4, ?5)"),
    [GROUP_SET] = "UPDATE groups SET settings = ?2, crc = ?4 WHERE name = ?1",
    [GROUP_STATE] = "UPDATE groups SET state = ?2, state_crc = ?3 WHERE name = ?1",
    [GROUP_DEL] = "DELETE FROM groups WHERE name = ?1",
    [CLAIM_ADD] = ("INSERT INTO claims(path, name, crc) SELECT ?1, ?2, ?4"
		   " WHERE (SELECT count(*) FROM claims) < ?3 ON CONFLICT DO NOTHING"),
    [CLAIM_GET] = "SELECT name, crc FROM claims WHERE path = ?1",
    [CLAIM_DEL] = "DELETE FROM claims WHERE path = ?1",
    [POLICY_ADD] = ("INSERT INTO policies(pattern, settings, crc) SELECT ?1, ?2, ?4"
		    " WHERE (SELECT count(*) FROM policies WHERE pattern <> ?1) < ?3"
		    " ON CONFLICT(pattern) DO UPDATE SET settings = ?2, crc = ?4"),
    [POLICY_DEL] = "DELETE FROM policies WHERE pattern = ?1",
};

int
journal_names_prepare(struct journal_writer *w)
{
	w->names.db = w->db.db;
	return journal_db_prepare(&w->names, sql, STATEMENTS);
}

uint32_t
journal_names_crc(struct span name, struct span value)
{
	return journal_crc_span(journal_crc_span(0, name), value);
}

uint32_t
journal_names_crc_group(struct span name, struct span settings, uint64_t next)
{
	return journal_crc_num(journal_names_crc(name, settings), next);
}

/* ---- groups ---- */

static int
group_start(struct journal_writer *w, struct journal_op *op)
{
	uint64_t first = w->pos.first, end = w->pos.head + 1;
	int64_t arg = op->u.group.from_arg;

	switch (op->u.group.from) {
	case JOURNAL_FROM_NEW: op->u.group.next = end; break;
	case JOURNAL_FROM_ALL: op->u.group.next = first; break;
	case JOURNAL_FROM_TIME:
		op->u.group.next = first;
		return journal_db_seek(&w->names, REC_AT, arg, end, &op->u.group.next);
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
	struct journal_db *d = &w->names;
	struct span name = op->u.group.name;
	enum st st = GROUP_SET;
	int rc;

	journal_db_bind_text(d, GROUP_GET, 1, name);
	rc = journal_db_step(d, GROUP_GET);
	if (rc == SQLITE_ROW) {
		op->u.group.next = journal_db_u(d, GROUP_GET, 0);
		journal_db_done(d, GROUP_GET);
	} else if (rc == SQLITE_DONE) {
		st = GROUP_ADD;
		rc = group_start(w, op);
		if (rc != SQLITE_OK)
			return rc;
		journal_db_bind_u(d, st, 3, op->u.group.next);
		journal_db_bind_u(d, st, 5, journal_names_crc(name, (struct span){NULL, 0}));
	} else {
		return rc;
	}
	journal_db_bind_text(d, st, 1, name);
	journal_db_bind_blob(d, st, 2, op->u.group.settings);
	journal_db_bind_u(
	    d, st, 4, journal_names_crc_group(name, op->u.group.settings, op->u.group.next));
	return journal_db_run(d, st);
}

static int
group_state(struct journal_writer *w, struct journal_op *op)
{
	struct journal_db *d = &w->names;
	int rc;

	journal_db_bind_text(d, GROUP_STATE, 1, op->u.state.name);
	journal_db_bind_blob(d, GROUP_STATE, 2, op->u.state.state);
	journal_db_bind_u(
	    d, GROUP_STATE, 3, journal_names_crc(op->u.state.name, op->u.state.state));
	rc = journal_db_run(d, GROUP_STATE);
	if (rc == SQLITE_OK && sqlite3_changes(d->db) == 0)
		op->err = ERR_NOT_FOUND;
	return rc;
}

/* ---- claims, policies ---- */

static int
delete_by_name(struct journal_writer *w, enum st st, struct span name)
{
	journal_db_bind_text(&w->names, st, 1, name);
	return journal_db_run(&w->names, st);
}

static int
claim_add(struct journal_writer *w, const struct journal_op *op)
{
	struct journal_db *d = &w->names;

	journal_db_bind_text(d, CLAIM_ADD, 1, op->u.claim.path);
	journal_db_bind_text(d, CLAIM_ADD, 2, op->u.claim.name);
	journal_db_bind_u(d, CLAIM_ADD, 3, JOURNAL_CLAIMS);
	journal_db_bind_u(d, CLAIM_ADD, 4, journal_names_crc(op->u.claim.path, op->u.claim.name));
	return journal_db_run(d, CLAIM_ADD);
}

/* Whose it is; a row that is damaged is nobody's (*damaged). */
static int
claim_owner(struct journal_writer *w, struct journal_op *op, bool *damaged)
{
	struct journal_db *d = &w->names;
	struct span owner;
	int rc;

	journal_db_bind_text(d, CLAIM_GET, 1, op->u.claim.path);
	rc = journal_db_step(d, CLAIM_GET);
	if (rc == SQLITE_DONE)
		op->err = ERR_QUOTA;
	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? SQLITE_OK : rc;
	owner = journal_db_span(d, CLAIM_GET, 0);
	*damaged = journal_db_u(d, CLAIM_GET, 1) != journal_names_crc(op->u.claim.path, owner);
	(void)str_copy(op->u.claim.owner, sizeof op->u.claim.owner, owner);
	journal_db_done(d, CLAIM_GET);
	return SQLITE_OK;
}

static int
claim(struct journal_writer *w, struct journal_op *op)
{
	bool damaged = false;
	int rc = claim_add(w, op);

	if (rc == SQLITE_OK)
		rc = claim_owner(w, op, &damaged);
	if (rc != SQLITE_OK || !damaged)
		return rc;
	log_error("journal_damaged", LOG_S("table", "claims"), LOG_B("name", op->u.claim.path));
	rc = delete_by_name(w, CLAIM_DEL, op->u.claim.path);
	if (rc == SQLITE_OK)
		rc = claim_add(w, op);
	return rc == SQLITE_OK ? claim_owner(w, op, &damaged) : rc;
}

static int
policy(struct journal_writer *w, struct journal_op *op)
{
	struct journal_db *d = &w->names;
	int rc;

	journal_db_bind_text(d, POLICY_ADD, 1, op->u.policy.pattern);
	journal_db_bind_blob(d, POLICY_ADD, 2, op->u.policy.settings);
	journal_db_bind_u(d, POLICY_ADD, 3, JOURNAL_POLICIES);
	journal_db_bind_u(
	    d, POLICY_ADD, 4, journal_names_crc(op->u.policy.pattern, op->u.policy.settings));
	rc = journal_db_run(d, POLICY_ADD);
	if (rc == SQLITE_OK && sqlite3_changes(d->db) == 0)
		op->err = ERR_QUOTA;
	return rc;
}

int
journal_names_exec(struct journal_writer *w, struct journal_op *op)
{
	switch ((int)op->kind) {
	case JOURNAL_GROUP: return group(w, op);
	case JOURNAL_GROUP_STATE: return group_state(w, op);
	case JOURNAL_GROUP_DEL: return delete_by_name(w, GROUP_DEL, op->u.group.name);
	case JOURNAL_CLAIM: return claim(w, op);
	case JOURNAL_CLAIM_DEL: return delete_by_name(w, CLAIM_DEL, op->u.claim.path);
	case JOURNAL_POLICY: return policy(w, op);
	case JOURNAL_POLICY_DEL: return delete_by_name(w, POLICY_DEL, op->u.policy.pattern);
	default: return SQLITE_MISUSE;
	}
}

#include "broker/journal_checkpoint.h"

#include <stddef.h>

#include "broker/journal_mover.h"

#define MOST 2    /* times `every`, and the writer waits for the mover */
#define LITTLE 16 /* a part of `every` that costs the writer as little as a commit */

static int
on_commit(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct journal_checkpoint *c = arg;

	(void)db;
	(void)name;
	/* Fewer than before: the WAL started over. */
	if (pages < c->pages) {
		c->at = c->every;
		c->again = false;
		c->done = 0;
	}
	c->last = pages > c->pages ? pages - c->pages : pages;
	c->pages = pages;
	c->moved = false;
	c->commits++;
	return SQLITE_OK;
}

void
journal_checkpoint_init(struct journal_checkpoint *c, sqlite3 *db)
{
	c->db = db;
	journal_checkpoint_every(c, JOURNAL_CHECKPOINT_PAGES);
	sqlite3_wal_hook(db, on_commit, c);
}

void
journal_checkpoint_every(struct journal_checkpoint *c, int pages)
{
	c->at = c->every = pages;
}

static bool
is_final(int rc)
{
	rc &= 0xff;
	return rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_FULL;
}

int
journal_checkpoint_look(struct journal_checkpoint *c)
{
	struct journal_moved m;

	if (c->mover == NULL || !journal_mover_look(c->mover, &m) || !is_final(m.rc))
		return SQLITE_OK;
	/* Not taken: it stays the last word. */
	c->failed = m.rc;
	c->err = m.err;
	return m.rc;
}

bool
journal_checkpoint_close(struct journal_checkpoint *c)
{
	bool fine;

	if (c->mover == NULL)
		return true;
	journal_mover_wait(c->mover);
	fine = journal_checkpoint_look(c) == SQLITE_OK;
	journal_mover_close(c->mover);
	c->mover = NULL;
	return fine;
}

/* What the mover has done since it was asked. */
static void
note(struct journal_checkpoint *c, const struct journal_moved *m)
{
	/* By a reader; who only begins, or is the writer, is seen for a moment. */
	bool held = m->moved < c->asked && m->moved <= c->done;

	c->done = m->moved;
	c->moved = c->commits == c->seen && m->moved == c->pages;
	/* Fewer pages than were moved: it started over. */
	c->again = !c->moved && !held && m->moved <= c->pages;
	/* While a reader keeps it from starting over it grows; not each commit should try again. */
	if (c->moved || held)
		c->at = c->pages + c->every;
}

/* The word of a pass that has ended. */
static int
take(struct journal_checkpoint *c)
{
	struct journal_moved m;
	int rc = journal_checkpoint_look(c);

	if (rc != SQLITE_OK || c->mover == NULL || !journal_mover_look(c->mover, &m))
		return rc;
	journal_mover_take(c->mover);
	if (m.rc == SQLITE_OK)
		note(c, &m);
	c->seen = c->commits;
	return (m.rc & 0xff) == SQLITE_FULL ? m.rc : SQLITE_OK;
}

int
journal_checkpoint_now(struct journal_checkpoint *c)
{
	int pages = 0, moved = 0, rc = SQLITE_OK;

	if (c->mover != NULL) {
		journal_mover_wait(c->mover);
		rc = take(c);
	}
	if (is_final(rc))
		return rc;
	/* SQLite's own automatic checkpoint forgets a failed fsync of the database and tries again;
	 * the second one may succeed without the pages of the first. */
	rc = sqlite3_wal_checkpoint_v2(c->db, "main", SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
	c->again = false;
	c->moved = rc == SQLITE_OK && moved == pages;
	c->at = c->pages + (c->moved ? c->every : c->every / 4);
	return (rc & 0xff) == SQLITE_BUSY ? SQLITE_OK : rc;
}

/* Asked without a commit since its last pass it might find nothing to move, and the WAL started
 * over under it. */
static void
ask(struct journal_checkpoint *c)
{
	if (c->commits == c->seen)
		return;
	c->seen = c->commits;
	c->asked = c->pages;
	journal_mover_ask(c->mover);
}

/* What the mover will never catch up with: the last commit, or as little. */
static bool
is_little(const struct journal_checkpoint *c, int pages)
{
	return pages <= c->last || pages <= c->every / LITTLE;
}

int
journal_checkpoint_step(struct journal_checkpoint *c)
{
	int rc = take(c);

	if (rc != SQLITE_OK || c->moved || (c->pages < c->at && !c->again))
		return rc;
	if (c->mover == NULL || c->pages >= c->at + (MOST - 1) * c->every)
		return journal_checkpoint_now(c);
	if (journal_mover_busy(c->mover))
		return SQLITE_OK;
	if (c->again && is_little(c, c->pages - c->done))
		return journal_checkpoint_now(c);
	ask(c);
	return SQLITE_OK;
}

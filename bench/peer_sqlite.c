/* Plain SQLite as a log: pub PATH: rows of `size` bytes, `window` a transaction, WAL with
 * synchronous=FULL, so that each commit is one fdatasync. */
#include <sqlite3.h>
#include <stdio.h>

#include "base/die.h"
#include "bench/lib/load.h"

struct log {
	struct lane *l;
	sqlite3 *db;
	sqlite3_stmt *begin, *insert, *commit;
	uint8_t *body;
	unsigned done;
};

static void
sql(struct log *g, const char *text)
{
	if (sqlite3_exec(g->db, text, NULL, NULL, NULL) != SQLITE_OK)
		die(1, "sqlite %s: %s", text, sqlite3_errmsg(g->db));
}

static sqlite3_stmt *
prepare(struct log *g, const char *text)
{
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(g->db, text, -1, &st, NULL) != SQLITE_OK)
		die(1, "sqlite %s: %s", text, sqlite3_errmsg(g->db));
	return st;
}

static void
step(struct log *g, sqlite3_stmt *st)
{
	if (sqlite3_step(st) != SQLITE_DONE)
		die(1, "sqlite: %s", sqlite3_errmsg(g->db));
	sqlite3_reset(st);
}

static void *
open_log(struct lane *l)
{
	struct log *g = xcalloc(1, sizeof *g);

	g->l = l;
	if (sqlite3_open(l->conf->endpoint, &g->db) != SQLITE_OK)
		die(1, "sqlite %s: %s", l->conf->endpoint, sqlite3_errmsg(g->db));
	sql(g, "PRAGMA journal_mode=WAL");
	sql(g, "PRAGMA synchronous=FULL");
	sql(g, "PRAGMA locking_mode=EXCLUSIVE");
	sql(g, "CREATE TABLE IF NOT EXISTS log (seq INTEGER PRIMARY KEY, body BLOB)");
	g->begin = prepare(g, "BEGIN IMMEDIATE");
	g->insert = prepare(g, "INSERT INTO log (body) VALUES (?)");
	g->commit = prepare(g, "COMMIT");
	g->body = xcalloc(1, l->conf->size);
	return g;
}

static void
append(void *x, unsigned n)
{
	struct log *g = x;

	step(g, g->begin);
	for (unsigned i = 0; i < n; i++) {
		load_payload(g->l, g->body);
		sqlite3_bind_blob(g->insert, 1, g->body, (int)g->l->conf->size, SQLITE_STATIC);
		step(g, g->insert);
	}
	step(g, g->commit);
	g->done = n;
}

static unsigned
take(void *x)
{
	struct log *g = x;

	return g->done;
}

int
main(int argc, char **argv)
{
	static const struct load_mode modes[] = {
	    {.name = "pub", .open = open_log, .send = append, .take = take}};

	return load_main(argc, argv, modes, 1);
}

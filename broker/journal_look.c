#include "broker/journal_look.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/die.h"
#include "broker/journal_format.h"
#include "broker/journal_schema.h"

static const char setup[] = "PRAGMA query_only=ON;"
			    "PRAGMA trusted_schema=OFF;"
			    "PRAGMA cell_size_check=ON;"
			    "PRAGMA cache_size=-8192;"
			    "BEGIN;";

static int
refuse(const struct journal_db *d, const char *dir)
{
	fprintf(stderr, "%s/" JOURNAL_FILE ": %s\n", dir,
	    d->db != NULL ? sqlite3_errmsg(d->db) : "out of memory");
	return -1;
}

static int
check_format(struct journal_db *d, const char *dir)
{
	int64_t app = 0, version = 0;

	if (journal_db_get(d, "PRAGMA application_id", &app) != SQLITE_OK ||
	    journal_db_get(d, "PRAGMA user_version", &version) != SQLITE_OK)
		return refuse(d, dir);
	if (app == JOURNAL_APPLICATION && version == JOURNAL_FORMAT)
		return 0;
	if (app == JOURNAL_APPLICATION) {
		fprintf(stderr, "%s/" JOURNAL_FILE ": format %d, this program reads %d%s\n", dir,
		    (int)version, JOURNAL_FORMAT,
		    version < JOURNAL_FORMAT ? " (a broker or `compact` brings it up)" : "");
	} else {
		fprintf(stderr, "%s/" JOURNAL_FILE ": not a journal\n", dir);
	}
	return -1;
}

int
journal_look_open(struct journal_db *d, const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_FILE, dir);
	int rc = access(path, R_OK);

	*d = (struct journal_db){0};
	if (rc == -1) {
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	} else {
		rc = sqlite3_open_v2(
		    path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
		if (rc == SQLITE_OK)
			rc = sqlite3_busy_timeout(d->db, 5000);
		if (rc == SQLITE_OK)
			rc = journal_db_exec(d, setup);
		if (rc == SQLITE_OK)
			rc = journal_format_function(d);
		rc = rc != SQLITE_OK ? refuse(d, dir) : check_format(d, dir);
	}
	free(path);
	if (rc != 0)
		journal_look_close(d);
	return rc == 0 ? 0 : -1;
}

void
journal_look_close(struct journal_db *d)
{
	journal_db_close(d);
}

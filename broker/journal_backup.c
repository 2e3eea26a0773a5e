#include "broker/journal_backup.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/journal_schema.h"

enum { PAGES = 64 }; /* a quarter of a MiB: less than a commit takes */

void
journal_backup_init(struct journal_backup *b)
{
	*b = (struct journal_backup){.copy.fd = -1};
	list_init(&b->waiting);
}

void
journal_backup_take(struct journal_backup *b, struct list *batch)
{
	struct journal_op *op;

	LIST_EACH (op, batch, struct journal_op, node) {
		if (op->kind != JOURNAL_BACKUP)
			continue;
		list_remove(&op->node);
		list_push_back(&b->waiting, &op->node);
	}
}

bool
journal_backup_busy(const struct journal_backup *b)
{
	return !list_empty(&b->waiting);
}

static void
end(struct journal_op *op, enum err err, struct list *done)
{
	op->err = err;
	list_remove(&op->node);
	list_push_back(done, &op->node);
}

static int64_t
size_of(const char *dir)
{
	char *path = xasprintf("%s/" JOURNAL_FILE, dir);
	struct stat st = {0};

	(void)stat(path, &st);
	free(path);
	return st.st_size;
}

static void
begin(struct journal_backup *b, sqlite3 *from, struct list *done)
{
	struct journal_op *op = LIST_FIRST(&b->waiting, struct journal_op, node);
	char *dir = span_dup(op->u.backup.dir);

	errno = 0;
	if (journal_copy_begin(&b->copy, from, dir) == -1)
		end(op, errno == EEXIST ? ERR_CONFLICT : ERR_INTERNAL, done);
	free(dir);
}

void
journal_backup_step(struct journal_backup *b, sqlite3 *from, struct list *done)
{
	struct journal_op *op = LIST_FIRST(&b->waiting, struct journal_op, node);
	char *dir;
	int rc;

	if (op == NULL)
		return;
	if (b->copy.backup == NULL) {
		begin(b, from, done);
		return;
	}
	rc = journal_copy_step(&b->copy, PAGES);
	if (rc == 1)
		return;
	dir = span_dup(op->u.backup.dir);
	op->u.backup.bytes = rc == 0 ? (uint64_t)size_of(dir) : 0;
	if (rc == 0)
		log_info("journal_backup", LOG_S("dir", dir), LOG_U("bytes", op->u.backup.bytes));
	end(op, rc == 0 ? ERR_OK : ERR_INTERNAL, done);
	free(dir);
}

void
journal_backup_abandon(struct journal_backup *b, enum err err, struct list *done)
{
	struct journal_op *op;

	if (b->copy.backup != NULL)
		journal_copy_abandon(&b->copy);
	LIST_EACH (op, &b->waiting, struct journal_op, node)
		end(op, err, done);
}

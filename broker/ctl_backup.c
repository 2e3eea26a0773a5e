/* sys.backup: a copy of the journal beside the broker's work. */
#include "base/die.h"
#include "broker/auth.h"
#include "broker/ctl_impl.h"

enum { PATH_MOST = 1024 };

struct backup {
	struct job job;
	struct ctl_call call;
	char *path;
};

static const char *
why(enum err e)
{
	switch ((int)e) {
	case ERR_CONFLICT: return "there is a journal already in this directory";
	case ERR_NOT_FOUND: return "the journal is in memory";
	case ERR_DRAINING: return "the broker is stopping";
	case ERR_STORE_FAILED: return "the journal failed";
	default:
		return "the copy failed: the broker must be allowed to make this directory; its "
		       "log says more (evt=journal_backup_failed)";
	}
}

static void
on_done(struct broker *b, struct job *j)
{
	struct backup *u = LIST_ITEM(j, struct backup, job);
	struct buf body;

	if (j->op.err != ERR_OK) {
		ctl_refuse(b, &u->call, j->op.err, why(j->op.err));
	} else {
		buf_init(&body, LIMIT_HEADER);
		mp_put_map(&body, 3);
		ctl_put_str(&body, "path", u->path);
		ctl_put_u(&body, "head", j->op.head);
		ctl_put_u(&body, "bytes", j->op.u.backup.bytes);
		ctl_answer(b, &u->call, &body);
		buf_fini(&body);
	}
	free(u->path);
	free(u);
}

void
ctl_backup(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct peer *p = registry_by_session(&b->reg, c->session);
	struct span path = doc_str(o, "path");
	struct backup *u;

	if (p == NULL || strcmp(auth_name(p), ACL_LOCAL) != 0) {
		ctl_refuse(
		    b, c, ERR_DENIED, "only for `local`: it writes files on the broker's machine");
		return;
	}
	if (path.n == 0 || path.n > PATH_MOST || path.p[0] != '/' ||
	    memchr(path.p, '\0', path.n) != NULL) {
		ctl_missing(b, c, "/path", "expected an absolute path of a directory");
		return;
	}
	u = xcalloc(1, sizeof(*u));
	u->call = *c;
	u->path = span_dup(path);
	u->job.op.kind = JOURNAL_BACKUP;
	u->job.op.u.backup.dir = span_str(u->path);
	u->job.done = on_done;
	broker_submit(b, &u->job);
}

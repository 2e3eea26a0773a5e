/* sys.claim: whose a path is.  The first claim wins and is kept in the journal, which takes
 * JOURNAL_CLAIMS of them: one name, and one session, may have no more than a part. */
#include "base/die.h"
#include "broker/auth.h"
#include "broker/claims.h"
#include "broker/ctl_impl.h"

/* As long as the edge takes them. */
enum { PATH_MAX_BYTES = 255, NAME_MAX_BYTES = 127 };
enum { NAME_CLAIMS = 1024, SESSION_CLAIMS = 4096 };

struct claim {
	struct job job;
	struct ctl_call call;
	char *path, *name;
	bool fresh; /* nobody had, or was about to have, the path */
};

static void
note(struct broker *b, const struct claim *c)
{
	const struct journal_op *op = &c->job.op;

	if (op->err != ERR_OK) {
		if (c->fresh)
			claims_del(b->claims, span_str(c->path));
	} else if (op->kind == JOURNAL_CLAIM) {
		claims_set(b->claims, span_str(c->path), span_str(op->u.claim.owner));
	} else {
		claims_del(b->claims, span_str(c->path));
	}
}

static void
on_done(struct broker *b, struct job *j)
{
	struct claim *c = LIST_ITEM(j, struct claim, job);
	struct buf body;

	note(b, c);
	if (j->op.err != ERR_OK) {
		ctl_refuse_op(b, &c->call, j->op.err, "too many paths are claimed");
	} else {
		buf_init(&body, LIMIT_HEADER);
		mp_put_map(&body, 2);
		ctl_put_str(&body, "path", c->path);
		ctl_put_str(
		    &body, "name", j->op.kind == JOURNAL_CLAIM ? j->op.u.claim.owner : c->name);
		ctl_answer(b, &c->call, &body);
		buf_fini(&body);
		broker_changed(b, true, false);
	}
	free(c->path);
	free(c->name);
	free(c);
}

static void
submit(struct broker *b, const struct ctl_call *call, enum journal_kind kind, struct span path,
    struct span name)
{
	struct claim *c = xcalloc(1, sizeof(*c));

	c->call = *call;
	c->path = span_dup(path);
	c->name = span_dup(name);
	c->job.op.kind = kind;
	c->job.op.u.claim.path = span_str(c->path);
	c->job.op.u.claim.name = span_str(c->name);
	c->job.done = on_done;
	c->fresh = kind == JOURNAL_CLAIM && claims_name(b->claims, span_str(c->path)) == NULL;
	if (c->fresh)
		claims_set(b->claims, span_str(c->path), span_str(c->name));
	broker_submit(b, &c->job);
}

/* True: it may be submitted; else it was answered. */
static bool
has_room(struct broker *b, const struct ctl_call *c, struct span path, struct span name)
{
	struct peer *p = registry_by_session(&b->reg, c->session);

	if (claims_name(b->claims, path) != NULL || p == NULL)
		return true;
	if (claims_of(b->claims, name) >= NAME_CLAIMS) {
		ctl_refuse(b, c, ERR_QUOTA, "this name has claimed 1,024 paths");
		return false;
	}
	if (p->claims >= SESSION_CLAIMS) {
		ctl_refuse(b, c, ERR_QUOTA, "this session has claimed 4,096 paths");
		return false;
	}
	p->claims++;
	return true;
}

static bool
is_loaded(struct broker *b, const struct ctl_call *c)
{
	if (b->claims == NULL)
		b->claims = claims_load(b->journal);
	if (b->claims == NULL)
		ctl_refuse(b, c, ERR_STORE_FAILED, "the journal cannot be read");
	return b->claims != NULL;
}

static bool
may_claim(struct broker *b, const struct ctl_call *c, struct span name)
{
	struct peer *p = registry_by_session(&b->reg, c->session);
	const char *why = p != NULL ? auth_refuses_claim(b, p, name) : NULL;

	if (why != NULL)
		ctl_refuse(b, c, ERR_DENIED, why);
	return why == NULL;
}

void
ctl_claim(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct span path = doc_str(o, "path"), name = doc_str(o, "name");

	if (path.n == 0 || path.n > PATH_MAX_BYTES) {
		ctl_missing(b, c, "/path", "expected a string of 1 to 255 bytes");
	} else if (name.n == 0 || name.n > NAME_MAX_BYTES) {
		ctl_missing(b, c, "/name", "expected a string of 1 to 127 bytes");
	} else if (may_claim(b, c, name) && is_loaded(b, c) && has_room(b, c, path, name)) {
		submit(b, c, JOURNAL_CLAIM, path, name);
	}
}

void
ctl_claim_forget(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct span path = doc_str(o, "path");
	const char *name;

	if (path.n == 0) {
		ctl_missing(b, c, "/path", "expected a string");
	} else if (is_loaded(b, c)) {
		name = claims_name(b->claims, path);
		if (name == NULL) {
			ctl_refuse(b, c, ERR_NOT_FOUND, "nobody has claimed this path");
		} else if (may_claim(b, c, span_str(name))) {
			submit(b, c, JOURNAL_CLAIM_DEL, path, span_str(name));
		}
	}
}

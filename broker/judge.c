/* What a peer may do. */
#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "broker/auth_impl.h"
#include "proto/mp.h"

const struct acl_entry *
auth_entry(const struct peer *p)
{
	return p->who != NULL ? p->who->entry : NULL;
}

const char *
auth_name(const struct peer *p)
{
	const struct acl_entry *e = auth_entry(p);

	return e != NULL ? e->name : ACL_LOCAL;
}

void
auth_forget(struct peer *p)
{
	if (p->who == NULL)
		return;
	free(p->who->memo);
	free(p->who);
	p->who = NULL;
}

/* ---- refusing ---- */

static const char *
deny(struct broker *b, struct peer *p, const char *verb, struct span what, const char *because)
{
	struct auth *a = b->auth;

	b->drops[DROP_DENIED]++;
	(void)snprintf(a->text, sizeof(a->text), "%s %.*s: entry %s %s", verb, (int)what.n,
	    (const char *)what.p, auth_name(p), because);
	if (log_allow(&a->denied_lines, broker_now(b), 2)) {
		log_warn("denied", LOG_S("identity", auth_name(p)), LOG_U("session", p->session),
		    LOG_S("verb", verb), LOG_B("what", what),
		    LOG_U("suppressed", a->denied_lines.last));
	}
	return a->text;
}

/* ---- topics, often the same ---- */

static bool
remembers(const struct auth_memo *m, enum acl_verb verb, struct span topic)
{
	for (unsigned i = 0; m != NULL && i < MEMOS; i++) {
		if (m->v[i].n == topic.n && m->v[i].verb == verb &&
		    memcmp(m->v[i].topic, topic.p, topic.n) == 0)
			return true;
	}
	return false;
}

static void
remember(struct auth_peer *w, enum acl_verb verb, struct span topic)
{
	unsigned at;

	if (topic.n > LIMIT_TOPIC)
		return;
	if (w->memo == NULL)
		w->memo = xcalloc(1, sizeof(*w->memo));
	at = w->memo->next++ % MEMOS;
	w->memo->v[at].verb = verb;
	w->memo->v[at].n = topic.n;
	memcpy(w->memo->v[at].topic, topic.p, topic.n);
}

const char *
auth_judge(struct broker *b, struct peer *p, enum acl_verb verb, struct span what)
{
	const struct acl_entry *e = p->who->entry;
	bool often = verb == ACL_PUBLISH || verb == ACL_REQUEST;

	if (e == NULL || (often && remembers(p->who->memo, verb, what)))
		return NULL;
	if (!acl_allows(e, verb, what))
		return deny(b, p, acl_verb_text(verb), what, "is not allowed to");
	if (often)
		remember(p->who, verb, what);
	return NULL;
}

const char *
auth_judge_as(struct broker *b, struct peer *p, const struct env *e)
{
	const struct acl_entry *entry = p->who->entry;

	if (entry == NULL || entry->act_as)
		return NULL;
	return deny(b, p, "send `as` another to", e->topic, "has no act-as");
}

/* ---- SUB ---- */

/* The body of a SUB, a map that was scanned: with `api` it needs a name that may have paths.  Every
 * `name` in it must be allowed, whichever of them a reader takes. */
const char *
auth_desc_fault(const struct acl_entry *e, struct span body)
{
	bool api = false, named = false, allowed = true;
	struct mp_r r;

	mp_r_init(&r, body);
	if (body.n == 0 || mp_peek(&r) != MP_MAP)
		return NULL;
	for (unsigned n = mp_map(&r); n > 0 && !r.bad; n--) {
		struct span key =
		    mp_peek(&r) == MP_STR ? mp_str(&r, LIMIT_DESC) : (mp_raw(&r), span_str(""));

		api |= span_is(key, "api");
		if (span_is(key, "name") && mp_peek(&r) == MP_STR) {
			named = true;
			allowed &= acl_allows_route(e, mp_str(&r, LIMIT_DESC));
		} else {
			mp_raw(&r);
		}
	}
	if (!api)
		return NULL;
	return !named              ? "has a description with `api` and no name"
	       : allowed && !r.bad ? NULL
				   : "is not allowed to announce paths under the name it gives";
}

const char *
auth_refuses_sub(struct broker *b, struct peer *p, const struct env *e)
{
	enum acl_verb verb = env_u(e, ENV_M_SERVE, 0) != 0 ? ACL_SERVE : ACL_SUBSCRIBE;
	const struct acl_entry *entry = auth_entry(p);
	const char *why;

	if (entry == NULL)
		return NULL;
	why = auth_judge(b, p, verb, e->topic);
	if (why == NULL && env_has(e, ENV_M_GROUP))
		why = auth_judge(b, p, ACL_GROUPS, env_s(e, ENV_M_GROUP));
	if (why == NULL && auth_desc_fault(entry, e->body) != NULL)
		why = deny(b, p, acl_verb_text(verb), e->topic, auth_desc_fault(entry, e->body));
	return why;
}

/* The edge, which may send as others, claims for all of them: whose a description is was checked
 * when it came. */
const char *
auth_refuses_claim(struct broker *b, struct peer *p, struct span name)
{
	const struct acl_entry *e = auth_entry(p);

	if (e == NULL || e->act_as || acl_allows_route(e, name))
		return NULL;
	return deny(b, p, "claim a path for", name, "is not allowed to");
}

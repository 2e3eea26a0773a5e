#ifndef BROKER_AUTH_H
#define BROKER_AUTH_H
/* Who a peer is and what it may do: the shell round acl.h.  Without --keys there is no auth and
 * everybody is `local`.  With it, libzmq asks here (ZAP) about every key, each message tells which
 * key it came with (a User-Id that nobody outside can forge), and a peer is held to its entry.
 * Routing ids are never identity: a message with another key than its peer's is another peer. */
#include <czmq.h>

#include "broker/acl.h"
#include "broker/broker.h"

/* broker.keys must be loaded (sock_serve_key).  0, or -1 (logged); a DIR without `acl` lets nobody
 * in.  Before the sockets are bound. */
int auth_open(struct broker *b, const char *dir);
void auth_close(struct broker *b);
/* Read the file anew.  0; or -1, with why in *text, and all as it was.  Peers whose key is gone are
 * cut off, those that have something they may no longer have lose their session. */
int auth_reload(struct broker *b, char *text, size_t size);

/* The peer behind a message of this routing id.  NULL: nobody who is let in. */
bool auth_is_same(const struct broker *b, const struct peer *p, zmq_msg_t *m);
bool auth_admits(struct broker *b, zmq_msg_t *m);
void auth_meet(struct broker *b, struct peer *p, zmq_msg_t *m);

/* Its entry's name, or "local"; lives as long as the entry. */
const char *auth_name(const struct peer *p);
void auth_forget(struct peer *p); /* frees what auth_meet made */

/* NULL: it may; else what to tell it, until the next call.  Counted and logged. */
const char *auth_judge(struct broker *b, struct peer *p, enum acl_verb verb, struct span what);
const char *auth_judge_as(struct broker *b, struct peer *p, const struct env *e);

static inline const char *
auth_refuses(struct broker *b, struct peer *p, enum acl_verb verb, struct span what)
{
	return p->who == NULL ? NULL : auth_judge(b, p, verb, what);
}

static inline const char *
auth_refuses_as(struct broker *b, struct peer *p, const struct env *e)
{
	return p->who == NULL || !env_has(e, ENV_M_AS) ? NULL : auth_judge_as(b, p, e);
}

/* A SUB as a whole: pattern, group, the paths it announces. */
const char *auth_refuses_sub(struct broker *b, struct peer *p, const struct env *e);
/* A claim of a path for the service `name`. */
const char *auth_refuses_claim(struct broker *b, struct peer *p, struct span name);

/* For sys.acl: what is in force (NULL: no keys) and since when (unix ms). */
const struct acl *auth_acl(const struct broker *b);
int64_t auth_loaded_ms(const struct broker *b);
const struct acl_entry *auth_entry(const struct peer *p); /* NULL: no limits */

#endif

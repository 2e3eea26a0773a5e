#include "broker/auth.h"

#include <sodium.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "broker/auth_impl.h"
#include "broker/conns.h"
#include "broker/peers.h"
#include "proto/keys.h"

/* ---- ZAP ---- */

/* The User-Id is our secret word of this start and the key: a connection over ipc may claim any
 * property, but not this one. */
static bool
on_zap(void *arg, const struct zap_request *q, char user[ZAP_USER])
{
	struct broker *b = arg;
	struct auth *a = b->auth;
	const struct acl_entry *e;
	char key[ACL_KEY + 1];

	zmq_z85_encode(key, q->key, sizeof(q->key));
	e = acl_find(a->acl, key);
	if (e != NULL && (strcmp(q->domain, "feed") != 0 || acl_allows_feed(e))) {
		(void)snprintf(user, ZAP_USER, "%s%s", a->word, key);
		return true;
	}
	b->drops[DROP_KEY]++;
	if (log_allow(&a->key_lines, broker_now(b), 2)) {
		log_warn("key_refused", LOG_S("key", key), LOG_S("entry", e ? e->name : ""),
		    LOG_S("address", q->address), LOG_S("socket", q->domain),
		    LOG_S("reason", e ? "its entry does not subscribe to >" : "not in the list"),
		    LOG_U("suppressed", a->key_lines.last));
	}
	return false;
}

/* ---- the file ---- */

static struct acl *
load(const struct auth *a, char *text, size_t size)
{
	struct acl_fault f;
	struct acl *acl = NULL;
	char why[KEYS_WHY];
	struct buf file;

	buf_init(&file, ACL_BYTES + 4096);
	if (keys_read(a->path, &file, why) != 0) {
		(void)snprintf(text, size, "%s", why);
	} else if ((acl = acl_parse(buf_span(&file), &f)) == NULL) {
		(void)snprintf(text, size, "%s:%u: entry '%s', field '%s': %s", a->path, f.line,
		    f.entry, f.field, f.why);
	}
	buf_fini(&file);
	return acl;
}

static struct acl *
load_first(const struct auth *a)
{
	struct acl_fault f;
	char text[2 * KEYS_WHY];
	struct acl *acl;

	if (access(a->path, F_OK) != 0 && errno == ENOENT) {
		log_warn("acl_absent", LOG_S("file", a->path),
		    LOG_S("effect", "nobody is let in over tcp until `taxi keys allow`"));
		return acl_parse(span_str(""), &f);
	}
	acl = load(a, text, sizeof(text));
	if (acl == NULL)
		log_error("acl_refused", LOG_S("reason", text));
	return acl;
}

static int
load_key(const char *dir)
{
	char *path = xasprintf("%s/broker.key", dir), why[KEYS_WHY];
	struct keys k;
	int rc = keys_load(path, &k, why);

	if (rc != 0) {
		log_error("keys_refused", LOG_S("reason", why));
	} else if (k.secret_key[0] == '\0') {
		log_error("keys_refused", LOG_S("file", path), LOG_S("reason", "no secret key"));
		rc = -1;
	} else {
		rc = sock_serve_key(k.secret_key);
	}
	if (rc == 0)
		log_info("keys_loaded", LOG_S("dir", dir), LOG_S("public_key", k.public_key));
	sodium_memzero(&k, sizeof(k));
	free(path);
	return rc;
}

int
auth_open(struct broker *b, const char *dir)
{
	struct auth *a = xcalloc(1, sizeof(*a));
	uint8_t word[16];

	b->auth = a;
	a->path = xasprintf("%s/acl", dir);
	randombytes_buf(word, sizeof(word));
	(void)sodium_bin2hex(a->word, sizeof(a->word), word, sizeof(word));
	a->nobody = (struct acl_entry){.given = UINT32_MAX};
	a->acl = load_key(dir) == 0 ? load_first(a) : NULL;
	a->loaded_ms = clock_real_ms();
	if (a->acl == NULL)
		return -1;
	a->zap = zap_new(b->loop, on_zap, b);
	log_info("acl_loaded", LOG_S("file", a->path), LOG_U("entries", a->acl->n));
	return a->zap != NULL ? 0 : -1;
}

void
auth_close(struct broker *b)
{
	struct auth *a = b->auth;

	if (a == NULL)
		return;
	zap_free(a->zap);
	acl_free(a->acl);
	free(a->path);
	free(a);
	b->auth = NULL;
}

const struct acl *
auth_acl(const struct broker *b)
{
	return b->auth != NULL ? b->auth->acl : NULL;
}

int64_t
auth_loaded_ms(const struct broker *b)
{
	return b->auth != NULL ? b->auth->loaded_ms : 0;
}

/* ---- whose message ---- */

/* The key behind a User-Id; NULL: none that we gave, so it came over ipc. */
static const char *
key_of(const struct auth *a, zmq_msg_t *m)
{
	const char *user = zmq_msg_gets(m, "User-Id");

	if (user == NULL || strlen(user) != WORD + ACL_KEY ||
	    sodium_memcmp(user, a->word, WORD) != 0)
		return NULL;
	return user + WORD;
}

bool
auth_is_same(const struct broker *b, const struct peer *p, zmq_msg_t *m)
{
	const char *key = key_of(b->auth, m);

	return strcmp(key ? key : "", p->who->key) == 0;
}

/* The address behind the descriptor that libzmq names for a message: by it the connection is known
 * again, should the number be given to another. */
static socklen_t
address_of(int fd, struct sockaddr_storage *out)
{
	socklen_t n = sizeof(*out);

	memset(out, 0, sizeof(*out));
	return fd >= 0 && getpeername(fd, (struct sockaddr *)out, &n) == 0 ? n : 0;
}

bool
auth_admits(struct broker *b, zmq_msg_t *m)
{
	const char *key = key_of(b->auth, m);

	if (key == NULL || acl_find(b->auth->acl, key) != NULL)
		return true;
	/* Its entry went away under it. */
	b->drops[DROP_KEY]++;
	conns_cut(b->conns, zmq_msg_get(m, ZMQ_SRCFD));
	return false;
}

void
auth_meet(struct broker *b, struct peer *p, zmq_msg_t *m)
{
	const char *key = key_of(b->auth, m);

	p->who = xcalloc(1, sizeof(*p->who));
	p->who->entry = key ? acl_find(b->auth->acl, key) : b->auth->acl->local;
	if (key == NULL)
		return;
	(void)snprintf(p->who->key, sizeof(p->who->key), "%s", key);
	p->who->fd = zmq_msg_get(m, ZMQ_SRCFD);
	p->who->naddr = address_of(p->who->fd, &p->who->addr);
}

static void
cut_off(struct broker *b, const struct peer *p)
{
	struct sockaddr_storage now;
	const struct auth_peer *w = p->who;

	if (w->naddr > 0 && address_of(w->fd, &now) == w->naddr &&
	    memcmp(&now, &w->addr, w->naddr) == 0)
		conns_cut(b->conns, w->fd);
}

/* ---- a new file ---- */

static bool
may_keep(const struct acl_entry *e, const struct sub *s)
{
	enum acl_verb verb = s->kind == SUB_SERVE ? ACL_SERVE : ACL_SUBSCRIBE;
	struct span pattern = s->group != NULL ? span_str(s->group->set.pattern) : s->pattern;

	return acl_allows(e, verb, pattern) &&
	       (s->group == NULL || acl_allows_group(e, span_str(s->group->name))) &&
	       (s->desc == NULL || auth_desc_fault(e, s->desc->body) == NULL);
}

static void
rebind(struct broker *b, struct peer *p)
{
	struct auth_peer *w = p->who;
	const struct sub *s;

	free(w->memo);
	w->memo = NULL;
	w->entry = w->key[0] ? acl_find(b->auth->acl, w->key) : b->auth->acl->local;
	if (w->entry == NULL && w->key[0] == '\0')
		return;
	if (w->entry == NULL) {
		w->entry = &b->auth->nobody;
		peers_lost(b, p, "its key was revoked");
		cut_off(b, p);
		return;
	}
	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (!may_keep(w->entry, s)) {
			peers_lost(b, p, "it may no longer have what it subscribed to");
			return;
		}
}

static bool
lost_the_feed(const struct acl *was, const struct acl *is)
{
	for (const struct acl_entry *e = was->first; e != NULL; e = e->next) {
		const struct acl_entry *now = e->key[0] ? acl_find(is, e->key) : NULL;

		if (e->key[0] && acl_allows_feed(e) && (now == NULL || !acl_allows_feed(now)))
			return true;
	}
	return false;
}

int
auth_reload(struct broker *b, char *text, size_t size)
{
	struct auth *a = b->auth;
	struct acl *was;
	struct acl *is;

	if (a == NULL) {
		(void)snprintf(text, size, "the broker runs without --keys");
		return -1;
	}
	is = load(a, text, size);
	if (is == NULL) {
		log_error("acl_refused", LOG_S("reason", text),
		    LOG_S("effect", "what was loaded before stays in force"));
		return -1;
	}
	was = a->acl;
	a->acl = is;
	a->loaded_ms = clock_real_ms();
	for (struct peer *p = b->reg.by_rid; p != NULL; p = p->hh.next)
		rebind(b, p);
	/* Who reads the feed is not known by key: all come back, but those that may not. */
	if (lost_the_feed(was, is))
		conns_cut_all(b->feed_conns);
	acl_free(was);
	log_info("acl_loaded", LOG_S("file", a->path), LOG_U("entries", is->n));
	return 0;
}

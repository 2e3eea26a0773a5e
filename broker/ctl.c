#include "broker/ctl.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "broker/ctl_impl.h"
#include "broker/out.h"
#include "proto/mp.h"
#include "proto/topic.h"

enum { CALL_WORK = 16 };

/* ---- answers ---- */

void
ctl_answer(struct broker *b, const struct ctl_call *c, const struct buf *body)
{
	struct peer *p = registry_by_session(&b->reg, c->session);
	struct env e;

	b->work += body->n / 64;
	if (p == NULL)
		return;
	if (body->failed) {
		out_err(b, p, c->id, ERR_TOO_BIG, "the answer is over 16 MiB");
		return;
	}
	env_init(&e, ENV_REP, span_str(""), c->id);
	e.body = buf_span(body);
	out_env(b, p, &e);
}

void
ctl_refuse(struct broker *b, const struct ctl_call *c, enum err code, const char *text)
{
	struct peer *p = registry_by_session(&b->reg, c->session);

	if (p != NULL)
		out_err(b, p, c->id, code, text);
}

void
ctl_refuse_op(struct broker *b, const struct ctl_call *c, enum err code, const char *what)
{
	switch ((int)code) {
	case ERR_BUSY: what = "the disk is full"; break;
	case ERR_DRAINING: what = "the broker is ending"; break;
	case ERR_NOT_FOUND:
	case ERR_QUOTA: break;
	default: what = "the journal failed"; break;
	}
	ctl_refuse(b, c, code, what);
}

void
ctl_invalid(struct broker *b, const struct ctl_call *c, struct faults *f)
{
	struct peer *p = registry_by_session(&b->reg, c->session);
	struct buf d;

	buf_init(&d, LIMIT_HEADER);
	faults_put(f, &d);
	if (p != NULL && !d.failed)
		out_err_detail(b, p, c->id, ERR_INVALID, buf_span(&d));
	buf_fini(&d);
}

void
ctl_put_str(struct buf *out, const char *key, const char *v)
{
	mp_put_cstr(out, key);
	mp_put_cstr(out, v);
}

void
ctl_put_span(struct buf *out, const char *key, struct span v)
{
	mp_put_cstr(out, key);
	mp_put_str(out, v);
}

void
ctl_put_u(struct buf *out, const char *key, uint64_t v)
{
	mp_put_cstr(out, key);
	mp_put_u64(out, v);
}

void
ctl_put_i(struct buf *out, const char *key, int64_t v)
{
	mp_put_cstr(out, key);
	mp_put_i64(out, v);
}

/* ---- sys.ping.broker, sys.info.broker ---- */

static void
ping(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct buf body;

	(void)o;
	buf_init(&body, 1024);
	mp_put_map(&body, 3);
	ctl_put_str(&body, "name", "broker");
	ctl_put_str(&body, "version", TAXI_VERSION);
	ctl_put_i(&body, "pid", getpid());
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

static void
info(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct buf body;

	(void)o;
	buf_init(&body, 4096);
	mp_put_map(&body, 6);
	ctl_put_str(&body, "name", "broker");
	ctl_put_str(&body, "version", TAXI_VERSION);
	ctl_put_i(&body, "pid", getpid());
	ctl_put_str(&body, "about", "The bus: routes requests, keeps and hands out envelopes.");
	mp_put_cstr(&body, "limits");
	mp_put_map(&body, 3);
	ctl_put_u(&body, "maxBytes", b->conf.max_bytes);
	ctl_put_u(&body, "peerBytes", b->conf.peer_bytes);
	ctl_put_u(&body, "frame", LIMIT_FRAME);
	mp_put_cstr(&body, "settings");
	mp_put_map(&body, 6);
	ctl_put_str(&body, "journal", b->conf.journal ? b->conf.journal : "");
	ctl_put_str(&body, "bind", b->conf.bind);
	ctl_put_str(&body, "feed", b->conf.feed);
	ctl_put_i(&body, "retainMs", b->conf.retain_ms);
	ctl_put_i(&body, "retainBytes", b->conf.retain_bytes);
	ctl_put_i(&body, "idleMs", b->conf.idle_ms);
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

/* ---- drain ---- */

static void
drain(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	const msgpack_object *on = doc_get(o, "on");
	struct route_stats rs;
	struct buf body;
	int64_t owed = 0;

	if (on != NULL && on->type != MSGPACK_OBJECT_BOOLEAN) {
		ctl_missing(b, c, "/on", "expected true or false");
		return;
	}
	if (on != NULL && b->shut != on->via.boolean) {
		b->shut = on->via.boolean;
		log_info(b->shut ? "shut" : "open_again", LOG_U("session", c->session));
	}
	for (const struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next)
		owed += g->core != NULL && group_owed(g->core) > 0 ? group_owed(g->core) : 0;
	route_stats(b->route, &rs);
	buf_init(&body, 256);
	mp_put_map(&body, 4);
	mp_put_cstr(&body, "draining");
	mp_put_bool(&body, b->shut || b->draining);
	ctl_put_u(&body, "underWay", rs.under_way);
	ctl_put_u(&body, "jobs", b->jobs + b->held);
	ctl_put_i(&body, "owed", owed);
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

/* ---- cursor, claims ---- */

static void
cursor(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct span src = doc_str(o, "src");
	uint8_t *p = NULL;
	size_t n = 0;
	struct buf body;

	if (src.n == 0 || src.n > LIMIT_SRC) {
		ctl_missing(b, c, "/src", "expected a string of 1 to 128 bytes");
		return;
	}
	if (journal_cursor(b->journal, src, &p, &n) != 0) {
		ctl_refuse(b, c, ERR_STORE_FAILED, "the journal cannot be read");
		return;
	}
	buf_init(&body, LIMIT_SRC + LIMIT_CUR + 64);
	mp_put_map(&body, 2);
	ctl_put_span(&body, "src", src);
	mp_put_cstr(&body, "cur");
	if (p != NULL) {
		mp_put_bin(&body, span_of(p, n));
	} else {
		mp_put_nil(&body);
	}
	ctl_answer(b, c, &body);
	buf_fini(&body);
	free(p);
}

void
ctl_missing(struct broker *b, const struct ctl_call *c, const char *pointer, const char *what)
{
	struct faults f;

	faults_init(&f);
	faults_add(&f, pointer, "%s", what);
	ctl_invalid(b, c, &f);
	faults_fini(&f);
}

void
ctl_only_keys(const msgpack_object *o, const char *const *names, size_t n, struct faults *f)
{
	char pointer[LIMIT_TOPIC];

	for (uint32_t i = 0; o->type == MSGPACK_OBJECT_MAP && i < o->via.map.size; i++) {
		struct span key = doc_span(&o->via.map.ptr[i].key);
		size_t at = 0;

		while (at < n && !span_is(key, names[at]))
			at++;
		if (at < n)
			continue;
		pointer[0] = '\0';
		faults_push(pointer, sizeof(pointer), key);
		faults_add(f, pointer, "unknown");
	}
}

/* ---- the table ---- */

static const struct {
	const char *topic;
	ctl_fn *fn;
} calls[] = {
    {"sys.services", ctl_services},
    {"sys.peers", ctl_peers},
    {"sys.stats", ctl_stats},
    {"sys.groups", ctl_groups},
    {"sys.groups.set", ctl_groups_set},
    {"sys.groups.delete", ctl_groups_delete},
    {"sys.policies", ctl_policies},
    {"sys.policies.set", ctl_policies_set},
    {"sys.policies.delete", ctl_policies_delete},
    {"sys.retained", ctl_retained},
    {"sys.cursor", cursor},
    {"sys.dead.ls", ctl_dead_ls},
    {"sys.dead.show", ctl_dead_show},
    {"sys.dead.drop", ctl_dead_drop},
    {"sys.acl", ctl_acl},
    {"sys.acl.reload", ctl_acl_reload},
    {"sys.claim", ctl_claim},
    {"sys.claim.forget", ctl_claim_forget},
    {"sys.ping.broker", ping},
    {"sys.info.broker", info},
    {"sys.stats.broker", ctl_stats},
    {"sys.replay", ctl_replay},
    {"sys.trace", ctl_trace},
    {"sys.drain", drain},
    {"sys.backup", ctl_backup},
    {"sys.dead.retry", ctl_dead_retry},
    {"sys.dead.edit", ctl_dead_edit},
};

bool
ctl_is_served(struct span topic)
{
	struct span verb = topic_token(topic, 1), name = topic_token(topic, 2);
	unsigned tokens = span_is(verb, "stats") && topic_token(topic, 3).p != NULL ? 4 : 3;

	return (span_is(verb, "ping") || span_is(verb, "info") || span_is(verb, "stats")) &&
	       name.p != NULL && !span_is(name, "broker") && !span_is(name, "*") &&
	       !span_is(name, ">") && !span_is(topic_token(topic, 3), "*") &&
	       !span_is(topic_token(topic, 3), ">") && topic_token(topic, tokens).p == NULL;
}

void
ctl_request(struct broker *b, struct peer *p, const struct env *e)
{
	struct ctl_call c = {.session = p->session};
	ctl_fn *fn = NULL;
	struct doc d;

	memcpy(c.id, e->id, 16);
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls) && fn == NULL; i++) {
		if (span_is(e->topic, calls[i].topic))
			fn = calls[i].fn;
	}
	if (fn == NULL) {
		ctl_refuse(b, &c, ERR_NOT_FOUND, "the broker serves no such topic");
		return;
	}
	if (b->work > BROKER_WORK_MOST) {
		ctl_refuse(b, &c, ERR_BUSY, "too many calls at once");
		return;
	}
	b->work += CALL_WORK + e->body.n / 64;
	if (doc_parse(&d, e->body) != 0) {
		ctl_refuse(b, &c, ERR_BAD_ENVELOPE, "body: expected one msgpack object");
	} else if (d.root.type != MSGPACK_OBJECT_MAP && d.root.type != MSGPACK_OBJECT_NIL) {
		ctl_missing(b, &c, "", "expected an object");
	} else {
		fn(b, &c, &d.root);
	}
	doc_fini(&d);
}

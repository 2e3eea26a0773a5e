/* sys.services and sys.peers. */
#include "base/clock.h"
#include "base/die.h"
#include "broker/auth.h"
#include "broker/ctl_impl.h"
#include "proto/topic.h"
#include "broker/retained.h"
#include "proto/digest.h"

/* Subscriptions that say the same count as one entry with several workers. */
struct entry {
	UT_hash_handle hh;
	struct {
		enum sub_kind kind;
		const struct desc *desc;
		const struct owed_group *group;
		const struct acl_entry *who;
		uint8_t digest[32]; /* of the pattern */
	} key;
	const struct sub *sub;
	unsigned workers;
};

/* Descriptions in one answer: what one peer may have of it, and all together, so that a peer with
 * large ones takes the room of nobody else's. */
#define PEER_DESCS (512u << 10)
#define ALL_DESCS (CTL_BODY_MAX / 4 * 3)

static void
put_entry(struct buf *out, const struct sub *s, const struct owed_group *g, const struct desc *desc,
    unsigned workers)
{
	static const char *const kinds[] = {
	    [SUB_SERVE] = "serve", [SUB_GROUP] = "group", [SUB_TAIL] = "ephemeral"};

	mp_put_map(out, g ? 7 : 6);
	/* That of a group may have been changed since; without a group there is a subscription. */
	/* cppcheck-suppress nullPointerRedundantCheck */
	ctl_put_span(out, "pattern", g ? span_str(g->set.pattern) : s->pattern);
	ctl_put_str(out, "kind", kinds[s ? s->kind : SUB_GROUP]);
	if (g != NULL)
		ctl_put_str(out, "group", g->name);
	mp_put_cstr(out, "desc");
	if (desc != NULL && out->n + desc->body.n <= ALL_DESCS) {
		buf_put(out, desc->body.p, desc->body.n);
	} else {
		mp_put_nil(out);
	}
	ctl_put_str(out, "identity", s ? auth_name(s->peer) : ACL_LOCAL);
	ctl_put_u(out, "workers", workers);
	mp_put_cstr(out, "live");
	mp_put_bool(out, workers > 0);
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
count_sub(struct entry **all, const struct sub *s, const struct desc *desc)
{
	struct entry *e, key = {0};

	key.key.kind = s->kind;
	key.key.desc = desc;
	key.key.group = s->group;
	key.key.who = auth_entry(s->peer);
	digest_parts(key.key.digest, &s->pattern, 1);
	HASH_FIND(hh, *all, &key.key, sizeof(key.key), e);
	if (e == NULL) {
		e = xcalloc(1, sizeof(*e));
		e->key = key.key;
		e->sub = s;
		HASH_ADD(hh, *all, key, sizeof(e->key), e);
	}
	e->workers++;
}

struct claims {
	struct buf items;
	unsigned n;
};

static void
on_claim(void *arg, struct span path, struct span name)
{
	struct claims *l = arg;

	mp_put_map(&l->items, 2);
	ctl_put_span(&l->items, "path", path);
	ctl_put_span(&l->items, "name", name);
	l->n++;
}

static void
put_claims(const struct broker *b, struct buf *out)
{
	struct claims l = {.n = 0};

	buf_init(&l.items, CTL_BODY_MAX);
	if (journal_claims(b->journal, on_claim, &l) != 0)
		l.items.failed = true;
	mp_put_cstr(out, "claims");
	mp_put_array(out, l.n);
	buf_put(out, l.items.p, l.items.n);
	out->failed |= l.items.failed;
	buf_fini(&l.items);
}

static unsigned
unworked(const struct broker *b)
{
	unsigned n = 0;

	for (const struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next)
		n += g->core && g->subs == 0 ? 1 : 0;
	return n;
}

void
/* NOLINTNEXTLINE(readability-function-size): uthash */
ctl_services(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct entry *all = NULL, *e, *tmp;
	struct buf body;

	(void)o;
	for (const struct peer *p = b->reg.by_rid; p != NULL; p = p->hh.next) {
		const struct sub *s;
		size_t spent = 0;

		LIST_EACH (s, &p->subs, struct sub, by_peer) {
			if (s->closing)
				continue;
			spent += s->desc ? s->desc->body.n : 0;
			count_sub(&all, s, spent <= PEER_DESCS ? s->desc : NULL);
		}
	}
	buf_init(&body, CTL_BODY_MAX);
	mp_put_map(&body, 2);
	mp_put_cstr(&body, "services");
	mp_put_array(&body, HASH_COUNT(all) + unworked(b));
	HASH_ITER (hh, all, e, tmp) {
		put_entry(&body, e->sub, e->sub->group, e->key.desc, e->workers);
		HASH_DEL(all, e); /* NOLINT(clang-analyzer-*): uthash */
		free(e);
	}
	for (const struct owed_group *g = b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core && g->subs == 0)
			put_entry(&body, NULL, g, NULL, 0);
	}
	put_claims(b, &body);
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

static uint64_t
in_flight(const struct peer *p)
{
	uint64_t n = p->route.serving;
	const struct sub *s;

	LIST_EACH (s, &p->subs, struct sub, by_peer)
		if (s->kind == SUB_GROUP && group_worker(s->group->core, p->session) != NULL)
			n += group_worker_holds(group_worker(s->group->core, p->session));
	return n;
}

void
ctl_peers(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	int64_t now = broker_now(b), real = clock_real_ms();
	struct buf body;

	(void)o;
	buf_init(&body, CTL_BODY_MAX);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "peers");
	mp_put_array(&body, b->reg.npeers);
	for (const struct peer *p = b->reg.by_rid; p != NULL; p = p->hh.next) {
		mp_put_map(&body, 7);
		ctl_put_u(&body, "session", p->session);
		ctl_put_str(&body, "identity", auth_name(p));
		ctl_put_u(&body, "subs", p->nsubs);
		ctl_put_u(&body, "inFlight", in_flight(p));
		ctl_put_u(&body, "bytes",
		    p->queue_bytes + parcels_bytes(p->afloat) + p->put_bytes + p->route.bytes);
		ctl_put_i(&body, "sinceMs", real - (now - p->since_ms));
		ctl_put_i(&body, "lastMs", now - p->last_ms);
	}
	ctl_answer(b, c, &body);
	buf_fini(&body);
}

/* ---- sys.retained ---- */

struct last {
	struct span topic;
	struct buf *out;
	bool found;
};

static bool
on_last(void *arg, const struct journal_row *row)
{
	struct last *l = arg;
	struct env e;

	l->found = span_eq(row->topic, l->topic) &&
		   (row->exp_ms == 0 || row->exp_ms > clock_real_ms()) &&
		   env_decode(&e, row->frame, false, NULL) == ERR_OK;
	if (!l->found)
		return false;
	ctl_put_u(l->out, "seq", row->seq);
	mp_put_cstr(l->out, "frame");
	mp_put_bin(l->out, row->frame);
	return false;
}

void
ctl_retained(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct peer *p = registry_by_session(&b->reg, c->session);
	struct last l = {.topic = doc_str(o, "topic")};
	const char *why = NULL;
	char after[RETAINED_AFTER];
	struct buf body;

	if (!topic_is_valid(l.topic)) {
		ctl_missing(b, c, "/topic", "expected a topic");
		return;
	}
	if (p != NULL)
		why = auth_refuses(b, p, ACL_SUBSCRIBE, l.topic);
	if (why != NULL) {
		ctl_refuse(b, c, ERR_DENIED, why);
		return;
	}
	buf_init(&body, LIMIT_FRAME_RX - LIMIT_HEADER);
	l.out = &body;
	mp_put_map(&body, 3);
	ctl_put_span(&body, "topic", l.topic);
	retained_after(l.topic, after);
	if (b->retained && journal_retained(b->journal, span_str(after), on_last, &l) != 0) {
		ctl_refuse(b, c, ERR_STORE_FAILED, "the journal cannot be read");
	} else {
		if (!l.found) {
			mp_put_cstr(&body, "seq");
			mp_put_nil(&body);
			mp_put_cstr(&body, "frame");
			mp_put_nil(&body);
		}
		ctl_answer(b, c, &body);
	}
	buf_fini(&body);
}

/* sys.trace: every hop of the envelopes of one chain.  The journal is read from where the root can
 * be first, a few pages a turn; the rest comes from the ring of latest hops. */
#include <uthash.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/uuid.h"
#include "broker/auth.h"
#include "broker/ctl_impl.h"
#include "broker/trace.h"
#include "proto/digest.h"
#include "proto/topic.h"

enum {
	TRACINGS = 16,     /* under way at once */
	PAGES_A_TURN = 2,  /* of the journal, for all of them */
	LOOK_MS = 2000,    /* how long one may read */
	CLOCKS_MS = 10000, /* how far the clock that made the id may be ahead of ours */
	HOPS = 2000        /* in one answer */
};

struct shown {
	int64_t at_ms;
	unsigned rank; /* among those of one moment */
	size_t from, to;
	bool published;
	uint8_t id[16];
	uint64_t done; /* seq of a DONE, and the digest of its group's name */
	uint8_t group[32];
};

/* An envelope of the chain, and the topic that a hop of it told. */
struct member {
	UT_hash_handle hh;
	uint8_t id[16], ntopic;
	char topic[TRACE_TEXT];
};

struct tracing {
	struct list node;
	struct ctl_call call;
	struct broker *b;
	uint8_t id[16], root[16];
	uint64_t at, end;
	int64_t until_ms;
	bool moved, more;
	struct member *members; /* of the chain, as far as it is known; at most HOPS */
	struct buf items;
	struct shown *shown;
	size_t n, cap;
};

/* ---- members of the chain ---- */

static struct member *
/* NOLINTNEXTLINE(readability-function-size): uthash */
member_of(const struct tracing *y, const uint8_t id[16])
{
	struct member *m;

	HASH_FIND(hh, y->members, id, 16, m);
	return m;
}

/* NULL: there are too many. */
static struct member *
/* NOLINTNEXTLINE(readability-function-size): uthash */
member_add(struct tracing *y, const uint8_t id[16])
{
	struct member *m = member_of(y, id);

	if (m != NULL || HASH_COUNT(y->members) >= HOPS)
		return m;
	m = xcalloc(1, sizeof(*m));
	memcpy(m->id, id, 16);
	HASH_ADD(hh, y->members, id, 16, m);
	return m;
}

static void
/* NOLINTNEXTLINE(readability-function-size): uthash */
members_forget(struct tracing *y)
{
	struct member *m, *tmp;

	HASH_ITER (hh, y->members, m, tmp) {
		HASH_DEL(y->members, m); /* NOLINT(clang-analyzer-*): uthash */
		free(m);
	}
}

/* ---- what is shown ---- */

struct hop {
	int64_t at_ms;
	enum trace_what what;
	const uint8_t *id;
	struct span topic, group, who, reason; /* {NULL,0}: none */
	uint64_t seq, try_no;                  /* 0: none */
};

static void
show(struct tracing *y, const struct hop *h)
{
	struct buf *out = &y->items;
	/* Of what bears the same time: from disk, then what is noted, then how it ended. */
	unsigned after = h->what == TRACE_OWED || h->what == TRACE_DONE ? 3
			 : h->what == TRACE_DEAD                        ? 2
			 : h->what == TRACE_PUBLISHED                   ? 0
									: 1;
	struct shown s = {.at_ms = h->at_ms, .rank = after * HOPS + (unsigned)y->n, .from = out->n};

	if (y->n == HOPS) {
		y->more = true;
		return;
	}
	if (y->n == y->cap) {
		y->cap = y->cap ? y->cap * 2 : 64;
		y->shown = xrealloc(y->shown, y->cap * sizeof(*y->shown));
	}
	mp_put_map(out, 4u + (h->seq ? 1 : 0) + (h->group.p ? 1 : 0) + (h->try_no ? 1 : 0) +
			    (h->who.p ? 1 : 0) + (h->reason.p ? 1 : 0));
	ctl_put_i(out, "at", h->at_ms);
	ctl_put_str(out, "what", trace_what_name(h->what));
	mp_put_cstr(out, "id");
	mp_put_bin(out, span_of(h->id, 16));
	ctl_put_span(out, "topic", h->topic);
	if (h->seq != 0)
		ctl_put_u(out, "seq", h->seq);
	if (h->group.p != NULL)
		ctl_put_span(out, "group", h->group);
	if (h->try_no != 0)
		ctl_put_u(out, "try", h->try_no);
	if (h->who.p != NULL)
		ctl_put_span(out, "who", h->who);
	if (h->reason.p != NULL)
		ctl_put_span(out, "reason", h->reason);
	s.to = out->n;
	s.published = h->what == TRACE_PUBLISHED;
	memcpy(s.id, h->id, 16);
	if (h->what == TRACE_DONE) {
		s.done = h->seq;
		digest_parts(s.group, &h->group, 1);
	}
	y->shown[y->n++] = s;
}

static int
by_time(const void *a, const void *b)
{
	const struct shown *x = a, *y = b;

	if (x->at_ms != y->at_ms)
		return x->at_ms < y->at_ms ? -1 : 1;
	return x->rank < y->rank ? -1 : 1;
}

/* ---- from the journal ---- */

struct seen {
	const struct tracing *y;
	uint64_t seq;
	uint16_t group;
	bool done;
};

static void
look_for_end(void *arg, const struct trace_hop *h)
{
	struct seen *s = arg;

	s->done |= h->seq == s->seq && h->group == s->group &&
		   (h->what == TRACE_ACKED || h->what == TRACE_DROPPED);
}

/* Still owed, or done at a time that is not kept. */
static void
show_state(struct tracing *y, const struct journal_row *row, struct owed_group *g)
{
	bool owes = group_owes(g->core, row->seq);
	struct seen s = {y, row->seq, g->trace, false};

	if (y->n == HOPS) {
		y->more = true;
		return;
	}
	if (!owes)
		trace_each(y->b->trace, look_for_end, &s);
	if (s.done)
		return;
	show(y, &(struct hop){.at_ms = owes ? clock_real_ms() : row->at_ms,
		    .what = owes ? TRACE_OWED : TRACE_DONE,
		    .id = row->id,
		    .topic = row->topic,
		    .seq = row->seq,
		    .group = span_str(g->name)});
}

/* Done as it was by its death, which is told: not twice. */
static void
unshow_done(struct tracing *y, uint64_t seq, struct span group)
{
	uint8_t digest[32];

	digest_parts(digest, &group, 1);
	for (size_t i = 0; i < y->n; i++) {
		if (y->shown[i].done != seq || memcmp(y->shown[i].group, digest, 32) != 0)
			continue;
		y->n--;
		memmove(y->shown + i, y->shown + i + 1, (y->n - i) * sizeof(*y->shown));
		return;
	}
}

static void
show_dead(struct tracing *y, const struct journal_row *row, struct span body)
{
	const msgpack_object *id;
	struct doc d;

	if (doc_parse(&d, body) == 0) {
		id = doc_get(&d.root, "id");
		if (id != NULL && id->type == MSGPACK_OBJECT_BIN && id->via.bin.size == 16) {
			unshow_done(
			    y, (uint64_t)doc_i64(&d.root, "seq", 0), doc_str(&d.root, "group"));
			show(y, &(struct hop){.at_ms = row->at_ms,
				    .what = TRACE_DEAD,
				    .id = (const uint8_t *)id->via.bin.ptr,
				    .topic = doc_str(&d.root, "topic"),
				    .seq = (uint64_t)doc_i64(&d.root, "seq", 0),
				    .group = doc_str(&d.root, "group"),
				    .try_no = (uint64_t)doc_i64(&d.root, "tries", 0),
				    .reason = doc_str(&d.root, "reason")});
		}
	}
	doc_fini(&d);
}

static void
show_row(struct tracing *y, const struct journal_row *row, const struct env *e)
{
	(void)member_add(y, row->id);
	show(y, &(struct hop){.at_ms = row->at_ms,
		    .what = TRACE_PUBLISHED,
		    .id = row->id,
		    .topic = row->topic,
		    .seq = row->seq,
		    .group = row->only,
		    .who = row->from.n > 0 ? row->from : span_str("local")});
	if (span_is(row->topic, "sys.dead"))
		show_dead(y, row, e->body);
	for (struct owed_group *g = y->b->groups.all; g != NULL; g = g->hh.next) {
		if (g->core != NULL && row->seq >= g->from &&
		    groups_concerns(g, row->topic, row->only))
			show_state(y, row, g);
	}
}

static int64_t
time_of(const uint8_t id[16])
{
	int64_t ms = 0;

	for (int i = 0; i < 6; i++)
		ms = ms * 256 + id[i];
	return ms;
}

/* Where records of the chain can be first. */
static uint64_t
start_of(struct broker *b, const uint8_t root[16])
{
	uint64_t seq = journal_find(b->journal, root);

	if (seq == 0 && root[6] >> 4 == 7)
		seq = journal_seek(b->journal, time_of(root) - CLOCKS_MS);
	return seq > journal_first(b->journal) ? seq : journal_first(b->journal);
}

static bool
on_row(void *arg, const struct journal_row *row)
{
	struct tracing *y = arg;
	struct span root;
	struct env e;

	if (memcmp(row->id, y->root, 16) != 0 && memcmp(row->id, y->id, 16) != 0 &&
	    memmem(row->frame.p, row->frame.n, y->root, 16) == NULL)
		return true;
	if (env_decode(&e, row->frame, false, NULL) != ERR_OK)
		return true;
	root = env_has(&e, ENV_M_ROOT) ? env_s(&e, ENV_M_ROOT) : span_of(row->id, 16);
	if (memcmp(root.p, y->root, 16) == 0) {
		show_row(y, row, &e);
	} else if (memcmp(row->id, y->id, 16) == 0 && !y->moved) {
		/* The id's window is over, and nothing told its root until now: once more from
		 * there. */
		memcpy(y->root, root.p, 16);
		y->moved = true;
		return false;
	}
	return true;
}

static bool
read_page(struct tracing *y)
{
	bool moved = y->moved;
	uint64_t next = journal_read(y->b->journal, y->at, on_row, y);

	if (y->moved != moved) {
		y->n = 0;
		members_forget(y);
		buf_reset(&y->items);
		next = start_of(y->b, y->root);
	}
	if (next != 0)
		y->at = next;
	return next != 0;
}

/* ---- from memory ---- */

/* The clock of the hops may be a millisecond behind that of the journal. */
static int64_t
not_before_published(const struct tracing *y, const struct trace_hop *h)
{
	for (size_t i = 0; i < y->n; i++) {
		if (y->shown[i].published && memcmp(y->shown[i].id, h->id, 16) == 0 &&
		    y->shown[i].at_ms == h->at_ms + 1)
			return h->at_ms + 1;
	}
	return h->at_ms;
}

static void
collect(void *arg, const struct trace_hop *h)
{
	struct tracing *y = arg;
	struct member *m = NULL;

	if (h->what != TRACE_REQUESTED && h->what != TRACE_PUBLISHED)
		return;
	m = memcmp(h->root, y->root, 16) == 0 ? member_add(y, h->id) : member_of(y, h->id);
	if (m != NULL && m->ntopic == 0) {
		m->ntopic = h->ntext;
		memcpy(m->topic, h->text, h->ntext);
	}
}

static bool
first_topic(void *arg, const struct journal_row *row)
{
	buf_put(arg, row->topic.p, row->topic.n);
	return false;
}

/* The identity behind a session, if it is still there, and its number. */
static void
put_who(const struct broker *b, uint64_t session, struct buf *out)
{
	const struct peer *p = session ? registry_by_session(&b->reg, session) : NULL;

	if (session != 0)
		buf_printf(out, "%s#%llu", p ? auth_name(p) : "gone", (unsigned long long)session);
}

static void
show_noted(void *arg, const struct trace_hop *h)
{
	static const uint8_t none[16];
	struct tracing *y = arg;
	struct buf who;
	const struct member *m = member_of(y, h->id);
	struct buf topic;
	bool told = h->what == TRACE_REQUESTED || h->what == TRACE_PUBLISHED;

	if (memcmp(h->root, y->root, 16) != 0 && (memcmp(h->root, none, 16) != 0 || m == NULL))
		return;
	if (y->n == HOPS) {
		y->more = true;
		return;
	}
	buf_init(&who, 256);
	buf_init(&topic, LIMIT_TOPIC);
	put_who(y->b, h->session, &who);
	if (h->seq != 0 && h->seq >= journal_first(y->b->journal)) {
		(void)journal_read(y->b->journal, h->seq, first_topic, &topic);
	} else if (told) {
		buf_put(&topic, h->text, h->ntext);
	} else if (m != NULL) {
		buf_put(&topic, m->topic, m->ntopic);
	}
	show(y, &(struct hop){.at_ms = not_before_published(y, h),
		    .what = (enum trace_what)h->what,
		    .id = h->id,
		    .topic = buf_span(&topic),
		    .seq = h->seq,
		    .group = h->group ? span_str(trace_name_of(y->b->trace, h->group))
				      : (struct span){NULL, 0},
		    .who = who.n > 0 ? buf_span(&who) : (struct span){NULL, 0},
		    .try_no = h->try_no,
		    .reason = !told && h->ntext > 0 ? span_of(h->text, h->ntext)
						    : (struct span){NULL, 0}});
	buf_fini(&who);
	buf_fini(&topic);
}

/* ---- the call ---- */

static void
tracing_free(struct tracing *y)
{
	list_remove(&y->node);
	buf_fini(&y->items);
	free(y->shown);
	members_forget(y);
	free(y);
}

static void
finish(struct tracing *y)
{
	struct broker *b = y->b;
	struct buf body;

	trace_each(b->trace, collect, y);
	trace_each(b->trace, show_noted, y);
	if (y->n > 1)
		qsort(y->shown, y->n, sizeof(*y->shown), by_time);
	buf_init(&body, CTL_BODY_MAX);
	mp_put_map(&body, 3);
	mp_put_cstr(&body, "root");
	mp_put_bin(&body, span_of(y->root, 16));
	mp_put_cstr(&body, "hops");
	mp_put_array(&body, y->n);
	for (size_t i = 0; i < y->n; i++)
		buf_put(&body, y->items.p + y->shown[i].from, y->shown[i].to - y->shown[i].from);
	mp_put_cstr(&body, "more");
	mp_put_bool(&body, y->more || y->at <= y->end);
	body.failed |= y->items.failed;
	ctl_answer(b, &y->call, &body);
	buf_fini(&body);
	tracing_free(y);
}

void
ctl_trace_turn(struct broker *b)
{
	unsigned pages = PAGES_A_TURN;
	struct tracing *y;

	while (pages > 0 && (y = LIST_FIRST(&b->tracings, struct tracing, node)) != NULL) {
		pages--;
		list_remove(&y->node);
		list_push_back(&b->tracings, &y->node);
		if (y->at > y->end || broker_now(b) > y->until_ms || !read_page(y)) {
			finish(y);
			break; /* it may have looked at every hop for every other */
		}
	}
	if (!list_empty(&b->tracings))
		broker_soon(b);
}

void
ctl_trace_free(struct broker *b)
{
	struct tracing *y;

	LIST_EACH (y, &b->tracings, struct tracing, node)
		tracing_free(y);
}

static bool
on_asked(void *arg, const struct journal_row *row)
{
	struct tracing *y = arg;
	struct env e;

	if (memcmp(row->id, y->id, 16) == 0 && env_decode(&e, row->frame, false, NULL) == ERR_OK &&
	    env_has(&e, ENV_M_ROOT))
		memcpy(y->root, env_s(&e, ENV_M_ROOT).p, 16);
	return false;
}

static bool
read_id(const msgpack_object *o, uint8_t id[16])
{
	if (o == NULL || o->type != MSGPACK_OBJECT_BIN || o->via.bin.size != 16)
		return uuid_parse(doc_span(o), id) == 0;
	memcpy(id, o->via.bin.ptr, 16);
	return true;
}

void
ctl_trace(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct tracing *y;
	const struct list *at;
	unsigned n = 0;
	uint64_t seq;

	for (at = b->tracings.next; at != &b->tracings; at = at->next)
		n++;
	if (n >= TRACINGS) {
		ctl_refuse(b, c, ERR_BUSY, "too many traces are being read");
		return;
	}
	y = xcalloc(1, sizeof(*y));
	list_init(&y->node);
	if (!read_id(doc_get(o, "id"), y->id)) {
		ctl_missing(b, c, "/id", "expected an id: 16 bytes, or its text");
		free(y);
		return;
	}
	y->call = *c;
	y->b = b;
	buf_init(&y->items, CTL_BODY_MAX);
	memcpy(y->root, y->id, 16);
	seq = journal_find(b->journal, y->id);
	if (seq != 0) {
		(void)journal_read(b->journal, seq, on_asked, y);
	} else {
		(void)trace_root(b->trace, y->id, y->root);
	}
	y->at = start_of(b, y->root);
	y->end = b->head;
	y->until_ms = broker_now(b) + LOOK_MS;
	list_push_back(&b->tracings, &y->node);
	broker_soon(b);
}

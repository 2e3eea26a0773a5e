/* sys.dead.ls, .show, .drop: dead letters, looked at and dropped. */
#include "base/clock.h"
#include "base/die.h"
#include "broker/ctl_impl.h"
#include "proto/topic.h"

enum {
	PAGE = 100,
	PAGE_MOST = 1000,
	LOOKS = 2000,
	LOOKS_WORK = 2048,
	LOOKS_BYTES = 16 * 1024 * 1024, /* a letter is read whole, with its frame */
	ANSWER_ENOUGH = 1024 * 1024
};

struct list_call {
	struct buf items;
	struct span reason, topic; /* {NULL,0}: any */
	unsigned n, most, looks;
	size_t looked; /* bytes of the frames */
	uint64_t last;
	bool more;
};

static void
put_item(struct buf *out, const struct journal_dead *d, bool frame)
{
	char at[25];

	mp_put_map(out, 9u + (d->key.n ? 1 : 0) + (frame ? 1 : 0));
	ctl_put_u(out, "dead", d->no);
	ctl_put_span(out, "group", d->group);
	ctl_put_u(out, "seq", d->seq);
	mp_put_cstr(out, "id");
	mp_put_bin(out, span_of(d->id, 16));
	ctl_put_span(out, "topic", d->topic);
	ctl_put_span(out, "from", d->from.n > 0 ? d->from : span_str("local"));
	if (d->key.n > 0)
		ctl_put_span(out, "key", d->key);
	ctl_put_span(out, "reason", d->reason);
	ctl_put_u(out, "tries", d->tries);
	ctl_put_str(out, "at", clock_rfc3339(d->at_ms, at));
	if (frame) {
		mp_put_cstr(out, "frame");
		mp_put_bin(out, d->frame);
	}
}

static bool
is_wanted(const struct list_call *l, const struct journal_dead *d)
{
	if (l->reason.p != NULL &&
	    (d->reason.n < l->reason.n || memcmp(d->reason.p, l->reason.p, l->reason.n) != 0))
		return false;
	return l->topic.p == NULL || topic_match(l->topic, d->topic);
}

static bool
on_item(void *arg, const struct journal_dead *d)
{
	struct list_call *l = arg;

	if (l->n == l->most || l->looks == LOOKS || l->looked > LOOKS_BYTES ||
	    l->items.n > ANSWER_ENOUGH) {
		l->more = true;
		return false;
	}
	l->looks++;
	l->looked += d->frame.n;
	l->last = d->no;
	if (!is_wanted(l, d))
		return true;
	put_item(&l->items, d, false);
	l->n++;
	return true;
}

void
ctl_dead_ls(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	int64_t after = doc_i64(o, "after", 0), limit = doc_i64(o, "limit", PAGE);
	struct list_call l = {.reason = doc_str(o, "reason"),
	    .topic = doc_str(o, "topic"),
	    .most = (unsigned)(limit < 1           ? 1
			       : limit > PAGE_MOST ? PAGE_MOST
						   : limit)};
	struct buf body;

	if (l.topic.p != NULL && !topic_is_pattern(l.topic)) {
		ctl_missing(b, c, "/topic", "expected a pattern");
		return;
	}
	b->work += LOOKS_WORK;
	buf_init(&l.items, CTL_BODY_MAX);
	buf_init(&body, CTL_BODY_MAX);
	if (journal_dead_each(b->journal, doc_str(o, "group"), after > 0 ? (uint64_t)after : 0,
		on_item, &l) != 0) {
		ctl_refuse(b, c, ERR_STORE_FAILED, "the journal cannot be read");
	} else {
		mp_put_map(&body, 2);
		mp_put_cstr(&body, "items");
		mp_put_array(&body, l.n);
		buf_put(&body, l.items.p, l.items.n);
		mp_put_cstr(&body, "next");
		if (l.more) {
			mp_put_u64(&body, l.last);
		} else {
			mp_put_nil(&body);
		}
		body.failed |= l.items.failed;
		ctl_answer(b, c, &body);
	}
	buf_fini(&l.items);
	buf_fini(&body);
}

/* ---- one ---- */

struct one {
	uint64_t no;
	ctl_dead_fn *fn;
	void *arg;
	bool found;
};

static bool
first_only(void *arg, const struct journal_dead *d)
{
	struct one *one = arg;

	one->found = d->no == one->no;
	if (one->found)
		one->fn(one->arg, d);
	return false;
}

uint64_t
ctl_dead_no(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	int64_t no = doc_i64(o, "dead", 0);

	if (no > 0)
		return (uint64_t)no;
	ctl_missing(b, c, "/dead", "expected the number of a dead letter");
	return 0;
}

bool
ctl_dead_get(struct broker *b, const struct ctl_call *c, uint64_t no, ctl_dead_fn *fn, void *arg)
{
	struct one one = {no, fn, arg, false};
	char text[64];

	if (journal_dead_each(b->journal, (struct span){NULL, 0}, no - 1, first_only, &one) != 0) {
		ctl_refuse(b, c, ERR_STORE_FAILED, "the journal cannot be read");
	} else if (!one.found) {
		snprintf(text, sizeof(text), "no such dead letter: %" PRIu64, no);
		ctl_refuse(b, c, ERR_NOT_FOUND, text);
	}
	return one.found;
}

static void
put_shown(void *arg, const struct journal_dead *d)
{
	put_item(arg, d, true);
}

void
ctl_dead_answer(struct broker *b, const struct ctl_call *c, uint64_t no)
{
	struct buf body;

	buf_init(&body, LIMIT_FRAME_RX - LIMIT_HEADER);
	if (ctl_dead_get(b, c, no, put_shown, &body))
		ctl_answer(b, c, &body);
	buf_fini(&body);
}

void
ctl_dead_show(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	uint64_t no = ctl_dead_no(b, c, o);

	if (no != 0)
		ctl_dead_answer(b, c, no);
}

struct dropping {
	struct job job;
	struct ctl_call call;
};

static void
on_dropped(struct broker *b, struct job *j)
{
	struct dropping *d = LIST_ITEM(j, struct dropping, job);
	struct buf body;

	if (j->op.err != ERR_OK) {
		ctl_refuse_op(b, &d->call, j->op.err, "no such dead letter");
	} else {
		buf_init(&body, 64);
		mp_put_map(&body, 1);
		ctl_put_u(&body, "dead", j->op.u.dead.no);
		ctl_answer(b, &d->call, &body);
		buf_fini(&body);
	}
	free(d);
}

void
ctl_dead_drop(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	uint64_t no = ctl_dead_no(b, c, o);
	struct dropping *d;

	if (no == 0)
		return;
	d = xcalloc(1, sizeof(*d));
	d->call = *c;
	d->job.op.kind = JOURNAL_DEAD_DROP;
	d->job.op.u.dead.no = no;
	d->job.done = on_dropped;
	broker_submit(b, &d->job);
}

/* sys.replay: a range of the journal, a page a call, is owed once more to one group. */
#include "base/clock.h"
#include "base/die.h"
#include "broker/again.h"
#include "broker/ctl_impl.h"
#include "proto/topic.h"

enum { PAGE_WORK = 512, PAGES = 32 }; /* of the journal, read for one call */

struct replay {
	struct ctl_call call;
	const struct owed_group *g;
	struct again *again; /* NULL: count only */
	struct span topic;   /* {NULL,0}: all */
	uint64_t from, to, next;
	int64_t now;
	uint64_t n, expired;
	bool full, no_memory;
};

/* What was put again itself is left out (its original is not), so that a range that reaches up to
 * the head has an end; so is what had expired: nobody is to get it any more. */
static bool
is_wanted(struct replay *y, const struct journal_row *row)
{
	if (row->only.p != NULL || !topic_match(span_str(y->g->set.pattern), row->topic) ||
	    (y->topic.p != NULL && !topic_match(y->topic, row->topic)))
		return false;
	if (row->exp_ms == 0 || row->exp_ms > y->now)
		return true;
	y->expired++;
	return false;
}

static bool
on_row(void *arg, const struct journal_row *row)
{
	struct replay *y = arg;
	struct journal_row copy = *row;

	if (row->seq > y->to)
		return false;
	if (is_wanted(y, row)) {
		copy.seq = 0;
		if (y->again != NULL && !again_has_room(y->again, row->frame.n)) {
			y->full = true;
			return false;
		}
		if (y->again != NULL && !again_add(y->again, &copy)) {
			y->full = y->no_memory = true;
			return false;
		}
		y->n++;
	}
	y->next = row->seq + 1;
	return true;
}

static void
answer(struct broker *b, const struct replay *y)
{
	struct buf body;

	buf_init(&body, 256);
	mp_put_map(&body, 5);
	ctl_put_u(&body, "replayed", y->n);
	ctl_put_u(&body, "expired", y->expired);
	ctl_put_u(&body, "from", y->from);
	ctl_put_u(&body, "to", y->to);
	mp_put_cstr(&body, "next");
	if (y->next <= y->to) {
		mp_put_u64(&body, y->next);
	} else {
		mp_put_nil(&body);
	}
	ctl_answer(b, &y->call, &body);
	buf_fini(&body);
}

static void
on_put(struct broker *b, void *arg, enum err err, uint64_t seq)
{
	struct replay *y = arg;

	(void)seq;
	if (err == ERR_OK) {
		answer(b, y);
	} else {
		ctl_refuse_op(b, &y->call, err, "");
	}
	free(y);
}

/* False: the journal cannot be read. */
static bool
read_range(struct broker *b, struct replay *y)
{
	for (int i = 0; i < PAGES && y->next <= y->to && !y->full; i++) {
		uint64_t next = journal_read(b->journal, y->next, on_row, y);

		b->work += PAGE_WORK;
		if (next == 0)
			return false;
		if (!y->full && next > y->next)
			y->next = next; /* what lies between is not kept, or damaged */
	}
	return true;
}

/* `key` of the call as a seq; `past`: the one after the last of that moment, and `def` where the
 * call does not say.  0: the journal cannot be read. */
static uint64_t
take_place(struct broker *b, const msgpack_object *o, const char *key, uint64_t def, bool past,
    struct faults *f)
{
	const msgpack_object *v = doc_get(o, key);
	int64_t time = doc_i64(v, "time", -1);
	char pointer[8] = "/";

	memcpy(pointer + 1, key, strlen(key) + 1);
	if (v == NULL && past)
		return def; /* 0 where there is no record yet */
	if (v != NULL && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER && v->via.u64 > 0)
		return v->via.u64 < INT64_MAX ? v->via.u64 : INT64_MAX;
	if (!past && span_is(doc_span(v), "all"))
		return 1;
	if (time >= 0 && time < INT64_MAX)
		return past ? journal_seek(b->journal, time + 1) : journal_seek(b->journal, time);
	faults_add(
	    f, pointer, past ? "expected a seq, or {time}" : "expected a seq, {time}, or \"all\"");
	return 1;
}

static bool
take_range(struct broker *b, struct replay *y, const msgpack_object *o, struct faults *f)
{
	static const char *const keys[] = {"group", "from", "to", "topic", "dry"};
	const msgpack_object *topic = doc_get(o, "topic"), *to = doc_get(o, "to");

	ctl_only_keys(o, keys, 5, f);
	y->topic = doc_span(topic);
	if (topic != NULL && !topic_is_pattern(y->topic))
		faults_add(f, "/topic", "expected a pattern");
	y->from = take_place(b, o, "from", 0, false, f);
	y->to = take_place(b, o, "to", b->head, true, f);
	if (y->from == 0 || (y->to == 0 && b->head > 0))
		return false;
	if (to != NULL && to->type == MSGPACK_OBJECT_MAP)
		y->to--; /* the record before the first that is later */
	if (y->from < journal_first(b->journal))
		y->from = journal_first(b->journal);
	if (y->to > b->head)
		y->to = b->head;
	y->next = y->from;
	return true;
}

static void
replay(struct broker *b, struct replay *y, bool dry)
{
	if (!dry)
		y->again = again_new(b, span_str(y->g->name));
	if (!read_range(b, y)) {
		ctl_refuse(b, &y->call, ERR_STORE_FAILED, "the journal cannot be read");
	} else if (y->no_memory && y->n == 0) {
		ctl_refuse(b, &y->call, ERR_BUSY, "no memory");
	} else if (y->n == 0 || dry) {
		answer(b, y);
	} else if (again_submit(y->again, 0, on_put, y)) {
		return;
	} else {
		y->again = NULL;
		ctl_refuse(b, &y->call, ERR_BUSY, "too many bytes are being committed");
	}
	again_free(y->again);
	free(y);
}

void
ctl_replay(struct broker *b, const struct ctl_call *c, const msgpack_object *o)
{
	struct span name = doc_str(o, "group");
	struct owed_group *g = groups_find(b, name);
	struct replay *y;
	struct faults f;

	if (name.n == 0) {
		ctl_missing(b, c, "/group", "expected the name of a group");
		return;
	}
	if (g == NULL || g->core == NULL || g->deleting) {
		ctl_no_group(b, c, name);
		return;
	}
	y = xcalloc(1, sizeof(*y));
	y->call = *c;
	y->g = g;
	y->now = clock_real_ms();
	faults_init(&f);
	if (!take_range(b, y, o, &f)) {
		ctl_refuse(b, c, ERR_STORE_FAILED, "the journal cannot be read");
		free(y);
	} else if (f.n > 0) {
		ctl_invalid(b, c, &f);
		free(y);
	} else {
		replay(b, y, doc_bool(o, "dry", false));
	}
	faults_fini(&f);
}

#include "broker/tails.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/str.h"
#include "broker/out.h"
#include "broker/retained.h"
#include "proto/topic.h"

enum { RECORDS_A_TURN = 1024, PAGES_A_TURN = 2 };

static bool
has_room(const struct sub *s, size_t n)
{
	return s->out < s->credit && (s->out == 0 || s->out_bytes + n <= s->max_bytes);
}

static void
hand_over(struct broker *b, struct sub *s, const struct rec *r, bool last)
{
	struct env e;

	env_init(&e, ENV_MSG, r->topic, s->id);
	if (r->seq != 0)
		env_set_u(&e, ENV_M_SEQ, r->seq);
	env_set_s(&e, ENV_M_FROM, r->from);
	env_set_s(&e, ENV_M_AS, r->as);
	if (last)
		env_set_u(&e, ENV_M_RETAIN, 1);
	e.body = rec_frame(r);
	s->out++;
	s->out_bytes += r->n;
	b->delivered++;
	out_env(b, s->peer, &e);
}

static bool
is_behind(const struct sub *s)
{
	return !list_empty(&s->behind);
}

void
tails_deliver(struct broker *b, struct sub *s, const struct rec *r)
{
	bool durable = r->seq != 0;

	if (s->read != 0 && durable) {
		/* Replaying: in order, so only when everything before it was sent. */
		if (is_behind(s) || r->seq < s->read)
			return;
		if (!has_room(s, r->n)) {
			list_push_back(&b->tails_behind, &s->behind);
			s->read = r->seq;
			return;
		}
		s->read = r->seq + 1;
	} else if (!has_room(s, r->n)) {
		s->dropped++;
		b->drops[DROP_TAIL_CREDIT]++;
		return;
	}
	hand_over(b, s, r, false);
}

/* ---- catching up ---- */

struct replay {
	struct broker *b;
	struct sub *s;
};

static void
hand_row(struct broker *b, struct sub *s, const struct journal_row *row, bool last)
{
	struct rec *r = rec_of_row(&b->recs, row);

	if (r == NULL) {
		b->drops[DROP_NO_MEMORY]++;
		return;
	}
	hand_over(b, s, r, last);
	rec_drop(r);
}

static bool
on_row(void *arg, const struct journal_row *row)
{
	struct replay *y = arg;

	if (row->only.p == NULL && topic_match(y->s->pattern, row->topic)) {
		if (!has_room(y->s, row->frame.n))
			return false;
		hand_row(y->b, y->s, row, false);
	}
	y->s->read = row->seq + 1;
	return true;
}

static void
replay_memory(struct broker *b, struct sub *s, unsigned *left)
{
	struct rec *r;

	for (; *left > 0 && (r = tail_get(&b->tail, s->read)) != NULL; --*left, s->read++) {
		if (r->only != NULL || !topic_match(s->pattern, r->topic))
			continue;
		if (!has_room(s, r->n))
			return;
		hand_over(b, s, r, false);
	}
}

/* ---- last values ---- */

struct look {
	struct broker *b;
	struct sub *s;
	bool any, past, full;
	char at[LIMIT_TOPIC + 1];
};

static bool
on_last(void *arg, const struct journal_row *row)
{
	struct look *k = arg;
	struct sub *s = k->s;

	k->any = true;
	k->past = retained_is_past(s->pattern, row->topic);
	if (k->past)
		return false;
	/* One that was set after the SUB comes as what it is; what has expired nobody is to get. */
	if (topic_match(s->pattern, row->topic) && row->seq < s->read &&
	    (row->exp_ms == 0 || row->exp_ms > clock_real_ms())) {
		k->full = !has_room(s, row->frame.n);
		if (k->full)
			return false;
		hand_row(k->b, s, row, true);
	}
	(void)str_copy(k->at, sizeof(k->at), row->topic);
	return true;
}

/* False: there is no room for the next. */
static bool
replay_last(struct broker *b, struct sub *s)
{
	struct look k = {.b = b, .s = s};
	int err = journal_retained(b->journal, span_str(s->last), on_last, &k);

	if (k.at[0] != '\0') {
		free(s->last);
		s->last = xstrdup(k.at);
	}
	if (err != 0 || k.past || !k.any) {
		free(s->last);
		s->last = NULL;
	}
	return !k.full;
}

/* What may be read in one turn, for all tails together. */
struct budget {
	unsigned pages, records;
};

/* False: there was no room for anything. */
static bool
replay(struct broker *b, struct sub *s, struct budget *left)
{
	struct replay y = {b, s};
	uint64_t next, from = s->read;

	if (s->last != NULL) {
		left->pages--;
		return replay_last(b, s);
	}
	if (s->read <= b->head && tail_get(&b->tail, s->read) == NULL) {
		next = journal_read(b->journal, s->read, on_row, &y);
		if (next == 0) {
			s->read =
			    b->head + 1; /* logged by the journal; it goes on with what comes */
		} else if (next > b->head && s->read < next && has_room(s, 0)) {
			s->read = next; /* nothing that matches is left */
		}
		left->pages--;
	} else {
		replay_memory(b, s, &left->records);
	}
	return s->read != from;
}

void
tails_turn(struct broker *b)
{
	struct budget left = {PAGES_A_TURN, RECORDS_A_TURN};
	struct sub *s, *served = NULL;
	bool moved;

	LIST_EACH (s, &b->tails_behind, struct sub, behind) {
		if (s == served)
			return;
		if (!has_room(s, 0))
			continue;
		if (left.pages == 0 || left.records == 0) {
			broker_soon(b);
			return;
		}
		moved = replay(b, s, &left);
		list_remove(&s->behind);
		if (s->last == NULL && s->read > b->head) {
			if (s->joins)
				s->read = 0;
			continue;
		}
		/* The others first; one with no room for what is next waits for a MORE. */
		list_push_back(&b->tails_behind, &s->behind);
		served = served != NULL ? served : s;
		if (moved && has_room(s, 0))
			broker_soon(b);
	}
}

/* ---- SUB, MORE ---- */

static bool
on_any(void *arg, const struct journal_row *row)
{
	(void)row;
	*(bool *)arg = true;
	return false;
}

int
tails_open(struct broker *b)
{
	return journal_retained(b->journal, span_str(""), on_any, &b->retained);
}

/* The first seq it is to have; 0: live only. */
static bool
read_from(struct span raw, const struct broker *b, uint64_t *read)
{
	enum journal_from from;
	int64_t arg;

	*read = 0;
	if (!groups_from(raw, &from, &arg))
		return false;
	switch (from) {
	case JOURNAL_FROM_NEW: return true;
	case JOURNAL_FROM_ALL: *read = journal_first(b->journal); break;
	case JOURNAL_FROM_SEQ: *read = (uint64_t)arg; break;
	case JOURNAL_FROM_TIME: *read = journal_seek(b->journal, arg); break;
	}
	if (*read == 0)
		*read = 1;
	return true;
}

/* Its last values, then what was committed meanwhile, then it is live. */
static void
last_first(struct broker *b, struct sub *s)
{
	char after[RETAINED_AFTER];

	retained_after(s->pattern, after);
	s->last = xstrdup(after);
	s->joins = true;
	s->read = b->head + 1;
	list_push_back(&b->tails_behind, &s->behind);
}

void
tails_sub(struct broker *b, struct peer *p, const struct env *e)
{
	struct sub *s = registry_sub(p, SUB_TAIL, e->topic);
	struct env ok;
	uint64_t read;

	if (!read_from(env_s(e, ENV_M_FROM), b, &read)) {
		out_err(
		    b, p, e->id, ERR_INVALID, "from: expected \"new\", \"all\", {seq} or {time}");
		return;
	}
	if (s == NULL && (s = registry_sub_add(p, SUB_TAIL, e->topic)) == NULL) {
		out_err(b, p, e->id, ERR_QUOTA, "too many subscriptions");
		return;
	}
	if (s->match.at == NULL) {
		match_add(b->match, s->pattern, &s->match);
		b->tails++;
	}
	memcpy(s->id, e->id, 16);
	s->credit = env_u(e, ENV_M_CREDIT, DEFAULT_CREDIT);
	s->max_bytes = env_u(e, ENV_M_BYTES, DEFAULT_CREDIT_BYTES);
	if (s->max_bytes > b->conf.peer_bytes / 2)
		s->max_bytes = b->conf.peer_bytes / 2;
	s->out = s->out_bytes = 0;
	s->read = read > b->head + 1 ? b->head + 1 : read;
	list_remove(&s->behind);
	if (read != 0 && read <= b->head)
		list_push_back(&b->tails_behind, &s->behind);
	free(s->last);
	s->last = NULL;
	s->joins = false;
	if (!env_has(e, ENV_M_FROM) && b->retained && groups_can_be_owed(e->topic))
		last_first(b, s);
	registry_describe(&b->reg, s, e->body);
	env_init(&ok, ENV_OK, span_str(""), e->id);
	env_set_u(&ok, ENV_M_NEXT, read != 0 ? read : b->head + 1);
	out_env(b, p, &ok);
	broker_changed(b, true, false);
}

void
tails_end(struct broker *b, struct sub *s)
{
	match_del(b->match, &s->match);
	b->tails--;
	registry_sub_remove(&b->reg, s);
	broker_changed(b, true, false);
}

bool
tails_more(struct broker *b, struct peer *p, const uint8_t id[16], uint64_t n)
{
	struct sub *s;

	(void)b;
	LIST_EACH (s, &p->subs, struct sub, by_peer) {
		if (s->kind != SUB_TAIL || memcmp(s->id, id, 16) != 0)
			continue;
		if (n >= s->out) {
			s->out = s->out_bytes = 0;
		} else {
			/* It gives back envelopes, not bytes: the average is near enough. */
			s->out_bytes -= s->out_bytes / s->out * n;
			s->out -= n;
		}
		return true;
	}
	return false;
}

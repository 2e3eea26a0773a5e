#include "proto/worker_priv.h"

#include <stdlib.h>

#include "base/log.h"
#include "proto/mp.h"
#include "proto/topic.h"

#define SUB_TIMEOUT_MS 10000
#define RETRY_MS 1000
#define RETRY_REFUSED_MS 5000

static void ask(struct worker_sub *s);

static void
changed(struct worker *w)
{
	if (w->changed)
		w->changed(w->changed_arg);
}

static uint8_t *
copy(struct span s)
{
	uint8_t *p;

	if (s.p == NULL)
		return NULL;
	p = xcalloc(1, s.n + 1);
	memcpy(p, s.p, s.n);
	return p;
}

static void
on_retry(struct timer *t)
{
	struct worker_sub *s = LIST_ITEM(t, struct worker_sub, retry);

	if (link_is_up(s->w->link))
		ask(s);
}

static void
retry(struct worker_sub *s, enum err code, struct span text)
{
	bool refused = err_retry(code) == ERR_NEVER;

	log_warn("sub_refused", LOG_S("pattern", s->pattern), LOG_S("group", s->group),
	    LOG_S("code", err_name(code)), LOG_B("detail", text));
	loop_timer(
	    s->w->loop, &s->retry, loop_now(s->w->loop) + (refused ? RETRY_REFUSED_MS : RETRY_MS));
}

static void
on_answer(void *arg, const struct env *e)
{
	struct worker_ask *a = arg;
	struct worker_sub *s = a->sub;
	enum err code;

	free(a);
	if (s == NULL)
		return;
	s->ask = NULL;
	if (e->verb != ENV_ERR) {
		s->live = true;
		memcpy(s->sub_id, e->id, 16);
		s->ack_ms = (int64_t)env_u(e, ENV_M_ACK_MS, (uint64_t)s->ack_ms);
		log_info("subscribed", LOG_S("pattern", s->pattern), LOG_S("group", s->group),
		    LOG_U("next", env_u(e, ENV_M_NEXT, 0)));
		changed(s->w);
		return;
	}
	code = env_err_code(e);
	/* A lost connection is followed by `up`, and the end of this process by nothing. */
	if (code != ERR_WORKER_LOST && code != ERR_DRAINING) {
		retry(s, code, env_err_text(e));
		if (s->refused && err_retry(code) == ERR_NEVER)
			s->refused(s->arg, e);
	} else if (link_is_up(s->w->link)) {
		loop_timer(s->w->loop, &s->retry, loop_now(s->w->loop) + RETRY_MS);
	}
}

/* `from` as one msgpack object. */
static void
put_from(const struct worker_sub *s, struct buf *out)
{
	if (s->from_seq > 0 || s->from_time_ms > 0) {
		mp_put_map(out, 1);
		mp_put_cstr(out, s->from_time_ms > 0 ? "time" : "seq");
		mp_put_i64(out, s->from_time_ms > 0 ? s->from_time_ms : s->from_seq);
	} else if (s->from) {
		mp_put_cstr(out, s->from);
	}
}

static void
fill(const struct worker_sub *s, struct env *e, struct buf *from)
{
	env_init(e, ENV_SUB, span_str(s->pattern), NULL);
	if (s->group) {
		env_set_s(e, ENV_M_GROUP, span_str(s->group));
		if (s->asked_ack_ms > 0)
			env_set_u(e, ENV_M_ACK_MS, (uint64_t)s->asked_ack_ms);
		if (s->tries > 0)
			env_set_u(e, ENV_M_TRIES, (uint64_t)s->tries);
	}
	if (s->serve)
		env_set_u(e, ENV_M_SERVE, 1);
	put_from(s, from);
	if (from->n > 0)
		env_set_s(e, ENV_M_FROM, buf_span(from));
	env_set_u(e, ENV_M_CREDIT, s->credit);
	env_set_u(e, ENV_M_BYTES, s->credit_bytes);
	env_set_u(e, ENV_M_MANY, 1);
	if (s->desc) {
		e->body = span_of(s->desc, s->desc_n);
	} else if (s->w->desc) {
		e->body = span_of(s->w->desc, s->w->desc_n);
	}
}

static void
ask(struct worker_sub *s)
{
	struct worker_ask *a;
	struct buf from;
	struct env e;
	enum err err;

	if (s->ask || s->w->byed)
		return;
	a = xcalloc(1, sizeof *a);
	a->sub = s;
	buf_init(&from, 64);
	fill(s, &e, &from);
	err = client_call(s->w->client, &e, SUB_TIMEOUT_MS, on_answer, a);
	buf_fini(&from);
	if (err == ERR_OK) {
		s->ask = a;
		return;
	}
	free(a);
	if (err != ERR_DRAINING)
		retry(s, err, span_str("refused before it was sent"));
}

struct worker_sub *
worker_sub(struct worker *w, const struct worker_sub_spec *spec)
{
	struct worker_sub *s = xcalloc(1, sizeof *s);

	if (spec->cancels && spec->group)
		worker_cancel_start(w);
	s->cancels = spec->cancels && spec->group;
	s->w = w;
	s->pattern = xstrdup(spec->pattern);
	s->group = spec->group ? xstrdup(spec->group) : NULL;
	s->from = spec->from ? xstrdup(spec->from) : NULL;
	s->serve = spec->serve;
	s->from_seq = spec->from_seq;
	s->from_time_ms = spec->from_time_ms;
	s->asked_ack_ms = spec->ack_ms > 0 ? spec->ack_ms : 0;
	s->ack_ms = spec->ack_ms > 0 ? spec->ack_ms : DEFAULT_ACK_MS;
	s->tries = spec->tries;
	s->credit = spec->credit > 0 ? spec->credit : DEFAULT_CREDIT;
	s->credit_bytes = spec->credit_bytes > 0 ? spec->credit_bytes : DEFAULT_CREDIT_BYTES;
	s->desc = copy(spec->desc);
	s->desc_n = spec->desc.n;
	s->msg = spec->msg;
	s->cancel = spec->cancel;
	s->refused = spec->refused;
	s->more = spec->more;
	s->arg = spec->arg;
	s->retry.fn = on_retry;
	list_push_back(&w->subs, &s->node);
	if (link_is_up(w->link))
		ask(s);
	return s;
}

void
worker_sub_free(struct worker_sub *s)
{
	if (s->ask)
		s->ask->sub = NULL;
	loop_timer_clear(s->w->loop, &s->retry);
	list_remove(&s->node);
	free(s->pattern);
	free(s->group);
	free(s->from);
	free(s->desc);
	free(s->acks);
	free(s);
}

void
worker_sub_release(struct worker_sub *s)
{
	if (s->gone && s->in_hand == 0 && s->nacks == 0)
		worker_sub_free(s);
}

static void
on_unsubbed(void *arg, const struct env *e)
{
	(void)arg;
	if (e->verb == ENV_ERR && env_err_code(e) != ERR_WORKER_LOST)
		log_warn("unsub_failed", LOG_S("code", err_name(env_err_code(e))));
}

void
worker_unsub(struct worker_sub *s)
{
	struct env e;

	worker_out_flush(s->w);
	if (link_is_up(s->w->link) && (s->live || s->ask)) {
		env_init(&e, ENV_UNSUB, span_str(s->pattern), NULL);
		if (s->group)
			env_set_s(&e, ENV_M_GROUP, span_str(s->group));
		if (s->serve)
			env_set_u(&e, ENV_M_SERVE, 1);
		if (client_call(s->w->client, &e, SUB_TIMEOUT_MS, on_unsubbed, NULL) != ERR_OK)
			log_warn("unsub_refused", LOG_S("pattern", s->pattern));
	}
	s->gone = true;
	s->live = false;
	loop_timer_clear(s->w->loop, &s->retry);
	worker_sub_release(s);
}

bool
worker_sub_is_live(const struct worker_sub *s)
{
	return s->live;
}

int64_t
worker_sub_ack_ms(const struct worker_sub *s)
{
	return s->ack_ms;
}

bool
worker_is_live(const struct worker *w)
{
	struct worker_sub *s;

	LIST_EACH (s, &w->subs, struct worker_sub, node)
		if (!s->live && !s->gone)
			return false;
	return true;
}

void
worker_on_change(struct worker *w, loop_fn *fn, void *arg)
{
	w->changed = fn;
	w->changed_arg = arg;
}

void
worker_describe(struct worker *w, struct span desc)
{
	free(w->desc);
	w->desc = copy(desc);
	w->desc_n = desc.n;
}

void
worker_sub_up(struct worker *w)
{
	struct worker_sub *s;

	LIST_EACH (s, &w->subs, struct worker_sub, node)
		if (!s->gone)
			ask(s);
}

void
worker_sub_down(struct worker *w)
{
	struct worker_sub *s;

	LIST_EACH (s, &w->subs, struct worker_sub, node) {
		s->live = false;
		loop_timer_clear(w->loop, &s->retry);
	}
	changed(w);
}

/* The most specific of the patterns that match, as the broker chooses. */
static struct worker_sub *
find_by_topic(struct worker *w, struct span topic, bool serve)
{
	struct worker_sub *s, *best = NULL;

	LIST_EACH (s, &w->subs, struct worker_sub, node) {
		if (s->gone || s->serve != serve || s->group ||
		    !topic_match(span_str(s->pattern), topic))
			continue;
		if (best == NULL ||
		    topic_cmp_specific(span_str(s->pattern), span_str(best->pattern)) < 0)
			best = s;
	}
	return best;
}

struct worker_sub *
worker_sub_find(struct worker *w, const struct env *head, const struct env *e)
{
	struct span group = env_s(head, ENV_M_GROUP);
	struct worker_sub *s;

	if (env_has(head, ENV_M_LEFT))
		return find_by_topic(w, e->topic, true);
	LIST_EACH (s, &w->subs, struct worker_sub, node) {
		if (s->gone)
			continue;
		if (group.p ? s->group && span_is(group, s->group)
			    : s->live && memcmp(s->sub_id, head->id, 16) == 0)
			return s;
	}
	return group.p ? NULL : find_by_topic(w, e->topic, false);
}

static void
put_sub(const struct worker_sub *s, struct buf *out)
{
	const struct {
		const char *name;
		uint64_t n;
	} count[] = {
	    {"credit", s->credit},
	    {"inHand", s->in_hand},
	    {"delivered", s->count.delivered},
	    {"refused", s->count.refused},
	    {"acked", s->count.acked},
	    {"naked", s->count.naked},
	    {"rejected", s->count.rejected},
	    {"replied", s->count.replied},
	    {"failed", s->count.failed},
	    {"dropped", s->count.dropped},
	};
	const size_t n = sizeof count / sizeof *count;

	mp_put_map(out, 3 + n + (s->group ? 1 : 0));
	mp_put_cstr(out, "pattern");
	mp_put_cstr(out, s->pattern);
	if (s->group) {
		mp_put_cstr(out, "group");
		mp_put_cstr(out, s->group);
	}
	mp_put_cstr(out, "serve");
	mp_put_bool(out, s->serve);
	mp_put_cstr(out, "live");
	mp_put_bool(out, s->live);
	for (size_t i = 0; i < n; i++) {
		mp_put_cstr(out, count[i].name);
		mp_put_u64(out, count[i].n);
	}
}

void
worker_put_subs(const struct worker *w, struct buf *out)
{
	struct worker_sub *s;
	size_t n = 0;

	LIST_EACH (s, &w->subs, struct worker_sub, node)
		n++;
	mp_put_array(out, n);
	LIST_EACH (s, &w->subs, struct worker_sub, node)
		put_sub(s, out);
}

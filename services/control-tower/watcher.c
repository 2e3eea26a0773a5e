#include "services/control-tower/watcher_impl.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/die.h"
#include "base/list.h"
#include "base/log.h"
#include "base/uuid.h"
#include "proto/digest.h"
#include "proto/doc.h"
#include "proto/mp.h"
#include "services/control-tower/trigger.h"

#define CURSOR_MS 5000
#define RETRY_MIN_MS 100
#define RETRY_MAX_MS 5000
#define BATCH_BYTES ((size_t)8 << 20) /* one larger trigger goes alone */
#define ITEM_BYTES (LIMIT_FRAME - LIMIT_HEADER - LIMIT_CUR * 2)

enum stage {
	ASKING,  /* for the first cursor */
	RESTING, /* triggers may be added */
	SENDING, /* a BATCH is under way */
	JUDGING, /* the cursor is asked for, to know what became of a BATCH */
};

struct watcher_stream {
	struct list link;
	struct watcher *w;
	char src[LIMIT_SRC + 1];
	enum stage stage;
	bool asked, closed; /* a call is under way; nobody is interested any more */
	bool conflict;      /* JUDGING: the broker had refused, it was not lost */
	struct timer retry;
	int64_t backoff_ms;
	struct buf cursor; /* what the broker has; meaningful when has_cursor */
	bool has_cursor;
	struct buf next; /* what it is to have after the commit */
	struct buf items;
	size_t nitems;
	watcher_cursor_fn *ready;
	watcher_done_fn *done;
	void *arg;
};

static void ask_cursor(struct watcher_stream *s);
static void send_batch(struct watcher_stream *s);

static void
stream_free(struct watcher_stream *s)
{
	list_remove(&s->link);
	loop_timer_clear(svc_loop(s->w->svc), &s->retry);
	buf_fini(&s->cursor);
	buf_fini(&s->next);
	buf_fini(&s->items);
	free(s);
}

static void
commit_end(struct watcher_stream *s, enum watcher_end end)
{
	watcher_done_fn *done = s->done;

	if (end == WATCHER_STORED) {
		s->w->stored += s->nitems;
		s->w->batches++;
	}
	s->w->moved += end == WATCHER_MOVED ? 1 : 0;
	s->stage = RESTING;
	s->done = NULL;
	s->nitems = 0;
	buf_reset(&s->items);
	if (!s->closed && done != NULL)
		done(s->arg, end);
}

static void
set_cursor(struct watcher_stream *s, struct span cursor)
{
	buf_reset(&s->cursor);
	buf_put(&s->cursor, cursor.p, cursor.n);
	s->has_cursor = cursor.p != NULL;
}

static void
retry_later(struct watcher_stream *s)
{
	struct loop *l = svc_loop(s->w->svc);

	if (s->w->stopping) {
		if (s->stage != ASKING)
			commit_end(s, WATCHER_STOPPED);
		return;
	}
	s->w->retried++;
	loop_timer(l, &s->retry, loop_now(l) + s->backoff_ms);
	s->backoff_ms = s->backoff_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : s->backoff_ms * 2;
}

static void
on_retry(struct timer *t)
{
	struct watcher_stream *s = LIST_ITEM(t, struct watcher_stream, retry);

	if (s->stage == SENDING) {
		send_batch(s);
	} else {
		ask_cursor(s);
	}
}

/* The cursor has been read while a BATCH was in doubt: what does it say of it? */
static void
judge(struct watcher_stream *s, struct span cursor)
{
	bool is_old = s->has_cursor ? cursor.p != NULL && span_eq(cursor, buf_span(&s->cursor))
				    : cursor.p == NULL;

	if (cursor.p != NULL && span_eq(cursor, buf_span(&s->next))) {
		set_cursor(s, cursor);
		commit_end(s, WATCHER_STORED);
	} else if (!is_old) {
		set_cursor(s, cursor);
		commit_end(s, WATCHER_MOVED);
	} else if (s->conflict) {
		commit_end(s, WATCHER_REFUSED);
	} else {
		s->stage = SENDING;
		retry_later(s);
	}
}

static struct span
read_cursor(const struct doc *d)
{
	const msgpack_object *cur = doc_get(&d->root, "cur");

	if (cur == NULL || cur->type != MSGPACK_OBJECT_BIN)
		return span_of(NULL, 0);
	return span_of(cur->via.bin.ptr ? cur->via.bin.ptr : "", cur->via.bin.size);
}

static void
on_cursor(void *arg, const struct env *e)
{
	struct watcher_stream *s = arg;
	struct doc d;

	s->asked = false;
	if (s->closed) {
		stream_free(s);
		return;
	}
	if (e->verb != ENV_REP || doc_parse(&d, e->body) != 0) {
		log_warn("cursor_failed", LOG_S("src", s->src),
		    LOG_S("code", err_name(env_err_code(e))));
		retry_later(s);
		return;
	}
	s->backoff_ms = RETRY_MIN_MS;
	if (s->stage == JUDGING) {
		judge(s, read_cursor(&d));
	} else {
		set_cursor(s, read_cursor(&d));
		s->stage = RESTING;
		s->ready(s->arg, watcher_cursor(s));
	}
	doc_fini(&d);
}

static void
ask_cursor(struct watcher_stream *s)
{
	struct buf body;
	struct env e;

	buf_init(&body, (size_t)LIMIT_SRC * 2);
	mp_put_map(&body, 1);
	mp_put_cstr(&body, "src");
	mp_put_cstr(&body, s->src);
	env_init(&e, ENV_REQ, span_str("sys.cursor"), NULL);
	env_set_u(&e, ENV_M_AGAIN, 1);
	e.body = buf_span(&body);
	s->asked = client_call(svc_client(s->w->svc), &e, CURSOR_MS, on_cursor, s) == ERR_OK;
	buf_fini(&body);
	if (!s->asked)
		retry_later(s);
}

static void
on_batch(void *arg, const struct env *e)
{
	struct watcher_stream *s = arg;
	enum err code = e->verb == ENV_OK ? ERR_OK : env_err_code(e);

	s->asked = false;
	if (s->closed) {
		stream_free(s);
		return;
	}
	if (code == ERR_OK) {
		s->backoff_ms = RETRY_MIN_MS;
		set_cursor(s, buf_span(&s->next));
		commit_end(s, WATCHER_STORED);
		return;
	}
	log_warn("batch_failed", LOG_S("src", s->src), LOG_S("code", err_name(code)),
	    LOG_B("detail", env_err_text(e)));
	if (code == ERR_CONFLICT || err_retry(code) == ERR_UNCERTAIN) {
		s->conflict = code == ERR_CONFLICT;
		s->stage = JUDGING;
		ask_cursor(s);
	} else {
		/* LATER; or DENIED and its like, which only an operator can change. */
		retry_later(s);
	}
}

static void
send_batch(struct watcher_stream *s)
{
	struct buf body;
	struct env e;

	buf_init(&body, LIMIT_FRAME);
	mp_put_array(&body, s->nitems);
	buf_put(&body, s->items.p, s->items.n);
	env_init(&e, ENV_BATCH, span_str(""), NULL);
	env_set_s(&e, ENV_M_SRC, span_str(s->src));
	env_set_s(&e, ENV_M_CUR, buf_span(&s->next));
	/* Empty: expected never to have been set. */
	env_set_s(&e, ENV_M_WAS, s->has_cursor ? buf_span(&s->cursor) : span_str(""));
	e.body = buf_span(&body);
	s->stage = SENDING;
	s->asked = client_call(svc_client(s->w->svc), &e, 0, on_batch, s) == ERR_OK;
	buf_fini(&body);
	if (!s->asked)
		retry_later(s);
}

struct watcher_stream *
watcher_open(struct watcher *w, const char *sub, watcher_cursor_fn *ready, void *arg)
{
	struct watcher_stream *s = xcalloc(1, sizeof *s);
	const char *instance = svc_instance(w->svc);
	int n = snprintf(s->src, sizeof s->src, "%s%s%s%s%s", w->name, *instance ? "/" : "",
	    instance, *sub ? "/" : "", sub);

	INVARIANT(n > 0 && (size_t)n < sizeof s->src);
	s->w = w;
	s->ready = ready;
	s->arg = arg;
	s->retry.fn = on_retry;
	s->backoff_ms = RETRY_MIN_MS;
	buf_init(&s->cursor, LIMIT_CUR);
	buf_init(&s->next, LIMIT_CUR);
	buf_init(&s->items, LIMIT_FRAME);
	list_push_back(&w->streams, &s->link);
	ask_cursor(s);
	return s;
}

void
watcher_close(struct watcher_stream *s)
{
	if (s == NULL)
		return;
	s->closed = true;
	loop_timer_clear(svc_loop(s->w->svc), &s->retry);
	if (!s->asked)
		stream_free(s);
}

struct span
watcher_cursor(const struct watcher_stream *s)
{
	return s->has_cursor ? buf_span(&s->cursor) : span_of(NULL, 0);
}

static void
derive_id(const struct watcher_stream *s, struct span position, uint8_t id[16])
{
	struct span parts[] = {span_str(s->src), position};
	uint8_t digest[DIGEST_BYTES];

	digest_parts(digest, parts, 2);
	uuid_v8(id, digest);
}

/* [topic, id, meta, body] behind the others; false when there is no room. */
static bool
put_item(struct watcher_stream *s, const struct trigger *t, const uint8_t id[16])
{
	struct buf topic, body;
	size_t from = s->items.n;

	buf_init(&topic, (size_t)2 * LIMIT_TOPIC);
	buf_init(&body, LIMIT_FRAME);
	trigger_put_body(t, id, s->w->ops->name, span_of(NULL, 0), &body);
	/* trigger_read has seen that the topic fits. */
	INVARIANT(trigger_put_topic(t, &topic) == 0);
	mp_put_array(&s->items, 4);
	mp_put_str(&s->items, buf_span(&topic));
	mp_put_bin(&s->items, span_of(id, 16));
	mp_put_map(&s->items, 0);
	buf_put(&s->items, body.p, body.n);
	bool fits = !body.failed && !s->items.failed &&
		    s->items.n <= (from == 0 ? ITEM_BYTES : BATCH_BYTES);

	buf_fini(&topic);
	buf_fini(&body);
	if (!fits) {
		s->items.n = from;
		s->items.failed = false;
	}
	return fits;
}

static enum watcher_say
bad(struct watcher_stream *s, struct span position, const struct faults *f)
{
	struct watcher *w = s->w;

	w->invalid++;
	if (log_allow(&w->bad, loop_now(svc_loop(w->svc)), 10)) {
		log_warn("trigger_invalid", LOG_S("src", s->src), LOG_B("position", position),
		    LOG_S("why", f->first), LOG_U("suppressed", w->bad.last));
	}
	return WATCHER_BAD;
}

enum watcher_say
watcher_add(struct watcher_stream *s, struct span body, struct span position, struct faults *f)
{
	struct faults own;
	struct trigger t;
	struct doc d;
	uint8_t id[16];
	enum watcher_say say = WATCHER_ADDED;

	INVARIANT(s->stage == RESTING);
	if (s->nitems == LIMIT_BATCH)
		return WATCHER_FULL;
	faults_init(&own);
	if (f == NULL)
		f = &own;
	if (doc_parse(&d, body) != 0) {
		faults_add(f, "", "cannot be read");
		say = bad(s, position, f);
	} else if (trigger_read(&t, &d.root, NULL, f) != 0) {
		say = bad(s, position, f);
	} else {
		derive_id(s, position, id);
		if (put_item(s, &t, id)) {
			s->nitems++;
		} else if (s->nitems > 0) {
			say = WATCHER_FULL;
		} else {
			faults_add(f, "", "is too big for an envelope");
			say = bad(s, position, f);
		}
	}
	doc_fini(&d);
	faults_fini(&own);
	return say;
}

void
watcher_commit(struct watcher_stream *s, struct span cursor, watcher_done_fn *done, void *arg)
{
	INVARIANT(s->stage == RESTING && cursor.n > 0 && cursor.n <= LIMIT_CUR);
	s->done = done;
	s->arg = arg;
	buf_reset(&s->next);
	buf_put(&s->next, cursor.p, cursor.n);
	send_batch(s);
}

void
watcher_streams_stop(struct watcher *w)
{
	struct watcher_stream *s;

	LIST_EACH (s, &w->streams, struct watcher_stream, link) {
		if (!timer_is_set(&s->retry))
			continue;
		loop_timer_clear(svc_loop(w->svc), &s->retry);
		retry_later(s);
	}
}

void
watcher_streams_free(struct watcher *w)
{
	struct watcher_stream *s;

	LIST_EACH (s, &w->streams, struct watcher_stream, link)
		stream_free(s);
}

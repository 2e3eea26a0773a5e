#include "proto/client.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/uuid.h"
#include "proto/client_priv.h"
#include "proto/topic.h"

#define DEFAULT_WINDOW 8

/* A worker says these again itself, and they are few: outside the bound. */
static bool
is_control(enum env_verb v)
{
	return v == ENV_SUB || v == ENV_UNSUB || v == ENV_BYE;
}

/* CANCEL or MORE: lost when the link cannot take it now. */
static int
say(struct client *c, enum env_verb verb, const uint8_t id[16], uint64_t n)
{
	struct env e;

	env_init(&e, verb, span_str(""), id);
	if (n > 0)
		env_set_u(&e, ENV_M_N, n);
	buf_reset(&c->scratch);
	if (env_encode(&e, &c->scratch) != ERR_OK)
		return -1;
	return link_send(c->link, buf_span(&c->scratch));
}

static void
cancel_at_broker(struct call *call)
{
	if (call->verb == ENV_REQ && call->sent)
		(void)say(call->c, ENV_CANCEL, call->id, 0);
}

static void
on_deadline(struct timer *t)
{
	struct call *call = LIST_ITEM(t, struct call, deadline);
	struct client *c = call->c;

	c->stats.timeouts++;
	cancel_at_broker(call);
	client_call_detach(call);
	call->end = call->uncertain ? ERR_TIMEOUT : ERR_BUSY;
	call->end_text = call->uncertain
			     ? "no answer before the deadline"
			     : "not sent: there was no connection to the broker in time";
	client_call_finish_local(call);
}

/* The frame with the ttl that is left, in scratch; the frame itself when that is not its concern.
 */
static struct span
timely(struct call *call)
{
	struct client *c = call->c;
	struct span frame = span_of(call->frame, call->n);
	int64_t gone = loop_now(c->loop) - call->made_ms;
	struct env e;

	if (call->verb != ENV_REQ || gone <= 0 || env_decode(&e, frame, false, NULL) != ERR_OK)
		return frame;
	env_set_u(&e, ENV_M_TTL, (uint64_t)(gone < call->ttl_ms ? call->ttl_ms - gone : 1));
	buf_reset(&c->scratch);
	return env_encode(&e, &c->scratch) == ERR_OK ? buf_span(&c->scratch) : frame;
}

static void
set_sent(struct call *call)
{
	struct client *c = call->c;

	list_remove(&call->node);
	list_push_back(&c->sent, &call->node);
	call->sent = call->uncertain = true;
	if (!client_call_is_kept(call))
		client_call_drop_frame(call);
}

static void
send_waiting(void *arg)
{
	struct client *c = arg;
	struct call *call;

	while ((call = LIST_FIRST(&c->waiting, struct call, node)) != NULL) {
		if (link_send(c->link, timely(call)) != 0)
			return;
		set_sent(call);
	}
	if (!c->more_owed)
		return;
	c->more_owed = false;
	LIST_EACH (call, &c->sent, struct call, node) {
		if (call->owed > 0 && say(c, ENV_MORE, call->id, call->owed) != 0) {
			c->more_owed = true;
			return;
		}
		call->owed = 0;
	}
}

/* What was under way is uncertain: what may be sent again waits, at the head and in its old order.
 */
static void
on_down(void *arg)
{
	struct client *c = arg;

	while (!list_empty(&c->sent)) {
		struct call *call = LIST_ITEM(c->sent.prev, struct call, node);

		if (client_call_is_kept(call)) {
			list_remove(&call->node);
			list_push_front(&c->waiting, &call->node);
			call->sent = false;
			c->stats.resent++;
		} else {
			c->stats.lost++;
			client_call_put_ending(
			    call, ERR_WORKER_LOST, "the connection to the broker was lost");
		}
	}
	client_call_finish_ending(c);
}

/* Time counts while a part may come; not while we are the ones who are slow. */
static void
arm_stream(struct call *call)
{
	struct client *c = call->c;

	if (call->window > 0) {
		loop_timer(c->loop, &call->deadline, loop_now(c->loop) + call->timeout_ms);
	} else {
		loop_timer_clear(c->loop, &call->deadline);
	}
}

static void
on_part(struct call *call, const struct env *e)
{
	if (call->part == NULL) {
		cancel_at_broker(call);
		client_call_put_ending(
		    call, ERR_UPSTREAM, "the answer comes in parts, and this call takes one");
		client_call_finish_ending(call->c);
		return;
	}
	call->parted = true;
	if (call->frame)
		client_call_drop_frame(call);
	if (call->window > 0)
		call->window--;
	arm_stream(call);
	call->part(call->arg, e); /* may have cancelled the call */
}

static void
on_in(void *arg, const struct env *e, struct span frame)
{
	struct client *c = arg;
	struct call *call;

	(void)frame;
	if (e->verb != ENV_OK && e->verb != ENV_ERR && e->verb != ENV_REP)
		return;
	call = client_call_find(c, e->id);
	if (call == NULL || !call->sent) {
		c->stats.late++;
		return;
	}
	if (e->verb == ENV_REP && env_u(e, ENV_M_MORE, 0)) {
		on_part(call, e);
		return;
	}
	client_call_detach(call);
	client_call_finish(call, e);
}

struct client *
client_new(struct link *k, size_t max_pending_bytes)
{
	struct client *c = xcalloc(1, sizeof *c);

	c->link = k;
	c->loop = link_loop(k);
	c->max_bytes = max_pending_bytes;
	list_init(&c->waiting);
	list_init(&c->sent);
	list_init(&c->ending);
	buf_init(&c->scratch, LIMIT_FRAME_RX);
	buf_init(&c->local, LIMIT_HEADER);
	link_listen(k, &(struct link_ops){
			   .up = send_waiting,
			   .down = on_down,
			   .in = on_in,
			   .ready = send_waiting,
			   .arg = c,
		       });
	return c;
}

void
client_end(struct client *c)
{
	static const char why[] = "this process is ending";

	c->closing = true;
	while (!list_empty(&c->sent))
		client_call_put_ending(LIST_FIRST(&c->sent, struct call, node), ERR_DRAINING, why);
	while (!list_empty(&c->waiting)) {
		client_call_put_ending(
		    LIST_FIRST(&c->waiting, struct call, node), ERR_DRAINING, why);
	}
	client_call_finish_ending(c);
}

void
client_free(struct client *c)
{
	if (c == NULL)
		return;
	client_end(c);
	link_unlisten(c->link, c);
	loop_later_cancel(c->loop, c);
	buf_fini(&c->scratch);
	buf_fini(&c->local);
	free(c);
}

static enum err
check_topic(const struct env *e)
{
	switch ((int)e->verb) {
	case ENV_PUB:
	case ENV_REQ: return topic_is_valid(e->topic) ? ERR_OK : ERR_BAD_TOPIC;
	case ENV_SUB:
	case ENV_UNSUB: return topic_is_pattern(e->topic) ? ERR_OK : ERR_BAD_TOPIC;
	default: return e->topic.n == 0 ? ERR_OK : ERR_BAD_TOPIC;
	}
}

/* Encoded into scratch; what the harness adds to e is taken off again. */
static enum err
encode(struct client *c, struct env *e, int64_t timeout_ms)
{
	uint64_t had = e->has;
	enum err err;

	if (e->verb == ENV_REQ && !env_has(e, ENV_M_TTL)) {
		env_set_u(e, ENV_M_TTL,
		    (uint64_t)(timeout_ms < LIMIT_TTL_MS ? timeout_ms : LIMIT_TTL_MS));
	}
	buf_reset(&c->scratch);
	err = env_encode(e, &c->scratch);
	e->has = had;
	return err;
}

static enum err
check_room(struct client *c, const struct env *e)
{
	size_t size = sizeof(struct call) + c->scratch.n;

	if (is_control(e->verb))
		return ERR_OK;
	if (size > c->max_bytes)
		return ERR_TOO_BIG;
	if (c->bytes + size > c->max_bytes) {
		c->stats.refused_busy++;
		return ERR_BUSY;
	}
	return ERR_OK;
}

/* Send what is in scratch, or keep it for later, or both. */
static enum err
start(struct client *c, struct call *call)
{
	bool now = list_empty(&c->waiting) && (client_call_is_kept(call) || link_is_up(c->link));

	if (now && !client_call_is_kept(call) && link_send(c->link, buf_span(&c->scratch)) == 0) {
		call->sent = true;
	} else {
		call->frame = malloc(c->scratch.n);
		if (call->frame == NULL)
			return ERR_BUSY;
		memcpy(call->frame, c->scratch.p, c->scratch.n);
		call->n = c->scratch.n;
		call->sent = now && client_call_is_kept(call) &&
			     link_send(c->link, buf_span(&c->scratch)) == 0;
	}
	call->uncertain = call->sent;
	list_push_back(call->sent ? &c->sent : &c->waiting, &call->node);
	c->bytes += sizeof *call + call->n;
	client_call_add(call);
	c->stats.calls++;
	return ERR_OK;
}

static struct call *
call_new(struct client *c, const struct env *e, int64_t timeout_ms)
{
	struct call *call = xcalloc(1, sizeof *call);

	call->c = c;
	call->verb = e->verb;
	memcpy(call->id, e->id, 16);
	call->again = env_u(e, ENV_M_AGAIN, 0) != 0;
	call->made_ms = loop_now(c->loop);
	call->timeout_ms = timeout_ms;
	call->ttl_ms = (int64_t)env_u(e, ENV_M_TTL, (uint64_t)(timeout_ms > 0 ? timeout_ms : 0));
	call->window = env_u(e, ENV_M_WINDOW, DEFAULT_WINDOW);
	call->deadline.fn = on_deadline;
	return call;
}

enum err
client_stream(struct client *c, struct env *e, int64_t timeout_ms, client_part_fn *part,
    client_done_fn *done, void *arg)
{
	static const uint8_t none[16];
	struct call *call;
	enum err err;

	if (c->closing)
		return ERR_DRAINING;
	if (e->verb == ENV_REQ && timeout_ms <= 0)
		timeout_ms = DEFAULT_TTL_MS;
	if (memcmp(e->id, none, 16) == 0)
		uuid_v7(e->id, clock_real_ms());
	if (client_call_find(c, e->id))
		return ERR_CONFLICT;
	err = check_topic(e);
	if (err == ERR_OK)
		err = encode(c, e, timeout_ms);
	if (err == ERR_OK)
		err = check_room(c, e);
	if (err != ERR_OK)
		return err;
	call = call_new(c, e, timeout_ms);
	call->part = part;
	call->done = done;
	call->arg = arg;
	err = start(c, call);
	if (err != ERR_OK) {
		free(call);
	} else if (timeout_ms > 0) {
		loop_timer(c->loop, &call->deadline, call->made_ms + timeout_ms);
	}
	return err;
}

enum err
client_call(struct client *c, struct env *e, int64_t timeout_ms, client_done_fn *done, void *arg)
{
	return client_stream(c, e, timeout_ms, NULL, done, arg);
}

void
client_more(struct client *c, const uint8_t id[16], unsigned n)
{
	struct call *call = client_call_find(c, id);

	if (call == NULL || n == 0)
		return;
	call->window += n;
	call->owed += n;
	arm_stream(call);
	if (say(c, ENV_MORE, id, call->owed) == 0) {
		call->owed = 0;
	} else {
		c->more_owed = true;
	}
}

void
client_cancel(struct client *c, const uint8_t id[16])
{
	struct call *call = client_call_find(c, id);

	if (call == NULL)
		return;
	cancel_at_broker(call);
	client_call_put_ending(call, ERR_GONE, "cancelled");
	loop_later(c->loop, client_call_finish_ending, c);
}

size_t
client_pending(const struct client *c)
{
	return HASH_COUNT(c->calls);
}

size_t
client_pending_bytes(const struct client *c)
{
	return c->bytes;
}

struct link *
client_link(struct client *c)
{
	return c->link;
}

struct client_stats
client_stats(const struct client *c)
{
	return c->stats;
}

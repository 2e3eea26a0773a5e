#include "broker/broker.h"

#include <errno.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/uuid.h"
#include "broker/ctl.h"
#include "broker/feed.h"
#include "broker/auth.h"
#include "broker/claims.h"
#include "broker/conns.h"
#include "broker/out.h"
#include "broker/levels.h"
#include "broker/peers.h"
#include "broker/pub.h"
#include "broker/requests.h"
#include "broker/retain.h"
#include "broker/tails.h"
#include "broker/trace.h"
#include "proto/mp.h"
#include "proto/sock.h"

enum {
	DRAIN = 512,
	FLUSH_EVERY =
	    32, /* submitted within a turn: the journal starts on them while more is read */
	REAP_FLUSH = 256,
	ENDPOINTS = 8,
	TICK_MS = 250,
	CHANGED_MS = 100,
	QUEUE_RETRY_MS = 5,
	PROBE_MS = 1500,
	RETURN_MS = 1500
};

int64_t
broker_now(const struct broker *b)
{
	return loop_now(b->loop);
}

int64_t
broker_real(struct broker *b)
{
	int64_t now = broker_now(b);

	if (now != b->real_at) {
		b->real_at = now;
		b->real_ms = clock_real_ms();
	}
	return b->real_ms;
}

/* ---- the end of a turn ---- */

static void
announce_changes(struct broker *b)
{
	struct buf body;

	if (!(b->changed_services || b->changed_groups))
		return;
	if (broker_now(b) - b->changed_at < CHANGED_MS) {
		if (!timer_is_set(&b->changed_timer))
			loop_timer(b->loop, &b->changed_timer, b->changed_at + CHANGED_MS);
		return;
	}
	b->changed_at = broker_now(b);
	buf_init(&body, 256);
	for (int i = 0; i < 2; i++) {
		if (!(i == 0 ? b->changed_services : b->changed_groups))
			continue;
		buf_reset(&body);
		mp_put_map(&body, 1);
		mp_put_cstr(&body, "what");
		mp_put_cstr(&body, i == 0 ? "services" : "groups");
		pub_own(b, "sys.changed", NULL, NULL, buf_span(&body));
	}
	buf_fini(&body);
	b->changed_services = b->changed_groups = false;
}

void
broker_changed(struct broker *b, bool services, bool groups)
{
	b->changed_services |= services;
	b->changed_groups |= groups;
}

/* All that one wake-up brought in is acted on: lost peers go, groups hand over, changes are told,
 * then frames leave and the journal starts. */
static void
end_turn(struct broker *b)
{
	struct peer *p;

	if (b->turning)
		return;
	b->turning = true;
	do {
		while ((p = LIST_FIRST(&b->dying, struct peer, dying)) != NULL)
			peers_bury(b, p);
		if (!b->stopping) {
			groups_turn(b);
			tails_turn(b);
			announce_changes(b);
			ctl_trace_turn(b);
		}
		out_flush(b);
		feed_flush(b);
	} while (!list_empty(&b->dying));
	requests_turn(b);
	if (b->submitted)
		journal_flush(b->journal);
	b->submitted = false;
	b->unflushed = 0;
	if (!list_empty(&b->queued) && !timer_is_set(&b->flush_timer))
		loop_timer(b->loop, &b->flush_timer, broker_now(b) + QUEUE_RETRY_MS);
	b->turning = false;
	if (b->again_soon && !timer_is_set(&b->soon_timer))
		loop_timer(b->loop, &b->soon_timer, broker_now(b));
	b->again_soon = false;
}

static void
on_changed_timer(struct timer *t)
{
	end_turn(LIST_ITEM(t, struct broker, changed_timer));
}

static void
on_flush_timer(struct timer *t)
{
	end_turn(LIST_ITEM(t, struct broker, flush_timer));
}

static void
on_soon_timer(struct timer *t)
{
	end_turn(LIST_ITEM(t, struct broker, soon_timer));
}

void
broker_soon(struct broker *b)
{
	b->again_soon = true;
	if (!b->turning && !timer_is_set(&b->soon_timer))
		loop_timer(b->loop, &b->soon_timer, broker_now(b));
}

/* ---- journal ---- */

void
broker_submit(struct broker *b, struct job *j)
{
	j->op.user = j;
	list_push_back(&b->all_jobs, &j->node);
	b->jobs++;
	b->submitted = true;
	b->unflushed++;
	journal_submit(b->journal, &j->op);
}

void
broker_verb_done(struct broker *b)
{
	if (b->unflushed < FLUSH_EVERY)
		return;
	b->unflushed = 0;
	journal_flush(b->journal);
}

static void
reap(struct broker *b)
{
	struct journal_op *op;
	unsigned n = 0;

	while ((op = journal_reap(b->journal)) != NULL) {
		struct job *j = op->user;

		/* Of many the first are told while the last are still looked at. */
		if (++n % REAP_FLUSH == 0)
			out_flush(b);

		b->jobs--;
		list_remove(&j->node);
		j->done(b, j);
	}
}

static void
on_journal(void *arg, short revents)
{
	struct broker *b = arg;

	(void)revents;
	reap(b);
	end_turn(b);
}

/* ---- in ---- */

/* One message; false: there is none. */
static bool
receive(struct broker *b, void *z, zmq_msg_t *rid, zmq_msg_t *m)
{
	unsigned parts = 0;
	struct peer *p;

	if (zmq_msg_recv(rid, z, ZMQ_DONTWAIT) == -1)
		return false;
	while (zmq_msg_more(parts == 0 ? rid : m)) {
		if (zmq_msg_recv(m, z, ZMQ_DONTWAIT) == -1)
			return false;
		parts++;
	}
	b->received++;
	if (parts != 1) {
		b->drops[DROP_MULTIPART]++;
		return true;
	}
	p = peers_from(b, span_of(zmq_msg_data(rid), zmq_msg_size(rid)), m);
	if (p == NULL)
		return true;
	if (p->lost != NULL) {
		b->drops[DROP_PEER_GONE]++;
		return true;
	}
	registry_heard(&b->reg, p, broker_now(b));
	verbs_handle(b, p, zmq_msg_data(m), zmq_msg_size(m), false);
	return true;
}

static void
on_router(void *arg)
{
	struct broker *b = arg;
	void *z = zsock_resolve(b->router);
	zmq_msg_t rid, m;

	zmq_msg_init(&rid);
	zmq_msg_init(&m);
	b->work = 0;
	for (int i = 0; i < DRAIN && b->work < BROKER_WORK && receive(b, z, &rid, &m); i++)
		continue;
	zmq_msg_close(&rid);
	zmq_msg_close(&m);
	end_turn(b);
}

/* ---- time ---- */

static void
drain_step(struct broker *b, int64_t now)
{
	struct route_stats rs;

	if (!b->draining)
		return;
	route_stats(b->route, &rs);
	if (!b->stopping && ((rs.under_way == 0 && b->jobs == 0) || now >= b->drain_until)) {
		b->stopping = true;
		groups_close(b);
		journal_flush(b->journal);
		b->submitted = false;
	}
	if (b->stopping && b->jobs == 0 && (list_empty(&b->queued) || now >= b->drain_until))
		loop_stop(b->loop);
}

static void
on_tick(struct timer *t)
{
	struct broker *b = LIST_ITEM(t, struct broker, tick);
	int64_t now = broker_now(b);

	/* Had we stood still ourselves, everybody's words would still be waiting to be read. */
	if (now - b->ticked_ms < 4 * TICK_MS)
		peers_tick(b, now);
	if (now / 1000 != b->ticked_ms / 1000 && !b->stopping) {
		groups_tick(b);
		retain_tick(b);
		levels_tick(b);
	}
	b->ticked_ms = now;
	drain_step(b, now);
	end_turn(b);
	loop_timer(b->loop, &b->tick, now + (b->draining ? 5 : TICK_MS));
}

void
broker_drain(struct broker *b)
{
	if (b->draining) {
		loop_stop(b->loop);
		return;
	}
	log_info("draining", LOG_U("jobs", b->jobs));
	b->draining = true;
	b->drain_until = broker_now(b) + b->conf.drain_ms;
	loop_timer(b->loop, &b->tick, broker_now(b));
}

/* ---- life ---- */

static int
open_router(struct broker *b)
{
	char *list = xstrdup(b->conf.bind), *save = NULL;
	const char *endpoint[ENDPOINTS];
	size_t n = 0;

	for (char *s = strtok_r(list, ",", &save); s != NULL && n < ENDPOINTS;
	     s = strtok_r(NULL, ",", &save))
		endpoint[n++] = s;
	b->router = sock_router(endpoint, n);
	free(list);
	if (b->router == NULL || loop_sock(b->loop, b->router, on_router, b) != 0)
		return -1;
	b->conns = conns_new(b, b->router, "bus", b->conf.peers_most);
	return 0;
}

/* The states as they are now are on disk before anything can be delivered: a crash from here on is
 * known as one. */
static void
wait_for_journal(struct broker *b)
{
	zmq_pollitem_t item = {.fd = journal_fd(b->journal), .events = ZMQ_POLLIN};

	b->submitted = true;
	groups_turn(b);
	journal_flush(b->journal);
	b->submitted = false;
	for (int i = 0; i < 600 && b->jobs > 0; i++) {
		reap(b);
		if (b->jobs > 0)
			zmq_poll(&item, 1, 100);
	}
	if (b->jobs > 0) {
		log_warn("journal_slow", LOG_U("jobs", b->jobs),
		    LOG_S("help", "a minute for what a start writes: is the disk well?"));
	}
}

struct broker *
broker_new(struct loop *l, struct journal *j, const struct broker_conf *c)
{
	struct broker *b = xcalloc(1, sizeof(*b));
	int why = EAGAIN;

	b->loop = l;
	b->journal = j;
	b->conf = *c;
	b->started_ms = clock_real_ms();
	uuid_v7(b->epoch, b->started_ms);
	b->head = journal_head(j);
	buf_init(&b->scratch, LIMIT_FRAME_RX + LIMIT_HEADER);
	b->trace = trace_new((size_t)c->trace_hops);
	list_init(&b->tracings);
	list_init(&b->all_jobs);
	b->afloat = parcels_new(NULL);
	b->feed_afloat = parcels_new(NULL);
	list_init(&b->unsent);
	list_init(&b->queued);
	list_init(&b->dying);
	list_init(&b->tails_behind);
	tail_init(&b->tail, c->max_bytes / 4);
	registry_init(&b->reg);
	b->match = match_new();
	requests_open(b);
	b->tick.fn = on_tick;
	b->changed_timer.fn = on_changed_timer;
	b->flush_timer.fn = on_flush_timer;
	b->soon_timer.fn = on_soon_timer;
	b->policies = policies_new();
	if (ctl_policies_open(b) != 0 || groups_open(b) != 0 || tails_open(b) != 0)
		goto fail;
	wait_for_journal(b);
	if (c->keys != NULL && c->keys[0] != '\0' && auth_open(b, c->keys) != 0) {
		why = EINVAL;
		goto fail;
	}
	if (open_router(b) != 0 || feed_open(b) != 0)
		goto fail;
	b->journal_watch = loop_fd(l, journal_fd(j), ZMQ_POLLIN, on_journal, b);
	b->ticked_ms = broker_now(b);
	loop_timer(l, &b->tick, b->ticked_ms + TICK_MS);
	/* Whoever worked for the broker of before is on the way. */
	route_be_patient(
	    b->route, b->head > 0 || b->groups.all != NULL ? broker_now(b) + RETURN_MS : 0);
	log_info("broker_up", LOG_S("bind", c->bind), LOG_S("feed", c->feed),
	    LOG_U("head", b->head), LOG_U("groups", HASH_COUNT(b->groups.all)),
	    LOG_ID("epoch", b->epoch));
	return b;
fail:
	broker_free(b);
	errno = why;
	return NULL;
}

/* What the journal took and gave back unreaped may be on disk or not: DRAINING, which says that it
 * is not, would be a lie. */
static void
close_journal(struct broker *b)
{
	struct job *j;

	loop_fd_end(b->journal_watch);
	journal_close(b->journal);
	while ((j = LIST_FIRST(&b->all_jobs, struct job, node)) != NULL) {
		list_remove(&j->node);
		j->op.err = ERR_STORE_FAILED;
		j->done(b, j);
	}
}

void
broker_free(struct broker *b)
{
	struct peer *next;

	if (b == NULL)
		return;
	b->ending = b->stopping = true;
	close_journal(b);
	if (b->router != NULL)
		loop_sock_end(b->loop, b->router);
	for (struct peer *p = b->reg.by_rid; p != NULL; p = next) {
		next = p->hh.next;
		p->lost = "end";
		peers_bury(b, p);
	}
	groups_free(b);
	route_free(b->route);
	match_free(b->match);
	tail_fini(&b->tail);
	registry_fini(&b->reg);
	feed_close(b);
	conns_free(b->conns);
	zsock_destroy(&b->router);
	auth_close(b);
	claims_free(b->claims);
	ctl_trace_free(b);
	trace_free(b->trace);
	parcels_drop(b->afloat);
	parcels_drop(b->feed_afloat);
	policies_free(b->policies);
	buf_fini(&b->scratch);
	out_free_rooms(b);
	loop_timer_clear(b->loop, &b->tick);
	loop_timer_clear(b->loop, &b->route_timer);
	loop_timer_clear(b->loop, &b->flush_timer);
	loop_timer_clear(b->loop, &b->changed_timer);
	loop_timer_clear(b->loop, &b->soon_timer);
	free(b);
}

#include "services/data-gateway/pusher_impl.h"

#include <stdlib.h>

#include "base/die.h"
#include "base/log.h"
#include "base/str.h"
#include "proto/mp.h"
#include "proto/topic.h"

#define PROBE_MOST_MS 10000
#define TRIGGERS_MAX 10000
#define TRIGGERS_BYTES (64u * 1024 * 1024)

static void start_batch(void *arg);

struct loop *
pusher_loop(struct pusher *p)
{
	return svc_loop(p->svc);
}

void
pusher_kick(struct pusher *p)
{
	if (p->scheduled)
		return;
	p->scheduled = true;
	loop_later(svc_loop(p->svc), start_batch, p);
}

void
pusher_free_work(struct pusher_work *w)
{
	if (w->call != NULL)
		w->call->w = NULL;
	triggers_cancel(&w->wait);
	tcache_release(w->trigger);
	loop_timer_clear(svc_loop(w->p->svc), &w->again);
	lanes_done(w->p->lanes, &w->lane);
	list_remove(&w->all);
	free(w);
}

/* Neither done nor said: the session is over, or the broker has taken it back. */
static void
let_go(struct pusher_work *w)
{
	w->p->n.voided++;
	worker_drop(w->m);
	pusher_free_work(w);
}

/* --- what the plugin said --- */

/* Give it back; what waits here of the same key goes with it. */
static void
give_back(struct pusher_work *w, int64_t after_ms, const char *why)
{
	struct pusher *p = w->p;
	struct lane_item *later;
	char text[LIMIT_REASON];
	int64_t delay = after_ms > 0 ? after_ms : report_backoff_ms(w->item.attempt);

	(void)str_copy(text, sizeof text, span_str(why ? why : ""));
	p->n.retried++;
	pusher_report_pending(w, delay, text);
	while ((later = lanes_again(p->lanes, &w->lane)) != NULL)
		let_go(LIST_ITEM(later, struct pusher_work, lane));
	worker_nak(w->m, delay, text);
	pusher_free_work(w);
}

/* A destination from which nothing got through is tried with one batch at a time, more and more
 * slowly; meanwhile what comes is kept, not spent. */
static void
batch_ended(struct pusher *p)
{
	struct loop *l = svc_loop(p->svc);
	int64_t wait = INT64_C(250) << (p->failed < 6 ? p->failed : 6);

	p->stuck = false;
	p->failed = p->done > 0 ? 0 : p->failed + 1;
	if (p->failed == 0 || p->draining) {
		pusher_kick(p);
	} else {
		loop_timer(
		    l, &p->probe, loop_now(l) + (wait < PROBE_MOST_MS ? wait : PROBE_MOST_MS));
	}
}

void
pusher_done(struct pusher_item *it, enum pusher_end end, int64_t after_ms, const char *why)
{
	struct pusher_work *w = pusher_work_of(it);
	struct pusher *p = w->p;

	INVARIANT(w->state == ITEM_TAKEN && p->left > 0);
	p->left--;
	p->done += end != PUSHER_RETRY;
	switch (end) {
	case PUSHER_OK:
		p->n.delivered++;
		p->n.rows += it->rows.n;
		p->n.bytes += it->bytes;
		pusher_report_final(w, REPORT_DELIVERED, NULL);
		break;
	case PUSHER_DEAD:
		p->n.dead++;
		log_warn("delivery_dead", LOG_ID("receipt", it->receipt), LOG_U("seq", it->seq),
		    LOG_S("why", why));
		pusher_report_final(w, REPORT_DEAD, why);
		break;
	case PUSHER_RETRY:
		if (log_allow(&p->retry_log, loop_now(svc_loop(p->svc)), 3)) {
			log_info("delivery_retry", LOG_ID("receipt", it->receipt),
			    LOG_U("seq", it->seq), LOG_U("attempt", it->attempt), LOG_S("why", why),
			    LOG_U("suppressed", p->retry_log.last));
		}
		give_back(w, after_ms, why);
		break;
	}
	if (p->left == 0)
		batch_ended(p);
}

/* --- batches --- */

static bool
is_lost(const struct pusher_work *w, int64_t now)
{
	return worker_msg_is_void(w->m) || (w->m->deadline_ms > 0 && w->m->deadline_ms <= now);
}

static void
add_to_batch(struct pusher *p, struct pusher_work *w)
{
	w->state = ITEM_TAKEN;
	p->items[p->batch.n++] = &w->item;
	p->batch.rows += w->item.rows.n;
	p->batch.bytes += w->item.bytes;
}

static void
start_batch(void *arg)
{
	struct pusher *p = arg;
	struct lane_item *taken[PUSHER_BATCH_MAX];
	int64_t now = loop_now(svc_loop(p->svc));
	size_t n;

	p->scheduled = false;
	if (p->left > 0 || (timer_is_set(&p->probe) && !p->draining) || p->closing)
		return;
	p->batch = (struct pusher_batch){.items = p->items};
	n = lanes_take(p->lanes, taken, (size_t)p->conf.batch, (size_t)p->conf.batch_bytes);
	for (size_t i = 0; i < n; i++) {
		struct pusher_work *w = LIST_ITEM(taken[i], struct pusher_work, lane);

		if (is_lost(w, now)) {
			let_go(w);
		} else {
			add_to_batch(p, w);
		}
	}
	p->left = p->batch.n;
	p->done = 0;
	if (p->batch.n == 0)
		return;
	p->since_ms = now;
	p->n.batches++;
	p->ops->push(p->state, &p->batch);
}

static void
on_probe(struct timer *t)
{
	pusher_kick(LIST_ITEM(t, struct pusher, probe));
}

/* --- arrivals --- */

static void
on_trigger(struct triggers_wait *wait, struct trigger *t, const char *why)
{
	struct pusher_work *w = LIST_ITEM(wait, struct pusher_work, wait);

	if (w->p->closing)
		return;
	if (t == NULL) {
		give_back(w, 0, why);
		return;
	}
	w->trigger = t;
	w->item.trigger = t->body;
	w->lane.ready = true;
	pusher_kick(w->p);
}

/* Whether it can go now, or must wait for its trigger. */
static void
prepare(struct pusher_work *w)
{
	struct trigger *t;

	if (w->p->triggers == NULL) {
		w->lane.ready = true;
		pusher_kick(w->p);
		return;
	}
	w->wait.done = on_trigger;
	t = triggers_ask(w->p->triggers, w->item.rows.uuid, &w->wait);
	if (t != NULL)
		on_trigger(&w->wait, t, "");
}

static struct pusher_work *
new_work(struct pusher *p, struct worker_msg *m)
{
	struct pusher_work *w = xcalloc(1, sizeof *w);
	struct pusher_item *it = &w->item;

	w->p = p;
	w->m = m;
	m->user = w;
	memcpy(it->receipt, m->env.id, 16);
	(void)uuid_text(it->receipt, it->receipt_text);
	it->seq = env_u(&m->head, ENV_M_SEQ, 0);
	it->attempt = env_u(&m->head, ENV_M_TRY, 1);
	it->bytes = m->env.body.n;
	w->lane.seq = it->seq;
	w->lane.bytes = it->bytes;
	list_push_back(&p->all, &w->all);
	return w;
}

static void
on_msg(void *arg, struct worker_msg *m)
{
	struct pusher *p = arg;
	struct pusher_work *w = new_work(p, m);
	struct faults f;

	lanes_add(p->lanes, &w->lane, env_s(&m->env, ENV_M_KEY));
	faults_init(&f);
	if (rows_read(&w->item.rows, ROWS_IN, m->env.body, (struct span){NULL, 0}, &f)) {
		prepare(w);
	} else {
		p->n.unreadable++;
		p->n.dead++;
		lanes_done(p->lanes, &w->lane);
		pusher_report_final(w, REPORT_DEAD, f.first);
	}
	faults_fini(&f);
}

/* The session ended: what only waits comes again. */
static void
on_cancel(void *arg, struct worker_msg *m)
{
	struct pusher_work *w = m->user;

	(void)arg;
	if (w != NULL && w->state == ITEM_WAITS)
		let_go(w);
}

/* --- keeping alive --- */

static void
on_tick(struct timer *t)
{
	struct pusher *p = LIST_ITEM(t, struct pusher, tick);
	struct loop *l = svc_loop(p->svc);
	int64_t now = loop_now(l);
	struct pusher_work *w;

	if (p->left > 0 && now - p->since_ms > p->conf.push_ms && !p->stuck) {
		p->stuck = true;
		log_error(
		    "push_stuck", LOG_U("unfinished", p->left), LOG_I("ms", now - p->since_ms));
	}
	LIST_EACH (w, &p->all, struct pusher_work, all) {
		if (w->state == ITEM_TAKEN && p->stuck)
			continue;
		if (w->m->deadline_ms - now <= p->conf.ack_ms / 2)
			worker_extend(w->m, p->conf.ack_ms);
	}
	loop_timer(l, t, now + p->conf.ack_ms / 4);
}

/* --- life --- */

static int
on_open(void *state, struct svc *s)
{
	struct pusher *p = state;

	p->svc = s;
	p->tick.fn = on_tick;
	p->probe.fn = on_probe;
	list_init(&p->all);
	buf_init(&p->topic, LIMIT_TOPIC);
	buf_puts(&p->topic, "delivery.");
	if (!str_is_name(span_str(p->conf.destination), LIMIT_GROUP - 7) ||
	    topic_put_token(&p->topic, span_str(p->conf.destination)) != 0) {
		log_error("bad_option", LOG_S("option", "destination"),
		    LOG_S("expected", "at most 57 letters, digits, - and _"));
		return EXIT_NORESTART;
	}
	if (strcmp(p->conf.from, "new") != 0 && strcmp(p->conf.from, "all") != 0) {
		log_error("bad_option", LOG_S("option", "from"), LOG_S("expected", "new or all"));
		return EXIT_NORESTART;
	}
	(void)snprintf(p->group, sizeof p->group, "pusher-%s", p->conf.destination);
	p->lanes = lanes_new();
	p->opened = true;
	return p->ops->open != NULL ? p->ops->open(p->state, p) : 0;
}

static int
on_start(void *state, struct svc *s)
{
	struct pusher *p = state;
	struct worker_sub_spec spec = {.pattern = "rows.in",
	    .group = p->group,
	    .from = p->conf.from,
	    .ack_ms = p->conf.ack_ms,
	    .tries = p->conf.tries,
	    .credit = (unsigned)p->conf.credit,
	    .credit_bytes = 2 * LIMIT_FRAME_RX,
	    .msg = on_msg,
	    .cancel = on_cancel,
	    .arg = p};

	if (p->ops->needs_trigger != NULL && p->ops->needs_trigger(p->state))
		p->triggers = triggers_new(svc_client(s), TRIGGERS_MAX, TRIGGERS_BYTES);
	(void)worker_sub(svc_worker(s), &spec);
	loop_timer(svc_loop(s), &p->tick, loop_now(svc_loop(s)) + p->conf.ack_ms / 4);
	return 0;
}

static void
on_drain(void *state)
{
	struct pusher *p = state;

	p->draining = true;
	pusher_kick(p);
}

static bool
on_idle(void *state)
{
	const struct pusher *p = state;

	return list_empty(&p->all);
}

static void
on_close(void *state)
{
	struct pusher *p = state;
	struct pusher_work *w;

	p->closing = true;
	if (p->opened && p->ops->close != NULL)
		p->ops->close(p->state);
	loop_timer_clear(svc_loop(p->svc), &p->tick);
	loop_timer_clear(svc_loop(p->svc), &p->probe);
	loop_later_cancel(svc_loop(p->svc), p);
	/* The deliveries themselves are the worker's, and freed with it. */
	LIST_EACH (w, &p->all, struct pusher_work, all)
		pusher_free_work(w);
	triggers_free(p->triggers);
	lanes_free(p->lanes);
	buf_fini(&p->topic);
}

static unsigned
on_stats(void *state, struct buf *out)
{
	struct pusher *p = state;
	const struct {
		const char *name;
		uint64_t v;
	} all[] = {{"delivered", p->n.delivered}, {"retried", p->n.retried}, {"dead", p->n.dead},
	    {"voided", p->n.voided}, {"unreadable", p->n.unreadable}, {"batches", p->n.batches},
	    {"rows", p->n.rows}, {"rowBytes", p->n.bytes}, {"reportsFailed", p->n.report_failed},
	    {"waiting", lanes_waiting(p->lanes)}, {"pushing", p->left},
	    {"failedBatchesInARow", p->failed}};
	const unsigned n = sizeof all / sizeof *all;

	for (unsigned i = 0; i < n; i++) {
		mp_put_cstr(out, all[i].name);
		mp_put_u64(out, all[i].v);
	}
	return n + (p->ops->stats != NULL ? p->ops->stats(p->state, out) : 0);
}

/* "csv-file" -> "PLUGIN_CSV_FILE_" */
static char *
env_prefix(const char *name)
{
	char *s = xasprintf("PLUGIN_%s_", name);

	for (char *c = s; *c != '\0'; c++) {
		if (*c >= 'a' && *c <= 'z') {
			*c = (char)(*c - 'a' + 'A');
		} else if (*c == '-') {
			*c = '_';
		}
	}
	return s;
}

int
pusher_main(int argc, char **argv, const struct pusher_ops *ops, void *state)
{
	struct pusher *p = xcalloc(1, sizeof *p);
	char *name = xasprintf("pusher-%s", ops->name), *prefix = env_prefix(ops->name);
	const struct opt rows[] = {
	    {"destination", OPT_STR, &p->conf.destination, ops->name, 0, 0, 0,
		"name of the destination: the group is pusher-<destination>"},
	    {"from", OPT_STR, &p->conf.from, "new", 0, 0, 0,
		"where a new destination begins: new, or all that the journal still has"},
	    {"tries", OPT_INT, &p->conf.tries, "1000", 1, 1000, 0,
		"attempts before a delivery becomes a dead letter (1000 last three days)"},
	    {"ack-ms", OPT_INT, &p->conf.ack_ms, "30000", 1000, 3600000, 0,
		"silence after which the broker gives a delivery to another process"},
	    {"credit", OPT_INT, &p->conf.credit, "2000", 1, 65536, 0, "deliveries in hand"},
	    {"batch", OPT_INT, &p->conf.batch, "1000", 1, PUSHER_BATCH_MAX, 0,
		"deliveries in a batch"},
	    {"batch-bytes", OPT_INT, &p->conf.batch_bytes, "4m", 1, LIMIT_FRAME, 0,
		"bytes in a batch, past the first delivery"},
	    {"push-ms", OPT_INT, &p->conf.push_ms, "600000", 1000, 86400000, 0,
		"a batch that takes longer is no longer kept alive"},
	};
	const struct opt_table tables[] = {{prefix, "Destination", ops->options, ops->noptions},
	    {prefix, "Delivery", rows, sizeof rows / sizeof *rows}};
	const struct svc_spec spec = {.name = name,
	    .about = ops->about,
	    .options = tables,
	    .noptions = 2,
	    .open = on_open,
	    .start = on_start,
	    .drain = on_drain,
	    .idle = on_idle,
	    .close = on_close,
	    .stats = on_stats};
	int code;

	p->ops = ops;
	p->state = state;
	code = svc_main(argc, argv, &spec, p);
	free(name);
	free(prefix);
	free(p);
	return code;
}

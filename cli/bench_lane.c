#include "cli/bench_lane.h"

#include <pthread.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/list.h"
#include "proto/mp.h"
#include "proto/worker.h"

#define PENDING_MAX (512u << 20)
#define AGAIN_MS 5 /* until what was refused, or may not begin yet, is tried again */

/* One of a lane's outstanding calls. */
struct slot {
	struct bench_lane *lane;
	struct slot *next; /* free ones */
	int64_t sent_us;
};

struct bench_lane {
	struct bench_run *run;
	enum bench_role role;
	pthread_t thread;
	struct loop *loop;
	struct link *link;
	struct client *client;
	struct worker *worker;
	struct worker_sub *sub;
	struct slot *slots, *idle;
	struct timer again;
	struct buf value;
	uint8_t *payload;
	_Atomic bool is_up;
	bool over;
	struct hist hist;
	uint64_t errors[ERR_COUNT];
};

static void
note(struct bench_lane *l, int64_t sent_us)
{
	int64_t us = clock_mono_us() - sent_us;

	l->run->done++;
	if (l->run->measuring)
		hist_add(&l->hist, us > 0 ? (uint64_t)us : 0, 1);
}

static void
failed(struct bench_lane *l, enum err code)
{
	l->errors[code]++;
	if (err_retry(code) == ERR_NEVER || code == ERR_NO_WORKERS)
		l->run->fatal = (int)code;
}

static void done(void *arg, const struct env *e);

/* False: the run has sent all it may, or the call was refused (tried again soon). */
static bool
send_one(struct bench_lane *l)
{
	struct slot *s = l->idle;
	struct env e;
	enum err refused;

	if (l->over || s == NULL)
		return false;
	if (atomic_fetch_sub(&l->run->left, 1) <= 0) {
		l->run->left = 0;
		return false;
	}
	l->idle = s->next;
	s->sent_us = clock_mono_us();
	memcpy(l->payload, &s->sent_us, sizeof s->sent_us);
	buf_reset(&l->value);
	mp_put_bin(&l->value, span_of(l->payload, l->run->size));
	env_init(&e, l->role == BENCH_REQUEST ? ENV_REQ : ENV_PUB, span_str(l->run->topic), NULL);
	e.body = buf_span(&l->value);
	refused =
	    client_call(l->client, &e, l->role == BENCH_REQUEST ? l->run->timeout_ms : 0, done, s);
	if (refused == ERR_OK)
		return true;
	failed(l, refused);
	l->run->left++;
	s->next = l->idle;
	l->idle = s;
	return false;
}

static void
send_all(struct bench_lane *l)
{
	while (l->run->go && send_one(l))
		;
	if (l->idle != NULL && l->run->left > 0 && !l->over)
		loop_timer(l->loop, &l->again, loop_now(l->loop) + AGAIN_MS);
}

static void
on_again(struct timer *t)
{
	send_all(LIST_ITEM(t, struct bench_lane, again));
}

static void
done(void *arg, const struct env *e)
{
	struct slot *s = arg;
	struct bench_lane *l = s->lane;

	s->next = l->idle;
	l->idle = s;
	if (l->over)
		return;
	if (e->verb == ENV_ERR) {
		/* Refused or lost: not at full speed against a wall. */
		failed(l, env_err_code(e));
		l->run->left++;
		loop_timer(l->loop, &l->again, loop_now(l->loop) + AGAIN_MS);
		return;
	}
	note(l, s->sent_us);
	(void)send_one(l);
}

static void
on_up(void *arg)
{
	struct bench_lane *l = arg;

	l->is_up = true;
	send_all(l);
}

static void
on_change(void *arg)
{
	struct bench_lane *l = arg;

	l->is_up = worker_is_live(l->worker);
}

static void
on_request(void *arg, struct worker_msg *m)
{
	struct env rep;

	(void)arg;
	env_init(&rep, ENV_REP, (struct span){NULL, 0}, NULL);
	rep.body = m->env.body;
	worker_reply(m, &rep);
}

static void
on_event(void *arg, struct worker_msg *m)
{
	struct bench_lane *l = arg;
	struct mp_r r;
	struct span body = m->env.body;
	int64_t sent_us = 0;

	if (mp_scan(body, 1, 1) > 0) {
		mp_r_init(&r, body);
		body = mp_bin(&r, LIMIT_FRAME);
		if (body.n >= sizeof sent_us)
			memcpy(&sent_us, body.p, sizeof sent_us);
	}
	note(l, sent_us);
	worker_ack(m);
}

static void
subscribe(struct bench_lane *l)
{
	const struct worker_sub_spec serve = {
	    .pattern = l->run->topic, .serve = true, .credit = 4096, .msg = on_request, .arg = l};
	const struct worker_sub_spec consume = {.pattern = l->run->topic,
	    .group = l->run->group,
	    .from = "all",
	    .credit = l->run->window,
	    .credit_bytes = PENDING_MAX,
	    .msg = on_event,
	    .arg = l};

	worker_on_change(l->worker, on_change, l);
	l->sub = worker_sub(l->worker, l->role == BENCH_SERVE ? &serve : &consume);
}

static void *
lane_main(void *arg)
{
	struct bench_lane *l = arg;

	loop_run(l->loop);
	return NULL;
}

struct bench_lane *
bench_lane_start(struct bench_run *run, enum bench_role role)
{
	struct bench_lane *l = xcalloc(1, sizeof *l);

	l->run = run;
	l->role = role;
	l->loop = loop_new();
	l->link = link_new(l->loop, run->bus);
	l->client = client_new(l->link, PENDING_MAX);
	l->worker = worker_new(l->client);
	l->again.fn = on_again;
	buf_init(&l->value, LIMIT_FRAME);
	l->payload = xcalloc(1, run->size);
	if (role == BENCH_PUBLISH || role == BENCH_REQUEST) {
		l->slots = xcalloc(run->window, sizeof *l->slots);
		for (unsigned i = 0; i < run->window; i++) {
			l->slots[i].lane = l;
			l->slots[i].next = i + 1 < run->window ? &l->slots[i + 1] : NULL;
		}
		l->idle = l->slots;
		link_listen(l->link, &(struct link_ops){.up = on_up, .arg = l});
	} else {
		subscribe(l);
	}
	INVARIANT(pthread_create(&l->thread, NULL, lane_main, l) == 0);
	return l;
}

bool
bench_lane_is_up(struct bench_lane *l)
{
	return l->is_up;
}

void
bench_lane_stop(struct bench_lane *l)
{
	loop_stop_from_outside(l->loop);
	pthread_join(l->thread, NULL);
	l->over = true;
}

const struct hist *
bench_lane_hist(const struct bench_lane *l)
{
	return &l->hist;
}

uint64_t
bench_lane_errors(const struct bench_lane *l, enum err code)
{
	return l->errors[code];
}

void
bench_lane_free(struct bench_lane *l)
{
	if (l == NULL)
		return;
	loop_timer_clear(l->loop, &l->again);
	worker_free(l->worker);
	client_free(l->client);
	link_free(l->link);
	loop_free(l->loop);
	buf_fini(&l->value);
	free(l->payload);
	free(l->slots);
	free(l);
}

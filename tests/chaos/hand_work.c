/* A worker of a durable group: what came in a turn is written down, fsynced, then acked.
 *
 * It keeps the rule of the protocol for keys: after a NAK it refuses what else comes of that key
 * until the broker has answered something sent right behind its last NAK of it. */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "base/die.h"
#include "base/list.h"
#include "proto/mp.h"
#include "tests/chaos/hand.h"

enum { ACK_MS = 1000, HOLD_MS = 400, REFUSING = 64 };

struct refusal {
	char key;
	uint64_t token; /* 0: not refused */
};

struct held {
	struct timer timer;
	struct worker_msg *m;
};

static struct {
	struct hand *h;
	struct worker_msg **done;
	size_t n, cap;
	struct refusal refused[256]; /* by the only byte of a key */
	uint64_t token, generation;
	bool later;
} me;

static void
note(char what, const struct worker_msg *m)
{
	struct span text = hand_body(m->env.body);
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	buf_printf(&me.h->lines, "%c %lld %" PRIu64 " %" PRIu64 " %d %.*s\n", what,
	    (long long)now.tv_sec * 1000000000 + now.tv_nsec, env_u(&m->head, ENV_M_SEQ, 0),
	    env_u(&m->head, ENV_M_TRY, 0), env_u(&m->head, ENV_M_AGAIN, 0) ? 1 : 0, (int)text.n,
	    text.n ? (const char *)text.p : "");
}

static void
write_down(void *arg)
{
	(void)arg;
	me.later = false;
	hand_write(me.h, true);
	for (size_t i = 0; i < me.n; i++)
		worker_ack(me.done[i]);
	me.n = 0;
}

static void
soon(void)
{
	if (!me.later)
		loop_later(svc_loop(me.h->svc), write_down, &me);
	me.later = true;
}

static void
process(struct worker_msg *m)
{
	note('A', m);
	if (me.n == me.cap) {
		me.cap = me.cap ? me.cap * 2 : 64;
		me.done = xrealloc(me.done, me.cap * sizeof(struct worker_msg *));
	}
	me.done[me.n++] = m;
	soon();
}

static void ask(char key, uint64_t token);

static void
on_read(void *arg, const struct env *e)
{
	struct refusal *r = arg, *now = &me.refused[(uint8_t)r->key];

	if (now->token == r->token && e->verb == ENV_REP)
		now->token = 0;
	else if (now->token == r->token && !svc_is_draining(me.h->svc))
		ask(r->key, r->token);
	free(r);
}

static void
ask(char key, uint64_t token)
{
	struct refusal *r = xcalloc(1, sizeof(*r));
	struct env e;
	struct buf b;

	r->key = key;
	r->token = token;
	env_init(&e, ENV_REQ, span_str("sys.cursor"), NULL);
	buf_init(&b, 64);
	mp_put_map(&b, 1);
	mp_put_cstr(&b, "src");
	mp_put_cstr(&b, "none");
	e.body = buf_span(&b);
	if (client_call(svc_client(me.h->svc), &e, 60000, on_read, r) != ERR_OK)
		free(r);
	buf_fini(&b);
}

static void
give_back(struct worker_msg *m, char key)
{
	note('N', m);
	soon();
	worker_nak(m, (int64_t)hand_random(me.h, 50), NULL);
	if (key == '-')
		return;
	me.refused[(uint8_t)key] = (struct refusal){key, ++me.token};
	ask(key, me.token);
}

static void
on_held(struct timer *t)
{
	struct held *k = LIST_ITEM(t, struct held, timer);

	process(k->m);
	free(k);
}

static void
hold(struct worker_msg *m)
{
	struct held *k = xcalloc(1, sizeof(*k));
	struct loop *l = svc_loop(me.h->svc);

	k->m = m;
	k->timer.fn = on_held;
	worker_extend(m, ACK_MS);
	loop_timer(l, &k->timer, loop_now(l) + (int64_t)hand_random(me.h, HOLD_MS));
}

static void
on_msg(void *arg, struct worker_msg *m)
{
	struct hand *h = arg;
	uint64_t n, generation = link_generation(client_link(svc_client(h->svc))),
		    dice = hand_random(h, 1000);
	struct span key;

	if (generation != me.generation) {
		memset(me.refused, 0, sizeof(me.refused));
		me.generation = generation;
	}
	if (!hand_text(hand_body(m->env.body), &key, &n) || key.n != 1) {
		note('?', m); /* the judge says what is wrong with it */
		soon();
		worker_reject(m, "not what was sent");
	} else if (me.refused[key.p[0]].token != 0 || dice < (uint64_t)h->nak) {
		give_back(m, (char)key.p[0]);
	} else if (dice < (uint64_t)(h->nak + h->reject)) {
		note('R', m);
		hand_write(h, true); /* known before it can be anybody's dead letter */
		worker_reject(m, "chosen");
	} else if (key.p[0] == '-' && dice > 995) {
		hold(m);
	} else {
		process(m);
	}
}

int
hand_work(struct hand *h)
{
	const struct worker_sub_spec spec = {.pattern = "t.>",
	    .group = h->group,
	    .from = "all",
	    .tries = strcmp(h->group, "h") == 0 ? 3 : 1000,
	    .ack_ms = ACK_MS,
	    .credit = 100,
	    .msg = on_msg,
	    .arg = h};

	me.h = h;
	return worker_sub(svc_worker(h->svc), &spec) == NULL;
}

/* Publishes on t.NAME, a window of PUBs under way; what was answered is written down at the end of
 * the turn. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "proto/mp.h"
#include "tests/chaos/hand.h"

enum { TICK_MS = 10 };

struct put {
	uint64_t n;
	uint32_t crc;
	char key[2];
};

static struct {
	struct hand *h;
	struct timer tick;
	struct buf frame;
	uint64_t next, may; /* `may`: the ledger's last S */
	int64_t under_way;
	bool later;
} me;

static void
write_down(void *arg)
{
	(void)arg;
	me.later = false;
	hand_write(me.h, true);
}

static void
on_done(void *arg, const struct env *e)
{
	struct put *p = arg;

	me.under_way--;
	if (e->verb == ENV_OK) {
		buf_printf(&me.h->lines, "O %" PRIu64 " %" PRIu64 " %s %08x\n", p->n,
		    env_u(e, ENV_M_SEQ, 0), p->key, p->crc);
		if (!me.later)
			loop_later(svc_loop(me.h->svc), write_down, &me);
		me.later = true;
	} else if (span_is(env_s(e, ENV_M_RETRY), "never") && !svc_is_draining(me.h->svc)) {
		log_error("refused", LOG_S("code", err_name(env_err_code(e))), LOG_U("n", p->n));
	}
	free(p);
}

static void
put_one(void)
{
	struct hand *h = me.h;
	struct put *p = xcalloc(1, sizeof(*p));
	char text[HAND_TEXT], topic[64];
	static const char pad[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
				  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	struct env e;
	int n;

	p->n = me.next++;
	p->key[0] = "--abcdefgh"[hand_random(h, 10)];
	n = snprintf(text, sizeof(text), "%s %" PRIu64 " %s %.*s", h->name, p->n, p->key,
	    1 + (int)hand_random(h, 100), pad);
	p->crc = hand_crc(span_of(text, (size_t)n));
	snprintf(text + n, sizeof(text) - (size_t)n, " %08x", p->crc);
	snprintf(topic, sizeof(topic), "t.%s", h->name);
	env_init(&e, ENV_PUB, span_str(topic), NULL);
	if (p->key[0] != '-')
		env_set_s(&e, ENV_M_KEY, span_str(p->key));
	if (hand_random(h, 1000) < (uint64_t)h->expire)
		env_set_u(&e, ENV_M_EXP, (uint64_t)clock_real_ms() + hand_random(h, 2000));
	buf_reset(&me.frame);
	mp_put_cstr(&me.frame, text);
	e.body = buf_span(&me.frame);
	if (client_call(svc_client(h->svc), &e, 0, on_done, p) == ERR_OK) {
		me.under_way++;
	} else {
		free(p);
	}
}

static void
on_tick(struct timer *t)
{
	struct hand *h = me.h;
	int64_t n = 1 + (int64_t)hand_random(h, (uint64_t)h->rate);

	if (svc_is_draining(h->svc))
		return;
	if (me.next + (uint64_t)n > me.may) {
		me.may = me.next + 100 + (uint64_t)n;
		buf_printf(&h->lines, "S %" PRIu64 "\n", me.may);
		hand_write(h, false);
	}
	while (n-- > 0 && me.under_way < h->window)
		put_one();
	loop_timer(svc_loop(h->svc), t, loop_now(svc_loop(h->svc)) + TICK_MS);
}

int
hand_publish(struct hand *h)
{
	me.h = h;
	buf_init(&me.frame, 4096);
	me.tick.fn = on_tick;
	loop_timer(svc_loop(h->svc), &me.tick, loop_now(svc_loop(h->svc)));
	return 0;
}

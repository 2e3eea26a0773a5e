/* Publishes on t.NAME, a window of PUBs and small BATCHes under way; what was answered is written
 * down at the end of the turn. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/die.h"
#include "base/log.h"
#include "base/uuid.h"
#include "proto/mp.h"
#include "tests/chaos/hand.h"

enum { TICK_MS = 10, ITEMS = 6 };

/* One PUB, or the items of one BATCH. */
struct call {
	unsigned items;
	struct put {
		uint64_t n;
		uint32_t crc;
		char key[2];
	} put[ITEMS];
};

static struct {
	struct hand *h;
	struct timer tick;
	struct buf frame, batch;
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
answered(const struct call *c, const struct env *e)
{
	struct mp_r r;
	bool many = c->items > 1;

	mp_r_init(&r, env_s(e, ENV_M_SEQS));
	if (many && mp_array(&r) != c->items)
		log_error("odd_answer", LOG_U("items", c->items));
	for (unsigned i = 0; i < c->items; i++) {
		const struct put *p = &c->put[i];

		buf_printf(&me.h->lines, "O %" PRIu64 " %" PRIu64 " %s %08x\n", p->n,
		    many ? mp_u64(&r, INT64_MAX) : env_u(e, ENV_M_SEQ, 0), p->key, p->crc);
	}
	if (!me.later)
		loop_later(svc_loop(me.h->svc), write_down, &me);
	me.later = true;
}

static void
on_done(void *arg, const struct env *e)
{
	struct call *c = arg;

	me.under_way -= c->items;
	if (e->verb == ENV_OK) {
		answered(c, e);
	} else if (span_is(env_s(e, ENV_M_RETRY), "never") && !svc_is_draining(me.h->svc)) {
		log_error(
		    "refused", LOG_S("code", err_name(env_err_code(e))), LOG_U("n", c->put[0].n));
	}
	free(c);
}

/* The next envelope; its body is in me.frame until the next one. */
static void
make(struct put *p, struct env *e, char topic[64])
{
	static const char pad[] = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
				  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz";
	struct hand *h = me.h;
	char text[HAND_TEXT];
	int n;

	p->n = me.next++;
	p->key[0] = "--abcdefgh"[hand_random(h, 10)];
	n = snprintf(text, sizeof(text), "%s %" PRIu64 " %s %.*s", h->name, p->n, p->key,
	    1 + (int)hand_random(h, 100), pad);
	p->crc = hand_crc(span_of(text, (size_t)n));
	snprintf(text + n, sizeof(text) - (size_t)n, " %08x", p->crc);
	snprintf(topic, 64, "t.%s", h->name);
	env_init(e, ENV_PUB, span_str(topic), NULL);
	if (p->key[0] != '-')
		env_set_s(e, ENV_M_KEY, span_str(p->key));
	if (hand_random(h, 1000) < (uint64_t)h->expire)
		env_set_u(e, ENV_M_EXP, (uint64_t)clock_real_ms() + hand_random(h, 2000));
	buf_reset(&me.frame);
	mp_put_cstr(&me.frame, text);
	e->body = buf_span(&me.frame);
}

static void
make_batch(struct call *c, struct env *e)
{
	char topic[64];
	struct env item;

	buf_reset(&me.batch);
	mp_put_array(&me.batch, c->items);
	buf_printf(&me.h->lines, "B %" PRIu64 " %u\n", me.next, c->items);
	hand_write(me.h, false);
	for (unsigned i = 0; i < c->items; i++) {
		make(&c->put[i], &item, topic);
		uuid_v7(item.id, clock_real_ms());
		if (env_put_item(&item, &me.batch) != ERR_OK)
			die(EXIT_NORESTART, "an item is refused");
	}
	env_init(e, ENV_BATCH, span_str(""), NULL);
	e->body = buf_span(&me.batch);
}

static void
put_some(void)
{
	struct hand *h = me.h;
	struct call *c = xcalloc(1, sizeof(*c));
	char topic[64];
	struct env e;

	c->items = hand_random(h, 20) == 0 ? 2 + (unsigned)hand_random(h, ITEMS - 1) : 1;
	if (c->items > 1) {
		make_batch(c, &e);
	} else {
		make(&c->put[0], &e, topic);
	}
	if (client_call(svc_client(h->svc), &e, 0, on_done, c) == ERR_OK) {
		me.under_way += c->items;
	} else {
		free(c);
	}
}

static void
on_tick(struct timer *t)
{
	struct hand *h = me.h;
	int64_t n = 1 + (int64_t)hand_random(h, (uint64_t)h->rate);

	if (svc_is_draining(h->svc))
		return;
	if (me.next + (uint64_t)n * ITEMS > me.may) {
		me.may = me.next + 100 + (uint64_t)n * ITEMS;
		buf_printf(&h->lines, "S %" PRIu64 "\n", me.may);
		hand_write(h, false);
	}
	while (n-- > 0 && me.under_way < h->window)
		put_some();
	loop_timer(svc_loop(h->svc), t, loop_now(svc_loop(h->svc)) + TICK_MS);
}

int
hand_publish(struct hand *h)
{
	me.h = h;
	buf_init(&me.frame, 4096);
	buf_init(&me.batch, 65536);
	me.tick.fn = on_tick;
	loop_timer(svc_loop(h->svc), &me.tick, loop_now(svc_loop(h->svc)));
	return 0;
}

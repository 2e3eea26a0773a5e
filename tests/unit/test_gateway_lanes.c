/* Order per key in a pusher's hands, and against a model of the broker with two workers. */
#include <stdlib.h>
#include "services/data-gateway/lanes.h"
#include "tests/unit/check.h"

#define N 64

static struct lane_item it[N];

static void
add(struct lanes *l, unsigned seq, const char *key)
{
	it[seq] = (struct lane_item){.seq = seq, .bytes = 10, .ready = true};
	lanes_add(l, &it[seq], span_str(key));
}

/* "1 2 5 " */
static const char *
take(struct lanes *l, size_t max, size_t bytes)
{
	static char out[400];
	struct lane_item *v[N];
	size_t n = lanes_take(l, v, max, bytes), at = 0;

	out[0] = '\0';
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(out + at, sizeof out - at, "%u ", (unsigned)v[i]->seq);
	return out;
}

static void
bounds(void)
{
	struct lanes *l = lanes_new();

	for (unsigned i = 1; i <= 6; i++)
		add(l, i, i % 2 ? "a" : "b");
	CHECK_STR(take(l, 2, 1000), "1 2 ");
	CHECK_STR(take(l, 10, 20), "3 4 ");
	CHECK_STR(take(l, 10, 1), "5 "); /* one that is larger than the bound goes alone */
	CHECK(lanes_waiting(l) == 1);
	for (unsigned i = 1; i <= 6; i++)
		lanes_done(l, &it[i]);
	CHECK(lanes_waiting(l) == 0);
	lanes_free(l);
}

static void
not_ready(void)
{
	struct lanes *l = lanes_new();

	add(l, 1, "a");
	it[1].ready = false;
	add(l, 2, "a");
	add(l, 3, "b");
	add(l, 4, "");
	CHECK_STR(take(l, 10, 1000), "3 4 "); /* 2 does not overtake 1 */
	it[1].ready = true;
	CHECK_STR(take(l, 10, 1000), "1 2 ");
	for (unsigned i = 1; i <= 4; i++)
		lanes_done(l, &it[i]);
	lanes_free(l);
}

/* Taken back: those that wait go out, what was taken stays; earlier ones and other keys go on. */
static void
given_back(void)
{
	struct lanes *l = lanes_new();

	for (unsigned i = 1; i <= 6; i++)
		add(l, i, i == 3 ? "b" : "a");
	CHECK_STR(take(l, 2, 1000), "1 2 ");
	CHECK(lanes_again(l, &it[2]) == &it[4]);
	CHECK(lanes_again(l, &it[2]) == &it[5]);
	CHECK(lanes_again(l, &it[2]) == &it[6]);
	CHECK(lanes_again(l, &it[2]) == NULL);
	CHECK_STR(take(l, 10, 1000), "3 ");
	lanes_done(l, &it[3]);
	add(l, 2, "a");
	add(l, 8, "b");
	it[1].ready = false;
	CHECK(lanes_again(l, &it[1]) == &it[2]);
	CHECK(lanes_again(l, &it[1]) == NULL);
	for (unsigned i = 1; i <= 2; i++)
		add(l, i, "a");
	CHECK_STR(take(l, 10, 1000), "8 1 2 ");
	lanes_done(l, &it[8]);
	lanes_done(l, &it[1]);
	lanes_done(l, &it[2]);
	CHECK(lanes_waiting(l) == 0);
	/* what has no key takes nothing with it */
	it[9] = (struct lane_item){.seq = 9, .bytes = 1, .ready = true};
	lanes_add(l, &it[9], (struct span){NULL, 0});
	add(l, 10, "a");
	CHECK(lanes_again(l, &it[9]) == NULL);
	CHECK(lanes_waiting(l) == 1);
	lanes_done(l, &it[10]);
	lanes_free(l);
}

/* --- against a model of the broker ---
 * One key, records 1..n, two workers; what travels is in queues, one each way and worker, and
 * everything happens in any interleaving.  The harness before the lanes is modelled too: it gives
 * back what comes between a NAK and the PONG behind it.  Whatever happens, nothing is processed for
 * the first time before all earlier ones were. */
enum { RECORDS = 12, QUEUE = 4096 };

struct word {
	unsigned seq, try_no; /* seq 0: a PONG */
	bool nak;             /* with a PING behind it */
};

struct model {
	struct lanes *lanes[2];
	struct lane_item items[2][QUEUE]; /* one a delivery, as it comes */
	unsigned tries[2][QUEUE];
	struct word down[2][QUEUE], up[2][QUEUE];
	unsigned down_n[2], down_at[2], up_n[2], up_at[2];
	unsigned pings[2]; /* of each worker, without their PONG yet */
	/* the broker's view */
	int holder;
	unsigned next; /* not yet handed out in this run */
	unsigned wait; /* backoff, in turns in which it would hand out */
	unsigned fails[RECORDS + 2];
	bool flight[RECORDS + 2], done[RECORDS + 2];
	/* the destination's */
	bool written[RECORDS + 2];
	unsigned order_broken, turned;
};

static uint64_t state;

static unsigned
roll(void)
{
	state = state * UINT64_C(6364136223846793005) + 1442695040888963407u;
	return (unsigned)(state >> 40);
}

static unsigned
first_open(const struct model *m)
{
	unsigned i = 1;

	while (i <= RECORDS && m->done[i])
		i++;
	return i;
}

static void
hand_out(struct model *m)
{
	bool any = false;

	if (m->wait > 0 && m->wait-- > 0)
		return;
	if (m->down_n[0] > QUEUE - 2 || m->down_n[1] > QUEUE - 2)
		return;
	for (unsigned i = 1; i <= RECORDS; i++)
		any = any || m->flight[i];
	if (!any) {
		m->holder = (int)(roll() % 2);
		m->next = first_open(m);
	}
	while (m->next <= RECORDS && m->done[m->next])
		m->next++;
	if (m->next > RECORDS)
		return;
	m->flight[m->next] = true;
	m->down[m->holder][m->down_n[m->holder]++] =
	    (struct word){.seq = m->next, .try_no = m->fails[m->next] + 1};
	m->next++;
}

static void
say(struct model *m, int w, unsigned at, bool nak)
{
	m->up[w][m->up_n[w]++] = (struct word){
	    .seq = (unsigned)m->items[w][at].seq, .try_no = m->tries[w][at], .nak = nak};
	m->pings[w] += nak;
}

static void
broker_hears(struct model *m, int w)
{
	struct word v = m->up[w][m->up_at[w]++];

	if (!v.nak) {
		m->done[v.seq] = true;
		m->flight[v.seq] = false;
		return;
	}
	if (m->holder == w && m->flight[v.seq] && v.try_no == m->fails[v.seq] + 1) {
		m->fails[v.seq]++;
		for (unsigned i = v.seq; i <= RECORDS; i++)
			m->flight[i] = false;
		m->next = v.seq;
		m->wait = roll() % (4u << (m->fails[v.seq] < 4 ? m->fails[v.seq] : 4));
	}
	m->down[w][m->down_n[w]++] = (struct word){.seq = 0};
}

static void
worker_gets(struct model *m, int w)
{
	unsigned at = m->down_at[w]++;
	struct lane_item *item = &m->items[w][at];

	if (m->down[w][at].seq == 0) {
		m->pings[w]--;
		return;
	}
	*item = (struct lane_item){.seq = m->down[w][at].seq, .bytes = 1, .ready = true};
	m->tries[w][at] = m->down[w][at].try_no;
	if (m->pings[w] == 0) {
		lanes_add(m->lanes[w], item, span_str("key"));
		return;
	}
	m->turned++;
	say(m, w, at, true);
}

static void
worker_works(struct model *m, int w)
{
	struct lane_item *item;
	unsigned at;

	if (lanes_take(m->lanes[w], &item, 1, 100) == 0)
		return;
	at = (unsigned)(item - m->items[w]);
	if (roll() % 4 == 0) {
		while (lanes_again(m->lanes[w], item) != NULL)
			;
		say(m, w, at, true);
		return;
	}
	for (unsigned i = 1; i < item->seq; i++)
		m->order_broken += !m->written[i];
	m->written[item->seq] = true;
	lanes_done(m->lanes[w], item);
	say(m, w, at, false);
}

static void
run_model(unsigned seed, unsigned *turned)
{
	struct model *m = calloc(1, sizeof *m);
	unsigned steps = 0;

	state = seed * UINT64_C(0x9e3779b97f4a7c15);
	m->lanes[0] = lanes_new();
	m->lanes[1] = lanes_new();
	m->holder = -1;
	for (; steps < 12000 && first_open(m) <= RECORDS; steps++) {
		int w = (int)(roll() % 2);

		switch (roll() % 4) {
		case 0: hand_out(m); break;
		case 1:
			if (m->down_at[w] < m->down_n[w])
				worker_gets(m, w);
			break;
		case 2: worker_works(m, w); break;
		default:
			if (m->up_at[w] < m->up_n[w])
				broker_hears(m, w);
		}
	}
	if (m->order_broken > 0 || first_open(m) <= RECORDS)
		printf("# seed %u: order broken %u times, first open %u after %u steps\n", seed,
		    m->order_broken, first_open(m), steps);
	if (m->order_broken > 0 || first_open(m) <= RECORDS)
		check_bad++;
	*turned += m->turned;
	for (int w = 0; w < 2; w++) {
		for (unsigned i = 0; i < m->down_at[w]; i++)
			if (m->items[w][i].waits)
				lanes_done(m->lanes[w], &m->items[w][i]);
		lanes_free(m->lanes[w]);
	}
	free(m);
}

int
main(void)
{
	unsigned turned = 0;

	bounds();
	not_ready();
	given_back();
	for (unsigned seed = 1; seed <= 2000; seed++)
		run_model(seed, &turned);
	CHECK(turned > 100); /* the model does reach what it is for */
	return check_done();
}

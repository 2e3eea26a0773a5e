#include "tests/unit/check.h"

#include "base/timer.h"

/* Against a model that looks at every timer each time. */

enum { N = 200, STEPS = 200000 };

static uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t
next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return seed;
}

struct model {
	struct timer t[N];
	int64_t at[N];
	bool set[N];
};

static int64_t
model_next(const struct model *m)
{
	int64_t next = INT64_MAX;

	for (int i = 0; i < N; i++) {
		if (m->set[i] && m->at[i] < next)
			next = m->at[i];
	}
	return next;
}

static bool
heap_is_sound(const struct timer_heap *h)
{
	for (size_t i = 1; i <= h->n; i++) {
		if (h->v[i - 1]->pos != i)
			return false;
		if (i > 1 && h->v[i / 2 - 1]->at_ms > h->v[i - 1]->at_ms)
			return false;
	}
	return true;
}

/* One random operation; false when heap and model disagree. */
static bool
step(struct timer_heap *h, struct model *m)
{
	uint64_t r = next_random();
	unsigned i = (unsigned)(r % N);
	int64_t at = (int64_t)(r >> 20 & 0x3ff) - 100, next = model_next(m);
	struct timer *t;

	switch (r >> 10 & 3) {
	case 0:
	case 1:
		timer_set(h, &m->t[i], at);
		m->at[i] = at;
		m->set[i] = true;
		break;
	case 2:
		timer_clear(h, &m->t[i]);
		m->set[i] = false;
		break;
	default:
		t = timer_pop(h, at);
		if (next > at)
			return t == NULL;
		if (t == NULL || t->at_ms != next || timer_is_set(t))
			return false;
		if (!m->set[t - m->t] || m->at[t - m->t] != next)
			return false;
		m->set[t - m->t] = false;
		break;
	}
	return timer_next(h) == model_next(m);
}

static void
test_model(void)
{
	static struct model m;
	struct timer_heap h = {0};
	unsigned bad = 0, differ = 0;
	int64_t last = INT64_MIN;
	struct timer *t;

	for (int i = 0; i < STEPS; i++) {
		bad += !step(&h, &m);
		if (i % 64 == 0)
			bad += !heap_is_sound(&h);
	}
	CHECK(bad == 0);
	for (int i = 0; i < N; i++)
		differ += m.set[i] != timer_is_set(&m.t[i]);
	CHECK(differ == 0);
	CHECK(h.n > 0);
	while ((t = timer_pop(&h, INT64_MAX)) != NULL) {
		bad += t->at_ms < last;
		last = t->at_ms;
	}
	CHECK(bad == 0);
	CHECK(h.n == 0 && timer_next(&h) == INT64_MAX);
	timer_heap_fini(&h);
}

static void
test_edges(void)
{
	struct timer a = {0}, b = {0};
	struct timer_heap h = {0};

	CHECK(timer_pop(&h, INT64_MAX) == NULL);
	timer_clear(&h, &a);
	CHECK(h.n == 0);
	timer_set(&h, &a, 10);
	timer_set(&h, &b, 5);
	CHECK(timer_next(&h) == 5);
	CHECK(timer_pop(&h, 4) == NULL);
	timer_set(&h, &b, 20);
	CHECK(timer_next(&h) == 10);
	CHECK(timer_pop(&h, 10) == &a);
	CHECK(!timer_is_set(&a) && timer_is_set(&b));
	timer_set(&h, &a, INT64_MAX);
	CHECK(timer_pop(&h, 20) == &b);
	CHECK(timer_pop(&h, INT64_MAX - 1) == NULL);
	timer_heap_fini(&h);
	CHECK(!timer_is_set(&a));
	timer_heap_fini(&h);
}

int
main(void)
{
	test_edges();
	test_model();
	return check_done();
}

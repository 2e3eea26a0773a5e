/* Records: one copy for everybody, and the cache of the latest. */
#include "broker/rec.h"
#include "proto/mp.h"
#include "tests/unit/check.h"

static struct rec_pool pool;

static const uint8_t zeros[200000];

static struct rec *
make(uint64_t seq, const char *key, size_t body)
{
	uint8_t id[16] = {(uint8_t)seq};
	struct buf frame, raw;
	struct env e;
	struct rec *r;

	buf_init(&frame, 1 << 20);
	buf_init(&raw, 1 << 20);
	mp_put_bin(&raw, span_of(zeros, body));
	env_init(&e, ENV_PUB, span_str("t.x"), id);
	env_set_s(&e, ENV_M_KEY, span_str(key));
	env_set_u(&e, ENV_M_EXP, 77);
	e.body = buf_span(&raw);
	if (env_encode(&e, &frame) != ERR_OK ||
	    env_decode(&e, buf_span(&frame), true, NULL) != ERR_OK)
		return NULL;
	r = rec_of_env(&pool, &e, buf_span(&frame));
	r->seq = seq;
	buf_fini(&frame);
	buf_fini(&raw);
	return r;
}

static void
copies(void)
{
	struct rec *r = make(5, "k", 10), *empty = make(6, "", 0), *back;
	struct journal_row row;

	CHECK(pool.n == 2 && pool.bytes > 2 * sizeof(struct rec));
	CHECK(span_is(r->topic, "t.x") && span_is(r->key, "k") && r->exp_ms == 77 && r->id[0] == 5);
	CHECK(r->topic.p > r->frame && r->topic.p < r->frame + r->n);
	CHECK(empty->key.p == NULL);
	row = (struct journal_row){.seq = 9, .frame = rec_frame(r), .at_ms = 3};
	back = rec_of_row(&pool, &row);
	CHECK(back && back->seq == 9 && back->at_ms == 3 &&
	      span_eq(rec_frame(back), rec_frame(r)) && span_is(back->key, "k"));
	CHECK(back->only == NULL && back->exp_ms == 0 && span_eq(back->root, span_of(r->id, 16)));
	rec_drop(back);
	row.only = span_str("g");
	row.exp_ms = 78; /* the row's counts, not the frame's */
	back = rec_of_row(&pool, &row);
	CHECK(back && back->only && strcmp(back->only, "g") == 0 && back->exp_ms == 78);
	row.frame = span_of("\xc1", 1);
	CHECK(rec_of_row(&pool, &row) == NULL);
	CHECK(rec_hold(r) == r);
	rec_drop(r);
	CHECK(pool.n == 3);
	rec_drop(r);
	rec_drop(back);
	rec_drop(empty);
	rec_drop(NULL);
	CHECK(pool.n == 0 && pool.bytes == 0);
}

static void
push(struct tail *t, uint64_t seq, size_t body)
{
	struct rec *r = make(seq, "k", body);

	tail_push(t, r);
	rec_drop(r);
}

static void
tails(void)
{
	struct tail t;
	bool all = true;

	tail_init(&t, 100000);
	CHECK(tail_get(&t, 1) == NULL);
	for (uint64_t s = 1; s <= 5000; s++) {
		push(&t, s, s % 50);
		all = all && tail_get(&t, s) && tail_get(&t, s)->seq == s &&
		      tail_get(&t, s + 1) == NULL;
	}
	CHECK(all && t.bytes <= 100000 && t.n > 100);
	CHECK(tail_get(&t, 1) == NULL && tail_get(&t, 5000 - t.n) == NULL &&
	      tail_get(&t, 5001 - t.n) != NULL);
	push(&t, 5001, 200000);
	CHECK(
	    t.n == 1 && tail_get(&t, 5001) != NULL); /* the latest is always there, however large */
	push(&t, 5010, 1);
	CHECK(t.n == 1 && tail_get(&t, 5001) == NULL && tail_get(&t, 5010) != NULL); /* no hole */
	CHECK(pool.n == 1);
	tail_fini(&t);
	CHECK(pool.n == 0 && pool.bytes == 0);
}

int
main(void)
{
	copies();
	tails();
	return check_done();
}

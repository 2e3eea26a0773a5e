/* The ring of hops. */
#include "broker/trace.h"
#include "tests/unit/check.h"

static void
note(struct trace *t, uint8_t id, uint8_t root, uint64_t seq)
{
	struct trace_hop *h = trace_next(t);

	memset(h, 0, sizeof(*h));
	h->id[0] = id;
	h->root[0] = root;
	h->seq = seq;
}

struct sum {
	uint64_t n, last;
	bool ordered;
};

static void
add(void *arg, const struct trace_hop *h)
{
	struct sum *s = arg;

	s->ordered = s->ordered && h->seq == s->last + 1;
	s->last = h->seq;
	s->n++;
}

static void
keeps_the_latest(void)
{
	struct trace *t = trace_new(8);
	struct sum s = {.ordered = true};
	uint8_t root[16], id[16] = {0};

	trace_each(t, add, &s);
	CHECK(s.n == 0);
	for (uint64_t i = 1; i <= 3; i++)
		note(t, (uint8_t)i, 9, i);
	trace_each(t, add, &s);
	CHECK(s.n == 3 && s.ordered && s.last == 3);
	for (uint64_t i = 4; i <= 21; i++)
		note(t, (uint8_t)i, i % 2 ? 9 : 0, i);
	s = (struct sum){.ordered = true, .last = 13};
	trace_each(t, add, &s);
	CHECK(s.n == 8 && s.ordered && s.last == 21);
	id[0] = 15;
	CHECK(trace_root(t, id, root) && root[0] == 9);
	id[0] = 16;
	CHECK(!trace_root(t, id, root)); /* its hops tell none */
	id[0] = 3;
	CHECK(!trace_root(t, id, root)); /* too long ago */
	trace_free(t);
}

static void
names_and_texts(void)
{
	struct trace *t = trace_new(2);
	uint16_t a = trace_name(t, span_str("a")), b = trace_name(t, span_str("bb"));
	struct trace_hop *h = trace_next(t);
	char many[200];

	CHECK(a != 0 && b != 0 && a != b && trace_name(t, span_str("a")) == a);
	CHECK(span_is(span_str(trace_name_of(t, b)), "bb"));
	CHECK(trace_name(t, span_str("")) == 0 && *trace_name_of(t, 0) == '\0');
	trace_text(h, span_str("short"));
	CHECK(h->ntext == 5 && memcmp(h->text, "short", 5) == 0);
	for (size_t i = 0; i < sizeof(many); i += 2)
		memcpy(many + i, "\xc3\xa4", 2);
	trace_text(h, span_of(many + 1, sizeof(many) - 1));
	CHECK(h->ntext == TRACE_TEXT - 1); /* not half a character */
	trace_text(h, (struct span){NULL, 0});
	CHECK(h->ntext == 0);
	trace_free(t);
}

static void
off_is_nothing(void)
{
	struct trace *t = trace_new(0);
	struct sum s = {0};
	uint8_t id[16] = {0};

	CHECK(t == NULL && trace_next(t) == NULL && trace_name(t, span_str("a")) == 0);
	trace_each(t, add, &s);
	CHECK(s.n == 0 && !trace_root(t, id, id));
	trace_free(t);
}

int
main(void)
{
	keeps_the_latest();
	names_and_texts();
	off_is_nothing();
	CHECK(span_is(span_str(trace_what_name(TRACE_DONE)), "done"));
	return check_done();
}

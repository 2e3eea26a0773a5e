/* "pattern\ntopic": the matcher against a naive recursive one, and tokens there and back. */
#include <stdlib.h>

#include "base/die.h"
#include "proto/limits.h"
#include "proto/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct tokens {
	struct span v[LIMIT_TOPIC + 1];
	unsigned n;
};

static void
split(struct tokens *t, struct span s)
{
	const uint8_t *from = s.p;

	t->n = 0;
	for (size_t i = 0; i <= s.n; i++) {
		if (i == s.n || s.p[i] == '.') {
			t->v[t->n++] = span_of(from, (size_t)(s.p + i - from));
			from = s.p + i + 1;
		}
	}
}

static bool
matches(const struct tokens *p, unsigned i, const struct tokens *t, unsigned k)
{
	bool reserved = k == 0 && k < t->n && (span_is(t->v[0], "sys") || span_is(t->v[0], "live"));

	if (i == p->n || k == t->n)
		return i == p->n && k == t->n;
	if (span_is(p->v[i], ">"))
		return !reserved;
	if (span_is(p->v[i], "*"))
		return !reserved && matches(p, i + 1, t, k + 1);
	return span_eq(p->v[i], t->v[k]) && matches(p, i + 1, t, k + 1);
}

static void
check_match(struct span pattern, struct span topic)
{
	struct tokens p, t;

	/* any bytes must be safe to ask about */
	bool is = topic_match(pattern, topic);

	INVARIANT(!topic_is_valid(topic) || topic_is_pattern(topic));
	INVARIANT(topic_cmp_specific(pattern, pattern) == 0);
	INVARIANT(
	    (topic_cmp_specific(pattern, topic) < 0) == (topic_cmp_specific(topic, pattern) > 0));
	if (topic_is_valid(topic) && !topic_is_durable(topic)) {
		INVARIANT(!topic_match(span_str(">"), topic));
		INVARIANT(topic_is_sys(topic) || span_is(topic_token(topic, 0), "live"));
	}
	if (!topic_is_pattern(pattern) || !topic_is_valid(topic))
		return;
	split(&p, pattern);
	split(&t, topic);
	INVARIANT(p.n <= LIMIT_TOPIC_TOKENS && t.n <= LIMIT_TOPIC_TOKENS);
	INVARIANT(is == matches(&p, 0, &t, 0));
	for (unsigned i = 0; i < t.n; i++)
		INVARIANT(span_eq(topic_token(topic, i), t.v[i]));
	INVARIANT(topic_token(topic, t.n).p == NULL);
	/* whoever matches more topics is not the more specific */
	if (is)
		INVARIANT(topic_cmp_specific(topic, pattern) <= 0);
}

static void
check_token(struct span text)
{
	struct buf token, back;

	buf_init(&token, 4096);
	buf_init(&back, 4096);
	if (topic_put_token(&token, text) == 0) {
		INVARIANT(text.n <= LIMIT_TOKEN && topic_is_valid(buf_span(&token)));
		INVARIANT(topic_token_text(buf_span(&token), &back) == 0 &&
			  span_eq(buf_span(&back), text));
	} else {
		INVARIANT(text.n > LIMIT_TOKEN && token.n == 0);
	}
	buf_reset(&token);
	buf_reset(&back);
	/* and a token that has a text is the only token of that text */
	if (topic_token_text(text, &back) == 0) {
		INVARIANT(topic_put_token(&token, buf_span(&back)) == 0);
		INVARIANT(span_eq(buf_span(&token), text));
	}
	buf_fini(&token);
	buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *cut = size > 0 ? memchr(data, '\n', size) : NULL;
	struct span pattern = span_of(data, cut ? (size_t)(cut - data) : size), topic = {NULL, 0};

	if (cut != NULL)
		topic = span_of(cut + 1, size - pattern.n - 1);
	check_match(pattern, topic);
	check_match(topic, pattern);
	check_token(pattern);
	check_token(topic);
	return 0;
}

#include "broker/retained.h"

/* The tokens before the first wildcard, with the dot behind them. */
static size_t
prefix(struct span pattern)
{
	for (size_t i = 0; i < pattern.n; i++) {
		if (pattern.p[i] == '*' || pattern.p[i] == '>')
			return i;
	}
	return pattern.n;
}

void
retained_after(struct span pattern, char out[RETAINED_AFTER])
{
	size_t n = prefix(pattern);

	if (n > LIMIT_TOPIC)
		n = 0;
	memcpy(out, pattern.p, n);
	if (n > 0) {
		/* Behind all that begin with the character before: no topic holds 0x7f. */
		out[n - 1]--;
		out[n++] = 0x7f;
	}
	out[n] = '\0';
}

bool
retained_is_past(struct span pattern, struct span topic)
{
	size_t n = prefix(pattern), m = topic.n < n ? topic.n : n;
	int c = m > 0 ? memcmp(topic.p, pattern.p, m) : 0;

	return c > 0 || (n == pattern.n && c == 0 && topic.n > n);
}

/* Last values: where those of a pattern lie. */
#include "broker/retained.h"
#include "proto/topic.h"
#include "tests/unit/check.h"

static const char *const topics[] = {"a", "a-", "a-.x", "a.A", "a.b", "a.b-", "a.b.c", "a.ba",
    "a.c", "a0.b", "aa.b", "b", "b.a", "b.b.b.b", "sys.dead"};
static const char *const patterns[] = {
    "a", "a.b", "a.*", "a.>", "a.b.>", "*.b", ">", "b.>", "b.*.b.>", "sys.dead", "z.*", "a.*.c"};

int
main(void)
{
	for (size_t i = 0; i < sizeof(patterns) / sizeof(*patterns); i++) {
		struct span p = span_str(patterns[i]);
		char after[RETAINED_AFTER];
		bool past = false;
		unsigned matched = 0, found = 0;

		retained_after(p, after);
		for (size_t k = 0; k < sizeof(topics) / sizeof(*topics); k++) {
			struct span t = span_str(topics[k]);

			matched += topic_match(p, t) ? 1 : 0;
			past |= retained_is_past(p, t);
			if (strcmp(topics[k], after) > 0 && !past)
				found += topic_match(p, t) ? 1 : 0;
		}
		CHECK(matched == found);
	}
	CHECK(retained_is_past(span_str("a.b"), span_str("a.b-")));
	CHECK(!retained_is_past(span_str("a.>"), span_str("a.z.z")));
	CHECK(retained_is_past(span_str("a.>"), span_str("b")));
	return check_done();
}

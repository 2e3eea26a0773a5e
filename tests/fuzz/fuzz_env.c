/* Any bytes as a frame.  What decodes encodes again, to a frame that decodes to the same. */
#include <stdlib.h>

#include "base/die.h"
#include "proto/env.h"
#include "proto/mp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char kinds[ENV_M_COUNT] = {
#define X(id, name, kind, max) [ENV_M_##id] = #kind[0],
    ENV_METAS(X)
#undef X
};

static bool
is_same(const struct env *a, const struct env *b)
{
	if (a->verb != b->verb || a->has != b->has || !span_eq(a->topic, b->topic) ||
	    memcmp(a->id, b->id, sizeof a->id) != 0 || !span_eq(a->body, b->body))
		return false;
	for (unsigned k = 0; k < ENV_M_COUNT; k++) {
		if (!env_has(a, (enum env_meta)k))
			continue;
		if (kinds[k] == 'U' || kinds[k] == 'T' ? a->m[k].u != b->m[k].u
						       : !span_eq(a->m[k].s, b->m[k].s))
			return false;
	}
	return true;
}

static void
check_answer(const struct env *e)
{
	struct buf out;
	struct env back;

	buf_init(&out, LIMIT_FRAME_RX);
	INVARIANT(env_encode_err(&out, e->id, ERR_BAD_ENVELOPE, "why") == ERR_OK);
	INVARIANT(env_decode(&back, buf_span(&out), true, NULL) == ERR_OK);
	INVARIANT(memcmp(back.id, e->id, 16) == 0 && env_err_code(&back) == ERR_BAD_ENVELOPE);
	buf_fini(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *why = NULL, *scanned = NULL;
	struct env e, s, back;
	struct buf out;
	enum err rc = env_decode(&e, span_of(data, size), false, &why);
	enum err src = env_decode(&s, span_of(data, size), true, &scanned);

	INVARIANT((rc == ERR_OK) == (*why == 0) && (src == ERR_OK) == (*scanned == 0));
	/* looking at the body can only refuse more */
	INVARIANT(src != ERR_OK || rc == ERR_OK);
	if (rc != ERR_OK) {
		check_answer(&e);
		return 0;
	}
	if (e.verb == ENV_ERR) {
		INVARIANT(env_err_code(&e) != ERR_OK);
		(void)env_err_text(&e);
	}
	buf_init(&out, LIMIT_FRAME_RX);
	/* unknown keys are not kept, so it can only get smaller */
	INVARIANT(env_encode(&e, &out) == ERR_OK && out.n <= size);
	INVARIANT(env_decode(&back, buf_span(&out), src == ERR_OK, NULL) == ERR_OK);
	INVARIANT(is_same(&e, &back));
	buf_fini(&out);
	return 0;
}

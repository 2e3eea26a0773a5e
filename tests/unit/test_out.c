#include "tests/unit/check.h"

#include <stdlib.h>

#include "broker/broker.h"
#include "broker/out.h"

/* An envelope whose header is over what a header may have. */
static void
send_too_large(struct broker *b, struct peer *p)
{
	static const uint8_t huge[LIMIT_AS + 1], id[16];
	struct env e;

	env_init(&e, ENV_MSG, span_str("a.b"), id);
	env_set_s(&e, ENV_M_AS, span_of(huge, sizeof huge));
	out_env(b, p, &e);
}

static unsigned
unsent(const struct broker *b)
{
	unsigned n = 0;

	for (const struct list *at = b->unsent.next; at != &b->unsent && n < 10; at = at->next)
		n++;
	return n;
}

/* The peer is among those that have something to send only once, and nothing is sent. */
static void
test_what_cannot_be_made(void)
{
	struct broker *b = calloc(1, sizeof *b);
	struct peer *p;

	list_init(&b->unsent);
	list_init(&b->queued);
	registry_init(&b->reg);
	p = registry_add(&b->reg, span_str("peer"), 0);
	p->packs = true;
	for (int i = 0; i < 3; i++)
		send_too_large(b, p);
	CHECK(b->drops[DROP_TOO_BIG] == 3);
	CHECK(unsent(b) == 1);
	out_flush(b);
	CHECK(unsent(b) == 0 && b->sent == 0 && b->nrooms == 1);
	send_too_large(b, p);
	CHECK(unsent(b) == 1 && b->nrooms == 0);
	out_discard(b, p);
	registry_remove(&b->reg, p);
	registry_fini(&b->reg);
	out_free_rooms(b);
	free(b);
}

int
main(void)
{
	test_what_cannot_be_made();
	return check_done();
}

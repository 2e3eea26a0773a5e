#include "proto/client_priv.h"

#include <stdlib.h>

/* uthash is macros, nested deeper than we would write: each operation has a function of its own. */

struct call *
client_call_find(struct client *c, const uint8_t id[16]) /* NOLINT(readability-function-size) */
{
	struct call *call;

	HASH_FIND(hh, c->calls, id, 16, call);
	return call;
}

void
client_call_add(struct call *call) /* NOLINT(readability-function-size) */
{
	HASH_ADD(hh, call->c->calls, id, 16, call);
}

static void
take_out(struct call *call) /* NOLINT(readability-function-size) */
{
	HASH_DEL(call->c->calls, call);
}

void
client_call_drop_frame(struct call *call)
{
	call->c->bytes -= call->n;
	free(call->frame);
	call->frame = NULL;
	call->n = 0;
}

void
client_call_detach(struct call *call)
{
	struct client *c = call->c;

	take_out(call);
	list_remove(&call->node);
	loop_timer_clear(c->loop, &call->deadline);
	client_call_drop_frame(call);
	c->bytes -= sizeof *call;
}

void
client_call_finish(struct call *call, const struct env *e)
{
	struct client *c = call->c;

	if (e->verb == ENV_ERR) {
		c->stats.err++;
	} else {
		c->stats.ok++;
	}
	call->done(call->arg, e);
	free(call);
}

/* The end of a detached call, made here. */
void
client_call_finish_local(struct call *call)
{
	struct client *c = call->c;
	struct env e;

	buf_reset(&c->local);
	INVARIANT(env_encode_err(&c->local, call->id, call->end, call->end_text) == ERR_OK);
	INVARIANT(env_decode(&e, buf_span(&c->local), false, NULL) == ERR_OK);
	client_call_finish(call, &e);
}

void
client_call_put_ending(struct call *call, enum err code, const char *text)
{
	client_call_detach(call);
	call->end = code;
	call->end_text = text;
	list_push_back(&call->c->ending, &call->node);
}

void
client_call_finish_ending(void *arg)
{
	struct client *c = arg;
	struct list *n;

	while ((n = list_pop(&c->ending)) != NULL)
		client_call_finish_local(LIST_ITEM(n, struct call, node));
}

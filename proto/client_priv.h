#ifndef PROTO_CLIENT_PRIV_H
#define PROTO_CLIENT_PRIV_H
/* What client.c (the calls, sending, receiving) and client_call.c (the table of open calls and
 * their ends) share.  Nobody else includes this.  A call is open (in the table and in `waiting` or
 * `sent`), or detached. */
#include "base/die.h"
#include "base/list.h"
#include "proto/client.h"

#define uthash_fatal(msg) die(EXIT_AGAIN, "uthash: %s", msg)
#include <uthash.h>

struct call {
	UT_hash_handle hh; /* in client.calls while the call is open */
	uint8_t id[16];
	struct list node; /* in waiting, sent or ending */
	struct client *c;
	struct timer deadline;
	enum env_verb verb;
	bool again, sent, parted;
	bool uncertain; /* was handed to the link at least once */
	int64_t made_ms, ttl_ms, timeout_ms;
	uint8_t *frame; /* NULL once sent, when it is never sent again */
	size_t n;
	uint64_t window; /* parts that may still come unasked */
	uint64_t owed;   /* of client_more, not yet said to the broker */
	enum err end;
	const char *end_text;
	client_part_fn *part;
	client_done_fn *done;
	void *arg;
};

struct client {
	struct link *link;
	struct loop *loop;
	struct call *calls;
	struct list waiting, sent; /* in the order of the calls */
	struct list ending;        /* out of the table, callback still owed */
	size_t bytes, max_bytes;
	bool closing, more_owed;
	struct buf scratch, local;
	struct client_stats stats;
};

/* May be sent again with the same id when it is uncertain what became of it. */
static inline bool
client_call_is_kept(const struct call *call)
{
	return call->verb == ENV_PUB || call->verb == ENV_BATCH ||
	       (call->verb == ENV_REQ && call->again && !call->parted);
}

/* client_call.c */
struct call *client_call_find(struct client *c, const uint8_t id[16]);
void client_call_add(struct call *call);
void client_call_drop_frame(struct call *call);
/* Out of the table and of time, into no list: the callback is all that is left. */
void client_call_detach(struct call *call);
/* The callback of a detached call, then its memory.  _finish_local: with an ERR made of end and
 * end_text. */
void client_call_finish(struct call *call, const struct env *e);
void client_call_finish_local(struct call *call);
/* Detach; client_call_finish_ending runs the callback. */
void client_call_put_ending(struct call *call, enum err code, const char *text);
void client_call_finish_ending(void *arg);

#endif

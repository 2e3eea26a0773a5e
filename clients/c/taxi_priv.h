#ifndef CLIENTS_C_TAXI_PRIV_H
#define CLIENTS_C_TAXI_PRIV_H
/* What taxi_conn.c (connection, running), taxi_call.c (publish, request), taxi_sub.c (deliveries)
 * and taxi_body.c (bodies) share.  Nobody else includes this. */
#include <stdatomic.h>
#include "base/die.h"
#include "base/list.h"
#include "clients/c/taxiway.h"
#include "proto/worker.h"

struct taxi {
	struct loop *loop;
	struct link *link;
	struct client *client;
	struct worker *worker;
	char *name;
	struct list subs, hand;
	struct timer until; /* of taxi_poll and the blocking calls */
	bool polling, blocking, timed_out;
	unsigned depth; /* callbacks of the user's that are running */
	atomic_bool stopped;
};

/* `text` is made when asked for; an answer of a blocking call owns its frame. */
struct taxi_answer {
	struct env env;
	uint8_t *frame;
	char *text;
};

struct taxi_sub {
	struct taxi *t;
	struct list node;
	struct taxi_sub_options o; /* callbacks and arg alone */
	struct worker_sub *ws;
	bool told_live, gone;
	bool settled; /* became live, ceased to be or was refused, since taxi_sub_wait began */
	size_t in_hand;
	enum taxi_code refused; /* since it was last live */
};

struct taxi_msg {
	struct list node;
	struct taxi_sub *sub;
	struct worker_msg *w;
	char *topic, *key, *group, *from;
};

/* taxi_conn.c */
/* Around a callback of the user's: taxi_poll has seen something happen. */
void priv_enter(struct taxi *t);
void priv_leave(struct taxi *t);
/* Runs the loop until *done, at most timeout_ms (<= 0: no bound).  False: time is up. */
bool priv_block(struct taxi *t, const bool *done, int64_t timeout_ms);

/* taxi_call.c */
struct taxi_answer priv_answer(const struct env *e);
void priv_answer_fini(struct taxi_answer *a);
/* Body of a pub, request or reply in b or borrowed; false: json is none. */
bool priv_body(struct buf *b, const char *json, const void *body, size_t n, struct span *out);

/* taxi_sub.c */
void priv_states(void *arg); /* tells subscriptions that became live, or ceased to be */
void priv_sub_free(struct taxi_sub *s);
void priv_msg_free(struct taxi_msg *m);

#endif

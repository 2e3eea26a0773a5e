#ifndef GATEWAY_PUSHER_IMPL_H
#define GATEWAY_PUSHER_IMPL_H
/* What the files of the pusher harness share.  Nobody else includes this.
 *
 * Life of a delivery: waits in lanes -> taken into the batch -> finished by the plugin -> reported
 * (PUB) -> acked, or rejected, when the report is stored.  One that is to be retried is reported
 * and given back at once. */
#include "base/log.h"
#include "proto/svc.h"
#include "services/data-gateway/lanes.h"
#include "services/data-gateway/pusher.h"
#include "services/data-gateway/report.h"
#include "services/data-gateway/triggers.h"

#define PUSHER_BATCH_MAX 4096

/* A PUB under way; w is NULL when the work is gone before its answer. */
struct pusher_call {
	struct pusher_work *w;
};

enum pusher_state { ITEM_WAITS, ITEM_TAKEN, ITEM_REPORTED };

struct pusher_work {
	struct pusher_item item; /* what the plugin sees */
	struct lane_item lane;
	struct list all; /* pusher.all */
	struct pusher *p;
	struct worker_msg *m;
	enum pusher_state state;
	struct triggers_wait wait;
	struct trigger *trigger;
	/* the report under way */
	struct pusher_call *call;
	enum report_state verdict;
	struct timer again;
	char why[LIMIT_REASON];
};

struct pusher {
	const struct pusher_ops *ops;
	void *state;
	struct svc *svc;
	struct triggers *triggers; /* NULL: items go without */
	struct lanes *lanes;
	struct list all;    /* everything in hand */
	struct timer tick;  /* keeps deliveries alive */
	struct timer probe; /* after a failed batch */
	bool opened, scheduled, draining, closing;

	struct {
		const char *destination, *from;
		int64_t tries, ack_ms, credit, batch, batch_bytes, push_ms;
	} conf;
	char group[LIMIT_GROUP + 8];
	struct buf topic; /* delivery.<destination> */

	/* the batch under way */
	struct pusher_batch batch;
	struct pusher_item *items[PUSHER_BATCH_MAX];
	size_t left; /* of it unfinished */
	size_t done; /* of it finished for good */
	int64_t since_ms;
	bool stuck;
	struct log_limit retry_log;
	unsigned failed; /* batches in a row of which nothing got through */

	struct {
		uint64_t delivered, retried, dead, voided, unreadable, batches, rows, bytes,
		    report_failed;
	} n;
};

static inline struct pusher_work *
pusher_work_of(struct pusher_item *it)
{
	return LIST_ITEM(it, struct pusher_work, item);
}

/* pusher.c: frees a work whose delivery is finished. */
void pusher_free_work(struct pusher_work *w);
/* pusher.c: see whether a batch can start, at the end of the turn. */
void pusher_kick(struct pusher *p);

/* pusher_report.c: publish the verdict, then finish the delivery and free the work. */
void pusher_report_final(struct pusher_work *w, enum report_state verdict, const char *why);
/* pusher_report.c: publish that it failed and will be tried again; nothing waits for it. */
void pusher_report_pending(struct pusher_work *w, int64_t delay_ms, const char *why);

#endif

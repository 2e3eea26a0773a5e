#ifndef GATEWAY_PUSHER_H
#define GATEWAY_PUSHER_H
/* The interface of a pusher: a process that forwards rows to one destination.  A plugin is this:
 *
 *	static const struct pusher_ops ops = {.name = "postgres", .open = …, .push = …};
 *	int main(int argc, char **argv) { return pusher_main(argc, argv, &ops, &my_state); }
 *
 * The harness does the rest: the group pusher-<destination> on rows.in, credit, batches, order per
 * key, keeping deliveries alive while they are worked on, reports for the receipts, acks, retries,
 * dead letters.
 *
 * push() gets a batch and finishes each item, now or later, with pusher_done(); the next batch
 * comes when all are finished.  Items of one uuid come in order; one that is to be retried must not
 * be overtaken at the destination by a later one of its uuid in the same batch.  Pushing is
 * repeatable: after a crash, or a lost acknowledgement, the same rows come again with the same
 * (receipt, position from 0), and the destination must hold them once.  All of it runs in the
 * loop's thread and must not block; an item's bytes may be read by another thread until
 * pusher_done(). */
#include "base/opt.h"
#include "proto/loop.h"
#include "services/data-gateway/rows.h"

struct pusher;

struct pusher_item {
	uint8_t receipt[16];
	char receipt_text[UUID_TEXT + 1];
	struct rows
	    rows;     /* checked: uuid, raw rows; see rows_walk_init, or doc_parse(&d, rows.raw) */
	uint64_t seq; /* place in the journal */
	uint64_t attempt; /* from 1 */
	size_t bytes;
	struct span
	    trigger; /* with needs_trigger: a raw map, {NULL,0} when the control tower knows none */
	void *user;  /* the plugin's own */
};

struct pusher_batch {
	struct pusher_item **items; /* n of them; the array lives until all are finished */
	size_t n;
	size_t rows, bytes; /* in all */
};

enum pusher_end {
	PUSHER_OK,    /* it is at the destination, and stays there if the power goes now */
	PUSHER_RETRY, /* not now: the destination is away, full, or not ready */
	PUSHER_DEAD,  /* never: the destination refuses it */
};

struct pusher_ops {
	const char *name;  /* "csv-file": program pusher-csv-file, environment PLUGIN_CSV_FILE_* */
	const char *about; /* one sentence */
	const struct opt *options;
	size_t noptions;
	/* 0, or an exit code (EXIT_NORESTART for wrong options).  May be NULL, like all but push.
	 */
	int (*open)(void *state, struct pusher *p);
	/* Asked once, after open: shall items carry their trigger? */
	bool (*needs_trigger)(void *state);
	void (*push)(void *state, const struct pusher_batch *b);
	void (*close)(void *state);
	/* Appends n key-value pairs to the STATS map and returns n. */
	unsigned (*stats)(void *state, struct buf *out);
};

int pusher_main(int argc, char **argv, const struct pusher_ops *ops, void *state);

/* Finishes an item and gives it up.  `after_ms` counts for RETRY: 0 leaves it to the harness (1 s,
 * doubling to a minute).  `why` (RETRY, DEAD) is shown in the receipt, at most 511 bytes. */
void pusher_done(struct pusher_item *it, enum pusher_end end, int64_t after_ms, const char *why);

struct loop *pusher_loop(struct pusher *p);

#endif

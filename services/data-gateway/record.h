#ifndef GATEWAY_RECORD_H
#define GATEWAY_RECORD_H
/* Envelopes to rows of the receipts tables: each becomes one JSON object that the statement of its
 * table unpacks (json_to_recordset), so a batch of them is one parameter.  Pure. */
#include "base/buf.h"
#include "base/span.h"

enum record_end {
	RECORD_OK,
	RECORD_SKIP, /* nothing of ours */
	RECORD_BAD,  /* cannot be read: *why says what was expected */
};

struct record_from {
	const uint8_t *id; /* the envelope's, 16 bytes */
	struct span body;
	uint64_t seq;
	int64_t now_ms; /* unix */
};

/* rows.in.  Every accepted envelope has a receipt, also one that no destination can read. */
enum record_end record_receipt(const struct record_from *e, struct buf *out, const char **why);
/* delivery.> */
enum record_end record_delivery(const struct record_from *e, struct buf *out, const char **why);
/* sys.dead: only that of a rows.in in a pusher's group. */
enum record_end record_dead(const struct record_from *e, struct buf *out, const char **why);

/* The statement for a batch, $1 = '[…]'.  Running it twice changes nothing. */
extern const char record_receipt_sql[];
extern const char record_delivery_sql[]; /* delivery and dead */

#endif

#ifndef PROTO_CLIENT_H
#define PROTO_CLIENT_H
/* Calls to the bus: PUB, BATCH, REQ, and the SUB, UNSUB, BYE of a worker.  For every accepted call
 * the callback runs exactly once with the end of it: OK, the final REP, or ERR (from the bus, or
 * made here: TIMEOUT at the deadline, BUSY when it could not be sent until then (certainly not
 * executed), WORKER_LOST when the broker was lost under a REQ that is not `again`, DRAINING at
 * teardown); never from inside the call.  PUB and BATCH are sent again with the same id after a
 * reconnect, so is a REQ marked `again`; the broker knows ids it has stored. */
#include "proto/env.h"
#include "proto/link.h"

struct client;

/* `e` is OK, REP or ERR and lives until the callback returns. */
typedef void client_done_fn(void *arg, const struct env *e);
/* A REP with `more`, before the final one. */
typedef void client_part_fn(void *arg, const struct env *e);

/* The link outlives the client.  `max_pending_bytes` bounds what waits for its end. */
struct client *client_new(struct link *k, size_t max_pending_bytes);
/* Ends every call with ERR DRAINING; further ones are refused with ERR_DRAINING. */
void client_end(struct client *c);
void client_free(struct client *c); /* client_end, then frees; not from a callback */

/* Encode e and see it through.  e->id all zero gets a fresh UUIDv7, written back to e. `timeout_ms`
 * bounds the call here (<= 0: DEFAULT_TTL_MS for REQ, no bound for the others); for REQ it is also
 * sent as `ttl` unless e has one; what waited or is sent again carries the ttl that is left.
 * ERR_OK: accepted, `done` will run. ERR_BUSY: pending bytes are at the limit; ERR_CONFLICT: a call
 * with this id is pending; ERR_TOO_BIG, ERR_BAD_TOPIC, ERR_DRAINING: refused; then `done` never
 * runs.  An answer in parts to a client_call is cancelled and ends as TOO_BIG: use client_stream.
 */
enum err client_call(struct client *c, struct env *e, int64_t timeout_ms, client_done_fn *done,
    void *arg) __attribute__((warn_unused_result));
/* As client_call for a REQ that takes parts.  After each part call client_more when ready for
 * another. */
enum err client_stream(struct client *c, struct env *e, int64_t timeout_ms, client_part_fn *part,
    client_done_fn *done, void *arg) __attribute__((warn_unused_result));
void client_more(struct client *c, const uint8_t id[16], unsigned n);

/* End the call now: CANCEL goes to the broker, `done` runs with ERR GONE at the end of the turn. */
void client_cancel(struct client *c, const uint8_t id[16]);

size_t client_pending(const struct client *c); /* calls */
size_t client_pending_bytes(const struct client *c);

struct client_stats {
	uint64_t calls, ok, err; /* accepted; ended by OK or REP; ended by ERR */
	uint64_t timeouts, lost; /* of these: ended here by the deadline, by WORKER_LOST */
	uint64_t resent, refused_busy;
	uint64_t late; /* answers nobody waited for any more */
};
struct client_stats client_stats(const struct client *c);
struct link *client_link(struct client *c);

#endif

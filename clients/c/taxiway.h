#ifndef TAXIWAY_H
#define TAXIWAY_H
/* libtaxiway: a program's place on the Taxiway bus.
 *
 *	cc prog.c $(pkg-config --cflags --libs taxiway)
 *
 *	struct taxi *t = taxi_open(&(struct taxi_options){.name = "hello", .log = "warn"});
 *	struct taxi_pub p = {.topic = "lab.hello", .json = "{\"n\":1}"};
 *	if (taxi_publish(t, &p, 5000, NULL) == TAXI_OK)
 *		puts("on disk");
 *	taxi_close(t);
 *
 * Threads: a taxi and all that comes from it belong to one thread; every thread may have its own.
 * taxi_stop alone may be called from anywhere, a signal handler too; whatever else another thread
 * has to say goes through a pipe or eventfd and taxi_watch.
 * Time: milliseconds.  Nothing happens but inside of taxi_run, taxi_poll, taxi_drain and the
 * blocking calls: there the bus is heard and callbacks run.  The broker takes a program that is
 * not there for 5 s for dead (its deliveries go to others): call taxi_poll(t, 0) in the middle of
 * long work.  The connection heals by itself: after a broker's restart subscriptions are made
 * again, and what was not answered is sent again under its old id, which the broker knows if it
 * had stored it.
 * Ownership: what is passed in is copied; strings and bytes handed out live as long as what they
 * came from.  Bodies are bytes of one msgpack value; JSON text is converted where a `json` is
 * given instead, and helpers at the end read and make bodies.
 * Memory: a program that runs out of it is ended with exit code 111 and a line that says so. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct taxi;        /* a connection */
struct taxi_answer; /* the end of a call: OK, an answer, or an error */
struct taxi_msg;    /* a delivery: an event or a request */
struct taxi_sub;    /* a subscription */

/* ---- Errors ----
 * TAXI_NEVER: the same call fails again.  TAXI_LATER: certainly not executed, try again.
 * TAXI_UNCERTAIN: it may have been executed; repeat only with the same id, or what may run twice.
 */
enum taxi_retry { TAXI_NEVER, TAXI_LATER, TAXI_UNCERTAIN };

enum taxi_code { /* further ones are added at the end */
	TAXI_OK,
	TAXI_BAD_ENVELOPE,
	TAXI_BAD_TOPIC,
	TAXI_INVALID,
	TAXI_UNAUTHENTICATED,
	TAXI_DENIED,
	TAXI_NOT_FOUND,
	TAXI_CONFLICT,
	TAXI_GONE,
	TAXI_TOO_BIG,
	TAXI_QUOTA,
	TAXI_BUSY,
	TAXI_DRAINING,
	TAXI_NO_WORKERS,
	TAXI_UPSTREAM,
	TAXI_WORKER_LOST,
	TAXI_TIMEOUT,
	TAXI_STORE_FAILED,
	TAXI_INTERNAL,
};

const char *taxi_code_name(enum taxi_code code); /* "CONFLICT"; "OK" */
enum taxi_code taxi_code_of(const char *name);   /* unknown: TAXI_INTERNAL */
enum taxi_retry taxi_code_retry(enum taxi_code code);
const char *taxi_version(void);

/* ---- Connection ---- */
struct taxi_options {
	const char *bus; /* NULL: $TAXI_BUS, or tcp://127.0.0.1:5570; ipc://path */
	/* A file of our keys (taxi keys new), for the whole process.  NULL: $TAXI_KEY; "": none. */
	const char *key;
	/* The broker's public key, Z85 or a file; needed with `key`.  NULL: $TAXI_BROKER_KEY. */
	const char *broker_key;
	const char *name;   /* in the registry and in our log lines; NULL: "taxiway" */
	const char *log;    /* lines on standard error: NULL "error", "warn", "info", "debug" */
	size_t max_pending; /* bytes of calls that may wait for their end; 0: 64 MiB */
	void *reserved[4];
};

/* Connects in the background; calls may be made at once and wait for the broker.  NULL: an option
 * is wrong, and standard error says which. */
struct taxi *taxi_open(const struct taxi_options *o);
/* Ends every call with TAXI_DRAINING and frees everything, deliveries in hand too: the broker gives
 * those to others.  Not from a callback.  NULL is harmless. */
void taxi_close(struct taxi *t);
/* SIGTERM's work: asks for no more, lets what is in hand and under way come to its end, and makes
 * sure the broker has all that was said.  0; -1 when that took longer than timeout_ms. */
int taxi_drain(struct taxi *t, int64_t timeout_ms);

void taxi_run(struct taxi *t);                      /* until taxi_stop */
void taxi_poll(struct taxi *t, int64_t timeout_ms); /* until something happened, at most so long */
void taxi_stop(struct taxi *t);
bool taxi_is_up(const struct taxi *t);
/* Why the broker does not let us in (its keys, ours), for people; NULL: nothing of the kind. */
const char *taxi_refused(const struct taxi *t);

/* fn runs while fd is readable (or at its end), until taxi_unwatch, which comes before close(fd).
 */
typedef void taxi_fd_fn(void *arg);
struct taxi_watch;
struct taxi_watch *taxi_watch(struct taxi *t, int fd, taxi_fd_fn *fn, void *arg);
void taxi_unwatch(struct taxi_watch *w);

/* ---- The end of a call ----
 * Borrowed inside of a callback; owned, and to be freed by taxi_answer_free, when a blocking call
 * gave it. */
enum taxi_code taxi_answer_code(const struct taxi_answer *a);
const char *taxi_answer_text(const struct taxi_answer *a);              /* why; "" when OK */
const void *taxi_answer_detail(const struct taxi_answer *a, size_t *n); /* msgpack; NULL: none */
const void *taxi_answer_body(const struct taxi_answer *a, size_t *n);   /* msgpack; NULL: nil */
const uint8_t *taxi_answer_id(const struct taxi_answer *a);             /* 16 bytes, the call's */
uint64_t taxi_answer_seq(const struct taxi_answer *a);    /* of a publish; 0: it was ephemeral */
uint64_t taxi_answer_groups(const struct taxi_answer *a); /* how many groups owe it */
size_t taxi_answer_seqs(const struct taxi_answer *a, uint64_t *out, size_t max); /* of a batch */
int taxi_answer_status(const struct taxi_answer *a); /* an HTTP status the worker chose; 0: none */
void taxi_answer_free(struct taxi_answer *a);

/* Runs exactly once for each call that was accepted; never from inside of that call. */
typedef void taxi_done_fn(void *arg, const struct taxi_answer *a);

/* ---- Publish ----
 * TAXI_OK means that the broker's disk has it.  An ephemeral topic (live.>) is only passed on. */
struct taxi_pub {
	const char *topic;
	const char *json; /* the body as JSON text, or: */
	const void *body; /* as msgpack */
	size_t body_n;
	const uint8_t
	    *id;         /* 16 bytes; NULL: a fresh one.  The same id and content are stored once */
	const char *key; /* envelopes of one key stay in order */
	int64_t exp;     /* unix ms: not delivered after it, then a dead letter; 0: never */
	bool retain;     /* the last value of its topic */
	const char *src; /* a cursor of ours, moved in the same transaction, */
	const void *cur, *was; /* to `cur`, if it is at `was` now (NULL: whatever it is) */
	size_t cur_n, was_n;
	const struct taxi_msg *because; /* what we handle: its chain (root, trace) goes on */
	void *reserved[4];
};

/* Blocks until the end, at most timeout_ms (0: as long as it takes).  `answer` may be NULL.
 * Blocking calls made in a callback are refused with TAXI_INVALID. */
enum taxi_code taxi_publish(
    struct taxi *t, const struct taxi_pub *p, int64_t timeout_ms, struct taxi_answer **answer);
/* TAXI_OK: accepted, `done` will run.  TAXI_BUSY: max_pending is reached; TAXI_TOO_BIG,
 * TAXI_BAD_TOPIC, TAXI_INVALID (json), TAXI_CONFLICT (that id is under way): refused here. */
enum taxi_code taxi_publish_async(
    struct taxi *t, const struct taxi_pub *p, int64_t timeout_ms, taxi_done_fn *done, void *arg);

/* All or none of them, at most 1,024.  A conflict names the `index` in its detail.  None and a
 * cursor moves the cursor; `src`, `cur` and `was` of single items do not count. */
struct taxi_items {
	const struct taxi_pub *v;
	size_t n;
	const uint8_t *id; /* of the batch; NULL: a fresh one */
	const char *src;   /* cursor, as of a pub */
	const void *cur, *was;
	size_t cur_n, was_n;
	void *reserved[4];
};

enum taxi_code taxi_batch(struct taxi *t, const struct taxi_items *items, int64_t timeout_ms,
    struct taxi_answer **answer);
enum taxi_code taxi_batch_async(struct taxi *t, const struct taxi_items *items, int64_t timeout_ms,
    taxi_done_fn *done, void *arg);

/* ---- Request ---- */
/* A part of an answer in parts; the final one goes to `done` or `answer`. */
typedef void taxi_part_fn(void *arg, const struct taxi_answer *part);

struct taxi_req {
	const char *topic;
	const char *json;
	const void *body;
	size_t body_n;
	const uint8_t *id;
	int64_t ttl_ms;     /* the deadline; of an answer in parts that of each.  0: 5,000 */
	bool again;         /* may be run twice: another worker gets it when one is lost */
	taxi_part_fn *part; /* NULL: an answer in parts ends as TAXI_UPSTREAM */
	void *arg;          /* of part and done */
	unsigned window;    /* parts that may come before taxi_more; 0: 8 */
	bool hold;          /* ask for more by taxi_more alone; else one is asked for after each */
	const struct taxi_msg *because;
	void *reserved[4];
};

enum taxi_code taxi_request(struct taxi *t, const struct taxi_req *r, struct taxi_answer **answer);
/* `id` (16 bytes, may be NULL) gets the id, for taxi_cancel and taxi_more. */
enum taxi_code taxi_request_async(
    struct taxi *t, const struct taxi_req *r, taxi_done_fn *done, uint8_t *id);
void taxi_more(struct taxi *t, const uint8_t *id, unsigned n);
void taxi_cancel(struct taxi *t, const uint8_t *id); /* it ends as TAXI_GONE */

/* ---- Subscribe, work in a group, serve ----
 * Every delivery is finished once, in the callback or later, by taxi_ack, _nak, _reject, _reply or
 * _fail (or by taxi_close); it is freed by that. */
typedef void taxi_msg_fn(void *arg, struct taxi_msg *m);

struct taxi_sub_options {
	const char *pattern; /* a.*.c, a.> */
	const char *group;   /* share a durable group's events; NULL: a live tail, or with */
	bool serve;          /* requests on this topic */
	bool cancels; /* of a group: triggers whose cancel.<uuid> was published are taken back: one
		       * in hand by `cancel`, later ones are acked as cancelled and never come */
	const char *from;     /* "new" or "all"; of a group when it is created */
	uint64_t from_seq;    /* > 0: instead of `from` */
	int64_t from_time;    /* > 0: instead of both: what was stored from then on (unix ms) */
	int64_t ack_ms;       /* for one delivery, until it goes to another; 0: the policies', else
			       * 30,000 */
	int64_t tries;        /* until it is a dead letter; 0: 8 */
	unsigned credit;      /* deliveries in hand; 0: 64 */
	size_t credit_bytes;  /* 0: 8 MiB */
	const char *describe; /* JSON object for the registry; NULL: {name} */
	taxi_msg_fn *msg;
	taxi_msg_fn *cancel; /* m is of no more use (its requester left, or the session ended: then
			      * taxi_msg_is_void); finish it all the same.  May be NULL */
	taxi_msg_fn *more;   /* taxi_room is there again; may be NULL */
	/* Live now (why is NULL), not live, or refused (tried again all the same).  May be NULL;
	 * must not unsubscribe. */
	void (*state)(void *arg, bool live, const struct taxi_answer *why);
	void *arg;
	void *reserved[4];
};

/* Made again after every reconnect.  NULL: pattern or describe is wrong, as standard error says. */
struct taxi_sub *taxi_subscribe(struct taxi *t, const struct taxi_sub_options *o);
void taxi_unsubscribe(struct taxi_sub *s); /* what is in hand is still to be finished */
bool taxi_sub_is_live(const struct taxi_sub *s);
/* Blocks until it is live: TAXI_OK; the refusal; TAXI_TIMEOUT. */
enum taxi_code taxi_sub_wait(struct taxi_sub *s, int64_t timeout_ms);

const char *taxi_msg_topic(const struct taxi_msg *m);
const uint8_t *taxi_msg_id(const struct taxi_msg *m); /* the sender's, 16 bytes */
const void *taxi_msg_body(const struct taxi_msg *m, size_t *n);
const char *taxi_msg_key(const struct taxi_msg *m);   /* NULL: none */
const char *taxi_msg_group(const struct taxi_msg *m); /* NULL: a tail or a request */
const char *taxi_msg_from(const struct taxi_msg *m);  /* identity of the sender */
uint64_t taxi_msg_seq(const struct taxi_msg *m);      /* in the journal; 0: none */
uint64_t taxi_msg_try(const struct taxi_msg *m);      /* from 1; 0: of no group */
int64_t taxi_msg_left(const struct taxi_msg *m);      /* ms until its deadline */
bool taxi_msg_is_request(const struct taxi_msg *m);
bool taxi_msg_is_again(const struct taxi_msg *m);    /* may have been handled before */
bool taxi_msg_is_retained(const struct taxi_msg *m); /* a last value, not news */
bool taxi_msg_is_void(const struct taxi_msg *m);     /* its session ended: finishing says nothing */

void taxi_ack(struct taxi_msg *m); /* done; of a tail: seen */
/* Again, to any worker, after delay_ms (< 0: the broker's backoff).  `reason` may be NULL. */
void taxi_nak(struct taxi_msg *m, int64_t delay_ms, const char *reason);
void taxi_reject(struct taxi_msg *m, const char *reason); /* never again: a dead letter */
void taxi_extend(struct taxi_msg *m, int64_t ms);         /* so much time from now; not an end */

/* The final answer of a request; body NULL is nil.  status 0: none. */
void taxi_reply(struct taxi_msg *m, const void *body, size_t n, int status);
void taxi_reply_json(struct taxi_msg *m, const char *json, int status);
/* A part of at most 256 KiB, taxi_reply is the last.  Parts beyond taxi_room are held in memory, up
 * to 16 MiB: stop at 0 and go on in `more`. */
void taxi_part(struct taxi_msg *m, const void *body, size_t n);
unsigned taxi_room(const struct taxi_msg *m);
void taxi_fail(struct taxi_msg *m, enum taxi_code code, const char *text);
/* `detail`: a msgpack map, of problem members (detail, errors, …). */
void taxi_fail_detail(struct taxi_msg *m, enum taxi_code code, const void *detail, size_t n);
size_t taxi_in_hand(const struct taxi *t);

/* ---- Bodies ----
 * What they make is freed by taxi_free. */
void *taxi_body_of_json(const char *json, size_t *n); /* NULL: no JSON */
char *taxi_body_to_json(const void *body, size_t n);  /* NULL: no JSON for it; bin is base64 */
void taxi_free(void *p);
/* The value under `key` of a map, or the i-th of an array, as msgpack inside of `body`; NULL: none.
 */
const void *taxi_body_get(const void *body, size_t n, const char *key, size_t *value_n);
const void *taxi_body_at(const void *body, size_t n, size_t i, size_t *value_n);
/* The value under `key` of a map.  A str or bin, not NUL-terminated; NULL: none. */
const char *taxi_body_str(const void *body, size_t n, const char *key, size_t *str_n);
int64_t taxi_body_int(const void *body, size_t n, const char *key, int64_t absent);
double taxi_body_double(const void *body, size_t n, const char *key, double absent);
bool taxi_body_bool(const void *body, size_t n, const char *key, bool absent);
void taxi_new_id(uint8_t id[16]); /* a UUIDv7 */

#ifdef __cplusplus
}
#endif
#endif

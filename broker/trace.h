#ifndef BROKER_TRACE_H
#define BROKER_TRACE_H
/* The latest hops of envelopes, in a ring of fixed size: what sys.trace knows beyond what is on
 * disk.  To note one costs a write into memory, nothing is hashed or allocated; to look walks the
 * whole ring. Pure: time is an argument. */
#include "base/span.h"

#define TRACE_WHATS(X)                                                                    \
	X(PUBLISHED, published)                                                           \
	X(REQUESTED, requested) X(DELIVERED, delivered) X(ACKED, acked) X(NAKED, naked)   \
	    X(REJECTED, rejected) X(EXTENDED, extended) X(EXPIRED, expired) X(LOST, lost) \
		X(DEAD, dead) X(DROPPED, dropped) X(ANSWERED, answered) X(FAILED, failed) \
		    X(CANCELLED, cancelled) X(OWED, owed) X(DONE, done)

enum trace_what {
#define X(id, name) TRACE_##id,
	TRACE_WHATS(X)
#undef X
	    TRACE_WHAT_COUNT
};
const char *trace_what_name(enum trace_what w);

enum { TRACE_TEXT = 64 };

struct trace_hop {
	int64_t at_ms;                 /* unix ms */
	uint8_t id[16], root[16];      /* root zero: that of the other hops of this id */
	uint64_t seq, session, try_no; /* 0: none */
	uint16_t group;                /* trace_name; 0: none */
	uint8_t what, ntext;
	char text[TRACE_TEXT]; /* topic of PUBLISHED and REQUESTED, else the reason; cut to fit */
};

struct trace;

struct trace *trace_new(size_t hops); /* 0: NULL, and every call on NULL does nothing */
void trace_free(struct trace *t);
/* The place of the next hop, the oldest one's: all of it is the caller's to set.  NULL: off. */
struct trace_hop *trace_next(struct trace *t);
void trace_text(struct trace_hop *h, struct span text);
/* A small number for the name of a group, for good; 0: off, or too many names. */
uint16_t trace_name(struct trace *t, struct span name);
const char *trace_name_of(const struct trace *t, uint16_t no); /* "" for 0 */

/* From the oldest to the latest. */
typedef void trace_fn(void *arg, const struct trace_hop *h);
void trace_each(const struct trace *t, trace_fn *fn, void *arg);
/* The root of the chain an id belongs to, as far as a hop tells. */
bool trace_root(const struct trace *t, const uint8_t id[16], uint8_t root[16]);

#endif

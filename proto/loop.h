#ifndef PROTO_LOOP_H
#define PROTO_LOOP_H
/* One event loop a thread: ZeroMQ sockets, deadlines in a heap, file descriptors whose interest can
 * change, and work put off to the end of the turn.  Callbacks must not block; one over 20 ms is
 * logged as evt=slow_callback. */
#include <czmq.h>
#include "base/timer.h"

struct loop;
struct loop_fd;

typedef void loop_fn(void *arg);
typedef void loop_fd_fn(void *arg, short revents); /* ZMQ_POLLIN | ZMQ_POLLOUT | ZMQ_POLLERR */

struct loop *loop_new(void);
void loop_free(struct loop *l);
/* Runs until loop_stop.  0. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);
/* Wakes the loop of another thread and stops it: the one call that may come from outside its
 * thread. */
void loop_stop_from_outside(struct loop *l);

/* Monotonic ms: when the running callback began; outside of callbacks, now. */
int64_t loop_now(const struct loop *l);

/* Reader for a ZeroMQ socket: fn should drain up to a bounded number of messages and return. */
int loop_sock(struct loop *l, zsock_t *s, loop_fn *fn, void *arg);
void loop_sock_end(struct loop *l, zsock_t *s);

/* Watch an fd (one watch an fd); the handle lives until loop_fd_end, which may be called from any
 * callback, its own too.  End the watch before closing the fd. */
struct loop_fd *loop_fd(struct loop *l, int fd, short events, loop_fd_fn *fn, void *arg);
void loop_fd_events(struct loop_fd *f, short events); /* 0 pauses */
void loop_fd_end(struct loop_fd *f);

/* Timers (base/timer.h): set t->fn first; it runs once at or after at_ms. */
void loop_timer(struct loop *l, struct timer *t, int64_t at_ms);
void loop_timer_clear(struct loop *l, struct timer *t);

/* Run fn(arg) at the end of this turn: when the running callback (of a socket or fd, or the last
 * timer that is due) has returned; called from such a function, at the end of the next. */
void loop_later(struct loop *l, loop_fn *fn, void *arg);
/* Forget what loop_later was given for this arg. */
void loop_later_cancel(struct loop *l, void *arg);

struct loop_stats {
	uint64_t callbacks, slow; /* slow: over LOOP_SLOW_MS */
	int64_t max_callback_us;  /* the longest since the start */
	int64_t max_late_ms;      /* a timer ran so much after its time */
};
#define LOOP_SLOW_MS 20
struct loop_stats loop_stats(const struct loop *l);

#endif

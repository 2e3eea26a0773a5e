#ifndef BENCH_LIB_LOAD_H
#define BENCH_LIB_LOAD_H
/* The loop, the clock and the histogram that every peer's load shares, so that a difference between
 * two rows is the peer and not the way it was measured.
 *
 * A program is a table of modes: `peer_x MODE ENDPOINT [--clients N] [--window N] [--ms N]
 * [--size BYTES] [--count N] [--peers N] [--name TEXT] [--ids KIND]`.  A mode either keeps a
 * window: each lane (one a client, a thread of its own) sends `window` things and one more for each
 * that was answered, until the time is up or `count` are done; or it is `run`, which does as it
 * likes (a worker, a proxy). Printed on stdout is one line of JSON:
 * {"rate","done","secs","p50","p99","max","cpuUs"}, µs. */
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/hist.h"

struct load_conf {
	const char *mode, *endpoint, *name, *ids;
	unsigned clients, window, peers;
	size_t size;
	int64_t us;     /* how long to measure */
	uint64_t count; /* > 0: until so many are done, however long it takes */
};

struct lane {
	const struct load_conf *conf;
	unsigned n; /* 0, 1, … */
	uint64_t done;
	int64_t now_us;  /* as of the last turn */
	int64_t from_us; /* what is answered before this is warming up */
	int64_t end_us;
	int64_t last_us; /* when something was last done */
	struct hist hist;
	/* when each of what is outstanding was sent, oldest first */
	int64_t *sent;
	unsigned head, outstanding;
	pthread_t thread;
};

struct load_mode {
	const char *name;
	void (*run)(struct lane *l);
	void *(*open)(struct lane *l);
	void (*send)(void *x, unsigned n);
	unsigned (*take)(void *x); /* how many were answered; waits no longer than 100 ms */
	void (*close)(void *x);
	bool own_times;   /* calls load_note itself, as answers may overtake each other */
	bool is_receiver; /* nothing to send before something came (a consumer: send is the ack) */
};

int load_main(int argc, char **argv, const struct load_mode *modes, size_t n);

/* One thing done that was begun at `sent_us`. */
void load_note(struct lane *l, int64_t sent_us);
/* `size` bytes whose first eight are the time, for whoever reads it from the answer. */
void load_payload(const struct lane *l, uint8_t *out);
int64_t load_payload_us(const void *payload);
/* "host:port" or "tcp://host:port" of the endpoint -> host (static) and port. */
const char *load_host(const struct load_conf *c, int *port);

#endif

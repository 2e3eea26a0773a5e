#ifndef EDGE_HTTP_SHARD_H
#define EDGE_HTTP_SHARD_H
/* One thread of the edge: a loop, a libmicrohttpd daemon on an epoll fd of its own, a link to the
 * broker. Shards share nothing but settings and atomic counters; the kernel spreads connections
 * over their listening sockets (SO_REUSEPORT).  Everything here belongs to the shard's thread. */
#include <microhttpd.h>
#include "base/list.h"
#include "base/log.h"
#include "edge-http/builtin.h"
#include "edge-http/edge.h"
#include "edge-http/notes.h"
#include "edge-http/registry.h"
#include "proto/worker.h"

#define SHARD_HELD_MAX (256u * 1024 * 1024) /* bytes of request bodies in memory */

struct announce;

struct shard {
	struct edge *edge;
	unsigned index;
	struct loop *loop;
	struct link *link; /* these three are NULL before shard_attach */
	struct client *client;
	struct worker *worker;
	struct metrics *m;

	struct builtin own;    /* the edge's own operations */
	struct routes *routes; /* announced; NULL until the first load */
	struct buf openapi;
	struct notes notes;
	struct announce *announce;

	struct MHD_Daemon *mhd;
	int listen_fd;
	struct loop_fd *watch;
	struct timer run_timer, sweep_timer;
	bool kicked;
	bool moved;      /* in this run of libmicrohttpd something did that may go on at once */
	bool idle;       /* nothing did for long */
	unsigned nasked; /* requests that wait without being suspended */

	struct list conns;     /* struct conn */
	struct list waiting;   /* struct http_req that wait, the oldest first */
	struct list lingering; /* struct leftover */
	struct list spare;     /* struct http_req that are over, the last one first */
	unsigned nlingering, nspare;
	size_t held; /* bytes of request bodies */
	struct metrics_slot *unrouted;
	bool draining;
	struct log_limit slow_lines, fail_lines, mhd_lines;
};

/* `listen_fd` becomes the shard's.  NULL when libmicrohttpd does not start (logged). */
struct shard *shard_new(struct edge *e, unsigned index, struct loop *l, int listen_fd);
/* The way to the broker; borrowed until shard_free. */
void shard_attach(struct shard *sh, struct client *c, struct worker *w);
/* No new connections; those that are idle end. */
void shard_drain(struct shard *sh);
bool shard_is_idle(const struct shard *sh); /* no request under way */
/* Every call has ended.  Sends what can be sent at once and frees. */
void shard_free(struct shard *sh);

/* Let libmicrohttpd work at the end of this turn. */
void shard_kick(struct shard *sh);
bool shard_bus_is_up(const struct shard *sh);
/* A table has come: takes it over. */
void shard_load(struct shard *sh, struct registry_built *b);

#endif
